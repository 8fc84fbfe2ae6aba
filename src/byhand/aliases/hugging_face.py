"""Hugging Face's names: a module's name means its output (the first of several), a parameter's name its array.

Arrays have the shapes of transformers' own: projections with heads side by side, matrices stored as there, which is
input first in GPT-2 and output first in Llama and BERT. Names work with and without the model's prefix
(``transformer.``, ``model.``, ``bert.``), except that `wte` and `wpe` alone mean llm.c's parameters. Dropouts, which
change nothing, have no names, but for the one behind GPT-2's embedding. Llama's queries and keys stand in Hugging
Face's rotary order, also when the weights here are in Meta's.
"""

from byhand.aliases.recipe import Array, Make, Table, beside, first_position, joined, paired_last, row, same, turned

AT, ATTN, MLP = "blocks.{l}", "blocks.{l}.attn", "blocks.{l}.mlp"
QKV = (f"{ATTN}.q", f"{ATTN}.k", f"{ATTN}.v")


def layer_norm(name: str, result: str, weights: str) -> Table:
    return {name: result, f"{name}.weight": f"{weights}.gain", f"{name}.bias": f"{weights}.shift"}


def linear(name: str, result: str, weights: str, axes: str) -> Table:
    """A torch Linear whose output is one of byhand's values; axes: of its matrix, output first."""
    weight = row(turned(same), axes, f"{weights}.weight")
    return {name: result, f"{name}.weight": weight, f"{name}.bias": f"{weights}.bias"}


def projection(name: str, value: str, order: Make = same) -> Table:
    """A torch Linear that gives all heads side by side; order: of the features inside a head."""

    def flat(array: Array) -> Array:
        return beside(order(array))

    return {
        name: row(flat, "BTD", value),
        f"{name}.weight": row(turned(flat), "DD", f"{value}.weight"),
        f"{name}.bias": row(flat, "D", f"{value}.bias"),
    }


def output(name: str) -> Table:
    """The output projection of attention as a torch Linear."""
    weight = row(turned(joined), "DD", f"{ATTN}.out.weight")
    return {name: f"{ATTN}.out", f"{name}.weight": weight, f"{name}.bias": f"{ATTN}.out.bias"}


H = "transformer.h.{l}"
GPT2: Table = {
    "transformer.wte": "embed.token",
    "transformer.wte.weight": "token.weight",
    "transformer.wpe": "embed.position",
    "transformer.wpe.weight": "position.weight",
    "transformer.drop": "embed.out",
    **layer_norm(f"{H}.ln_1", f"{AT}.norm1.out", f"{AT}.norm1"),
    f"{H}.attn.c_attn": row(beside, "BTD", *QKV),
    f"{H}.attn.c_attn.weight": row(beside, "DD", *(f"{each}.weight" for each in QKV)),
    f"{H}.attn.c_attn.bias": row(beside, "D", *(f"{each}.bias" for each in QKV)),
    f"{H}.attn.c_proj": f"{ATTN}.out",
    f"{H}.attn.c_proj.weight": row(joined, "DD", f"{ATTN}.out.weight"),
    f"{H}.attn.c_proj.bias": f"{ATTN}.out.bias",
    f"{H}.attn": f"{ATTN}.out",
    **layer_norm(f"{H}.ln_2", f"{AT}.norm2.out", f"{AT}.norm2"),
    f"{H}.mlp.c_fc": f"{MLP}.pre",
    f"{H}.mlp.c_fc.weight": f"{MLP}.up.weight",
    f"{H}.mlp.c_fc.bias": f"{MLP}.up.bias",
    f"{H}.mlp.act": f"{MLP}.act",
    f"{H}.mlp.c_proj": f"{MLP}.out",
    f"{H}.mlp.c_proj.weight": f"{MLP}.down.weight",
    f"{H}.mlp.c_proj.bias": f"{MLP}.down.bias",
    f"{H}.mlp": f"{MLP}.out",
    H: f"{AT}.out",
    **layer_norm("transformer.ln_f", "final_norm.out", "final_norm"),
    "transformer": "final_norm.out",
    "lm_head": "logits",
    "lm_head.weight": "token.weight",
}

M = "model.layers.{l}"


def llama(order: Make = same) -> Table:
    """Llama's names; order: from the layout of the queries and keys here to Hugging Face's."""
    return {
        "model.embed_tokens": "embed.out",
        "model.embed_tokens.weight": "token.weight",
        **layer_norm(f"{M}.input_layernorm", f"{AT}.norm1.out", f"{AT}.norm1"),
        **projection(f"{M}.self_attn.q_proj", f"{ATTN}.q", order),
        **projection(f"{M}.self_attn.k_proj", f"{ATTN}.k", order),
        **projection(f"{M}.self_attn.v_proj", f"{ATTN}.v"),
        **output(f"{M}.self_attn.o_proj"),
        f"{M}.self_attn": f"{ATTN}.out",
        **layer_norm(f"{M}.post_attention_layernorm", f"{AT}.norm2.out", f"{AT}.norm2"),
        **linear(f"{M}.mlp.gate_proj", f"{MLP}.gate", f"{MLP}.gate", "FD"),
        f"{M}.mlp.act_fn": f"{MLP}.act",
        **linear(f"{M}.mlp.up_proj", f"{MLP}.up", f"{MLP}.up", "FD"),
        **linear(f"{M}.mlp.down_proj", f"{MLP}.out", f"{MLP}.down", "DF"),
        f"{M}.mlp": f"{MLP}.out",
        M: f"{AT}.out",
        **layer_norm("model.norm", "final_norm.out", "final_norm"),
        "model": "final_norm.out",
        "lm_head": "logits",
        "lm_head.weight": "token.weight",
    }


UNTIED: Table = {"lm_head.weight": "unembed.weight"}

B, P = "bert.encoder.layer.{l}", "cls.predictions"
BERT: Table = {
    "bert.embeddings.word_embeddings": "embed.token",
    "bert.embeddings.word_embeddings.weight": "token.weight",
    "bert.embeddings.token_type_embeddings": "embed.segment",
    "bert.embeddings.token_type_embeddings.weight": "segment.weight",
    "bert.embeddings.position_embeddings": "embed.position",
    "bert.embeddings.position_embeddings.weight": "position.weight",
    **layer_norm("bert.embeddings.LayerNorm", "embed.out", "embed"),
    "bert.embeddings": "embed.out",
    **projection(f"{B}.attention.self.query", f"{ATTN}.q"),
    **projection(f"{B}.attention.self.key", f"{ATTN}.k"),
    **projection(f"{B}.attention.self.value", f"{ATTN}.v"),
    f"{B}.attention.self": row(beside, "BTD", f"{ATTN}.heads"),
    **output(f"{B}.attention.output.dense"),
    **layer_norm(f"{B}.attention.output.LayerNorm", f"{AT}.norm1.out", f"{AT}.norm1"),
    f"{B}.attention.output": f"{AT}.norm1.out",
    f"{B}.attention": f"{AT}.norm1.out",
    **linear(f"{B}.intermediate.dense", f"{MLP}.pre", f"{MLP}.up", "FD"),
    f"{B}.intermediate.intermediate_act_fn": f"{MLP}.act",
    f"{B}.intermediate": f"{MLP}.act",
    **linear(f"{B}.output.dense", f"{MLP}.out", f"{MLP}.down", "DF"),
    **layer_norm(f"{B}.output.LayerNorm", f"{AT}.out", f"{AT}.norm2"),
    f"{B}.output": f"{AT}.out",
    B: f"{AT}.out",
    "bert.encoder": "{last}.out",
    "bert": "{last}.out",
    **linear("bert.pooler.dense", "pooler.pre", "pooler", "DD"),
    "bert.pooler.dense": row(first_position, "BD", "pooler.pre"),
    "bert.pooler.activation": row(first_position, "BD", "pooler.out"),
    "bert.pooler": row(first_position, "BD", "pooler.out"),
    **linear(f"{P}.transform.dense", "head.pre", "head", "DD"),
    f"{P}.transform.transform_act_fn": "head.act",
    **layer_norm(f"{P}.transform.LayerNorm", "final_norm.out", "final_norm"),
    f"{P}.transform": "final_norm.out",
    f"{P}.decoder": "logits",
    f"{P}.decoder.weight": "token.weight",
    f"{P}.decoder.bias": "unembed.bias",
    f"{P}.bias": "unembed.bias",
    P: "logits",
    "cls": "logits",
}


PREFIXES = ("transformer.", "model.", "bert.")
TABLES: dict[str, tuple[Table, ...]] = {
    "gpt2": (GPT2,),
    "llama": (llama(), UNTIED),
    "llama, pairs": (llama(paired_last), UNTIED),
    "bert": (BERT,),
}


def short(name: str) -> str:
    """The name without the model's prefix, which is how the bare model inside knows it."""
    return name.partition(".")[2] if name.startswith(PREFIXES) else name
