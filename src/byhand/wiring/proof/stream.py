"""What is in the residual stream at a site, for all texts: the vector of every value of every variable, with bounds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from byhand.wiring.proof.rounding import SINGLE, Rounding

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Known:
    """What each value of a variable adds to the stream [values, D], and how far that can be off [values, D].

    text: the places of the values that occur in a text, behind the begin token.
    """

    rows: Array
    error: Array
    text: tuple[int, ...]


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

    def stored(self, rounding: Rounding) -> None:
        """One addition to the stream was rounded."""
        share = rounding.stored
        self.parts = {
            name: Known(part.rows, part.error * (1 + share) + share * np.abs(part.rows), part.text)
            for name, part in self.parts.items()
        }
        self.error = self.error * (1 + share)


@dataclass(frozen=True, eq=False)
class Normed:
    """A stream behind its norm: (x - mean) * rstd * gain + shift, part by part.

    parts: x * rstd * gain; moved, shift: the rest, [D]; error: [D], of each dimension by itself. Two errors are common
    to all dimensions, so that what is read off as a difference does not see them: blur is how far rstd can be off, as a
    share of it, and sunk [D] what an error of the mean moves at most, all dimensions together.
    """

    parts: dict[str, Known]
    moved: Array
    shift: Array
    error: Array
    blur: float
    sunk: Array

    def off(self, stream: Stream) -> float:
        """How far the norm is from giving back what it got, at most."""
        off = np.abs(self.moved + self.shift) + self.error + self.sunk + self.blur * np.abs(self.moved)
        for name, part in stream.parts.items():
            made = self.parts[name]
            off = off + (np.abs(made.rows - part.rows) + made.error + self.blur * np.abs(made.rows)).max(0)
        return float(off.max())


def sizes(stream: Stream, weights: Array) -> float:
    """The largest sum of |x| times these weights [D] that any vector of the stream can have."""
    return float(sum((np.abs(part.rows) @ weights).max() for part in stream.parts.values()) + stream.error @ weights)


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


def measured(stream: Stream, width: int, centred: bool, eps: float) -> Moments:
    """centred: a layer norm, which subtracts the mean; an RMS norm does not."""
    sums, squares = ranges(stream)
    mean = sums / width if centred else np.zeros(2)
    least = 0.0 if mean[0] * mean[1] < 0 else float((mean**2).min())
    variance = np.array([squares[0] / width - (mean**2).max(), squares[1] / width - least])
    return Moments(mean, 1 / np.sqrt(np.maximum(variance[::-1], 0) + eps))


def normed(
    stream: Stream, gain_D: Array, shift_D: Array | None, eps: float, rounding: Rounding, end: int | None = None
) -> Normed:
    """Behind a layer norm, or without a shift an RMS norm: (x - mean) * rstd * gain + shift, with bounds.

    end: None for any size of the stream in its range, 0 or 1 for the smallest or largest 1 / root alone.
    """
    width = len(gain_D)
    found = measured(stream, width, shift_D is not None, eps)
    rstd = found.rstd if end is None else found.rstd[[end, end]]
    middle, center = rstd.mean(), found.mean.mean()
    blur = np.ptp(rstd) / 2 / middle + (width / 2 + 8) * SINGLE
    summing = (width + 2) * SINGLE * sizes(stream, np.ones(width)) / width if shift_D is not None else 0.0
    factor, kept = middle * gain_D, 4 * SINGLE + 2 * (rounding.stored if rounding.stored > SINGLE else 0)
    size = np.abs(gain_D) * rstd.max()
    parts = {
        name: Known(part.rows * factor, size * (part.error + kept * np.abs(part.rows)), part.text)
        for name, part in stream.parts.items()
    }
    shift, moved = np.zeros(width) if shift_D is None else shift_D, -center * factor
    error = size * stream.error + kept * (np.abs(moved) + np.abs(shift))
    return Normed(parts, moved, shift, error, float(blur), size * (np.ptp(found.mean) / 2 + summing))


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


def read(
    stream: Normed,
    weights: Array,
    bias: Array | None,
    looked_at: Collection[str],
    rounding: Rounding,
    start: Mapping[str, int],
    begin_too: bool = True,
) -> Reading:
    """What weights [D, columns] make of the stream.

    start: the place of each variable's value at the begin position; begin_too: whether what is not looked at may also
    be what it is there, which for a head is read off by itself.
    """
    size = np.abs(weights)
    blur = (np.count_nonzero(weights, axis=0) + 1) * rounding.summed + rounding.product + rounding.stored
    bias = np.zeros(weights.shape[1]) if bias is None else bias
    moved, rest = stream.moved @ weights, stream.moved + stream.shift
    constant = rest @ weights + bias
    own = blur * (np.abs(rest) @ size + np.abs(bias))
    error = stream.error @ size + stream.blur * np.abs(moved) + np.abs(stream.sunk @ weights) + own
    begin, begin_off, spread = constant.copy(), error.copy(), np.zeros(weights.shape[1])
    tables, errors, owns = {}, {}, {}
    for name, part in stream.parts.items():
        table, rounded = part.rows @ weights, blur * (np.abs(part.rows) @ size)
        off = part.error @ size + stream.blur * np.abs(table) + rounded
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
