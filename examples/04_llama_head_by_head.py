"""Llama 3 head by head: all 32 heads of a layer computed from the weights alone, with positions as complex numbers.

Run it with `python examples/04_llama_head_by_head.py`. The weights are random and the width is small, the proportions
are those of Llama-3-8B: 32 query heads share 8 key/value heads. At the end stands the table of the real 8B shape.
"""

import re
from dataclasses import replace

import numpy as np

import byhand
from byhand.families import llama

# 1 · The prompt, cut as Llama 3's tokenizer cuts it: 17 pieces with the begin token. Here each piece is its own token.
TEXT = "the answer to the ultimate question of life, the universe, and everything is "
PROMPT = ["<begin>", *re.findall(r" ?\w+|,| ", TEXT)]
VOCABULARY = [*sorted(set(PROMPT)), "42"]
tokens = [VOCABULARY.index(piece) for piece in PROMPT]

# 2 · The model. The 8B has width 4096 = 32 heads of 128; here it is 256 = 32 heads of 8.
H, G, K, T = 32, 8, 8, len(tokens)
config = llama.Config(layers=2, width=H * K, heads=H, groups=G, head_width=K, hidden=896, vocabulary=len(VOCABULARY))
model = byhand.make(llama, config, seed=42)
assert (config.theta, config.eps, config.tied) == (500_000.0, 1e-5, False)
weights = {address: array.astype(np.float64) for address, array in model.weights.items()}
run = model.run(tokens, dtype="float64")

# 3 · What layer 0 reads: the rows of the table, each divided by its root mean square, each feature times its gain.
x_TD = weights["token.weight"][tokens]
read_TD = x_TD / np.sqrt((x_TD**2).mean(-1, keepdims=True) + config.eps) * weights["blocks.0.norm1.gain"]

# 4 · Positions. Features 2j and 2j+1 of a query or key are one complex number; at position t pair j is turned by
#     t * theta ** (-2j/K). The dot product of a turned query and a turned key knows only how far they are apart.
turn_TJ = np.exp(1j * np.arange(T)[:, None] * config.theta ** (-2 * np.arange(K // 2) / K))


def turned(vector_TK):
    pair_TJ = (vector_TK[:, 0::2] + 1j * vector_TK[:, 1::2]) * turn_TJ
    return np.stack([pair_TJ.real, pair_TJ.imag], axis=-1).reshape(vector_TK.shape)


# 5 · One head. Query head h reads key/value head h // 4, so four query heads ask the same keys different questions.
def one_head(h):
    group = h // (H // G)
    q_TK = read_TD @ weights["blocks.0.attn.q.weight"][:, h]
    k_SK = read_TD @ weights["blocks.0.attn.k.weight"][:, group]
    v_SK = read_TD @ weights["blocks.0.attn.v.weight"][:, group]
    score_TS = turned(q_TK) @ turned(k_SK).T / np.sqrt(K)
    masked_TS = np.where(np.tri(T, dtype=bool), score_TS, -np.inf)  # nobody sees what comes later
    exp_TS = np.exp(masked_TS - masked_TS.max(-1, keepdims=True))
    weight_TS = exp_TS / exp_TS.sum(-1, keepdims=True)
    return {"q": q_TK, "k": k_SK, "v": v_SK, "scores": score_TS, "weights": weight_TS, "heads": weight_TS @ v_SK}


print("head 13 of layer 0, from the weights alone        byhand's address                    difference")
for name, mine in one_head(13).items():
    address = f"blocks.0.attn.{name}"
    theirs = run[address].at(batch=0, head=13 // 4 if name in "kv" else 13)
    gap = np.abs(theirs - mine).max()
    print(f"  {name:<8}{mine.shape!s:<40}{address + ' head=' + str(13 // 4 if name in 'kv' else 13):<36}{gap:.1e}")
    assert theirs.shape == mine.shape and gap < 1e-12
    assert mine.shape == ((T, T) if name in ("scores", "weights") else (T, K))

# 6 · All heads side by side are [17, 256]; the output projection takes them back into the stream.
stacked_TD = np.hstack([one_head(h)["heads"] for h in range(H)])
mid_TD = x_TD + stacked_TD @ weights["blocks.0.attn.out.weight"].reshape(H * K, H * K)
assert stacked_TD.shape == (17, 256)
assert np.abs(run["blocks.0.attn.heads"].array.reshape(T, H * K) - stacked_TD).max() < 1e-12
assert np.abs(run["blocks.0.mid"].array[0] - mid_TD).max() < 1e-12
print(f"\n{H} heads stacked: {stacked_TD.shape}, and back in the stream: {mid_TD.shape}, equal to byhand's")

# 7 · The feed-forward is gated: silu of one product says how much of the other passes.
norm_TD = mid_TD / np.sqrt((mid_TD**2).mean(-1, keepdims=True) + config.eps) * weights["blocks.0.norm2.gain"]
gate_TF, up_TF = (norm_TD @ weights[f"blocks.0.mlp.{name}.weight"] for name in ("gate", "up"))
out_TD = mid_TD + (gate_TF / (1 + np.exp(-gate_TF)) * up_TF) @ weights["blocks.0.mlp.down.weight"]
assert np.abs(run["blocks.0.out"].array[0] - out_TD).max() < 1e-12

# 8 · What " everything" looks at, in the head that looks hardest at one place.
weight_HS = run["blocks.0.attn.weights"].at(batch=0, query=14).array
keenest = int(weight_HS.max(-1).argmax())
print(f"\n{PROMPT[14]!r} in head {keenest} looks at: ", end="")
print(", ".join(f"{PROMPT[s]!r} {weight_HS[keenest, s]:.0%}" for s in np.argsort(-weight_HS[keenest])[:4]))
assert (weight_HS[:, 15:] == 0).all()

# 9 · Hugging Face stores the same model with the features of each query and key head in another order, and turns
#     (j, j + K/2) instead of (2j, 2j+1). Reorder the weights, use the other operator, and nothing changes.
order = np.concatenate([np.arange(0, K, 2), np.arange(1, K, 2)])
reordered = {a: w[..., order] if a.endswith(("q.weight", "k.weight")) else w for a, w in model.weights.items()}
halves = replace(config, rotary="halves")
other = byhand.make(llama, halves, reordered)
assert np.abs(other.run(tokens, dtype="float64")["logits"] - run["logits"]).max() < 1e-12

# 10 · The real shape, without its weights: a program knows every shape and cost before anything is computed.
real = byhand.load("llama3-8b").program
shapes = real.shapes(B=1, T=T)
print(f"\nLlama-3-8B: {real.parameters:,} parameters, {len(real)} steps; the first layer for {T} tokens")
for row in real.table(B=1, T=T):
    if row.address.startswith("blocks.0.") and ".norm" not in row.address:
        print(f"  {row.address:<22}{row.operator:<14}{row.axes:<6}{row.shape!s:<20}{row.parameters:>13,} parameters")
assert real.parameters == 8_030_261_248
assert [shapes[f"blocks.31.attn.{name}"] for name in "qkv"] == [(1, 17, 32, 128), (1, 17, 8, 128), (1, 17, 8, 128)]
assert shapes["blocks.31.attn.scores"] == (1, 32, 17, 17) and shapes["blocks.31.attn.heads"] == (1, 17, 32, 128)
