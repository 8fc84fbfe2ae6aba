"""GPT-2: learned positions, layer norm before each half of a block, biases everywhere, logits from the tied table.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
"""

from dataclasses import dataclass

from byhand.families.readout import activation, joined, predict, sight
from byhand.operators import (
    add,
    from_heads,
    layer_norm,
    linear,
    lookup,
    mask,
    mix,
    scores,
    softmax,
    to_heads,
    unembed,
)
from byhand.program import Program
from byhand.shapes import split_evenly


@dataclass(frozen=True, kw_only=True)
class Config:
    """The sizes of one GPT-2. context: the longest text; hidden: feed-forward width; activation: one of
    readout.ACTIVATIONS; tied: whether logits come from the token table; bias: whether projections and norms have
    biases.
    """

    layers: int
    width: int
    heads: int
    hidden: int
    vocabulary: int = 50257
    context: int = 1024
    eps: float = 1e-5
    activation: str = "gelu_tanh"
    tied: bool = True
    bias: bool = True


def program(config: Config, targets: bool = False, cached: bool = False) -> Program:
    """The model as steps; with targets also its loss. cached: it reads a text piece by piece."""
    c = config
    K = split_evenly(c.width, c.heads, "width", "heads")
    sizes = {"D": c.width, "H": c.heads, "G": c.heads, "K": K, "F": c.hidden, "V": c.vocabulary}
    p = Program("gpt2" + " cached" * cached, sizes | {"P": c.context})
    tokens, positions = p.input("tokens BT", "tokens"), p.input("positions BT", "positions")
    allowed, place = sight(p, cached), positions if cached else None
    token = p("embed.token BTD", lookup, tokens, "token.weight VD")
    position = p("embed.position BTD", lookup, positions, "position.weight PD")
    x = p("embed.out BTD", add, token, position)
    for layer in range(c.layers):
        x = block(p, f"blocks.{layer}", x, allowed, place, c)
    x = p("final_norm.out BTD", layer_norm, x, "final_norm.gain D", bias(c, "final_norm.shift D"), eps=c.eps)
    predict(p, p("logits BTV", unembed, x, "token.weight VD" if c.tied else "unembed.weight VD"), targets)
    return p


def bias(c: Config, spec: str) -> str | None:
    """A bias or shift, where this model has them."""
    return spec if c.bias else None


def block(p: Program, at: str, x: str, allowed: str, place: str | None, c: Config) -> str:
    n = p(f"{at}.norm1.out BTD", layer_norm, x, f"{at}.norm1.gain D", bias(c, f"{at}.norm1.shift D"), eps=c.eps)
    a = attention(p, f"{at}.attn", n, allowed, place, c)
    x = p(f"{at}.mid BTD", add, x, a)
    n = p(f"{at}.norm2.out BTD", layer_norm, x, f"{at}.norm2.gain D", bias(c, f"{at}.norm2.shift D"), eps=c.eps)
    h = p(f"{at}.mlp.pre BTF", linear, n, f"{at}.mlp.up.weight DF", bias(c, f"{at}.mlp.up.bias F"))
    h = p(f"{at}.mlp.act BTF", activation(c.activation), h)
    h = p(f"{at}.mlp.out BTD", linear, h, f"{at}.mlp.down.weight FD", bias(c, f"{at}.mlp.down.bias D"))
    return p(f"{at}.out BTD", add, x, h)


def attention(p: Program, at: str, x: str, allowed: str, place: str | None, c: Config) -> str:
    new = "BTGK" if place else "BSGK"
    q = p(f"{at}.q BTHK", to_heads, x, f"{at}.q.weight DHK", bias(c, f"{at}.q.bias HK"))
    k = p(f"{at}.k {new}", to_heads, x, f"{at}.k.weight DGK", bias(c, f"{at}.k.bias GK"))
    v = p(f"{at}.v {new}", to_heads, x, f"{at}.v.weight DGK", bias(c, f"{at}.v.bias GK"))
    if place:
        k, v = joined(p, k, f"{at}.keys", place), joined(p, v, f"{at}.values", place)
    s = p(f"{at}.scores BHTS", scores, q, k)
    s = p(f"{at}.masked BHTS", mask, s, allowed)
    w = p(f"{at}.weights BHTS", softmax, s)
    z = p(f"{at}.heads BTHK", mix, w, v)
    return p(f"{at}.out BTD", from_heads, z, f"{at}.out.weight HKD", bias(c, f"{at}.out.bias D"))


SHAPES = {
    "gpt2-124m": Config(layers=12, width=768, heads=12, hidden=3072),
    "gpt2-355m": Config(layers=24, width=1024, heads=16, hidden=4096),
    "gpt2-774m": Config(layers=36, width=1280, heads=20, hidden=5120),
    "gpt2-1558m": Config(layers=48, width=1600, heads=25, hidden=6400),
    "gpt2-tiny": Config(layers=2, width=32, heads=4, hidden=128, vocabulary=96, context=64),
}
