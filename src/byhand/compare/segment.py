"""A value from the values before it: one step, or several where what lies between is not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from byhand.compare.rounding import Bounded, Unit, bounded
from byhand.program import Step

Array = np.ndarray[Any, Any]
Operands = dict[str, Array]
Units = Callable[[Step, str], Unit]
SAMPLES = 4
MANY_SAMPLES = 32  # before a result of several steps is said to be beyond rounding
SEED = 0


@dataclass(frozen=True)
class Variant:
    """A way in which a step may have been computed differently.

    kind: the usual cause it belongs to; said: the change in words; change: the step and its operands (by the operator's
    names) as they would be, or None for a step that it does not touch; after: what is done to its main output.
    """

    kind: str
    said: str
    change: Callable[[Step, Operands], tuple[Step, Operands] | None]
    after: Callable[[Array], Array] | None = None


def predicted(
    steps: Sequence[Step],
    address: str,
    look: Callable[[Step, str, str], Array],
    units: Units,
    variant: Variant | None = None,
    samples: int = SAMPLES,
) -> Bounded:
    """The value at an address, computed in float64 from what is known, and how far rounding may have moved it.

    look: gives what a step reads, by step, operand and address, where no step here makes it. With one step the bound is
    that of `rounding`. With several, what is rounded on the way goes through the steps after it: each unseen value is
    moved at random within its bound, `samples` times, and the bound is 3 times the largest change in each row.
    """
    values: dict[str, Array] = {}
    bounds: dict[str, Array] = {}
    for step in steps:
        for name, made in one(step, operands(step, values, look), units, variant).items():
            values[name], bounds[name] = made
    found = Bounded(values[address], bounds[address])
    if len(steps) == 1:
        return found
    rng, moved = np.random.default_rng(SEED), np.zeros(found.value.shape)
    for _ in range(samples):
        shaken = shake(steps, address, bounds, look, variant, rng)
        with np.errstate(invalid="ignore"):
            moved = np.maximum(moved, np.where(shaken == found.value, 0, np.abs(shaken - found.value)))
    row = moved.max(-1, keepdims=True) if moved.ndim else moved
    return Bounded(found.value, found.bound + 3 * np.nan_to_num(row))


def operands(step: Step, values: Mapping[str, Array], look: Callable[[Step, str, str], Array]) -> Operands:
    """What a step reads, by the operator's names."""
    given = [(o.name, read) for o, read in zip(step.operator.inputs, step.reads, strict=True) if read is not None]
    return {name: values[read] if read in values else look(step, name, read) for name, read in given}


def varied(step: Step, given: Operands, variant: Variant | None) -> tuple[Step, Operands, bool]:
    """The step and its operands as the variant has them, and whether it touches them."""
    changed = None if variant is None else variant.change(step, given)
    return (step, given, False) if changed is None else (*changed, True)


def one(step: Step, given: Operands, units: Units, variant: Variant | None = None) -> dict[str, Bounded]:
    """The outputs of one step by address."""
    step, given, touched = varied(step, given, variant)
    operator = step.operator
    unit = units(step, step.address)
    made = bounded(operator, given, sizes(step, given), step.attributes, unit)
    found = {}
    for name, (value, bound) in made.items():
        address = step.writes[name]
        if touched and variant and variant.after and address == step.address:
            value, bound = variant.after(value), np.abs(variant.after(bound))
        found[address] = Bounded(value, bound)
    return found


def sizes(step: Step, given: Operands) -> dict[str, int]:
    """The sizes of the operator's letters. Raises ShapeError."""
    return step.sizes({step.names[name]: array.shape for name, array in given.items() if name in step.names})


def shake(
    steps: Sequence[Step],
    address: str,
    bounds: Mapping[str, Array],
    look: Callable[[Step, str, str], Array],
    variant: Variant | None,
    rng: np.random.Generator | None,
) -> Array:
    """The value at an address when everything before it is moved at random within its bound (rng: or not at all)."""
    values: dict[str, Array] = {}
    for step in steps:
        given = operands(step, values, look)
        own, given, touched = varied(step, given, variant)
        for name, value in plain(own, given).items():
            main = own.writes[name] == own.address
            value = variant.after(value) if touched and variant and variant.after and main else value
            if rng is not None and step is not steps[-1]:
                value = value + bounds[own.writes[name]] * rng.uniform(-1, 1, value.shape)
            values[own.writes[name]] = value
    return values[address]


def plain(step: Step, given: Operands) -> dict[str, Array]:
    """The outputs of a step in float64, by the operator's names."""
    wide = {n: array if array.dtype.kind in "iub" else array.astype(np.float64) for n, array in given.items()}
    inside = {"rounded": lambda array: array} if step.operator.rounds_inside else {}
    with np.errstate(all="ignore"):
        results = step.operator.forward(*(wide.get(o.name) for o in step.operator.inputs), **step.attributes, **inside)
    results = results if isinstance(results, tuple) else (results,)
    return {o.name: np.asarray(r) for o, r in zip(step.operator.outputs, results, strict=True)}
