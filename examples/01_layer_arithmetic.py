"""One layer of the 2017 transformer with all its arithmetic written out, forwards and backwards.

Run it with `python examples/01_layer_arithmetic.py`. First the layer as the paper writes it, one line an operator. Then
every operator opened, so that no name such as softmax is left. Then the numbers of one element, each made from others
by plain arithmetic. Then the same for one gradient.
"""

import math
import re

import numpy as np

import byhand
from byhand.families import original
from byhand.pseudocode import Pseudocode, pseudocode, worked

# 1 · A layer small enough to follow: vectors of 4 numbers, 2 heads of width 2, 6 hidden features; a text of 3 tokens.
config = original.Config(part="encoder", layers=1, width=4, heads=2, hidden=6, vocabulary=8)
model = byhand.make(original, config, seed=1)
run = model.run([3, 1, 2], targets=[1, 2, 3], dtype="float64")


def show(title: str, listing: Pseudocode) -> None:
    print(f"\n{'=' * 100}\n{title}\n{'=' * 100}\n{listing.text(100, short=True)}")


# 2 · In vectors. Here are the lines of one head i, its W_Q_i the slice [:, i, :] of the weight; the heads are added up
#     in attn.out, which is the same as laying them side by side and multiplying with W_O.
show("The layer in vectors", pseudocode(run.program, "blocks.0", heads=True))

# 3 · Every operator opened: one element of each array, as sums, products, exp and sqrt.
show("The layer with every operator opened", pseudocode(run.program, "blocks.0", depth="operators"))

# 4 · One element of the result, and every number that it was made from. Most lines of a kind are left out in the text;
#     `most=None` would print them all.
numbers = worked(run, "blocks.0.out", (0, 1, 2), most=2)
show("Feature 2 of token 1 in numbers", numbers)

# 5 · Backwards: the layer's gradients in vectors, and one weight's gradient in numbers, through the softmax.
show("The layer backwards, in vectors", pseudocode(run.program, "blocks.0", direction="backward"))
run.backward()
slope = worked(run, "d:blocks.0.attn.q.weight", (0, 1, 0), part="blocks.0.attn", most=2)
show("How the loss changes with one number of W_Q, in numbers", slope)

# 6 · Is it true? Every line is an expression that Python can work out, with nothing in it but + - * / ** and four
#     functions, and gives the number behind it.
ALLOWED = {"exp": math.exp, "sqrt": math.sqrt, "max": max}
checked = 0
for listing in (numbers, slope):
    for step in listing.to_dict()["steps"]:
        for line in step["lines"]:
            if line["formula"]:
                assert set(re.findall(r"[A-Za-z_]{2,}", line["formula"])) <= {*ALLOWED, "True", "False"}, line
                assert math.isclose(eval(line["formula"], ALLOWED.copy()), line["value"], rel_tol=1e-12, abs_tol=1e-15)
                assert line["stored"] is None or math.isclose(line["stored"], line["value"], rel_tol=0, abs_tol=1e-12)
                checked += 1
print(f"\n{checked} lines of numbers worked out again by Python: all true")

# 7 · And the layer once more, as the paper has it, head by head, in a few lines of NumPy.
w = {address.removeprefix("blocks.0."): run[address].array for address in model.weights}


def norm(x, name):
    unit = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return unit * w[f"{name}.gain"] + w[f"{name}.shift"]


X, heads = run["embed.out"].array[0], []
for i in range(2):
    Q, K, V = (X @ w[f"attn.{name}.weight"][:, i] for name in "qkv")
    exp = np.exp(Q @ K.T / np.sqrt(2))
    heads.append(exp / exp.sum(-1, keepdims=True) @ V)
Y = norm(X + np.hstack(heads) @ w["attn.out.weight"].reshape(4, 4), "norm1")
Z = np.maximum(Y @ w["mlp.up.weight"] + w["mlp.up.bias"], 0)
out = norm(Y + Z @ w["mlp.down.weight"] + w["mlp.down.bias"], "norm2")
assert np.abs(out - run["blocks.0.out"].array[0]).max() < 1e-14
print(f"a few lines of NumPy give the same layer to {np.abs(out - run['blocks.0.out'].array[0]).max():.0e}")

# 8 · The gradient, measured: nudge that weight and see what the loss does.
up, down = (run.edit("blocks.0.attn.q.weight", (0, 1, 0), add=nudge)["loss"].item() for nudge in (1e-5, -1e-5))
print(f"slope worked out {run.grad['blocks.0.attn.q.weight'][0, 1, 0].item():.9f}, measured {(up - down) / 2e-5:.9f}")
assert math.isclose((up - down) / 2e-5, run.grad["blocks.0.attn.q.weight"][0, 1, 0].item(), rel_tol=1e-6)
