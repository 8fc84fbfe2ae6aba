"""What a head does, from its weights: every score that can occur, the gaps between them, and what is copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import exp, inf, sqrt
from typing import Any

import numpy as np

from byhand.wiring.parts import FIRST, Attending, Average, Head, Offset, Scores
from byhand.wiring.proof.rounding import SINGLE, Rounding
from byhand.wiring.proof.site import ZERO
from byhand.wiring.proof.stream import Known, Normed, Reading, read

Array = np.ndarray[Any, Any]


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


@dataclass
class Scored:
    """Every score of a head: of[query value, key value] at [query position, key position], and of the begin token.

    noises: by how much each can be off, [query values, key values and the begin token].
    """

    head: Attending
    context: int
    table: Array
    begin: Array
    noises: Array
    texts: tuple[int, ...]
    seen: Array = field(init=False)

    def __post_init__(self) -> None:
        place = np.arange(self.context)
        self.seen = (place[:, None] >= place) & (place >= 1)

    @property
    def noise(self) -> float:
        """By how much any score can be off."""
        return float(self.noises.max())

    @property
    def noise_of_wanted(self) -> float:
        """By how much scores can be off that an average counts alike, those of the begin token too."""
        where = self.head.where
        if isinstance(where, Offset):
            return self.noise
        wanted = [self.noises[:, -1].max()]
        for query in range(len(self.table)):
            for place in levels(where, query, self.texts)[1:][-1:]:
                wanted.append(self.noises[query, place].max())
        return float(max(wanted))

    @cached_property
    def margin(self) -> float:
        """By how much what the head should select scores above all else, at least, over all texts."""
        return least(self)

    def of(self, query: int, key: int) -> Array:
        """[query position, key position], also where the key is not seen."""
        found = self.table[query, key]
        if found.shape[0] == self.context and found.ndim == 1:  # by distance
            place = np.arange(self.context)
            return found[np.abs(place[:, None] - place)]
        return np.broadcast_to(found, (self.context, self.context))


def names(where: Any) -> tuple[str | None, str | None]:
    if isinstance(where, Offset):
        return None, None
    return where.query.name if where.query else None, where.key.name if where.key else None


def scored(head: Attending, stream: Normed, w: HeadWeights, start: dict[str, int], rounding: Rounding) -> Scored:
    """All scores of a head from its weights."""
    asks, says = names(head.where)
    q = read(stream, w.query, w.biases[0], {asks, "position"} - {None}, rounding, start, begin_too=False)
    k = read(stream, w.key, w.biases[1], {says, "position"} - {None}, rounding, start, begin_too=False)
    query, key = q.rows(asks), k.rows(says)
    width = w.query.shape[1]
    text = (0,) if says is None else stream.parts[says].text
    if w.turns is None:
        table, begin = plain_scores(q, k, query, key, width)
    else:
        table, begin = turned_scores(query, key, k.start, w, width)
    noises = score_noise(q, k, asks, says, w, rounding) / sqrt(width)
    return Scored(head, w.context, table, begin, noises, text)


def plain_scores(q: Reading, k: Reading, query: Array, key: Array, width: int) -> tuple[Array, Array]:
    """Products of every query with every key: [queries, keys, positions, positions], and with the begin token's."""
    nowhere = np.zeros((1, len(q.constant)))
    asked = query[:, None] + q.tables.get("position", nowhere)
    said = key[:, None] + k.tables.get("position", nowhere)
    asked = asked[:, :1] if not np.ptp(asked, axis=1).any() else asked
    said = said[:, :1] if not np.ptp(said, axis=1).any() else said
    table = np.einsum("qik,ujk->quij", asked, said, optimize=True) / sqrt(width)
    return table, np.einsum("qik,k->qi", asked, k.start) / sqrt(width)


def turned_scores(query: Array, key: Array, begin: Array, w: HeadWeights, width: int) -> tuple[Array, Array]:
    """The same by distance, with rotary pairs: [queries, keys, distances]."""
    assert w.turns is not None
    phase_PJ = np.exp(1j * np.arange(w.context)[:, None] * w.turns)
    q_QJ, k_UJ, begin_J = (in_pairs(each) for each in (query, key, begin))
    table = np.einsum("QJ,UJ,PJ->QUP", q_QJ, k_UJ.conj(), phase_PJ, optimize=True).real / sqrt(width)
    return table, np.einsum("QJ,J,PJ->QP", q_QJ, begin_J.conj(), phase_PJ, optimize=True).real / sqrt(width)


def in_pairs(features: Array) -> Array:
    """Features as transformers stores them, as one complex number a pair."""
    first, second = np.split(features, 2, axis=-1)
    return first + 1j * second


def score_noise(q: Reading, k: Reading, asks: Any, says: Any, w: HeadWeights, rounding: Rounding) -> Array:
    """A bound of how far each product of a query with a key is off: [query values, key values and the begin token]."""
    sizes, offs = [], []
    for reading, name in ((q, asks), (k, says)):
        size, off = np.abs(reading.rows(name)) + reading.spread, reading.off(name)
        if "position" in reading.tables:
            size, off = size + np.abs(reading.tables["position"]).max(0), off + reading.errors["position"].max(0)
        if reading is k:
            size, off = np.vstack([size, np.abs(reading.start)]), np.vstack([off, reading.start_off])
        if w.turns is not None:
            turned = 6 * SINGLE * w.context * w.turns + 2 * SINGLE + 2 * rounding.stored
            size, off = by_pair(size), by_pair(off)
            off = off + size * turned
        sizes.append(size)
        offs.append(off)
    (asked, said), (q_off, k_off) = sizes, offs
    inside = 2 * asked.shape[1] * rounding.summed + rounding.product * 2 + 2 * rounding.stored
    return asked @ (k_off + inside * said).T + q_off @ (said + k_off).T


def by_pair(sizes: Array) -> Array:
    """The length of each pair, which turning leaves as it is: a product of pairs is at most that of their lengths."""
    return np.hypot(*np.split(sizes, 2, axis=-1))


# --- the gaps ---------------------------------------------------------------------------------------------------------


def least(s: Scored) -> float:
    """By how much what the head should select scores above all else, at least, over all texts."""
    if isinstance(s.head.where, Offset):
        return offset_margin(s, s.head.where.distance)
    return min((each for query in range(len(s.table)) for each in query_margins(s, s.head.where, query)), default=inf)


def offset_margin(s: Scored, distance: int) -> float:
    scores, place = s.of(0, 0), np.arange(s.context)
    others = np.where(s.seen, scores, -inf)
    right = place[distance + 1 :]
    wanted = scores[right, right - distance]
    others[right, right - distance] = -inf
    begin = np.broadcast_to(s.begin[0], s.context)
    inside = wanted - np.maximum(others[right].max(1), begin[right])
    early = place[1 : distance + 1]
    outside = begin[early] - others[early].max(1)
    return float(min(inside.min(initial=inf), outside.min(initial=inf)))


def levels(where: Scores, query: int, texts: tuple[int, ...]) -> list[list[int]]:
    """The key values of each level, those never wanted first."""
    row = {place: where.levels[query][place] for place in texts}
    order = sorted({level for level in row.values() if level is not None})
    return [[p for p in texts if row[p] is None], *([p for p in texts if row[p] == level] for level in order)]


def query_margins(s: Scored, where: Scores, query: int) -> Iterator[float]:
    """The gaps between the levels of one query value, and between the keys of one level."""
    never, *wanted = levels(where, query, s.texts)
    if isinstance(s.head, Average):
        never, wanted = [*never, *(p for level in wanted[:-1] for p in level)], wanted[-1:]
    begin = np.broadcast_to(s.begin[query], s.context)[1:]
    below = begin
    if never:
        yield float((begin - extremes(s, query, never)[1]).min())
    for level in wanted:
        low, high = extremes(s, query, level)
        if isinstance(s.head, Average):
            if never:
                yield float((low - extremes(s, query, never)[1]).min())
        else:
            yield float((low - below).min())
            yield picked(s, query, level)
        below = high


def extremes(s: Scored, query: int, keys: list[int]) -> tuple[Array, Array]:
    """The lowest and highest score of these key values, seen from each position behind the first: [positions - 1]."""
    low, high = np.full(s.context, inf), np.full(s.context, -inf)
    for key in keys:
        scores = s.of(query, key)
        low = np.minimum(low, np.where(s.seen, scores, inf).min(1))
        high = np.maximum(high, np.where(s.seen, scores, -inf).max(1))
    return low[1:], high[1:]


def picked(s: Scored, query: int, level: list[int]) -> float:
    """By how much the latest (or first) of two matches scores above the other."""
    stack = [s.of(query, key) for key in level]
    low, high = np.minimum.reduce(stack), np.where(s.seen, np.maximum.reduce(stack), -inf)
    if isinstance(s.head, Head) and s.head.pick == FIRST:
        low, high, seen = low[:, ::-1], high[:, ::-1], s.seen[:, ::-1]
    else:
        seen = s.seen
    others = np.maximum.accumulate(high, axis=1)[:, :-1]
    gaps = np.where(seen[:, 1:] & np.isfinite(others), low[:, 1:] - others, inf)
    return float(gaps.min(initial=inf))


def unevenness(s: Scored, where: Scores, weight: int) -> float:
    """By how much the scores of what an average counts alike differ, at most; weight: of the begin token."""
    worst = 0.0
    for query in range(len(s.table)):
        wanted = levels(where, query, s.texts)[1:][-1:]
        begin = np.broadcast_to(s.begin[query], s.context)[1:] - np.log(weight)
        for level in wanted:
            low, high = extremes(s, query, level)
            worst = max(worst, float((np.maximum(high, begin) - np.minimum(low, begin)).max()))
    return worst


# --- what is copied ---------------------------------------------------------------------------------------------------


def written(
    head: Attending, stream: Normed, w: HeadWeights, rounding: Rounding, start: dict[str, int], s: Scored, codes: Array
) -> Known:
    """What the head adds to the stream for each value of its output, and how far from the code [values, D] that is."""
    name = head.read.name if head.read else None
    v = read(stream, w.value, w.biases[2], [name] if name else [], rounding, start, begin_too=False)
    size = np.abs(w.output)
    blur = (np.count_nonzero(w.output, axis=0) + 2) * rounding.summed + rounding.product + 2 * rounding.stored
    made, begin = v.rows(name) @ w.output, v.start @ w.output
    off = v.off(name) @ size + blur * (np.abs(v.rows(name)) @ size)
    begin_off = v.start_off @ size + blur * (np.abs(v.start) @ size)
    if isinstance(head, Average):
        return averaged(head, s, codes, made, begin, np.maximum(off.max(0), begin_off), rounding)
    left = s.margin - 2 * s.noise
    share = 0.0 if left >= ZERO else min(1.0, s.context * exp(min(0.0, -left)))
    leak = share * np.maximum(np.ptp(made, axis=0), np.abs(made - begin).max(0))
    if share:  # then weights are no longer 0 and 1, and every product with them is rounded
        leak = leak + (s.context + 8) * rounding.summed * np.maximum(np.abs(made).max(0), np.abs(begin))
    error = np.zeros_like(codes)
    for place in stream.parts[head.read.name].text:
        to = head.out.domain.index(head.read.domain[place])
        error[to] = np.maximum(error[to], np.abs(made[place] - codes[to]) + off[place])
    at_begin = start[head.out.name]
    error[at_begin] = np.maximum(error[at_begin], np.abs(begin - codes[at_begin]) + begin_off)
    return Known(codes, error + leak, tuple(range(len(codes))))


def averaged(
    head: Average, s: Scored, codes: Array, made: Array, begin: Array, off: Array, rounding: Rounding
) -> Known:
    """The same for an average: weights that are uneven by a factor 1 + r move a mean by r times its mean deviation."""
    numbers = np.array([float(each) for each in head.numbers])
    means = np.array([float(each) for each in head.out.values])
    low, high = min(numbers.min(), float(head.begin)), max(numbers.max(), float(head.begin))
    spread = 2 * (means - low) * (high - means) / max(high - low, 1e-300)  # the mean deviation is at most this
    uneven = np.expm1(2 * s.noise_of_wanted + unevenness(s, head.where, head.weight)) + 8 * rounding.stored
    leak = min(1.0, s.context * exp(min(0.0, 2 * s.noise - s.margin)))
    rest = (s.context + 8) * rounding.summed * (np.abs(means) + spread)
    moved = uneven * spread + leak * (high - low) + rest
    row = codes[np.abs(means).argmax()] / means[np.abs(means).argmax()] if np.abs(means).any() else codes[0]
    wrong = np.abs(made - numbers[:, None] * row).max(0)
    wrong = np.maximum(wrong, np.abs(begin - float(head.begin) * row)) + off
    return Known(codes, moved[:, None] * np.abs(row) + wrong, tuple(range(len(codes))))
