"""Hugging Face's names of parameters, with the prefix that a model with a head has.

Sources: the modules modeling_gpt2, modeling_llama and modeling_bert of transformers. GPT-2's matrices are Conv1D, input
first; all others are Linear, output first. Llama's queries and keys hold each rotary pair as (j, j + K/2).
"""

from byhand.layouts.layout import Layout, Stored, stored

AT, ATTN, MLP = "blocks.{l}", "blocks.{l}.attn", "blocks.{l}.mlp"


def norm(name: str, weights: str) -> dict[str, Stored]:
    return {f"{name}.weight": stored("D", f"{weights}.gain"), f"{name}.bias": stored("D", f"{weights}.shift")}


def linear(name: str, weights: str, axes: str) -> dict[str, Stored]:
    """A torch Linear; axes: output first."""
    out = axes.split()[0]
    return {f"{name}.weight": stored(axes, f"{weights}.weight"), f"{name}.bias": stored(out.upper(), f"{weights}.bias")}


def heads(name: str, weights: str, axes: str, rotary: str = "") -> dict[str, Stored]:
    """A torch Linear that gives all heads side by side."""
    weight, bias = (
        stored(f"{axes} D", f"{weights}.weight", rotary=rotary),
        stored(axes, f"{weights}.bias", rotary=rotary),
    )
    return {f"{name}.weight": weight, f"{name}.bias": bias}


H = "transformer.h.{l}"
QKV = [f"{ATTN}.{each}" for each in "qkv"]
GPT2 = Layout(
    "Hugging Face GPT-2",
    {
        "transformer.wte.weight": stored("V D", "token.weight"),
        "transformer.wpe.weight": stored("P D", "position.weight"),
        **norm(f"{H}.ln_1", f"{AT}.norm1"),
        f"{H}.attn.c_attn.weight": stored("D +HK", *(f"{each}.weight" for each in QKV)),
        f"{H}.attn.c_attn.bias": stored("+HK", *(f"{each}.bias" for each in QKV)),
        f"{H}.attn.c_proj.weight": stored("HK D", f"{ATTN}.out.weight"),
        f"{H}.attn.c_proj.bias": stored("D", f"{ATTN}.out.bias"),
        **norm(f"{H}.ln_2", f"{AT}.norm2"),
        f"{H}.mlp.c_fc.weight": stored("D F", f"{MLP}.up.weight"),
        f"{H}.mlp.c_fc.bias": stored("F", f"{MLP}.up.bias"),
        f"{H}.mlp.c_proj.weight": stored("F D", f"{MLP}.down.weight"),
        f"{H}.mlp.c_proj.bias": stored("D", f"{MLP}.down.bias"),
        **norm("transformer.ln_f", "final_norm"),
        "lm_head.weight": stored("V D", "unembed.weight"),
    },
    ignored={
        "transformer.h.*.attn.bias": "the causal mask, an input here",
        "transformer.h.*.attn.masked_bias": "the number that hides, -inf here",
    },
    copies={"lm_head.weight": "transformer.wte.weight"},
)

M = "model.layers.{l}"
LLAMA = Layout(
    "Hugging Face Llama",
    {
        "model.embed_tokens.weight": stored("V D", "token.weight"),
        f"{M}.input_layernorm.weight": stored("D", f"{AT}.norm1.gain"),
        f"{M}.self_attn.q_proj.weight": stored("HK D", f"{ATTN}.q.weight", rotary="halves"),
        f"{M}.self_attn.k_proj.weight": stored("GK D", f"{ATTN}.k.weight", rotary="halves"),
        f"{M}.self_attn.v_proj.weight": stored("GK D", f"{ATTN}.v.weight"),
        f"{M}.self_attn.o_proj.weight": stored("D HK", f"{ATTN}.out.weight"),
        f"{M}.post_attention_layernorm.weight": stored("D", f"{AT}.norm2.gain"),
        f"{M}.mlp.gate_proj.weight": stored("F D", f"{MLP}.gate.weight"),
        f"{M}.mlp.up_proj.weight": stored("F D", f"{MLP}.up.weight"),
        f"{M}.mlp.down_proj.weight": stored("D F", f"{MLP}.down.weight"),
        "model.norm.weight": stored("D", "final_norm.gain"),
        "lm_head.weight": stored("V D", "unembed.weight"),
    },
    ignored={"*.rotary_emb.inv_freq": "the rotary frequencies, computed from theta here"},
    copies={"lm_head.weight": "model.embed_tokens.weight"},
)

B, P = "bert.encoder.layer.{l}", "cls.predictions"
BERT = Layout(
    "Hugging Face BERT",
    {
        "bert.embeddings.word_embeddings.weight": stored("V D", "token.weight"),
        "bert.embeddings.position_embeddings.weight": stored("P D", "position.weight"),
        "bert.embeddings.token_type_embeddings.weight": stored("Y D", "segment.weight"),
        **norm("bert.embeddings.LayerNorm", "embed"),
        **heads(f"{B}.attention.self.query", f"{ATTN}.q", "HK"),
        **heads(f"{B}.attention.self.key", f"{ATTN}.k", "GK"),
        **heads(f"{B}.attention.self.value", f"{ATTN}.v", "GK"),
        **linear(f"{B}.attention.output.dense", f"{ATTN}.out", "D HK"),
        **norm(f"{B}.attention.output.LayerNorm", f"{AT}.norm1"),
        **linear(f"{B}.intermediate.dense", f"{MLP}.up", "F D"),
        **linear(f"{B}.output.dense", f"{MLP}.down", "D F"),
        **norm(f"{B}.output.LayerNorm", f"{AT}.norm2"),
        **linear("bert.pooler.dense", "pooler", "d D"),
        f"{P}.bias": stored("V", "unembed.bias"),
        **linear(f"{P}.transform.dense", "head", "d D"),
        **norm(f"{P}.transform.LayerNorm", "final_norm"),
        f"{P}.decoder.weight": stored("V D", "unembed.weight"),
        **linear("cls.seq_relationship", "next_sentence", "C D"),
    },
    ignored={"bert.embeddings.position_ids": "the positions 0, 1, 2 ..., an input here"},
    copies={
        f"{P}.decoder.weight": "bert.embeddings.word_embeddings.weight",
        f"{P}.decoder.bias": f"{P}.bias",
    },
)

LAYOUTS = {"gpt2": GPT2, "llama": LLAMA, "bert": BERT}
PREFIXES = {"gpt2": "transformer.", "llama": "model.", "bert": "bert."}
