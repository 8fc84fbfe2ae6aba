"""The whole transformer of 2017 in plain NumPy, one einsum a product, and byhand's own beside it, equal to 1e-12.

Run it with `python examples/02_transformer_in_einsum.py`. Small letters are axes: b text, t position that asks, s
position that is asked, d width, h head, k head width, v vocabulary, f feed-forward width; "..." is a batch or nothing.
"""

import numpy as np

import byhand

# --- the transformer; w(name) is one weight of the part that is being computed ---


def softmax(x):
    exp = np.exp(x - x.max(-1, keepdims=True))  # taking the row's maximum off changes nothing, and exp cannot overflow
    return exp / exp.sum(-1, keepdims=True)


def layer_norm(x, gain, shift, eps=1e-5):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * gain + shift


def positions(length, width):
    angle_ti = np.arange(length)[:, None] / 10000 ** (2 * np.arange(width // 2) / width)
    table_td = np.empty((length, width))
    table_td[:, 0::2], table_td[:, 1::2] = np.sin(angle_ti), np.cos(angle_ti)
    return table_td


def embed(table_vd, tokens):
    width = table_vd.shape[1]
    return table_vd[tokens] * np.sqrt(width) + positions(tokens.shape[-1], width)


def attention(w, asking, asked, allowed=None):
    q = np.einsum("...td,dhk->...htk", asking, w("q.weight"))
    k = np.einsum("...sd,dhk->...hsk", asked, w("k.weight"))
    v = np.einsum("...sd,dhk->...hsk", asked, w("v.weight"))
    score = np.einsum("...htk,...hsk->...hts", q, k) / np.sqrt(q.shape[-1])
    if allowed is not None:
        score = np.where(allowed, score, -np.inf)
    heads = np.einsum("...hts,...hsk->...htk", softmax(score), v)
    return np.einsum("...htk,hkd->...td", heads, w("out.weight"))


def feed_forward(w, x):
    hidden = np.maximum(np.einsum("...td,df->...tf", x, w("mlp.up.weight")) + w("mlp.up.bias"), 0)
    return np.einsum("...tf,fd->...td", hidden, w("mlp.down.weight")) + w("mlp.down.bias")


def block(w, x, allowed=None, memory=None):
    def norm(name, x):
        return layer_norm(x, w(f"{name}.gain"), w(f"{name}.shift"))

    x = norm("norm1", x + attention(lambda name: w(f"attn.{name}"), x, x, allowed))
    if memory is not None:  # a decoder that translates also asks what the encoder read
        x = norm("norm_cross", x + attention(lambda name: w(f"cross.{name}"), x, memory))
    return norm("norm2", x + feed_forward(w, x))


def stack(weights, at, x, allowed=None, memory=None):
    for layer in range(sum(name.startswith(at) and name.endswith("norm1.gain") for name in weights)):
        x = block(lambda name, layer=layer: weights[f"{at}{layer}.{name}"], x, allowed, memory)
    return x


def transformer(weights, tokens, causal, source=None):
    table_vd = weights["token.weight"]
    memory = None if source is None else stack(weights, "source.blocks.", embed(table_vd, source))
    allowed = np.tri(tokens.shape[-1], dtype=bool) if causal else None
    x = stack(weights, "blocks.", embed(table_vd, tokens), allowed, memory)
    return np.einsum("...nd,vd->...nv", x, table_vd)  # tied: the table that read the tokens also scores them


# --- the same three models in byhand, on two texts of six tokens ---

tokens_bt = np.array([[40, 69, 76, 76, 79, 1], [87, 79, 82, 76, 68, 2]])
source_bs = np.array([[34, 79, 78, 74, 79, 85, 82, 1], [45, 79, 78, 68, 69, 2, 2, 2]])
cases = {
    "original-encoder-tiny": {"targets": np.flip(tokens_bt, 1)},  # reads everything; its lesson: say it backwards
    "original-decoder-tiny": {},  # reads from left to right; its lesson: the next token
    "original-tiny": {"source": source_bs},  # reads a source text first; its lesson: the next token, given that
}
print(f"{'model':<24}{'logits':<14}{'largest difference':<20}loss before and after three steps of descent")
for name, given in cases.items():
    model = byhand.load(name)
    weights = {address: array.astype(np.float64) for address, array in model.weights.items()}
    causal, source = name != "original-encoder-tiny", given.get("source")

    run = model.run(tokens_bt, dtype="float64", **given)
    logits_btv = transformer(weights, tokens_bt, causal, source)
    probs_btv = softmax(logits_btv)
    gap = max(np.abs(run["logits"] - logits_btv).max(), np.abs(run["probs"] - probs_btv).max())

    # One text without a batch axis gives what it gave inside the batch.
    alone_tv = transformer(weights, tokens_bt[1], causal, None if source is None else source[1])
    assert np.abs(alone_tv - logits_btv[1]).max() < 1e-12

    # One-hot rows times the table is the look-up: every other row is multiplied by zero.
    one_hot_btv = np.eye(96)[tokens_bt]
    assert np.array_equal(np.einsum("btv,vd->btd", one_hot_btv, weights["token.weight"]), run["embed.token"])

    # Every block has weights of its own: exchange those of block 0 and block 1 and the answer changes.
    turned = {"blocks.0.": "blocks.1.", "blocks.1.": "blocks.0."}
    exchanged = {turned.get(a[:9], a[:9]) + a[9:]: array for a, array in weights.items()}
    assert np.abs(transformer(exchanged, tokens_bt, causal, source) - logits_btv).max() > 0.1

    # It can be trained: a step against the gradient of every weight lowers the loss.
    losses = [run["loss"].item()]
    for _ in range(3):
        gradient = run.backward()
        for address in model.weights:
            model = model.edit(address, add=-0.05 * gradient[address].array)
        run = model.run(tokens_bt, dtype="float64", **given)
        losses.append(run["loss"].item())
    print(f"{name:<24}{logits_btv.shape!s:<14}{gap:<20.1e}{'  '.join(f'{loss:.3f}' for loss in losses)}")
    assert gap < 1e-12 and losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 0.1
