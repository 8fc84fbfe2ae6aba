"""Llama 2, 3 and 3.1 to 3.3: rotary positions, RMS norm, grouped keys and values, a gated feed-forward, no biases.

Touvron et al. 2023, "Llama 2"; Llama Team 2024, "The Llama 3 Herd of Models".
"""

from dataclasses import dataclass, replace

from byhand.errors import InputError
from byhand.families.readout import joined, predict, sight
from byhand.operators import (
    add,
    from_heads,
    linear,
    lookup,
    mask,
    mix,
    multiply,
    rms_norm,
    rotary_angles,
    rotary_angles_llama31,
    rotary_halves,
    rotary_pairs,
    scores,
    silu,
    softmax,
    to_heads,
    unembed,
)
from byhand.program import Program
from byhand.shapes import split_evenly

ROTARY = {"pairs": rotary_pairs, "halves": rotary_halves}


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How Llama 3.1 slows its slow rotary pairs: see the operator rotary_angles_llama31."""

    factor: float = 8.0
    low: float = 1.0
    high: float = 4.0
    original_context: int = 8192

    def __str__(self) -> str:
        return f"factor {self.factor:g}, low {self.low:g}, high {self.high:g}, context {self.original_context}"


@dataclass(frozen=True, kw_only=True)
class Config:
    """The sizes of one Llama. groups: key/value heads; rotary: the layout of the weights, "pairs" (Meta) or "halves"
    (Hugging Face); tied: whether logits come from the token table.
    """

    layers: int
    width: int
    heads: int
    groups: int
    hidden: int
    vocabulary: int = 128256
    context: int = 8192
    head_width: int = 128
    theta: float = 500_000.0
    scaling: Scaling | None = None
    rotary: str = "pairs"
    tied: bool = False
    eps: float = 1e-5


def program(config: Config, targets: bool = False, cached: bool = False) -> Program:
    """The model as steps; with targets also its loss. cached: it reads a text piece by piece."""
    c = config
    if c.rotary not in ROTARY:
        raise InputError(f"rotary layout {c.rotary!r:.40} is unknown; use {' or '.join(ROTARY)}")
    split_evenly(c.heads, c.groups, "heads", "groups")
    sizes = {"D": c.width, "H": c.heads, "G": c.groups, "K": c.head_width, "F": c.hidden, "V": c.vocabulary}
    p = Program("llama" + " cached" * cached, sizes)
    tokens, positions = p.input("tokens BT", "tokens"), p.input("positions BT", "positions")
    allowed, place = sight(p, cached), positions if cached else None
    x = p("embed.out BTD", lookup, tokens, "token.weight VD")
    angle = angles(p, positions, c)
    for layer in range(c.layers):
        x = block(p, f"blocks.{layer}", x, angle, allowed, place, c)
    x = p("final_norm.out BTD", rms_norm, x, "final_norm.gain D", eps=c.eps)
    predict(p, p("logits BTV", unembed, x, "token.weight VD" if c.tied else "unembed.weight VD"), targets)
    return p


def angles(p: Program, positions: str, c: Config) -> str:
    setting = {"J": split_evenly(c.head_width, 2, "head_width", "features of a rotary pair"), "theta": c.theta}
    if c.scaling is None:
        return p("rotary.angle BTJ", rotary_angles, positions, **setting)
    return p("rotary.angle BTJ", rotary_angles_llama31, positions, **setting, **vars(c.scaling))


def block(p: Program, at: str, x: str, angle: str, allowed: str, place: str | None, c: Config) -> str:
    n = p(f"{at}.norm1.out BTD", rms_norm, x, f"{at}.norm1.gain D", eps=c.eps)
    a = attention(p, f"{at}.attn", n, angle, allowed, place, ROTARY[c.rotary])
    x = p(f"{at}.mid BTD", add, x, a)
    n = p(f"{at}.norm2.out BTD", rms_norm, x, f"{at}.norm2.gain D", eps=c.eps)
    gate = p(f"{at}.mlp.gate BTF", linear, n, f"{at}.mlp.gate.weight DF")
    up = p(f"{at}.mlp.up BTF", linear, n, f"{at}.mlp.up.weight DF")
    share = p(f"{at}.mlp.act BTF", silu, gate)
    h = p(f"{at}.mlp.gated BTF", multiply, share, up)
    h = p(f"{at}.mlp.out BTD", linear, h, f"{at}.mlp.down.weight FD")
    return p(f"{at}.out BTD", add, x, h)


def attention(p: Program, at: str, x: str, angle: str, allowed: str, place: str | None, rotary) -> str:
    new = "BTGK" if place else "BSGK"
    q = p(f"{at}.q BTHK", to_heads, x, f"{at}.q.weight DHK")
    k = p(f"{at}.k {new}", to_heads, x, f"{at}.k.weight DGK")
    v = p(f"{at}.v {new}", to_heads, x, f"{at}.v.weight DGK")
    q = p(f"{at}.q_rot BTHK", rotary, q, angle)
    k = p(f"{at}.k_rot {new}", rotary, k, angle)
    if place:
        k, v = joined(p, k, f"{at}.keys", place), joined(p, v, f"{at}.values", place)
    s = p(f"{at}.scores BHTS", scores, q, k)
    s = p(f"{at}.masked BHTS", mask, s, allowed)
    w = p(f"{at}.weights BHTS", softmax, s)
    z = p(f"{at}.heads BTHK", mix, w, v)
    return p(f"{at}.out BTD", from_heads, z, f"{at}.out.weight HKD")


LLAMA2 = {"vocabulary": 32000, "context": 4096, "theta": 10_000.0}
LONG = {"context": 131072, "scaling": Scaling()}
SMALL = {"context": 131072, "scaling": Scaling(factor=32.0), "tied": True}
SHORT = {"context": 2048, "head_width": 64, "theta": 10_000.0}
TINY = Config(layers=2, width=32, heads=4, groups=2, head_width=8, hidden=96, vocabulary=96, context=64)

SHAPES = {
    "llama2-7b": Config(layers=32, width=4096, heads=32, groups=32, hidden=11008, **LLAMA2),
    "llama2-13b": Config(layers=40, width=5120, heads=40, groups=40, hidden=13824, **LLAMA2),
    "llama2-70b": Config(layers=80, width=8192, heads=64, groups=8, hidden=28672, **LLAMA2),
    "llama3-8b": Config(layers=32, width=4096, heads=32, groups=8, hidden=14336),
    "llama3-70b": Config(layers=80, width=8192, heads=64, groups=8, hidden=28672),
    "llama3.1-8b": Config(layers=32, width=4096, heads=32, groups=8, hidden=14336, **LONG),
    "llama3.1-70b": Config(layers=80, width=8192, heads=64, groups=8, hidden=28672, **LONG),
    "llama3.1-405b": Config(layers=126, width=16384, heads=128, groups=8, hidden=53248, **LONG),
    "llama3.2-1b": Config(layers=16, width=2048, heads=32, groups=8, hidden=8192, head_width=64, **SMALL),
    "llama3.2-3b": Config(layers=28, width=3072, heads=24, groups=8, hidden=8192, **SMALL),
    "llama3.3-70b": Config(layers=80, width=8192, heads=64, groups=8, hidden=28672, **LONG),
    "llama-1.1b": Config(layers=22, width=2048, heads=32, groups=4, hidden=5632, vocabulary=32000, **SHORT),
    "llama-124m": Config(layers=12, width=768, heads=12, groups=12, hidden=2048, vocabulary=50257, tied=True, **SHORT),
    "llama-tiny": TINY,
    "llama-tiny-halves": replace(TINY, rotary="halves"),
}
