"""llm.c's names for GPT-2's activations, in its shapes; those of its parameters are the names of its files' layout.

A value that every block has is stacked over the layers: ``run["preatt"][3]`` is layer 3. Heads lie side by side, and a
matrix stands with its output first. Three things differ from the buffers of a running llm.c:

- `preatt` holds the raw score of every pair; llm.c never writes those above the diagonal.
- `att` is exactly zero above the diagonal, as in llm.c, but because exp(-inf) is.
- `losses` is 0 where nothing is to be predicted (the last position when a text predicts itself); llm.c is given a
  target for every position. Its `wte`, `logits` and `probs` may be padded to a rounder vocabulary; these never are.

Other families have a name where the value means the same there. In a family that normalizes after adding, `residual3`
is the sum before the second norm and `ln2` its result.
"""

from byhand.aliases.recipe import Table, beside, row

AT = "blocks.{l}"
Q, K, V = f"{AT}.attn.q", f"{AT}.attn.k", f"{AT}.attn.v"

STREAM: Table = {
    "encoded": "embed.out",
    "qkv": row(beside, "BTD", Q, K, V),
    "atty": row(beside, "BTD", f"{AT}.attn.heads"),
    "preatt": f"{AT}.attn.scores",
    "att": f"{AT}.attn.weights",
    "attproj": f"{AT}.attn.out",
    "residual2": f"{AT}.mid",
    "fcproj": f"{AT}.mlp.out",
    "logits": "logits",
    "probs": "probs",
    "losses": "losses",
}
NORMS: Table = {
    "ln1": f"{AT}.norm1.out",
    "ln1_mean": f"{AT}.norm1.mean",
    "ln1_rstd": f"{AT}.norm1.rstd",
}
BEFORE: Table = {
    "ln2": f"{AT}.norm2.out",
    "ln2_mean": f"{AT}.norm2.mean",
    "ln2_rstd": f"{AT}.norm2.rstd",
    "residual3": f"{AT}.out",
    "lnf": "final_norm.out",
    "lnf_mean": "final_norm.mean",
    "lnf_rstd": "final_norm.rstd",
}
AFTER: Table = {
    "residual3": f"{AT}.sum",
    "ln2": f"{AT}.out",
    "ln2_mean": f"{AT}.mean",
    "ln2_rstd": f"{AT}.rstd",
}
FEED_FORWARD: Table = {
    "fch": f"{AT}.mlp.pre",
    "fch_gelu": f"{AT}.mlp.act",
}

TABLES: dict[str, tuple[Table, ...]] = {
    "gpt2": (STREAM, NORMS, BEFORE, FEED_FORWARD),
    "llama": (STREAM, NORMS, BEFORE),
    "llama, pairs": (STREAM, NORMS, BEFORE),
    "bert": (STREAM, NORMS, AFTER, FEED_FORWARD),
    "original": (STREAM, NORMS, AFTER, FEED_FORWARD),
    "handmade": (STREAM, BEFORE),
}
