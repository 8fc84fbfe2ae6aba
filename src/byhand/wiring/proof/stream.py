"""What is in the residual stream at a site, for all texts: the vector of every value of every variable, with bounds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from byhand.wiring.proof.rounding import SINGLE, Rounding

Array = np.ndarray[Any, Any]
NEAR = 2.0**-5  # what is written further away from its code, beside the code's size, counts as error


@dataclass(frozen=True, eq=False)
class Known:
    """What each value of a variable adds to the stream [values, D], and how far that can be off [values, D].

    text: the places of the values that occur in a text, behind the begin token.
    """

    rows: Array
    error: Array
    text: tuple[int, ...]

    @property
    def touched(self) -> Array:
        """Whether it can be other than 0 in each dimension, [D]."""
        return np.any(self.rows, axis=0) | np.any(self.error, axis=0)


class Spread:
    """All that may be written for each value [values, D]; what stays near its code is known as what it is."""

    def __init__(self, codes: Array) -> None:
        self.codes = codes
        self.low, self.high = np.full_like(codes, np.inf), np.full_like(codes, -np.inf)

    def add(self, places: Any, rows: Array, off: Array) -> None:
        """places: of the values, one or [rows]."""
        np.minimum.at(self.low, places, rows - off)
        np.maximum.at(self.high, places, rows + off)

    def known(self, more: Any = 0.0) -> Known:
        """more: by how much all of it can be off besides [D]. Values that are never written have their code."""
        never = self.low > self.high
        low, high = np.where(never, self.codes, self.low), np.where(never, self.codes, self.high)
        middle = (low + high) / 2
        rows = np.where(np.abs(middle - self.codes) <= NEAR * np.abs(self.codes).max(initial=0), middle, self.codes)
        error = np.maximum(high - rows, rows - low) + more
        return Known(rows, error, tuple(range(len(rows))))


@dataclass
class Stream:
    """parts: by variable; error: what may be added to every vector besides [D]."""

    parts: dict[str, Known]
    error: Array

    def largest(self) -> Array:
        """The largest size of each dimension, [D]."""
        return sum((np.abs(part.rows).max(0) for part in self.parts.values()), self.error.copy())

    def errors(self) -> Array:
        return sum((part.error.max(0) for part in self.parts.values()), self.error.copy())

    def owned(self) -> dict[str, Array]:
        """For each variable the dimensions that only it writes, [D]."""
        count = sum((part.touched.astype(int) for part in self.parts.values()), np.zeros(len(self.error), int))
        return {name: part.touched & (count == 1) for name, part in self.parts.items()}

    def at_places(self, name: str) -> Stream:
        """The same with a variable and the position as one: value v at place p is row v * places + p."""
        one, place = self.parts[name], self.parts["position"]
        rows, error = (
            (mine[:, None] + its).reshape(-1, mine.shape[1])
            for mine, its in ((one.rows, place.rows), (one.error, place.error))
        )
        text = tuple(value * len(place.rows) + at for value in one.text for at in place.text)
        rest = {other: part for other, part in self.parts.items() if other not in (name, "position")}
        return Stream(rest | {name: Known(rows, error, text)}, self.error)

    def stored(self, rounding: Rounding) -> None:
        """One addition to the stream was rounded; what is alone in its dimension was added to 0, which is exact.

        Several parts of one sum are rounded as one, once there and once in the stream, and not each by itself.
        """
        share, alone = 3 * rounding.stored, self.owned()
        for name, part in self.parts.items():
            others = ~alone[name] | (self.error > 0)
            error = part.error + others * share * (part.error + np.abs(part.rows))
            self.parts[name] = Known(part.rows, error, part.text)
        self.error = self.error * (1 + share)


@dataclass(frozen=True, eq=False)
class Normed:
    """A stream behind its norm: (x - mean) * rstd * gain + shift, part by part.

    parts: x * rstd * gain; moved, shift: the rest, [D]; error: [D], of each dimension by itself. Two errors are common
    to all dimensions, so that what is read off as a difference does not see them: blur is how far rstd can be off, as a
    share of it, and sunk [D] what an error of the mean moves at most, all dimensions together. at_places: the same for
    a stream whose given variable is one with the position, where rounding is coarse.
    """

    parts: dict[str, Known]
    moved: Array
    shift: Array
    error: Array
    blur: float
    sunk: Array
    at_places: Callable[[str], Normed] | None = None

    def off(self, stream: Stream) -> float:
        """How far the norm is from giving back what it got, at most."""
        off = np.abs(self.moved + self.shift) + self.error + self.sunk + self.blur * np.abs(self.moved)
        for name, part in stream.parts.items():
            made = self.parts[name]
            off = off + (np.abs(made.rows - part.rows) + made.error + self.blur * np.abs(made.rows)).max(0)
        return float(off.max())


def sizes(stream: Stream, weights: Array) -> float:
    """The largest sum of |x| times these weights [D] that any vector of the stream can have."""
    largest = ((np.abs(part.rows) + part.error) @ weights for part in stream.parts.values())
    return float(sum(each.max() for each in largest) + stream.error @ weights)


def ranges(stream: Stream) -> tuple[Array, Array]:
    """(smallest, largest) sum and sum of squares of any vector of the stream."""
    sums, squares = np.zeros(2), np.zeros(2)
    for part in stream.parts.values():
        for total, each in ((sums, part.rows.sum(1)), (squares, (part.rows**2).sum(1))):
            total += [each.min(), each.max()]
    for one, other in combinations(stream.parts.values(), 2):
        shared = np.flatnonzero(one.rows.any(0) & other.rows.any(0))
        if len(shared):
            crossed = 2 * one.rows[:, shared] @ other.rows[:, shared].T
            squares += [crossed.min(), crossed.max()]
    error = stream.errors()
    more = 2 * sizes(stream, error)
    return sums + np.array([-1, 1]) * error.sum(), squares + np.array([-more, more])


@dataclass(frozen=True)
class Moments:
    """What a norm divides by and subtracts: (smallest, largest) mean and 1 / root of variance or mean square."""

    mean: Array
    rstd: Array


def measured(stream: Stream, width: int, centred: bool, eps: float, given: str | None = None) -> Moments:
    """centred: a layer norm, which subtracts the mean; an RMS norm does not.

    given: a variable whose value is known: then for each of its values, [2, values, 1].
    """
    sums, squares = ranges(stream)
    if given is not None:
        rows = stream.parts[given].rows
        sums, squares = (
            total[:, None, None] + each[:, None] - np.array([each.min(), each.max()])[:, None, None]
            for total, each in ((sums, rows.sum(1)), (squares, (rows**2).sum(1)))
        )
    mean = sums / width if centred else np.zeros_like(sums)
    least = np.where(mean[0] * mean[1] < 0, 0.0, (mean**2).min(0))
    variance = np.array([squares[0] / width - (mean**2).max(0), squares[1] / width - least])
    return Moments(mean, 1 / np.sqrt(np.maximum(variance[::-1], 0) + eps))


def normed(
    stream: Stream, gain_D: Array, shift_D: Array | None, eps: float, rounding: Rounding, end: int | None = None
) -> Normed:
    """Behind a layer norm, or without a shift an RMS norm: (x - mean) * rstd * gain + shift, with bounds.

    end: None for any size of the stream in its range, 0 or 1 for the smallest or largest 1 / root alone.
    """
    width = len(gain_D)
    found = measured(stream, width, shift_D is not None, eps)
    if rounding.coarse and end is None:
        return each_rounded(stream, found, gain_D, shift_D, eps, rounding)
    rstd = found.rstd if end is None else found.rstd[[end, end]]
    middle, center = rstd.mean(), found.mean.mean()
    blur = np.ptp(rstd) / 2 / middle + (width / 2 + 8) * SINGLE
    summing = (width + 2) * SINGLE * sizes(stream, np.ones(width)) / width if shift_D is not None else 0.0
    factor, kept = middle * gain_D, 4 * SINGLE + 2 * rounding.handed
    size = np.abs(gain_D) * rstd.max()
    parts = {
        name: Known(part.rows * factor, size * (part.error + kept * np.abs(part.rows)), part.text)
        for name, part in stream.parts.items()
    }
    shift, moved = np.zeros(width) if shift_D is None else shift_D, -center * factor
    error = size * stream.error + kept * (np.abs(moved) + np.abs(shift))
    return Normed(parts, moved, shift, error, float(blur), size * (np.ptp(found.mean) / 2 + summing))


def each_rounded(
    stream: Stream, found: Moments, gain_D: Array, shift_D: Array | None, eps: float, rounding: Rounding
) -> Normed:
    """The same where rounding is coarse: every entry by itself, so that what is exact stays so.

    A dimension that only one variable writes is as a whole part of that variable.
    """
    width, centred = len(gain_D), shift_D is not None
    shift = np.zeros(width) if shift_D is None else shift_D
    summing = (width + 2) * SINGLE * sizes(stream, np.ones(width)) / width * centred
    through = partial(entries, gain_D=gain_D, shift_D=shift_D, summing=summing, rounding=rounding)
    alone = stream.owned()
    owned = np.any(list(alone.values()), axis=0)
    shared = np.any([part.touched for part in stream.parts.values()], axis=0) & ~owned
    factor, size = found.rstd.mean() * gain_D, np.abs(gain_D) * found.rstd.max()
    parts = {}
    for name, part in stream.parts.items():
        by = measured(stream, width, centred, eps, name)
        made, off = through(part.rows, part.error + stream.error, by)
        rows, error = (np.where(shared, each, 0.0) for each in (part.rows * factor, size * part.error))
        parts[name] = Known(np.where(alone[name], made, rows), np.where(alone[name], off, error), part.text)
    rest, rest_off = through(np.zeros(width), stream.error, found)
    largest = stream.largest() + np.abs(found.mean).max()
    blur = np.ptp(found.rstd) / 2 / found.rstd.min() + (width / 2 + 8) * SINGLE + 4 * rounding.handed
    blurred = size * (stream.error + np.ptp(found.mean) / 2 + summing + blur * largest)
    blurred = blurred + 2 * rounding.handed * np.abs(shift)
    const = np.where(owned, 0.0, np.where(shared, shift - found.mean.mean() * factor, rest))
    error = np.where(owned, 0.0, np.where(shared, blurred, rest_off))

    def at_places(name: str) -> Normed:
        return normed(stream.at_places(name), gain_D, shift_D, eps, rounding)

    return Normed(parts, np.zeros(width), const, error, 0.0, np.zeros(width), at_places)


def entries(
    values: Array,
    errors: Array,
    by: Moments,
    *,
    gain_D: Array,
    shift_D: Array | None,
    summing: float,
    rounding: Rounding,
) -> tuple[Array, Array]:
    """Entries of a stream [..., D] behind its norm, as a product takes them; summing: how far off the mean can be."""
    middle, half = by.rstd.mean(0), np.ptp(by.rstd, axis=0) / 2
    away, sunk = values - by.mean.mean(0), np.ptp(by.mean, axis=0) / 2 + summing
    made, off = away * middle, (errors + sunk) * (middle + half) + np.abs(away) * half
    off = off + (len(gain_D) / 2 + 8) * SINGLE * np.abs(made)
    if shift_D is None:  # an RMS norm hands this on before its gain
        made, off = rounding.kept(made, off)
    shift = np.zeros(len(gain_D)) if shift_D is None else shift_D
    scaled = made * gain_D
    off = off * np.abs(gain_D) + 4 * SINGLE * (np.abs(scaled) + np.abs(shift))
    return rounding.taken(*rounding.kept(scaled + shift, off))


@dataclass(frozen=True, eq=False)
class Reading:
    """Columns read off a normed stream: a table [values, columns] for each variable that is looked at.

    errors: how far each entry can be off; owns: the part of that which is rounding in this very product, so that it is
    not the same in two columns with the same weights. constant, error, own: [columns], of all else together; spread: by
    how much what is not looked at can change it; start, start_off: the reading at the begin token, and how far off.
    """

    tables: dict[str, Array]
    errors: dict[str, Array]
    owns: dict[str, Array]
    constant: Array
    spread: Array
    error: Array
    own: Array
    start: Array
    start_off: Array

    def rows(self, name: str | None) -> Array:
        """The reading for each value of one variable, [values, columns]."""
        return self.constant + (self.tables[name] if name else np.zeros((1, len(self.constant))))

    def off(self, name: str | None) -> Array:
        """How far `rows` can be off."""
        return self.error + self.spread + (self.errors[name] if name else np.zeros((1, len(self.constant))))


def terms(stream: Normed, weights: Array) -> Array:
    """How many products of a sum can be other than 0 at once [columns]: to add 0 is exact."""
    there = weights != 0
    rest = (stream.moved + stream.shift != 0) | (stream.error != 0) | (stream.sunk != 0)
    count = rest @ there.astype(int)
    for part in stream.parts.values():
        count = count + (((part.rows != 0) | (part.error != 0)) @ there.astype(int)).max(0)
    return np.minimum(count, there.sum(0))


def read(
    stream: Normed,
    weights: Array,
    bias: Array | None,
    looked_at: Collection[str],
    rounding: Rounding,
    start: Mapping[str, int],
    begin_too: bool = True,
    kept: float = 0.0,
) -> Reading:
    """What weights [D, columns] make of the stream.

    start: the place of each variable's value at the begin position; begin_too: whether what is not looked at may also
    be what it is there, which for a head is read off by itself; kept: by what share the results are rounded, where
    that is not left for `Rounding.kept`.
    """
    blur = (terms(stream, weights) + 2) * rounding.summed
    size = (blur + kept) * np.abs(weights)
    bias = np.zeros(weights.shape[1]) if bias is None else bias
    moved, rest = stream.moved @ weights, stream.moved + stream.shift
    constant = rest @ weights + bias
    own = np.abs(rest) @ size + blur * np.abs(bias)
    error = stream.error @ (np.abs(weights) + size) + stream.blur * np.abs(moved) + np.abs(stream.sunk @ weights) + own
    begin, begin_off, spread = constant.copy(), error.copy(), np.zeros(weights.shape[1])
    tables, errors, owns = {}, {}, {}
    for name, part in stream.parts.items():
        table, rounded = part.rows @ weights, np.abs(part.rows) @ size
        off = part.error @ (np.abs(weights) + size) + stream.blur * np.abs(table) + rounded
        begin, begin_off = begin + table[start[name]], begin_off + off[start[name]]
        if name in looked_at:
            tables[name], errors[name], owns[name] = table, off, rounded
            continue
        text = list({*part.text, start[name]} if begin_too else part.text)
        rows = table[text]
        constant = constant + (rows.max(0) + rows.min(0)) / 2
        spread = spread + np.ptp(rows, axis=0) / 2
        error, own = error + off[text].max(0), own + rounded[text].max(0)
    return Reading(tables, errors, owns, constant, spread, error, own, begin, begin_off)
