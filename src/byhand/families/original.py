"""The 2017 transformer: sinusoidal positions, layer norm after each addition, ReLU, logits from the tied table.

Vaswani et al. 2017, "Attention Is All You Need". An encoder reads everything at once, a decoder only what came before,
and in the encoder-decoder each decoder block also reads the encoder's result.
"""

from dataclasses import dataclass, replace
from math import sqrt

from byhand.errors import InputError
from byhand.families.readout import predict
from byhand.operators import (
    add,
    from_heads,
    layer_norm,
    linear,
    lookup,
    mask,
    mix,
    relu,
    scale,
    scores,
    sinusoidal_positions,
    softmax,
    to_heads,
    unembed,
)
from byhand.program import Program
from byhand.shapes import split_evenly

PARTS = ("encoder", "decoder", "encoder-decoder")


@dataclass(frozen=True, kw_only=True)
class Config:
    """The sizes of one 2017 transformer. part: which of PARTS; attention_bias: whether projections have biases (the
    paper's have none, PyTorch's layers do).
    """

    part: str
    layers: int
    width: int
    heads: int
    hidden: int
    vocabulary: int
    context: int = 512
    attention_bias: bool = False
    eps: float = 1e-5


def program(config: Config, targets: bool = False) -> Program:
    """The model as steps; with targets also its loss."""
    c = config
    if c.part not in PARTS:
        raise InputError(f"part {c.part!r} is unknown; use one of {', '.join(PARTS)}")
    K = split_evenly(c.width, c.heads, "width", "heads")
    sizes = {"D": c.width, "H": c.heads, "G": c.heads, "K": K, "F": c.hidden, "V": c.vocabulary}
    p = Program(f"original {c.part}", sizes)
    memory = across = None
    if c.part == "encoder-decoder":
        seen = p.input("source.mask BTS", "source", extent="BSS")
        memory = stack(p, "source.", embed(p, c, "source.", extent="BS"), seen, c)
        across = p.input("cross.mask BTS", "source", extent="BTS")
    allowed = p.input("mask BTS", "everything" if c.part == "encoder" else "causal")
    x = stack(p, "", embed(p, c), allowed, c, memory, across)
    predict(p, p("logits BTV", unembed, x, "token.weight VD"), targets)
    return p


def embed(p: Program, c: Config, at: str = "", extent: str = "BT") -> str:
    tokens = p.input(f"{at}tokens BT", "tokens", extent)
    positions = p.input(f"{at}positions BT", "positions", extent)
    token = p(f"{at}embed.token BTD", lookup, tokens, "token.weight VD")
    token = p(f"{at}embed.scaled BTD", scale, token, factor=sqrt(c.width))
    position = p(f"{at}embed.position BTD", sinusoidal_positions, positions, D=c.width)
    return p(f"{at}embed.out BTD", add, token, position)


def stack(
    p: Program, at: str, x: str, allowed: str, c: Config, memory: str | None = None, across: str | None = None
) -> str:
    for layer in range(c.layers):
        x = block(p, f"{at}blocks.{layer}", x, allowed, c, memory, across)
    return x


def block(p: Program, at: str, x: str, allowed: str, c: Config, memory: str | None, across: str | None) -> str:
    a = attention(p, f"{at}.attn", x, x, allowed, c)
    x = p(f"{at}.mid BTD", add, x, a)
    x = p(f"{at}.norm1.out BTD", layer_norm, x, f"{at}.norm1.gain D", f"{at}.norm1.shift D", eps=c.eps)
    if memory and across:
        a = attention(p, f"{at}.cross", x, memory, across, c)
        x = p(f"{at}.crossed BTD", add, x, a)
        norm = f"{at}.norm_cross"
        x = p(f"{norm}.out BTD", layer_norm, x, f"{norm}.gain D", f"{norm}.shift D", eps=c.eps)
    h = p(f"{at}.mlp.pre BTF", linear, x, f"{at}.mlp.up.weight DF", f"{at}.mlp.up.bias F")
    h = p(f"{at}.mlp.act BTF", relu, h)
    h = p(f"{at}.mlp.out BTD", linear, h, f"{at}.mlp.down.weight FD", f"{at}.mlp.down.bias D")
    x = p(f"{at}.sum BTD", add, x, h)
    return p(f"{at}.out BTD", layer_norm, x, f"{at}.norm2.gain D", f"{at}.norm2.shift D", eps=c.eps)


def attention(p: Program, at: str, asking: str, asked: str, allowed: str, c: Config) -> str:
    def bias(name: str, axes: str) -> str | None:
        return f"{at}.{name}.bias {axes}" if c.attention_bias else None

    q = p(f"{at}.q BTHK", to_heads, asking, f"{at}.q.weight DHK", bias("q", "HK"))
    k = p(f"{at}.k BSGK", to_heads, asked, f"{at}.k.weight DGK", bias("k", "GK"))
    v = p(f"{at}.v BSGK", to_heads, asked, f"{at}.v.weight DGK", bias("v", "GK"))
    s = p(f"{at}.scores BHTS", scores, q, k)
    s = p(f"{at}.masked BHTS", mask, s, allowed)
    w = p(f"{at}.weights BHTS", softmax, s)
    z = p(f"{at}.heads BTHK", mix, w, v)
    return p(f"{at}.out BTD", from_heads, z, f"{at}.out.weight HKD", bias("out", "D"))


TINY = Config(part="encoder-decoder", layers=2, width=32, heads=4, hidden=64, vocabulary=96, context=64)

SHAPES = {
    "original-base": Config(part="encoder-decoder", layers=6, width=512, heads=8, hidden=2048, vocabulary=37000),
    "original-big": Config(part="encoder-decoder", layers=6, width=1024, heads=16, hidden=4096, vocabulary=37000),
    "original-tiny": TINY,
    "original-encoder-tiny": replace(TINY, part="encoder"),
    "original-decoder-tiny": replace(TINY, part="decoder"),
}
