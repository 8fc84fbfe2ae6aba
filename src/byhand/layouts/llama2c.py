"""llama2.c's arrays, under the names that its run.c gives them. One array a layer; matrices are output first.

Sources: legacy_export, version1_export and version2_export in llama2.c's export.py. Queries and keys hold each rotary
pair as (2j, 2j + 1). The first version groups its arrays by kind in another order than the later ones.
"""

from byhand.layouts.layout import Layout, stored

AT, ATTN, MLP = "blocks.{l}", "blocks.{l}.attn", "blocks.{l}.mlp"

LLAMA = Layout(
    "llama2.c",
    {
        "token_embedding_table": stored("V D", "token.weight"),
        "rms_att_weight.{l}": stored("D", f"{AT}.norm1.gain"),
        "wq.{l}": stored("HK D", f"{ATTN}.q.weight", rotary="pairs"),
        "wk.{l}": stored("GK D", f"{ATTN}.k.weight", rotary="pairs"),
        "wv.{l}": stored("GK D", f"{ATTN}.v.weight"),
        "wo.{l}": stored("D HK", f"{ATTN}.out.weight"),
        "rms_ffn_weight.{l}": stored("D", f"{AT}.norm2.gain"),
        "w1.{l}": stored("F D", f"{MLP}.gate.weight"),
        "w2.{l}": stored("D F", f"{MLP}.down.weight"),
        "w3.{l}": stored("F D", f"{MLP}.up.weight"),
        "rms_final_weight": stored("D", "final_norm.gain"),
        "wcls": stored("V D", "unembed.weight"),
    },
)

EMBEDDING, ATTENTION, HIDDEN = ["token_embedding_table"], ["wq", "wk", "wv", "wo"], ["w1", "w2", "w3"]
NORMS = ["rms_att_weight", "rms_ffn_weight", "rms_final_weight"]
TABLES = ["freq_cis_real", "freq_cis_imag"]
ORDER = {
    0: [*EMBEDDING, "rms_att_weight", *ATTENTION, "rms_ffn_weight", *HIDDEN, "rms_final_weight", *TABLES, "wcls"],
    1: [*NORMS, *EMBEDDING, *ATTENTION, *HIDDEN, "wcls"],
    2: [*NORMS, *EMBEDDING, *ATTENTION, *HIDDEN, "wcls"],
}
