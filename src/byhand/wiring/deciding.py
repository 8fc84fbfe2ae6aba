"""Feed-forwards as units: every decision is a step of an affine form, made of two units so that it is exact.

With an activation that equals max(z, 0) outside of a small interval,
    act(K (z + h/2)) - act(K (z - h/2)) = K h if z is safely above 0, and 0 if it is safely below,
whatever z is exactly: a decision restores. Divided by K h, powers of two, it writes a code exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log2
from typing import Any

import numpy as np

from byhand.wiring import codes
from byhand.wiring.heads import power, unit_row
from byhand.wiring.layout import Layout
from byhand.wiring.parts import Deciding, Steps, Table
from byhand.wiring.refusals import refuse
from byhand.wiring.variables import Number, Read, Variable

Array = np.ndarray[Any, Any]
STEEPEST = 2.0**30
STEEP = 8.0  # for steps of a form, whose margins are narrow: the more, the more of a margin is left for rounding


@dataclass(frozen=True)
class Activation:
    """From where on an activation is max(z, 0), bit for bit in float32, above and below; measured over all floats."""

    name: str
    above: float
    below: float


ACTIVATIONS = {
    "gelu_tanh": Activation("gelu_tanh", 5.2, 5.2),
    "gelu_erf": Activation("gelu_erf", 5.6, 5.6),
    "silu": Activation("silu", 17.0, 89.0),
}


@dataclass(frozen=True, eq=False)
class Unit:
    """A hidden unit: act(slope * (columns . x + constant)) * times, which writes a row [D].

    times: another affine reading, for what is passed on instead of decided; None is 1.
    """

    reads: Array
    constant: float
    writes: Array
    times: Array | None = None


@dataclass(frozen=True, eq=False)
class Decided:
    """The units of one feed-forward part, by its name, and the code that it writes when none is on."""

    name: str
    units: list[Unit]
    base: Array


def step(
    column: Array, constant: float, margin: float, writes: Array, act: Activation, site: str, steep: float = 2.0
) -> list[Unit]:
    """Two units that write a row where columns . x + constant is at least margin, and nothing where at most -margin.

    steep: at the margin, by how many times what the activation needs at least.
    """
    width = 2.0 ** floor(log2(margin) + 1e-9)
    slope = power(steep * max(act.above, act.below) / (margin - width / 2))
    if slope > STEEPEST:
        refuse(
            site,
            f"its closest values are {2 * margin:.1g} apart, for which a slope of {slope:.0g} would be needed; "
            "use coarser numbers, or a shorter context",
        )
    share = writes / (slope * width)
    return [
        Unit(slope * column, slope * (constant + width / 2), share),
        Unit(slope * column, slope * (constant - width / 2), -share),
    ]


def decided(part: Deciding, layout: Layout, act: Activation, site: str) -> Decided:
    """The units of a table or of steps. Raises WiringError for codes that cannot be read."""
    base = part.default if isinstance(part, Table) else part.images[0][1]
    table = isinstance(part, Table)
    units = table_units(part, layout, act, site) if table else step_units(part, layout, act, site)
    return Decided(part.name, units, layout.row(part.out.name, base))


def table_units(part: Table, layout: Layout, act: Activation, site: str) -> list[Unit]:
    """For every rule, whether all inputs are as it says: the sum of their indicators reaches their count."""
    units = []
    for rule in part.rules:
        column, asked = np.zeros(layout.width), 0
        constant = 0.0
        for variable, allowed in zip(part.inputs, rule.when, strict=True):
            if len(allowed) < len(variable.domain):
                weights, offset = indicator(variable, allowed, layout, site)
                column, asked, constant = column + weights, asked + 1, constant + offset
        change = layout.row(part.out.name, rule.then) - layout.row(part.out.name, part.default)
        units += step(column, constant - asked + 0.5, 0.5, change, act, site)
    return units


def indicator(variable: Variable, allowed: frozenset[int], layout: Layout, site: str) -> tuple[Array, float]:
    """A form that is 1 for the allowed values and 0, or less, for the others: columns [D] and a constant."""
    slot = layout.slots[variable.name]
    wanted = np.array([[float(place in allowed)] for place in range(len(slot.codes))])
    weights = codes.linear(slot.codes, wanted)
    if weights is not None:
        return layout.column(variable.name, weights)[:, 0], 0.0
    if len(allowed) == 1:
        (place,) = allowed
        against = slot.codes @ slot.codes[place]
        best, second = np.sort(against)[::-1][:2]
        if best > second and against[place] == best:
            weights = slot.codes[place] / (best - second)
            return layout.column(variable.name, weights[:, None])[:, 0], float(1 - best / (best - second))
    refuse(site, f"the code of {variable.name} cannot tell these values from the others; write it one-hot")


def step_units(part: Steps, layout: Layout, act: Activation, site: str) -> list[Unit]:
    """A step wherever the wanted value changes, halfway between the two numbers."""
    form = part.form.centred()
    column = sum((read_numbers(read, each, layout, site) for read, each in form.terms.items()), np.zeros(layout.width))
    units = []
    for (low, before), (high, after) in zip(part.images, part.images[1:], strict=False):
        if before != after:
            middle, margin = float((low + high) / 2 - form.constant), float((high - low) / 2)
            change = layout.row(part.out.name, after) - layout.row(part.out.name, before)
            units += step(column, -middle, margin, change, act, site, STEEP)
    return units


def read_numbers(read: Read, numbers: Any, layout: Layout, site: str) -> Array:
    """Columns that give a variable's values their numbers, [D]."""
    slot = layout.slots[read.name]
    wanted = np.array([[float(each)] for each in numbers])
    if isinstance(read, Number):
        row = unit_row(slot.codes, slot.values)
        return layout.column(read.name, (row / (row @ row) * ratio(numbers, slot.values))[:, None])[:, 0]
    weights = codes.linear(slot.codes, wanted)
    if weights is None:
        refuse(site, f"the code of {read.name} does not give these numbers; write it one-hot")
    return layout.column(read.name, weights)[:, 0]


def ratio(numbers: Any, values: Any) -> float:
    """The factor of a number in a form."""
    pairs = [(number, value) for number, value in zip(numbers, values, strict=True) if value]
    return float(pairs[0][0] / pairs[0][1]) if pairs else 0.0
