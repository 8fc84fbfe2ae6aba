"""What a head does, from its weights: every score that can occur, the gaps between them, and what is copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import exp, inf, sqrt
from typing import Any

import numpy as np

from byhand.wiring.parts import FIRST, ONLY, Attending, Average, Head, Offset, Scores
from byhand.wiring.proof import stepwise
from byhand.wiring.proof.rounding import SINGLE, Rounding
from byhand.wiring.proof.site import ZERO
from byhand.wiring.proof.stepwise import HeadWeights
from byhand.wiring.proof.stream import Known, Normed, Reading, Spread, read

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Scored:
    """Every score of a head: of(query value, key value) at [query position, key position], and of the begin token.

    table: [query values, key values, ...], where the rest is nothing, the distance, or both positions; begin: [query
    values, 1 or query positions]; off, begin_off: how far each can be off, in shapes that fit.
    """

    head: Attending
    context: int
    table: Array
    begin: Array
    off: Array
    begin_off: Array
    texts: tuple[int, ...]

    @cached_property
    def seen(self) -> Array:
        place = np.arange(self.context)
        return (place[:, None] >= place) & (place >= 1)

    @cached_property
    def margin(self) -> float:
        """By how much what the head should select scores above all else, at least, over all texts."""
        return least(self, 0)

    @cached_property
    def sure(self) -> float:
        """The same after all rounding."""
        return least(self, 1)

    @property
    def noise(self) -> float:
        """By how much rounding can lessen the margin, at most."""
        return max(0.0, self.margin - self.sure) if self.margin < inf else 0.0

    def of(self, query: int, key: int, rounded: float = 0) -> Array:
        """[query position, key position], also where the key is not seen; rounded: 1 for the highest, -1 the lowest."""
        found = self.table[query, key]
        if rounded:
            found = found + rounded * np.broadcast_to(self.off, self.table.shape)[query, key]
        if found.ndim == 1 and len(found) == self.context:  # by distance
            place = np.arange(self.context)
            return found[np.abs(place[:, None] - place)]
        return np.broadcast_to(found, (self.context, self.context))

    def at_begin(self, query: int, rounded: float = 0) -> Array:
        """The begin token's score from each position behind it, [positions - 1]."""
        found = self.begin[query] + rounded * np.broadcast_to(self.begin_off, self.begin.shape)[query]
        return np.broadcast_to(found, self.context)[1:]


def names(where: Any) -> tuple[str | None, str | None]:
    if isinstance(where, Offset):
        return None, None
    return where.query.name if where.query else None, where.key.name if where.key else None


def scored(head: Attending, stream: Normed, w: HeadWeights, start: dict[str, int], rounding: Rounding) -> Scored:
    """All scores of a head from its weights."""
    asks, says = names(head.where)
    text = (0,) if says is None else stream.parts[says].text
    if rounding.coarse:
        return Scored(head, w.context, *stepwise.scores(stream, w, (asks, says), start, rounding), text)
    q = read(stream, w.query, w.biases[0], {asks, "position"} - {None}, rounding, start, begin_too=False)
    k = read(stream, w.key, w.biases[1], {says, "position"} - {None}, rounding, start, begin_too=False)
    query, key = q.rows(asks), k.rows(says)
    width = w.query.shape[1]
    if w.turns is None:
        table, begin = plain_scores(q, k, query, key, width)
    else:
        table, begin = turned_scores(query, key, k.start, w, width)
    noises = score_noise(q, k, asks, says, w, rounding) / sqrt(width)
    off = noises[:, :-1].reshape(*noises[:, :-1].shape, *(1 for _ in table.shape[2:]))
    return Scored(head, w.context, table, begin, off, noises[:, -1:], text)


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
            turned = 6 * SINGLE * w.context * w.turns + 4 * SINGLE
            size, off = by_pair(size), by_pair(off)
            off = off + size * turned
        sizes.append(size)
        offs.append(off)
    (asked, said), (q_off, k_off) = sizes, offs
    both = ((asked > 0) | (q_off > 0)).any(0) & ((said > 0) | (k_off > 0)).any(0)
    inside = (np.count_nonzero(both) * (1 if w.turns is None else 2) + 3) * rounding.summed
    return asked @ (k_off + inside * said).T + q_off @ (said + k_off).T


def by_pair(sizes: Array) -> Array:
    """The length of each pair, which turning leaves as it is: a product of pairs is at most that of their lengths."""
    return np.hypot(*np.split(sizes, 2, axis=-1))


# --- the gaps ---------------------------------------------------------------------------------------------------------


def least(s: Scored, rounded: float) -> float:
    """By how much what the head should select scores above all else, at least, over all texts.

    rounded: 0 for scores without rounding, 1 for the worst that it can do.
    """
    if isinstance(s.head.where, Offset):
        return offset_margin(s, s.head.where.distance, rounded)
    queries = range(len(s.table))
    return min((each for query in queries for each in query_margins(s, s.head.where, query, rounded)), default=inf)


def offset_margin(s: Scored, distance: int, rounded: float) -> float:
    low, others, place = s.of(0, 0, -rounded), np.where(s.seen, s.of(0, 0, rounded), -inf), np.arange(s.context)
    right = place[distance + 1 :]
    wanted = low[right, right - distance]
    others[right, right - distance] = -inf
    inside = wanted - np.maximum(others[right].max(1), s.at_begin(0, rounded)[right - 1])
    early = place[1 : distance + 1]
    outside = s.at_begin(0, -rounded)[early - 1] - others[early].max(1)
    return float(min(inside.min(initial=inf), outside.min(initial=inf)))


def levels(where: Scores, query: int, texts: tuple[int, ...]) -> list[list[int]]:
    """The key values of each level, those never wanted first."""
    row = {place: where.levels[query][place] for place in texts}
    order = sorted({level for level in row.values() if level is not None})
    return [[p for p in texts if row[p] is None], *([p for p in texts if row[p] == level] for level in order)]


def query_margins(s: Scored, where: Scores, query: int, rounded: float) -> Iterator[float]:
    """The gaps between the levels of one query value, and between the keys of one level."""
    never, *wanted = levels(where, query, s.texts)
    if isinstance(s.head, Average):
        never, wanted = [*never, *(p for level in wanted[:-1] for p in level)], wanted[-1:]
    below = s.at_begin(query, rounded)
    most = extremes(s, query, never, rounded)[1]
    if never:
        yield float((s.at_begin(query, -rounded) - most).min())
    for level in wanted:
        low, high = extremes(s, query, level, rounded)
        if isinstance(s.head, Average):
            if never:
                yield float((low - most).min())
        else:
            yield float((low - below).min())
            if s.head.pick != ONLY:
                yield picked(s, query, level, rounded)
        below = high


def extremes(s: Scored, query: int, keys: list[int], rounded: float) -> tuple[Array, Array]:
    """The lowest and highest score of these key values, seen from each position behind the first: [positions - 1]."""
    low, high = np.full(s.context, inf), np.full(s.context, -inf)
    for key in keys:
        low = np.minimum(low, np.where(s.seen, s.of(query, key, -rounded), inf).min(1))
        high = np.maximum(high, np.where(s.seen, s.of(query, key, rounded), -inf).max(1))
    return low[1:], high[1:]


def picked(s: Scored, query: int, level: list[int], rounded: float) -> float:
    """By how much the latest (or first) of two matches scores above the other."""
    low = np.minimum.reduce([s.of(query, key, -rounded) for key in level])
    high = np.where(s.seen, np.maximum.reduce([s.of(query, key, rounded) for key in level]), -inf)
    seen = s.seen
    if isinstance(s.head, Head) and s.head.pick == FIRST:
        low, high, seen = low[:, ::-1], high[:, ::-1], seen[:, ::-1]
    others = np.maximum.accumulate(high, axis=1)[:, :-1]
    gaps = np.where(seen[:, 1:] & np.isfinite(others), low[:, 1:] - others, inf)
    return float(gaps.min(initial=inf))


def unevenness(s: Scored, where: Scores, weight: int) -> float:
    """By how much the scores of what an average counts alike differ, at most; weight: of the begin token."""
    worst = 0.0
    for query in range(len(s.table)):
        first, last = (s.at_begin(query, rounded) - np.log(weight) for rounded in (-1, 1))
        for level in levels(where, query, s.texts)[1:][-1:]:
            low, high = extremes(s, query, level, 1)
            worst = max(worst, float((np.maximum(high, last) - np.minimum(low, first)).max()))
    return worst


# --- what is copied ---------------------------------------------------------------------------------------------------


def written(
    head: Attending, stream: Normed, w: HeadWeights, rounding: Rounding, start: dict[str, int], s: Scored, codes: Array
) -> Known:
    """What the head adds to the stream for each value of its output, and how far that can be off, [values, D] each."""
    name = head.read.name if head.read else None
    v = read(stream, w.value, w.biases[2], [name] if name else [], rounding, start, begin_too=False)
    values, begin = (v.rows(name), v.off(name)), (v.start[None], v.start_off[None])
    if isinstance(head, Average):
        text = list(stream.parts[name].text) if name else [0]  # the begin token's is its own
        made, off = copied(values[0][text], values[1][text], w.output, rounding)
        (first,), (first_off,) = copied(*begin, w.output, rounding)
        numbers = np.array([float(head.numbers[place]) for place in text])
        return averaged(head, s, codes, numbers, made, first, np.maximum(off.max(0), first_off), rounding)
    leak = leaked(s, values[0], begin[0], rounding)
    made, off = copied(*values, w.output, rounding, leak)
    found = Spread(codes)
    for place in stream.parts[head.read.name].text:
        found.add(head.out.domain.index(head.read.domain[place]), made[place], off[place])
    found.add([start[head.out.name]], *copied(*begin, w.output, rounding, leak))
    return found.known()


def leaked(s: Scored, values: Array, begin: Array, rounding: Rounding) -> Array:
    """By how much what is not picked can change what is read [K], weights being no longer 0 and 1."""
    left, where = s.sure, s.head.where
    several = isinstance(where, Scores) and s.head.read is where.key  # equal values may be read at once
    if left >= ZERO and not several:
        return np.zeros(values.shape[1])
    share = 0.0 if left >= ZERO else min(1.0, s.context * exp(min(0.0, -left)))
    most = np.maximum(np.abs(values).max(0), np.abs(begin[0]))
    rounded = (s.context + 8) * rounding.summed
    if rounding.coarse and (several or share > 2.0**-12):  # else the largest weight is rounded to 1
        rounded += 4 * rounding.handed
    return share * np.maximum(np.ptp(values, axis=0), np.abs(values - begin).max(0)) + rounded * most


def copied(values: Array, off: Array, output: Array, rounding: Rounding, leak: Any = 0.0) -> tuple[Array, Array]:
    """Values of a head [values, K] in the stream [values, D], where one weight is 1 and all others are 0.

    leak: by how much they can be off besides [K].
    """
    values, off = rounding.kept(values, off)
    values, off = rounding.taken(*rounding.kept(*rounding.taken(values, off + leak)))
    size = np.abs(output)
    blur = (np.count_nonzero(output, axis=0) + 2) * rounding.summed * size
    return rounding.kept(values @ output, off @ (size + blur) + np.abs(values) @ blur)


def averaged(
    head: Average, s: Scored, codes: Array, numbers: Array, made: Array, begin: Array, off: Array, rounding: Rounding
) -> Known:
    """The same for an average: weights that are uneven by a factor 1 + r move a mean by r times half its deviation."""
    means = np.array([float(each) for each in head.out.values])
    low, high = min(numbers.min(), float(head.begin)), max(numbers.max(), float(head.begin))
    text = (s.context - 1) / (s.context - 1 + head.weight) * np.abs(numbers - float(head.begin)).max()
    spread = np.minimum((means - low) * (high - means) / max(high - low, 1e-300), text)  # half the mean deviation
    apart = unevenness(s, head.where, head.weight)
    uneven = np.expm1(min(apart, 50.0)) + 8 * rounding.stored  # beyond, nothing is known anyway
    leak = min(1.0, (1 + uneven) * s.context / head.weight * exp(min(0.0, -s.sure)))
    rest = ((s.context + 8) * rounding.summed + 4 * rounding.stored * rounding.coarse) * (np.abs(means) + 2 * spread)
    moved = uneven * spread + leak * (high - low) + rest
    row = codes[np.abs(means).argmax()] / means[np.abs(means).argmax()] if np.abs(means).any() else codes[0]
    wrong = np.abs(made - numbers[:, None] * row).max(0)
    wrong = np.maximum(wrong, np.abs(begin - float(head.begin) * row)) + off
    return Known(codes, moved[:, None] * np.abs(row) + wrong, tuple(range(len(codes))))
