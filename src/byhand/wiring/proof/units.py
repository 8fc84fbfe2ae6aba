"""What a feed-forward does, from its weights: every unit on every combination of what its part reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import product
from math import inf, prod
from typing import Any

import numpy as np

from byhand.operators import gelu_erf, gelu_tanh, silu
from byhand.wiring.deciding import Activation
from byhand.wiring.parts import Deciding, Steps, Table
from byhand.wiring.proof.rounding import SINGLE, Rounding
from byhand.wiring.proof.stream import Normed, Reading, read
from byhand.wiring.refusals import refuse

Array = np.ndarray[Any, Any]
FUNCTIONS = {"gelu_tanh": gelu_tanh.forward, "gelu_erf": gelu_erf.forward, "silu": silu.forward}
STEEPNESS = 1.13  # no activation here rises faster
ALIKE = 2.0**-20  # readings closer than this, beside the largest, are taken together
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
    """An affine reading for every combination, [C, U] each: values, error, and its part not common to twins."""

    values: Array
    error: Array
    own: Array


def combined(reading: Reading, picks: dict[str, Array]) -> Combined:
    """A reading for combinations: picks gives for each variable the place of its value in each, [C]."""
    shape = (len(next(iter(picks.values()), np.zeros(1))), len(reading.constant))
    values, own = (np.broadcast_to(each, shape) for each in (reading.constant, reading.own))
    error = np.broadcast_to(reading.error + reading.spread, shape)
    for name, places in picks.items():
        values = values + reading.tables[name][places]
        error = error + reading.errors[name][places]
        own = own + reading.owns[name][places]
    return Combined(values, error, own)


def by_number(reading: Reading, part: Steps) -> tuple[Combined, Array]:
    """A reading for every number that a form can be, and the place of the value that it should have, [C].

    Combinations of the same number that read alike are taken together; by how little they differ counts as error.
    """
    base, width = reading.constant, len(reading.constant)
    values, error, own = base[None], (reading.error + reading.spread)[None], reading.own[None]
    totals = [part.form.constant]
    for term, numbers in part.form.terms.items():
        name = term.name
        totals = [total + number for total in totals for number in numbers]
        values, error, own = (
            (before[:, None] + each[name]).reshape(-1, width)
            for before, each in ((values, reading.tables), (error, reading.errors), (own, reading.owns))
        )
        totals, values, error, own = together(totals, values, error, own)
    return Combined(values, error, own), np.array([part.places[total] for total in totals])


def together(totals: list[Any], values: Array, error: Array, own: Array) -> tuple[list[Any], Array, Array, Array]:
    """One row for all of the same total whose values are alike, in a range that holds them all."""
    scale = ALIKE * max(np.abs(values).max(initial=0), 1e-300)
    alike: dict[Any, int] = {}
    group = np.array(
        [alike.setdefault(key, len(alike)) for key in zip(totals, np.rint(values.max(1) / scale), strict=True)]
    )
    count = (len(alike), values.shape[1])
    low, high, most = np.full(count, inf), np.full(count, -inf), np.zeros(count)
    np.minimum.at(low, group, values - error)
    np.maximum.at(high, group, values + error)
    np.maximum.at(most, group, own)
    return [total for total, _ in alike], (low + high) / 2, (high - low) / 2, most


def decided(
    part: Deciding, w: UnitWeights, stream: Normed, rounding: Rounding, start: dict[str, int]
) -> tuple[Computed, Array]:
    """What the units of a part write in every case, and the place of the value that they should write, [C]."""
    if isinstance(part, Steps) and len(part.form.terms) > 1:
        names = [term.name for term in part.form.terms]
        pre, found = by_number(reading(w, stream, names, rounding, start), part)
        return finished(w, pre, stream, {}, rounding, start), found
    picks, found = combinations(part)
    return computed(w, stream, picks, rounding, start), found


def combinations(part: Deciding) -> tuple[dict[str, Array], Array]:
    """The place of each input's value in every combination, [C] each, and that of the output's value."""
    reads = list(part.form.terms) if isinstance(part, Steps) else list(part.inputs)
    sizes = [len(each.options) for each in reads]
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


def computed(
    w: UnitWeights, stream: Normed, picks: dict[str, Array], rounding: Rounding, start: dict[str, int]
) -> Computed:
    """What the units write, for every combination."""
    pre = combined(reading(w, stream, picks, rounding, start), picks)
    return finished(w, pre, stream, picks, rounding, start)


def reading(
    w: UnitWeights, stream: Normed, names: Collection[str], rounding: Rounding, start: dict[str, int]
) -> Reading:
    """What the gates read, and after them the difference of the two of every pair."""
    twins = pairs(w)
    first, second = [one for one, _ in twins], [two for _, two in twins]
    gate = np.concatenate([w.gate, w.gate[:, first] - w.gate[:, second]], axis=1)
    bias = None if w.bias is None else np.concatenate([w.bias, w.bias[first] - w.bias[second]])
    return read(stream, gate, bias, names, rounding, start)


def finished(
    w: UnitWeights, pre: Combined, stream: Normed, picks: dict[str, Array], rounding: Rounding, start: dict[str, int]
) -> Computed:
    """From what the units read, and the differences of pairs, to what they write."""
    count = len(w.down)
    apart = pre.error[:, count:].copy()
    units = Combined(*(each[:, :count] for each in (pre.values, pre.error, pre.own)))
    made, margin, noise = activated(w, kept(units, rounding), rounding)
    if w.times is not None:
        times = kept(combined(read(stream, w.times, None, picks, rounding, start), picks), rounding)
        size, factor = np.abs(made.values), np.abs(times.values)
        error = made.error * (factor + times.error) + size * (times.error + SINGLE)
        own = made.own * factor + SINGLE * size
        for twin, (first, second) in enumerate(pairs(w)):
            gap = np.abs(made.values[:, first] - made.values[:, second])
            apart[:, twin] = apart[:, twin] * factor[:, first] + gap * times.error[:, first]
        made = kept(Combined(made.values * times.values, error, own), rounding)
    if rounding.coarse:
        values, error = rounding.taken(made.values, made.error)
        made, apart = Combined(values, error, error), np.zeros_like(apart)
    rows, error = summed(w, made, apart, rounding)
    return Computed(rows, error, margin, noise)


def kept(made: Combined, rounding: Rounding) -> Combined:
    """Rounded each by itself, where rounding is coarse."""
    if not rounding.coarse:
        return made
    values, error = rounding.kept(made.values, made.error)
    return Combined(values, error, error)


def activated(w: UnitWeights, pre: Combined, rounding: Rounding) -> tuple[Combined, float, float]:
    """Activations with bounds, by how much they are safely on or off at least, and how far what they read is off.

    A unit that is safely on or off is exact: it gives what it reads, or 0. For others the `own` error is all of it.
    """
    act = w.activation
    reach = np.where(pre.values > 0, pre.values - act.above, -act.below - pre.values)
    sure, on = reach > pre.error, pre.values > 0
    values = np.where(sure, np.where(on, pre.values, 0), FUNCTIONS[act.name](pre.values))
    steps = 4 * rounding.stored * np.abs(pre.values if rounding.coarse else values)  # of a formula in this precision
    blurred = STEEPNESS * pre.error + steps
    error = np.where(sure, np.where(on, pre.error, 0), blurred)
    own = np.where(sure, np.where(on, pre.own + SINGLE * np.abs(values), 0), blurred)
    return Combined(values, error, own), *tightest(reach[:, w.down.any(1)], pre.error[:, w.down.any(1)])


def tightest(margins: Array, noises: Array) -> tuple[float, float]:
    """The least margin, and a noise that fits into it as often as the noise of any decision fits into its own margin.

    So no margin is smaller than the one less the other after rounding.
    """
    if not margins.size:
        return inf, 0.0
    least, often = float(margins.min()), float((margins / np.maximum(noises, 1e-300)).min())
    return least, least / often if least > 0 else float(noises.max())


def summed(w: UnitWeights, made: Combined, apart: Array, rounding: Rounding) -> tuple[Array, Array]:
    """The units' sum with its bound, [C, D] each.

    Of two units that write the opposite, both on, only the difference is written. apart: by how much that of each pair
    can be off [C, pairs]; besides, only what is rounded in each by itself is left.
    """
    size = np.abs(w.down)
    off = made.error.copy()
    for twin, (first, second) in enumerate(pairs(w)):
        both = (made.values[:, first] != 0) & (made.values[:, second] != 0)
        off[:, first] = np.where(both, made.own[:, first] + apart[:, twin], off[:, first])
        off[:, second] = np.where(both, made.own[:, second], off[:, second])
    terms = np.count_nonzero(w.down, axis=0) * rounding.summed * size
    return made.values @ w.down, off @ (size + terms) + np.abs(made.values) @ terms


def pairs(w: UnitWeights) -> list[tuple[int, int]]:
    """Neighbouring units that write the opposite, and are multiplied by the same."""
    found, place = [], 0
    while place + 1 < len(w.down):
        alike = w.times is None or np.array_equal(w.times[:, place], w.times[:, place + 1])
        if alike and w.down[place].any() and np.array_equal(w.down[place], -w.down[place + 1]):
            found.append((place, place + 1))
            place += 1
        place += 1
    return found
