"""Hugging Face's names: a module's name means its output (the first of several), a parameter's name its array, which
the layout of Hugging Face's files arranges.

Arrays have the shapes of transformers' own: projections with heads side by side, matrices stored as there, which is
input first in GPT-2 and output first in Llama and BERT. Names work with and without the model's prefix
(``transformer.``, ``model.``, ``bert.``), except that `wte` and `wpe` alone mean llm.c's parameters. Dropouts, which
change nothing, have no names, but for the one behind GPT-2's embedding. Llama's queries and keys stand in Hugging
Face's rotary order, also when the weights here are in Meta's.
"""

from byhand.aliases.recipe import Make, Table, beside, first_position, paired_last, row, same
from byhand.layouts.hugging_face import PREFIXES

AT, ATTN, MLP = "blocks.{l}", "blocks.{l}.attn", "blocks.{l}.mlp"
QKV = (f"{ATTN}.q", f"{ATTN}.k", f"{ATTN}.v")


def projection(name: str, value: str, order: Make = same) -> Table:
    """What a Linear gives that has all heads side by side; order: of the features inside a head."""
    return {name: row(lambda array: beside(order(array)), "BTD", value)}


H = "transformer.h.{l}"
GPT2: Table = {
    "transformer.wte": "embed.token",
    "transformer.wpe": "embed.position",
    "transformer.drop": "embed.out",
    f"{H}.ln_1": f"{AT}.norm1.out",
    f"{H}.attn.c_attn": row(beside, "BTD", *QKV),
    f"{H}.attn.c_proj": f"{ATTN}.out",
    f"{H}.attn": f"{ATTN}.out",
    f"{H}.ln_2": f"{AT}.norm2.out",
    f"{H}.mlp.c_fc": f"{MLP}.pre",
    f"{H}.mlp.act": f"{MLP}.act",
    f"{H}.mlp.c_proj": f"{MLP}.out",
    f"{H}.mlp": f"{MLP}.out",
    H: f"{AT}.out",
    "transformer.ln_f": "final_norm.out",
    "transformer": "final_norm.out",
    "lm_head": "logits",
}

M = "model.layers.{l}"


def llama(order: Make = same) -> Table:
    """Llama's names; order: from the layout of the queries and keys here to Hugging Face's."""
    return {
        "model.embed_tokens": "embed.out",
        f"{M}.input_layernorm": f"{AT}.norm1.out",
        **projection(f"{M}.self_attn.q_proj", f"{ATTN}.q", order),
        **projection(f"{M}.self_attn.k_proj", f"{ATTN}.k", order),
        **projection(f"{M}.self_attn.v_proj", f"{ATTN}.v"),
        f"{M}.self_attn.o_proj": f"{ATTN}.out",
        f"{M}.self_attn": f"{ATTN}.out",
        f"{M}.post_attention_layernorm": f"{AT}.norm2.out",
        f"{M}.mlp.gate_proj": f"{MLP}.gate",
        f"{M}.mlp.act_fn": f"{MLP}.act",
        f"{M}.mlp.up_proj": f"{MLP}.up",
        f"{M}.mlp.down_proj": f"{MLP}.out",
        f"{M}.mlp": f"{MLP}.out",
        M: f"{AT}.out",
        "model.norm": "final_norm.out",
        "model": "final_norm.out",
        "lm_head": "logits",
    }


B, P = "bert.encoder.layer.{l}", "cls.predictions"
BERT: Table = {
    "bert.embeddings.word_embeddings": "embed.token",
    "bert.embeddings.token_type_embeddings": "embed.segment",
    "bert.embeddings.position_embeddings": "embed.position",
    "bert.embeddings.LayerNorm": "embed.out",
    "bert.embeddings": "embed.out",
    **projection(f"{B}.attention.self.query", f"{ATTN}.q"),
    **projection(f"{B}.attention.self.key", f"{ATTN}.k"),
    **projection(f"{B}.attention.self.value", f"{ATTN}.v"),
    f"{B}.attention.self": row(beside, "BTD", f"{ATTN}.heads"),
    f"{B}.attention.output.dense": f"{ATTN}.out",
    f"{B}.attention.output.LayerNorm": f"{AT}.norm1.out",
    f"{B}.attention.output": f"{AT}.norm1.out",
    f"{B}.attention": f"{AT}.norm1.out",
    f"{B}.intermediate.dense": f"{MLP}.pre",
    f"{B}.intermediate.intermediate_act_fn": f"{MLP}.act",
    f"{B}.intermediate": f"{MLP}.act",
    f"{B}.output.dense": f"{MLP}.out",
    f"{B}.output.LayerNorm": f"{AT}.out",
    f"{B}.output": f"{AT}.out",
    B: f"{AT}.out",
    "bert.encoder": "{last}.out",
    "bert": "{last}.out",
    "bert.pooler.dense": row(first_position, "BD", "pooler.pre"),
    "bert.pooler.activation": row(first_position, "BD", "pooler.out"),
    "bert.pooler": row(first_position, "BD", "pooler.out"),
    f"{P}.transform.dense": "head.pre",
    f"{P}.transform.transform_act_fn": "head.act",
    f"{P}.transform.LayerNorm": "final_norm.out",
    f"{P}.transform": "final_norm.out",
    f"{P}.decoder": "logits",
    P: "logits",
    "cls.seq_relationship": row(first_position, "BC", "next_sentence"),
    "cls": "logits",
}


TABLES: dict[str, tuple[Table, ...]] = {
    "gpt2": (GPT2,),
    "llama": (llama(),),
    "llama, pairs": (llama(paired_last),),
    "bert": (BERT,),
}


def short(name: str) -> str:
    """The name without the model's prefix, which is how the bare model inside knows it."""
    return name.partition(".")[2] if name.startswith(tuple(PREFIXES.values())) else name
