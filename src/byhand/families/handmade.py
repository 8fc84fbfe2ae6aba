"""A transformer whose every weight was written by a person: it continues "aabaabaab..." (S4 of the five systems).

Attention and residual only: no norm, no feed-forward. The stream has eight dimensions: 0 to 4 say the position, 5 and 6
the token (a, b), 7 is scratch. Each position attends equally to itself and the one before; "a" has value +1 and "b" -1
in the scratch dimension, so only "aa" averages to 1; the projection turns 1 into "b" and 0 into "a".
The same matrices work inside a stock GPT-2 too, `twin` below: layer norm and feed-forward in place, see its text.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from byhand.families.readout import joined, predict, sight
from byhand.operators import add, from_heads, lookup, mask, mix, scores, softmax, to_heads, unembed
from byhand.program import Program
from byhand.shapes import split_evenly

Array = np.ndarray[Any, Any]

STRONG = 1024.0  # large enough that a score of STRONG / sqrt(8) leaves all others exactly zero weight
ALPHABET = "ab"


@dataclass(frozen=True, kw_only=True)
class Config:
    """The sizes of the hand-made model; hidden scores are filled with -1e10, as its author wrote it."""

    layers: int = 1
    width: int = 8
    heads: int = 1
    vocabulary: int = 2
    context: int = 5
    fill: float = -1e10


def program(config: Config, targets: bool = False, cached: bool = False) -> Program:
    """The model as steps; with targets also its loss. cached: it reads a text piece by piece."""
    c = config
    K = split_evenly(c.width, c.heads, "width", "heads")
    sizes = {"D": c.width, "H": c.heads, "G": c.heads, "K": K, "V": c.vocabulary, "P": c.context}
    p = Program("handmade" + " cached" * cached, sizes)
    tokens, positions = p.input("tokens BT", "tokens"), p.input("positions BT", "positions")
    allowed, place = sight(p, cached), positions if cached else None
    token = p("embed.token BTD", lookup, tokens, "token.weight VD")
    position = p("embed.position BTD", lookup, positions, "position.weight PD")
    x = p("embed.out BTD", add, token, position)
    for layer in range(c.layers):
        a = attention(p, f"blocks.{layer}.attn", x, allowed, place, c.fill)
        x = p(f"blocks.{layer}.out BTD", add, x, a)
    predict(p, p("logits BTV", unembed, x, "token.weight VD"), targets)
    return p


def attention(p: Program, at: str, x: str, allowed: str, place: str | None, fill: float) -> str:
    new = "BTGK" if place else "BSGK"
    q = p(f"{at}.q BTHK", to_heads, x, f"{at}.q.weight DHK", f"{at}.q.bias HK")
    k = p(f"{at}.k {new}", to_heads, x, f"{at}.k.weight DGK", f"{at}.k.bias GK")
    v = p(f"{at}.v {new}", to_heads, x, f"{at}.v.weight DGK", f"{at}.v.bias GK")
    if place:
        k, v = joined(p, k, f"{at}.keys", place), joined(p, v, f"{at}.values", place)
    s = p(f"{at}.scores BHTS", scores, q, k)
    s = p(f"{at}.masked BHTS", mask, s, allowed, fill=fill)
    w = p(f"{at}.weights BHTS", softmax, s)
    z = p(f"{at}.heads BTHK", mix, w, v)
    return p(f"{at}.out BTD", from_heads, z, f"{at}.out.weight HKD", f"{at}.out.bias D")


def embeddings() -> dict[str, Array]:
    """The tables: position p is dimension p, token a is dimension 5, token b is dimension 6."""
    token_VD, position_PD = np.zeros((2, 8)), np.zeros((5, 8))
    token_VD[0, 5] = token_VD[1, 6] = 1
    position_PD[range(5), range(5)] = 1
    return {"token.weight": token_VD, "position.weight": position_PD}


def c_attn() -> Array:
    """The query, key and value matrices side by side, [8, 24], as GPT-2 stores them."""
    query_DD, key_DD, value_DD = np.zeros((8, 8)), np.zeros((8, 8)), np.zeros((8, 8))
    query_DD[0, 0] = STRONG  # position 0 has only itself to look at
    for position in range(1, 5):
        query_DD[position, [position - 1, position]] = STRONG  # every other one looks at its predecessor and itself
    key_DD[range(5), range(5)] = 1  # a key says which position it is
    value_DD[5, 7], value_DD[6, 7] = 1, -1  # "a" says +1, "b" says -1, on the scratch dimension
    return np.concatenate([query_DD, key_DD, value_DD], axis=1)


def c_proj() -> tuple[Array, Array]:
    """The output projection [8, 8] and its bias: from the average in dimension 7 to the next token."""
    weight_DD, bias_D = np.zeros((8, 8)), np.zeros(8)
    bias_D[5] = STRONG  # say "a" ...
    weight_DD[7, 5], weight_DD[7, 6] = -STRONG, STRONG  # ... unless the average is 1: then take it back and say "b"
    return weight_DD, bias_D


def attention_weights(at: str) -> dict[str, Array]:
    """The matrices above under the addresses of one block; q, k and v are views of the one stored array."""
    stored, (weight_DD, bias_D) = c_attn(), c_proj()
    parts = zip("qkv", np.split(stored, 3, axis=1), strict=True)
    qkv = {f"{at}.{name}.weight": part_DD.reshape(8, 1, 8) for name, part_DD in parts}
    biases = {f"{at}.{name}.bias": np.zeros((1, 8)) for name in "qkv"}
    return {**qkv, **biases, f"{at}.out.weight": weight_DD.reshape(1, 8, 8), f"{at}.out.bias": bias_D}


def weights() -> dict[str, Array]:
    """All weights of `aab`."""
    return embeddings() | attention_weights("blocks.0.attn")


def twin(hidden: int = 32) -> dict[str, Array]:
    """All weights of `aab-gpt2`: the same matrices in an unmodified GPT-2.

    Every stream vector here is two ones among eight numbers: mean 1/4, variance 3/16. A layer norm with gain
    sqrt(3/16 + eps) and shift 1/4 therefore gives back exactly what it got. A feed-forward of zeros adds nothing. The
    final norm cannot change which of two logits is larger; its gain of 32 keeps them far apart.
    """
    at = "blocks.0"
    norm1 = {f"{at}.norm1.gain": np.full(8, sqrt(3 / 16 + 1e-5)), f"{at}.norm1.shift": np.full(8, 0.25)}
    norm2 = {f"{at}.norm2.gain": np.ones(8), f"{at}.norm2.shift": np.zeros(8)}
    up = {f"{at}.mlp.up.weight": np.zeros((8, hidden)), f"{at}.mlp.up.bias": np.zeros(hidden)}
    down = {f"{at}.mlp.down.weight": np.zeros((hidden, 8)), f"{at}.mlp.down.bias": np.zeros(8)}
    final = {"final_norm.gain": np.full(8, 32.0), "final_norm.shift": np.zeros(8)}
    return {**embeddings(), **norm1, **attention_weights(f"{at}.attn"), **norm2, **up, **down, **final}


SHAPES = {"aab": Config()}
