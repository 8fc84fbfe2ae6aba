"""The 2017 transformer: sinusoidal positions, layer norm after each addition, ReLU, logits from the tied table.

Vaswani et al. 2017, "Attention Is All You Need". An encoder reads everything at once, a decoder only what came before,
and in the encoder-decoder each decoder block also reads the encoder's result. Reading piece by piece, the decoder gets
what its blocks make of that result (``blocks.l.cross.k`` and ``.v``) as inputs: the encoder runs once.
"""

from dataclasses import dataclass, replace
from math import sqrt
from typing import NamedTuple

from byhand.errors import InputError
from byhand.families.readout import joined, predict, sight
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


class Sources(NamedTuple):
    """What a stack of blocks reads besides the stream. allowed, across: the masks of attention to the text itself and
    to the source text; memory: the encoder's result; place: where new keys go in a cache.
    """

    allowed: str
    across: str | None = None
    memory: str | None = None
    place: str | None = None


def program(config: Config, targets: bool = False, cached: bool = False) -> Program:
    """The model as steps; with targets also its loss. cached: it reads a text piece by piece."""
    c = config
    if c.part not in PARTS:
        raise InputError(f"part {c.part!r} is unknown; use one of {', '.join(PARTS)}")
    if cached and c.part == "encoder":
        raise InputError("an encoder reads a text on both sides, so it cannot read it piece by piece; use a decoder")
    K = split_evenly(c.width, c.heads, "width", "heads")
    sizes = {"D": c.width, "H": c.heads, "G": c.heads, "K": K, "F": c.hidden, "V": c.vocabulary}
    p = Program(f"original {c.part}" + " cached" * cached, sizes)
    memory = across = None
    if c.part == "encoder-decoder":
        memory = None if cached else encoder(p, c)
        across = p.input("cross.mask BTS", "source", extent="BTS")
    allowed = p.input("mask BTS", "everything") if c.part == "encoder" else sight(p, cached)
    x = embed(p, c)
    x = stack(p, "", x, Sources(allowed, across, memory, "positions" if cached else None), c)
    predict(p, p("logits BTV", unembed, x, "token.weight VD"), targets)
    return p


def encoder(p: Program, c: Config) -> str:
    seen = p.input("source.mask BTS", "source", extent="BSS")
    return stack(p, "source.", embed(p, c, "source.", extent="BS"), Sources(seen), c)


def embed(p: Program, c: Config, at: str = "", extent: str = "BT") -> str:
    tokens = p.input(f"{at}tokens BT", "tokens", extent)
    positions = p.input(f"{at}positions BT", "positions", extent)
    token = p(f"{at}embed.token BTD", lookup, tokens, "token.weight VD")
    token = p(f"{at}embed.scaled BTD", scale, token, factor=sqrt(c.width))
    position = p(f"{at}embed.position BTD", sinusoidal_positions, positions, D=c.width)
    return p(f"{at}embed.out BTD", add, token, position)


def stack(p: Program, at: str, x: str, sources: Sources, c: Config) -> str:
    for layer in range(c.layers):
        x = block(p, f"{at}blocks.{layer}", x, sources, c)
    return x


def block(p: Program, at: str, x: str, sources: Sources, c: Config) -> str:
    a = attention(p, f"{at}.attn", x, x, sources.allowed, c, sources.place)
    x = p(f"{at}.mid BTD", add, x, a)
    x = p(f"{at}.norm1.out BTD", layer_norm, x, f"{at}.norm1.gain D", f"{at}.norm1.shift D", eps=c.eps)
    if sources.across:
        a = attention(p, f"{at}.cross", x, sources.memory, sources.across, c)
        x = p(f"{at}.crossed BTD", add, x, a)
        norm = f"{at}.norm_cross"
        x = p(f"{norm}.out BTD", layer_norm, x, f"{norm}.gain D", f"{norm}.shift D", eps=c.eps)
    h = p(f"{at}.mlp.pre BTF", linear, x, f"{at}.mlp.up.weight DF", f"{at}.mlp.up.bias F")
    h = p(f"{at}.mlp.act BTF", relu, h)
    h = p(f"{at}.mlp.out BTD", linear, h, f"{at}.mlp.down.weight FD", f"{at}.mlp.down.bias D")
    x = p(f"{at}.sum BTD", add, x, h)
    return p(f"{at}.out BTD", layer_norm, x, f"{at}.norm2.gain D", f"{at}.norm2.shift D", eps=c.eps)


def attention(
    p: Program, at: str, asking: str, asked: str | None, allowed: str, c: Config, place: str | None = None
) -> str:
    q = p(f"{at}.q BTHK", to_heads, asking, f"{at}.q.weight DHK", bias(c, f"{at}.q.bias HK"))
    k, v = keys_and_values(p, at, asked, c, place)
    s = p(f"{at}.scores BHTS", scores, q, k)
    s = p(f"{at}.masked BHTS", mask, s, allowed)
    w = p(f"{at}.weights BHTS", softmax, s)
    z = p(f"{at}.heads BTHK", mix, w, v)
    return p(f"{at}.out BTD", from_heads, z, f"{at}.out.weight HKD", bias(c, f"{at}.out.bias D"))


def keys_and_values(p: Program, at: str, asked: str | None, c: Config, place: str | None) -> tuple[str, str]:
    """Made from what is asked; given, where that is None; together with those of a cache, where there is a place."""
    if asked is None:
        k, v = (p.input(f"{at}.{name} BSGK", "cache", extent="BSGK") for name in "kv")
        return k, v
    new = "BTGK" if place else "BSGK"
    k = p(f"{at}.k {new}", to_heads, asked, f"{at}.k.weight DGK", bias(c, f"{at}.k.bias GK"))
    v = p(f"{at}.v {new}", to_heads, asked, f"{at}.v.weight DGK", bias(c, f"{at}.v.bias GK"))
    return (joined(p, k, f"{at}.keys", place), joined(p, v, f"{at}.values", place)) if place else (k, v)


def bias(c: Config, spec: str) -> str | None:
    """A projection's bias, where this model has them."""
    return spec if c.attention_bias else None


TINY = Config(part="encoder-decoder", layers=2, width=32, heads=4, hidden=64, vocabulary=96, context=64)

SHAPES = {
    "original-base": Config(part="encoder-decoder", layers=6, width=512, heads=8, hidden=2048, vocabulary=37000),
    "original-big": Config(part="encoder-decoder", layers=6, width=1024, heads=16, hidden=4096, vocabulary=37000),
    "original-tiny": TINY,
    "original-encoder-tiny": replace(TINY, part="encoder"),
    "original-decoder-tiny": replace(TINY, part="decoder"),
}
