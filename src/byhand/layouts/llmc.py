"""llm.c's arrays, in the order in which its files hold them. Every array stacks all layers; matrices are output first.

Sources: write_tensors in llm.c's train_gpt2.py and train_llama3.py. In its Llama, c_fc is the product that is not gated
and c_fc2 the one that is, and queries and keys hold each rotary pair side by side, as Meta's files do.
"""

from byhand.layouts.layout import Layout, stored

AT, ATTN, MLP = "blocks.{l}", "blocks.{l}.attn", "blocks.{l}.mlp"
QKV = [f"{ATTN}.{each}" for each in "qkv"]

GPT2 = Layout(
    "llm.c GPT-2",
    {
        "wte": stored("V D", "token.weight"),
        "wpe": stored("P D", "position.weight"),
        "ln1w": stored("L D", f"{AT}.norm1.gain"),
        "ln1b": stored("L D", f"{AT}.norm1.shift"),
        "qkvw": stored("L +HK D", *(f"{each}.weight" for each in QKV)),
        "qkvb": stored("L +HK", *(f"{each}.bias" for each in QKV)),
        "attprojw": stored("L D HK", f"{ATTN}.out.weight"),
        "attprojb": stored("L D", f"{ATTN}.out.bias"),
        "ln2w": stored("L D", f"{AT}.norm2.gain"),
        "ln2b": stored("L D", f"{AT}.norm2.shift"),
        "fcw": stored("L F D", f"{MLP}.up.weight"),
        "fcb": stored("L F", f"{MLP}.up.bias"),
        "fcprojw": stored("L D F", f"{MLP}.down.weight"),
        "fcprojb": stored("L D", f"{MLP}.down.bias"),
        "lnfw": stored("D", "final_norm.gain"),
        "lnfb": stored("D", "final_norm.shift"),
    },
)

LLAMA = Layout(
    "llm.c Llama",
    {
        "wte": stored("V D", "token.weight"),
        "ln_1": stored("L D", f"{AT}.norm1.gain"),
        "c_attn": stored("L +HK D", *(f"{each}.weight" for each in QKV)),
        "attn.c_proj": stored("L D HK", f"{ATTN}.out.weight"),
        "ln_2": stored("L D", f"{AT}.norm2.gain"),
        "mlp.c_fc": stored("L F D", f"{MLP}.up.weight"),
        "mlp.c_fc2": stored("L F D", f"{MLP}.gate.weight"),
        "mlp.c_proj": stored("L D F", f"{MLP}.down.weight"),
        "ln_f": stored("D", "final_norm.gain"),
        "lm_head": stored("V D", "unembed.weight"),
    },
)

LAYOUTS = {"gpt2": GPT2, "llama": LLAMA}
