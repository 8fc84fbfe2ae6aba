"""GPT-2 as llm.c trains it: every activation it saves, by its name there, the backward of each, and AdamW written out.

Run it with `python examples/03_gpt2_saved_activations.py`. A small GPT-2 with random weights is run and trained; the
table at the end is the 124M model for four texts of 64 tokens, worked out without running it.
"""

from math import prod

import numpy as np

import byhand
from byhand import aliases
from byhand.families import gpt2

# 1 · A GPT-2 with letters that are easy to tell apart: 2 layers, 4 heads, width 16, 50 tokens; 3 texts of 8 tokens.
L, NH, C, V, B, T = 2, 4, 16, 50, 3, 8
config = gpt2.Config(layers=L, width=C, heads=NH, hidden=4 * C, vocabulary=V, context=32)
model = byhand.make(gpt2, config, seed=1)
batch = np.random.default_rng(2).integers(0, V, (B, T + 1))
tokens, targets = batch[:, :-1], batch[:, 1:]  # at every position the next token is to be said

# 2 · What llm.c saves, and the shape of each. Names that every layer has are stacked over the layers.
ACTIVATIONS = {
    **{"encoded": (B, T, C), "ln1": (L, B, T, C), "ln1_mean": (L, B, T), "ln1_rstd": (L, B, T)},
    **{"qkv": (L, B, T, 3 * C), "atty": (L, B, T, C), "preatt": (L, B, NH, T, T), "att": (L, B, NH, T, T)},
    **{"attproj": (L, B, T, C), "residual2": (L, B, T, C)},
    **{"ln2": (L, B, T, C), "ln2_mean": (L, B, T), "ln2_rstd": (L, B, T)},
    **{"fch": (L, B, T, 4 * C), "fch_gelu": (L, B, T, 4 * C), "fcproj": (L, B, T, C), "residual3": (L, B, T, C)},
    **{"lnf": (B, T, C), "lnf_mean": (B, T), "lnf_rstd": (B, T)},
    **{"logits": (B, T, V), "probs": (B, T, V), "losses": (B, T)},
}
# Mean and rstd are helpers of a norm's backward, and probs a look at the logits: the loss does not read them.
LOOKED_AT = {"ln1_mean", "ln1_rstd", "ln2_mean", "ln2_rstd", "lnf_mean", "lnf_rstd", "probs"}


def addresses(of, name):
    """Where a program has what llm.c calls `name`: one address, or one (for qkv three) in every layer."""
    view = aliases.find(of, name)
    assert view, f"{name} is not there"
    return view.addresses


run = model.run(tokens, targets=targets, dtype="float64")
run.backward()
print(f"{'llm.c':<11}{'shape':<19}{'in byhand':<24}{'size':>8}{'gradient':>12}")
for name, shape in ACTIVATIONS.items():
    value = run[name]
    assert value.shape == shape, (name, value.shape)
    gradient = "-" if name in LOOKED_AT else f"{np.linalg.norm(run.grad[name]):.2e}"
    assert name in LOOKED_AT or run.grad[name].shape == shape
    size = np.sqrt((value.array**2).mean())
    print(f"{name:<11}{shape!s:<19}{addresses(run.program, name)[0]:<24}{size:>8.3f}{gradient:>12}")

# 3 · The causal sum, as llm.c's loop has it: a head's result at t is att[t, s] * value[s] over all s up to t.
layer, b, t, head, K = 1, 2, 5, 3, C // NH
value_SK = run["qkv"].array[layer, b, :, 2 * C + head * K :][:, :K]
total_K = sum(run["att"].array[layer, b, head, t, s] * value_SK[s] for s in range(t + 1))
assert np.allclose(total_K, run["atty"].array[layer, b, t, head * K :][:K], rtol=0, atol=1e-15)

# 4 · The backward is written by hand, one operator after the other. Is it the derivative? Push every weight a little in
#     a random direction: the loss must change by as much as the gradients say.
rng = np.random.default_rng(3)
direction = {address: rng.standard_normal(array.shape) for address, array in model.weights.items()}
promised = sum((run.grad[address].array * direction[address]).sum() for address in direction)


def with_weights(arrays):
    return byhand.make(gpt2, config, arrays)


def loss_after(amount):
    pushed = {address: model.weights[address] + amount * each for address, each in direction.items()}
    return with_weights(pushed).run(tokens, targets=targets, dtype="float64")["loss"].item()


measured = (loss_after(1e-6) - loss_after(-1e-6)) / 2e-6
print(f"\nslope of the loss in a random direction: {promised:.9f} by backward, {measured:.9f} measured")
assert abs(promised - measured) < 1e-8 * abs(measured)

# 5 · Training. AdamW keeps two running averages of every gradient; decay shrinks the weight itself, not its gradient.
RATE, BETA1, BETA2, EPS, DECAY = 1e-4, 0.9, 0.999, 1e-8, 0.01
weights = {address: array.astype(np.float64) for address, array in model.weights.items()}
average = {address: np.zeros_like(array) for address, array in weights.items()}
square = {address: np.zeros_like(array) for address, array in weights.items()}
losses = []
for step in range(1, 11):
    run = with_weights(weights).run(tokens, targets=targets, dtype="float64")
    losses.append(run["loss"].item())
    run.backward()
    for address, weight in weights.items():
        g = run.grad[address].array
        average[address] = BETA1 * average[address] + (1 - BETA1) * g
        square[address] = BETA2 * square[address] + (1 - BETA2) * g * g
        m, v = average[address] / (1 - BETA1**step), square[address] / (1 - BETA2**step)  # both began at zero
        weights[address] = weight - RATE * (m / (np.sqrt(v) + EPS) + DECAY * weight)
print("ten steps of AdamW:", " ".join(f"{loss:.4f}" for loss in losses))
assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 0.1

# 6 · The 124M model for B=4, T=64. A program knows its shapes, so nothing is computed and no weight is made.
big = byhand.load("gpt2-124m").program_with(targets=True)
shapes = big.shapes(B=4, T=64)
print(f"\nGPT-2 124M, B=4 T=64: {big.parameters:,} parameters; what backward reads of its first block and its end")
rows = big.table(B=4, T=64)
for row in rows:
    if row.saved and row.address.startswith(("embed", "blocks.0.", "final", "logits", "loss")):
        print(f"  {row.address:<24}{row.operator:<15}{row.shape!s:<19}{row.saved:>12,} bytes")
print(f"  all together {sum(row.saved for row in rows):,} bytes, four a number")
count = sum(prod(shapes[address]) for name in ACTIVATIONS for address in addresses(big, name))
print(f"  llm.c keeps every activation above: {count:,} numbers, {4 * count:,} bytes")
assert big.parameters == 124_439_808 and count == 73_323_776
assert shapes["blocks.11.attn.scores"] == (4, 12, 64, 64) and shapes["blocks.11.mlp.pre"] == (4, 64, 3072)
