"""Scores where rounding is coarse: queries and keys of every position, rounded where transformers rounds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from byhand.wiring.proof.rounding import SINGLE, Rounded, Rounding
from byhand.wiring.proof.stream import Normed, read

Array = np.ndarray[Any, Any]
MOST = 20_000_000  # scores of one head; beyond, nothing is claimed


@dataclass(frozen=True, eq=False)
class HeadWeights:
    """The matrices of one head: [D, K], biases [K] or None, and [K, D]; turns: of rotary pairs, None without."""

    query: Array
    key: Array
    value: Array
    output: Array
    biases: tuple[Array | None, Array | None, Array | None]
    turns: Array | None
    context: int


def scores(
    stream: Normed, w: HeadWeights, names: tuple[str | None, str | None], start: dict[str, int], rounding: Rounding
) -> tuple[Array, Array, Array, Array]:
    """[query values, key values, query positions, key positions], the begin token's, and how far these can be off."""
    sides = zip((w.query, w.key), w.biases, names, strict=False)
    (asked, q_off, _), (said, k_off, first) = (everywhere(stream, w, *each, start, rounding) for each in sides)
    count, places, width = asked.shape
    if count * len(said) * places**2 > MOST:
        unknown = np.full((count, len(said), 1, 1), 1e300)
        return 0 * unknown, 0 * unknown[:, 0, 0], unknown, unknown[:, 0, 0]
    inside = np.count_nonzero(np.abs(asked).max((0, 1))) + 2
    scale = 1 / np.sqrt(width)

    def product(pattern: str, key: Array, off: Array) -> Rounded:
        size = np.abs(key) * (1 + inside * rounding.summed) + off
        made = np.einsum(pattern, asked, key, optimize=True)
        error = np.einsum(pattern, q_off, size, optimize=True)
        error += np.einsum(pattern, np.abs(asked), size - np.abs(key), optimize=True)
        made, error = rounding.kept(made, error) if rounding.products else (made, error)
        made, error = made * scale, error * scale + 2 * SINGLE * np.abs(made) * scale
        return rounding.kept(made, error) if rounding.scores else (made, error)

    table, off = product("qik,ujk->quij", said, k_off)
    begin, begin_off = product("qik,k->qi", *first)
    return table, begin, off, begin_off


def everywhere(
    stream: Normed,
    w: HeadWeights,
    weights: Array,
    bias: Array | None,
    name: str | None,
    start: dict[str, int],
    rounding: Rounding,
) -> tuple[Array, Array, Rounded]:
    """Queries or keys of every value at every position, [values, positions, features], as their product takes them.

    And how far these can be off, and those of the begin token.
    """
    places = w.context if "position" in stream.parts else 1
    if places > 1 and name is not None:
        assert stream.at_places is not None
        stream, start = stream.at_places(name), {**start, name: start[name] * places}
    elif places > 1:
        name = "position"
    reading = read(stream, weights, bias, [name] if name else [], rounding, start, begin_too=False)
    shape = (-1, places, weights.shape[1])
    rows, off = (each.reshape(shape) for each in rounding.kept(reading.rows(name), reading.off(name)))
    first = rounding.taken(*rounding.kept(reading.start, reading.start_off))
    if w.turns is not None:
        rows, off = turned(rows, off, w.turns, w.context, rounding)
    rows, off = rounding.taken(rows, off)
    shape = (len(rows), w.context, rows.shape[-1])
    return np.broadcast_to(rows, shape), np.broadcast_to(off, shape), first


def turned(rows: Array, off: Array, turns: Array, context: int, rounding: Rounding) -> Rounded:
    """Rotary pairs turned by their angle at every position."""
    angle = np.arange(context)[:, None] * turns
    blur = 6 * SINGLE * angle + 2 * SINGLE
    cosine, sine = (rounding.kept(each, blur) for each in (np.cos(angle), np.sin(angle)))
    (first, second), (first_off, second_off) = (np.split(each, 2, axis=-1) for each in (rows, off))

    def rotated(one: Rounded, sign: float, other: Rounded) -> Rounded:
        parts = [times(one, cosine, rounding), times((sign * other[0], other[1]), sine, rounding)]
        values, errors = parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]
        return rounding.kept(values, errors + SINGLE * np.abs(values))

    made = rotated((first, first_off), -1, (second, second_off)), rotated((second, second_off), 1, (first, first_off))
    values, errors = (np.concatenate(each, axis=-1) for each in zip(*made, strict=True))
    return values, errors


def times(one: Rounded, other: Rounded, rounding: Rounding) -> Rounded:
    """A product of two numbers, each with its bound."""
    (a, a_off), (b, b_off) = one, other
    made = a * b
    return rounding.kept(made, a_off * (np.abs(b) + b_off) + np.abs(a) * b_off + SINGLE * np.abs(made))
