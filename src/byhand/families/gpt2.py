"""GPT-2: learned positions, layer norm before each half of a block, biases everywhere, logits from the tied table.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
"""

from dataclasses import dataclass

from byhand.families.readout import activation, predict
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
    readout.ACTIVATIONS; tied: whether logits come from the token table; bias: whether projections and norms have biases.
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


def program(config: Config, targets: bool = False) -> Program:
    """The model as steps; with targets also its loss."""
    c = config
    K = split_evenly(c.width, c.heads, "width", "heads")
    sizes = {"D": c.width, "H": c.heads, "G": c.heads, "K": K, "F": c.hidden, "V": c.vocabulary}
    p = Program("gpt2", sizes | {"P": c.context})
    tokens, positions = p.input("tokens BT", "tokens"), p.input("positions BT", "positions")
    allowed = p.input("mask BTS", "causal")
    token = p("embed.token BTD", lookup, tokens, "token.weight VD")
    position = p("embed.position BTD", lookup, positions, "position.weight PD")
    x = p("embed.out BTD", add, token, position)
    for layer in range(c.layers):
        x = block(p, f"blocks.{layer}", x, allowed, c)
    x = p("final_norm.out BTD", layer_norm, x, "final_norm.gain D", bias(c, "final_norm.shift D"), eps=c.eps)
    predict(p, p("logits BTV", unembed, x, "token.weight VD" if c.tied else "unembed.weight VD"), targets)
    return p


def bias(c: Config, spec: str) -> str | None:
    """A bias or shift, where this model has them."""
    return spec if c.bias else None


def block(p: Program, at: str, x: str, allowed: str, c: Config) -> str:
    n = p(f"{at}.norm1.out BTD", layer_norm, x, f"{at}.norm1.gain D", bias(c, f"{at}.norm1.shift D"), eps=c.eps)
    a = attention(p, f"{at}.attn", n, allowed, c)
    x = p(f"{at}.mid BTD", add, x, a)
    n = p(f"{at}.norm2.out BTD", layer_norm, x, f"{at}.norm2.gain D", bias(c, f"{at}.norm2.shift D"), eps=c.eps)
    h = p(f"{at}.mlp.pre BTF", linear, n, f"{at}.mlp.up.weight DF", bias(c, f"{at}.mlp.up.bias F"))
    h = p(f"{at}.mlp.act BTF", activation(c.activation), h)
    h = p(f"{at}.mlp.out BTD", linear, h, f"{at}.mlp.down.weight FD", bias(c, f"{at}.mlp.down.bias D"))
    return p(f"{at}.out BTD", add, x, h)


def attention(p: Program, at: str, x: str, allowed: str, c: Config) -> str:
    q = p(f"{at}.q BTHK", to_heads, x, f"{at}.q.weight DHK", bias(c, f"{at}.q.bias HK"))
    k = p(f"{at}.k BSGK", to_heads, x, f"{at}.k.weight DGK", bias(c, f"{at}.k.bias GK"))
    v = p(f"{at}.v BSGK", to_heads, x, f"{at}.v.weight DGK", bias(c, f"{at}.v.bias GK"))
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
