"""GPT-2 on one page: plain NumPy, no byhand. tests/systems/test_one_page.py holds it against the package.

Run it with `python examples/06_gpt2_on_one_page.py`. w(name) is a weight by the name it has in the published files.
"""

import numpy as np


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def softmax(x):
    exp = np.exp(x - x.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


def norm(w, name, x):
    unit = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return unit * w(f"{name}.weight") + w(f"{name}.bias")


def linear(w, name, x):
    return x @ w(f"{name}.weight") + w(f"{name}.bias")


def attention(w, name, x, heads):
    q, k, v = np.split(linear(w, f"{name}.c_attn", x), 3, axis=-1)
    seen = np.tri(len(x), dtype=bool)  # position t may look at all s up to t
    each = zip(*(np.split(part, heads, axis=-1) for part in (q, k, v)), strict=True)
    said = [softmax(np.where(seen, q @ k.T / np.sqrt(k.shape[-1]), -np.inf)) @ v for q, k, v in each]
    return linear(w, f"{name}.c_proj", np.hstack(said))


def feed_forward(w, name, x):
    return linear(w, f"{name}.c_proj", gelu(linear(w, f"{name}.c_fc", x)))


def gpt2(w, tokens, layers, heads):
    """The logits [position, vocabulary] of a list of token ids."""
    x = w("wte.weight")[tokens] + w("wpe.weight")[: len(tokens)]
    for layer in range(layers):
        x = x + attention(w, f"h.{layer}.attn", norm(w, f"h.{layer}.ln_1", x), heads)
        x = x + feed_forward(w, f"h.{layer}.mlp", norm(w, f"h.{layer}.ln_2", x))
    return norm(w, "ln_f", x) @ w("wte.weight").T


if __name__ == "__main__":
    layers, heads, width, vocabulary = 2, 4, 32, 60
    rng = np.random.default_rng(0)
    shapes = {"wte": (vocabulary, width), "wpe": (16, width), "ln_f": (width,)}
    for h in (f"h.{layer}" for layer in range(layers)):
        shapes |= {f"{h}.ln_1": (width,), f"{h}.attn.c_attn": (width, 3 * width), f"{h}.attn.c_proj": (width, width)}
        shapes |= {f"{h}.ln_2": (width,), f"{h}.mlp.c_fc": (width, 4 * width), f"{h}.mlp.c_proj": (4 * width, width)}
    weights = {f"{name}.weight": 0.2 * rng.standard_normal(shape) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": np.zeros(shape[-1]) for name, shape in shapes.items()}

    text = [3, 14, 15, 9, 26, 5]
    logits = gpt2(weights.__getitem__, text, layers, heads)
    print(f"{len(text)} tokens -> logits {logits.shape}; the likeliest token after each: {logits.argmax(-1)}")
    while len(text) < 12:
        text.append(int(gpt2(weights.__getitem__, text, layers, heads)[-1].argmax()))
    print("continued:", *text)
    longer = gpt2(weights.__getitem__, text, layers, heads)
    assert np.allclose(longer[:6], logits, rtol=0, atol=1e-12)  # what comes later changes nothing before it
    assert np.allclose(softmax(logits).sum(-1), 1)
