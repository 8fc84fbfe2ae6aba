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

    def in_text(self) -> tuple[Array, Array]:
        return self.rows[list(self.text)], self.error[list(self.text)]


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
        self.error = self.error + rounding.stored * self.largest()


@dataclass(frozen=True, eq=False)
class Normed:
    """A stream behind its norm: the parts again, and a constant with its bound, [D]."""

    parts: dict[str, Known]
    constant: Array
    error: Array

    def off(self, stream: Stream) -> float:
        """How far the norm is from giving back what it got, at most."""
        parts = [np.abs(self.parts[name].rows - part.rows).max(0) + self.parts[name].error.max(0) for name, part in stream.parts.items()]
        return float((sum(parts, np.abs(self.constant) + self.error)).max())


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
    more = 2 * float(stream.largest() @ error)
    return sums + [-error.sum(), error.sum()], squares + [-more, more]


def normed(stream: Stream, gain_D: Array, shift_D: Array | None, eps: float, rounding: Rounding) -> Normed:
    """Behind a layer norm, or without a shift an RMS norm: (x - mean) * rstd * gain + shift, with bounds."""
    width = len(gain_D)
    sums, squares = ranges(stream)
    mean = sums / width if shift_D is not None else np.zeros(2)
    least = mean[0] * mean[1] if mean[0] * mean[1] < 0 else min(mean**2)
    variance = np.array([squares[0] / width - max(mean**2), squares[1] / width - max(0.0, least)])
    rstd = 1 / np.sqrt(np.maximum(variance[::-1], 0) + eps)
    middle, center = rstd.mean(), mean.mean()
    blur = np.ptp(rstd) / 2 + middle * (width / 2 + 8) * SINGLE
    off_center = np.ptp(mean) / 2 + (width + 2) * SINGLE * float(stream.largest().sum()) / width * (shift_D is not None)
    size, kept = np.abs(gain_D), 4 * SINGLE + 2 * (rounding.stored if rounding.stored > SINGLE else 0)
    parts = {
        name: Known(
            part.rows * middle * gain_D,
            size * (part.error * rstd.max() + np.abs(part.rows) * (blur + kept * middle)),
            part.text,
        )
        for name, part in stream.parts.items()
    }
    shift = np.zeros(width) if shift_D is None else shift_D
    moved = np.abs(center * middle * gain_D)
    constant = shift - center * middle * gain_D
    error = size * (stream.error * rstd.max() + abs(center) * blur + off_center * rstd.max())
    return Normed(parts, constant, error + kept * (moved + np.abs(shift)))


@dataclass(frozen=True, eq=False)
class Reading:
    """Columns read off a normed stream: a table [values, columns] with bounds for each variable that is looked at.

    constant: what all others give together, [columns]; spread: by how much that can vary; error: rounding and all that
    was off before; own: the part of the error that is not common to columns with the same weights.
    """

    tables: dict[str, Array]
    errors: dict[str, Array]
    constant: Array
    spread: Array
    error: Array
    own: Array
    start: Array


def read(
    stream: Normed,
    weights: Array,
    bias: Array | None,
    looked_at: Collection[str],
    rounding: Rounding,
    start: Mapping[str, int],
) -> Reading:
    """What weights [D, columns] make of the stream. start: the place of each variable's value at the begin position."""
    size = np.abs(weights)
    constant = stream.constant @ weights + (0 if bias is None else bias)
    error = stream.error @ size
    largest = np.abs(stream.constant) @ size + (0 if bias is None else np.abs(bias))
    spread, begin = np.zeros(weights.shape[1]), constant.copy()
    tables, errors = {}, {}
    for name, part in stream.parts.items():
        table, off = part.rows @ weights, part.error @ size
        begin = begin + table[start[name]] if name in start else begin
        largest = largest + (np.abs(part.rows) @ size).max(0)
        if name in looked_at:
            tables[name], errors[name] = table, off
            continue
        rows, offs = table[list(part.text)], off[list(part.text)]
        constant = constant + (rows.max(0) + rows.min(0)) / 2
        spread, error = spread + np.ptp(rows, axis=0) / 2, error + offs.max(0)
    terms = np.count_nonzero(weights, axis=0) + 1
    own = largest * (terms * rounding.summed + rounding.product + rounding.stored)
    return Reading(tables, errors, constant, spread, error + own, own, begin)
