"""TransformerLens' names of hook points, with its axes: batch, position, head, head width.

`attn.hook_attn_scores` are the masked scores. `hook_normalized` is the norm before its gain and shift, and `hook_out`
after them; `hook_scale` is what the norm divides by. Llama's queries and keys stand in Hugging Face's rotary order,
also when the weights here are in Meta's. All values are those of the weights as stored, without the processing
(folding, centring) that TransformerLens can do first. Its version 4.3 then gives the same for GPT-2 and Llama.

Of BERT only those names are here that mean the same in all its versions: up to version 3 `hook_attn_out`,
`hook_resid_mid` and `hook_resid_post` were taken before the layer norm that follows, since 4 after it, and the scores
are not the same either.
"""

from byhand.aliases.recipe import (
    Table,
    centred_unit,
    computed,
    inverse,
    paired_last,
    row,
    unit,
)

AT, ATTN = "blocks.{l}", "blocks.{l}.attn"

HEADS: Table = {
    f"{ATTN}.hook_q": f"{ATTN}.q",
    f"{ATTN}.hook_k": f"{ATTN}.k",
    f"{ATTN}.hook_v": f"{ATTN}.v",
    f"{ATTN}.hook_pattern": f"{ATTN}.weights",
    f"{ATTN}.hook_z": f"{ATTN}.heads",
    f"{AT}.hook_resid_pre": "{before}.out",
    f"{AT}.hook_mlp_out": f"{AT}.mlp.out",
}
SCORES: Table = {f"{ATTN}.hook_attn_scores": f"{ATTN}.masked"}
STREAM: Table = {
    f"{AT}.hook_attn_out": f"{ATTN}.out",
    f"{AT}.hook_resid_mid": f"{AT}.mid",
    f"{AT}.hook_resid_post": f"{AT}.out",
    "unembed.hook_out": "logits",
}
POSITIONS: Table = {"hook_embed": "embed.token", "hook_pos_embed": "embed.position"}
BERT: Table = {"hook_pos_embed": "embed.position", "unembed.hook_out": "logits"}
FEED_FORWARD: Table = {f"{AT}.mlp.hook_pre": f"{AT}.mlp.pre", f"{AT}.mlp.hook_post": f"{AT}.mlp.act"}
GATED: Table = {
    "hook_embed": "embed.out",
    f"{AT}.mlp.hook_pre": f"{AT}.mlp.gate",
    f"{AT}.mlp.hook_pre_linear": f"{AT}.mlp.up",
    f"{AT}.mlp.hook_post": f"{AT}.mlp.gated",
    f"{ATTN}.hook_rot_q": f"{ATTN}.q_rot",
    f"{ATTN}.hook_rot_k": f"{ATTN}.k_rot",
}
PAIRS: Table = {
    f"{ATTN}.hook_q": row(paired_last, "BTHK", f"{ATTN}.q"),
    f"{ATTN}.hook_k": row(paired_last, "BSGK", f"{ATTN}.k"),
    f"{ATTN}.hook_rot_q": row(paired_last, "BTHK", f"{ATTN}.q_rot"),
    f"{ATTN}.hook_rot_k": row(paired_last, "BSGK", f"{ATTN}.k_rot"),
}


def norm(name: str, result: str, x: str, *, centred: bool = True) -> Table:
    """The hooks of one norm. result: address of its output; x: of what it reads."""
    side = result.removesuffix(".out")
    reads = (x, f"{side}.mean", f"{side}.rstd") if centred else (x, f"{side}.rstd")
    return {
        f"{name}.hook_scale": computed(inverse, "BT1", f"{side}.rstd"),
        f"{name}.hook_normalized": computed(centred_unit if centred else unit, "BTD", *reads),
        f"{name}.hook_out": result,
    }


def norms(centred: bool) -> Table:
    """The norms of a model that normalizes before it reads."""
    return {
        **norm(f"{AT}.ln1", f"{AT}.norm1.out", "{before}.out", centred=centred),
        **norm(f"{AT}.ln2", f"{AT}.norm2.out", f"{AT}.mid", centred=centred),
        **norm("ln_final", "final_norm.out", "{last}.out", centred=centred),
    }


AFTER: Table = {**norm(f"{AT}.ln1", f"{AT}.norm1.out", f"{AT}.mid"), **norm(f"{AT}.ln2", f"{AT}.out", f"{AT}.sum")}

LLAMA = (HEADS, SCORES, STREAM, GATED, norms(centred=False))
TABLES: dict[str, tuple[Table, ...]] = {
    "gpt2": (POSITIONS, HEADS, SCORES, STREAM, FEED_FORWARD, norms(centred=True)),
    "llama": LLAMA,
    "llama, pairs": (*LLAMA, PAIRS),
    "bert": (BERT, HEADS, FEED_FORWARD, AFTER),
    "original": (HEADS, SCORES, FEED_FORWARD, AFTER),
    "handmade": (POSITIONS, HEADS, SCORES, STREAM),
}
