"""What a feed-forward does, from its weights: every unit on every combination of what its part reads."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import inf, prod
from typing import Any

import numpy as np

from byhand.operators import gelu_erf, gelu_tanh, silu
from byhand.wiring.deciding import Activation
from byhand.wiring.parts import Deciding, Steps, Table
from byhand.wiring.proof.rounding import Rounding
from byhand.wiring.proof.stream import Normed, Reading, read
from byhand.wiring.refusals import refuse

Array = np.ndarray[Any, Any]
FUNCTIONS = {"gelu_tanh": gelu_tanh.forward, "gelu_erf": gelu_erf.forward, "silu": silu.forward}
STEEPNESS = 1.13  # no activation here rises faster
MOST = 400_000  # combinations of one part


@dataclass(frozen=True, eq=False)
class UnitWeights:
    """Hidden units: gate [D, U] and its bias, what multiplies the activation [D, U] or None for 1, and down [U, D]."""

    gate: Array
    bias: Array | None
    times: Array | None
    down: Array
    activation: Activation

    def some(self, which: slice) -> UnitWeights:
        return UnitWeights(
            self.gate[:, which],
            None if self.bias is None else self.bias[which],
            None if self.times is None else self.times[:, which],
            self.down[which],
            self.activation,
        )


@dataclass(frozen=True, eq=False)
class Computed:
    """What some units write for every combination [C, D], with bounds; the margin and the noise of their decisions."""

    rows: Array
    error: Array
    margin: float
    noise: float


@dataclass(frozen=True, eq=False)
class Combined:
    """An affine reading for every combination: values [C, U], error [C, U] and its part not common to twins [U]."""

    values: Array
    error: Array
    own: Array


def combined(reading: Reading, picks: dict[str, Array]) -> Combined:
    """A reading for combinations: picks gives for each variable the place of its value in each, [C]."""
    count = len(next(iter(picks.values()), np.zeros(1)))
    values = np.broadcast_to(reading.constant, (count, len(reading.constant)))
    error = np.broadcast_to(reading.error + reading.spread, values.shape)
    for name, places in picks.items():
        values = values + reading.tables[name][places]
        error = error + reading.errors[name][places]
    return Combined(values, error, reading.own)


def combinations(part: Deciding) -> tuple[dict[str, Array], Array]:
    """The place of each input's value in every combination, [C] each, and that of the output's value."""
    reads = list(part.form.terms) if isinstance(part, Steps) else list(part.inputs)
    sizes = [len(getattr(each, "domain", None) or each.values) for each in reads]
    if prod(sizes) > MOST:
        refuse(part.name, f"it reads {prod(sizes):,} combinations; a proof goes through at most {MOST:,}")
    every = np.array(list(product(*map(range, sizes))), int).reshape(-1, len(sizes))
    picks = {read.name: every[:, place] for place, read in enumerate(reads)}
    return picks, outcomes(part, every)


def outcomes(part: Deciding, every: Array) -> Array:
    if isinstance(part, Table):
        found = np.full(len(every), part.default)
        for rule in part.rules:
            fits = [np.isin(every[:, place], list(allowed)) for place, allowed in enumerate(rule.when)]
            found[np.all(fits, axis=0)] = rule.then
        return found
    images = dict(part.images)
    terms = list(part.form.terms.values())
    totals = [part.form.constant + sum(each[p] for each, p in zip(terms, row, strict=True)) for row in every]
    return np.array([images[total] for total in totals])


def computed(w: UnitWeights, stream: Normed, picks: dict[str, Array], rounding: Rounding, start: dict[str, int]) -> Computed:
    """What the units write, for every combination."""
    pre = combined(read(stream, w.gate, w.bias, picks, rounding, start), picks)
    values, error, own, margin, noise = activated(w, pre, rounding)
    if w.times is not None:
        times = combined(read(stream, w.times, None, picks, rounding, start), picks)
        error = error * np.abs(times.values) + np.abs(values) * times.error + error * times.error
        values = values * times.values
        own = own * np.abs(times.values).max(0) + rounding.stored * np.abs(values).max(0)
    return summed(w, values, error, own, (margin, noise), rounding)


def activated(w: UnitWeights, pre: Combined, rounding: Rounding) -> tuple[Array, Array, Array, float, float]:
    """Activations with bounds. Where a unit is safely on or off, it is exact: what it gives is its input, or 0."""
    act = w.activation
    reach = np.where(pre.values > 0, pre.values - act.above, -act.below - pre.values)
    sure = reach > pre.error
    values = np.where(sure, np.maximum(pre.values, 0), FUNCTIONS[act.name](pre.values))
    error = np.where(sure, np.where(pre.values > 0, pre.error, 0), STEEPNESS * pre.error + 4 * rounding.stored * np.abs(values))
    own = np.where(sure.all(0), pre.own + rounding.stored * np.abs(values).max(0), inf)
    used = w.down.any(1)
    margin = float(reach[:, used].min(initial=inf))
    return values, error, own, margin, float(pre.error[:, used].max(initial=0))


def summed(w: UnitWeights, values: Array, error: Array, own: Array, sure: tuple[float, float], rounding: Rounding) -> Computed:
    """The units' sum. Of two that differ only in their bias and sign, both on, only what is not common to them is off."""
    rows = values @ w.down
    size = np.abs(w.down)
    twins = pairs(w)
    kept = np.ones(len(w.down), bool)
    off = np.zeros_like(rows)
    for first, second in twins:
        both = (values[:, first] > 0) & (values[:, second] > 0)
        neither = (values[:, first] == 0) & (values[:, second] == 0)
        certain = np.isfinite(own[first]) and np.isfinite(own[second]) and bool((both | neither).all())
        if certain:
            kept[[first, second]] = False
            off += np.where(both, own[first] + own[second], 0)[:, None] * size[first]
    off += error[:, kept] @ size[kept]
    terms = np.count_nonzero(w.down, axis=0)
    off += np.abs(values) @ size * (terms * rounding.summed + rounding.product)
    return Computed(rows, off, *sure)


def pairs(w: UnitWeights) -> list[tuple[int, int]]:
    """Neighbouring units that read the same and write the opposite."""
    found, place = [], 0
    while place + 1 < len(w.down):
        alike = np.array_equal(w.gate[:, place], w.gate[:, place + 1])
        if w.times is not None:
            alike = alike and np.array_equal(w.times[:, place], w.times[:, place + 1])
        if alike and w.down[place].any() and np.array_equal(w.down[place], -w.down[place + 1]):
            found.append((place, place + 1))
            place += 1
        place += 1
    return found
