"""A head as matrices: what it reads and writes, and how strong its scores must be."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import numpy as np

from byhand.wiring import codes
from byhand.wiring.layout import Layout
from byhand.wiring.matching import Affine, constant
from byhand.wiring.parts import ONLY, Attending, Average, Head
from byhand.wiring.refusals import refuse

Array = np.ndarray[Any, Any]
NEED = 120.0  # the gap of two scores: exp(-104) is 0 in float32; the rest is for rounding
LEAK = 16.0  # for averages: exp(-16) of each other key is below what is read off, and more only adds noise
STRONGEST = 2.0**24  # beyond, float32 scores are further apart than the steps that they are made of
QUIET = 60  # by how much a gap must exceed what rounding can do to it, when codes are chosen
UNIT = 2.0**-24  # the rounding of float32, relative


@dataclass(frozen=True, eq=False)
class Design:
    """One head: queries, keys and values as columns on the stream, and the rows that its output adds to the stream.

    output: [value features, D]; averages: its scores are logarithms of weights, and must not become stronger.
    """

    name: str
    query: Affine
    key: Affine
    value: Affine
    output: Array
    averages: bool = False

    @property
    def width(self) -> int:
        return max(self.query.count, self.value.count)


@dataclass(frozen=True, eq=False)
class Start:
    """What is known at the begin position: the stream of a layer [D], and the dimension that says "begin"."""

    stream: Array
    places: dict[str, int]
    dim: int = 0


def power(at_least: float) -> float:
    """The smallest power of two that is not less."""
    return 2.0 ** ceil(log2(at_least) - 1e-9)


def short(at_least: float) -> float:
    """The smallest number of four significant bits that is not less, which every precision can hold."""
    unit = power(at_least) / 16
    return ceil(at_least / unit - 1e-9) * unit


def strengths(levels: int, step: float, reach: float, drift: float, site: str) -> tuple[float, float]:
    """How strongly to score content, and position, where the latest or first match is picked.

    levels: how many are wanted; step: by how much the position feature differs between neighbours; reach: how large it
    is; drift: by how much content scores change from a position to the next. Raises WiringError.
    """
    content = short(NEED)
    for _ in range(40):
        position = short((NEED + drift * content) / step)
        wanted = NEED + (2 if levels > 1 else 1) * position * reach
        if content >= wanted:
            break
        content = short(wanted)
    if max(content, position) > STRONGEST:
        refuse(site, f"to tell neighbours apart its scores would have to reach {content:.0g}; shorten the context")
    return content, position


def value_of(head: Attending, layout: Layout, start: Start, site: str) -> tuple[Affine, Array]:
    """The value columns of a head and the rows of its output. Raises WiringError."""
    if isinstance(head, Average):
        return number_value(head, layout, start, site)
    target, source = layout.slots[head.out.name], layout.slots[head.read.name]
    wanted = np.zeros((len(head.read.domain), target.codes.shape[1]))
    for place, value in enumerate(head.read.domain):
        if value in head.out.domain:  # the begin token is read by nobody
            wanted[place] = target.codes[head.out.domain.index(value)]
    weights = codes.linear(source.codes, wanted)
    if weights is None:
        refuse(site, f"the code of {head.read.name} does not give that of {head.out.name}; write both one-hot")
    value = Affine(layout.column(head.read.name, weights), np.zeros(weights.shape[1]))
    if head.default is not None:
        value = value.at(start.stream, start.dim, target.codes[head.out.domain.index(head.default)])
    return value, np.stack([place_in(layout, head.out.name, row) for row in np.eye(weights.shape[1])])


def number_value(head: Average, layout: Layout, start: Start, site: str) -> tuple[Affine, Array]:
    numbers = np.array([[float(each)] for each in head.numbers])
    value = constant(layout.width, *numbers[0])
    if head.read is not None:
        weights = codes.linear(layout.slots[head.read.name].codes, numbers)
        if weights is None:
            refuse(site, f"the code of {head.read.name} does not give these numbers; write it one-hot")
        value = Affine(layout.column(head.read.name, weights), np.zeros(1))
    scale = layout.slots[head.out.name]
    ones = place_in(layout, head.out.name, unit_row(scale.codes, scale.values))
    return value.at(start.stream, start.dim, np.array([float(head.begin)])), ones[None]


def unit_row(made: Array, values: Any) -> Array:
    """How a number 1 is written: the codes of a number are multiples of one row."""
    numbers = np.array([float(each) for each in values])
    return numbers @ made / (numbers @ numbers)


def place_in(layout: Layout, name: str, row: Array) -> Array:
    made = np.zeros(layout.width)
    made[layout.slots[name].dims] = row
    return made


def asked_latest(head: Attending) -> bool:
    """Whether the position of a key matters beside what it says."""
    return isinstance(head, Head) and head.pick != ONLY and not hasattr(head.where, "distance")
