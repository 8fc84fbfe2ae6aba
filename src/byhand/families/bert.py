"""BERT: attends to both sides, segments beside positions, layer norm after each half of a block, exact GELU.

Devlin et al. 2018, "BERT: Pre-training of Deep Bidirectional Transformers".
"""

from dataclasses import dataclass

from byhand.errors import InputError
from byhand.families.readout import activation, predict
from byhand.operators import (
    add,
    first_position,
    from_heads,
    layer_norm,
    linear,
    lookup,
    mask,
    mix,
    scores,
    softmax,
    tanh,
    to_heads,
    unembed,
)
from byhand.program import Program
from byhand.shapes import split_evenly


@dataclass(frozen=True, kw_only=True)
class Config:
    """The sizes of one BERT. masked_lm: with the head that guesses hidden words, which sentence encoders lack; tied:
    whether its scores come from the token table; pooler: with the first position's summary; next_sentence: with the
    head that reads it, which says whether the second sentence follows the first.
    """

    layers: int
    width: int
    heads: int
    hidden: int
    vocabulary: int = 30522
    context: int = 512
    segments: int = 2
    masked_lm: bool = True
    tied: bool = True
    pooler: bool = True
    next_sentence: bool = False
    activation: str = "gelu_erf"
    eps: float = 1e-12


def program(config: Config, targets: bool = False) -> Program:
    """The model as steps; with targets also the loss of its guesses."""
    c = config
    K = split_evenly(c.width, c.heads, "width", "heads")
    sizes = {"D": c.width, "H": c.heads, "G": c.heads, "K": K, "F": c.hidden, "V": c.vocabulary}
    p = Program("bert", sizes | {"P": c.context, "Y": c.segments, "C": 2})
    x, allowed = embed(p, c), p.input("mask BTS", "everything")
    for layer in range(c.layers):
        x = block(p, f"blocks.{layer}", x, allowed, c)
    if c.pooler:
        pool(p, c, x)
    elif c.next_sentence:
        raise InputError("the next-sentence head reads the pooler, which this config leaves out; set pooler=True")
    if c.masked_lm:
        guess(p, c, x, targets)
    return p


def pool(p: Program, c: Config, x: str) -> None:
    """The summary of a text from its first position, and what the second training task reads off it."""
    first = p("pooler.first B1D", first_position, x)
    pooled = p("pooler.pre B1D", linear, first, "pooler.weight DD", "pooler.bias D")
    pooled = p("pooler.out B1D", tanh, pooled)
    if c.next_sentence:
        p("next_sentence B1C", linear, pooled, "next_sentence.weight DC", "next_sentence.bias C")


def guess(p: Program, c: Config, x: str, targets: bool) -> None:
    """Scores of every word at every position, and the loss of the guesses."""
    h = p("head.pre BTD", linear, x, "head.weight DD", "head.bias D")
    h = p("head.act BTD", activation(c.activation), h)
    h = p("final_norm.out BTD", layer_norm, h, "final_norm.gain D", "final_norm.shift D", eps=c.eps)
    table = "token.weight VD" if c.tied else "unembed.weight VD"
    predict(p, p("logits BTV", unembed, h, table, "unembed.bias V"), targets)


def embed(p: Program, c: Config) -> str:
    tokens, positions = p.input("tokens BT", "tokens"), p.input("positions BT", "positions")
    segments = p.input("segments BT", "segments")
    token = p("embed.token BTD", lookup, tokens, "token.weight VD")
    segment = p("embed.segment BTD", lookup, segments, "segment.weight YD")
    position = p("embed.position BTD", lookup, positions, "position.weight PD")
    x = p("embed.sum BTD", add, token, segment)
    x = p("embed.all BTD", add, x, position)
    return p("embed.out BTD", layer_norm, x, "embed.gain D", "embed.shift D", eps=c.eps)


def block(p: Program, at: str, x: str, allowed: str, c: Config) -> str:
    a = attention(p, f"{at}.attn", x, allowed)
    x = p(f"{at}.mid BTD", add, x, a)
    x = p(f"{at}.norm1.out BTD", layer_norm, x, f"{at}.norm1.gain D", f"{at}.norm1.shift D", eps=c.eps)
    h = p(f"{at}.mlp.pre BTF", linear, x, f"{at}.mlp.up.weight DF", f"{at}.mlp.up.bias F")
    h = p(f"{at}.mlp.act BTF", activation(c.activation), h)
    h = p(f"{at}.mlp.out BTD", linear, h, f"{at}.mlp.down.weight FD", f"{at}.mlp.down.bias D")
    x = p(f"{at}.sum BTD", add, x, h)
    return p(f"{at}.out BTD", layer_norm, x, f"{at}.norm2.gain D", f"{at}.norm2.shift D", eps=c.eps)


def attention(p: Program, at: str, x: str, allowed: str) -> str:
    q = p(f"{at}.q BTHK", to_heads, x, f"{at}.q.weight DHK", f"{at}.q.bias HK")
    k = p(f"{at}.k BSGK", to_heads, x, f"{at}.k.weight DGK", f"{at}.k.bias GK")
    v = p(f"{at}.v BSGK", to_heads, x, f"{at}.v.weight DGK", f"{at}.v.bias GK")
    s = p(f"{at}.scores BHTS", scores, q, k)
    s = p(f"{at}.masked BHTS", mask, s, allowed)
    w = p(f"{at}.weights BHTS", softmax, s)
    z = p(f"{at}.heads BTHK", mix, w, v)
    return p(f"{at}.out BTD", from_heads, z, f"{at}.out.weight HKD", f"{at}.out.bias D")


SHAPES = {
    "bert-base": Config(layers=12, width=768, heads=12, hidden=3072),
    "bert-large": Config(layers=24, width=1024, heads=16, hidden=4096),
    "minilm-l6": Config(layers=6, width=384, heads=12, hidden=1536, masked_lm=False),
    "bert-tiny": Config(layers=2, width=32, heads=4, hidden=128, vocabulary=96, context=64),
}
