"""One side of a comparison: its values, weights and inputs by address, and how exact its numbers are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from byhand.compare.rounding import UNITS, Unit
from byhand.program import Program, Step
from byhand.run import Run, silent
from byhand.setting import Tokens

Array = np.ndarray[Any, Any]
Find = Callable[[str], Array | None]

KINDS: dict[str, Any] = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}


@dataclass(frozen=True, eq=False)
class Side:
    """What one of the two has.

    dtype: the precision it was computed in, a key of UNITS; find: a value by address, or None where it is not known;
    stored: a weight as it is stored, or None; inputs: tokens, masks ...; program: its steps, None for a dump; run: the
    run that these are the values of, if any; coarse: the precision of all its weights, None where each array's own
    counts; notes: what of it is not compared, and why; gradients: by "d:" and the address;
    fine: addresses of a dump whose numbers are more exact than dtype; right: whether its
    values are those of its program by definition, and need no check.
    """

    name: str
    dtype: str
    find: Find
    stored: Find
    inputs: Mapping[str, Array]
    program: Program | None = None
    run: Run | None = None
    coarse: str | None = None
    tokens: Tokens = field(default_factory=Tokens)
    notes: tuple[str, ...] = ()
    gradients: Mapping[str, Array] = field(default_factory=dict)
    fine: frozenset[str] = frozenset()
    right: bool = False

    def unit(self, step: Step, address: str) -> Unit:
        """How much a number at this address may be rounded. In a run, losses, angles and statistics stay wide."""
        wide = step.operator.wide or address != step.address
        finer = address in self.fine or (wide and self.dtype == "bfloat16" and self.program is not None)
        return UNITS["float32" if finer else self.dtype]

    def weight(self, address: str) -> Array | None:
        """A weight as this side used it: as stored, rounded to its precision."""
        array = self.stored(address)
        return None if array is None else array.astype(KINDS[self.dtype], copy=False)

    def reads(self, step: Step, operand: str) -> str | None:
        """The address that this side's own step reads as this operand; the step's own where it has no program."""
        own = self.program.producer.get(step.address) if self.program else None
        if own is None or own.address != step.address or operand not in {o.name for o in own.operator.inputs}:
            return step.names.get(operand)
        return own.names.get(operand)

    def weight_dtype(self, array: Array) -> str:
        """The precision that a stored weight has."""
        return self.coarse or (array.dtype.name if array.dtype.name in UNITS else "float32")


def of_run(name: str, run: Run, right: bool = False) -> Side:
    """The values of a run; what it did not keep is computed once, again. right: the reference engine made it."""
    values = run.kept | run.compute(run.program.producer.keys() - run.kept.keys(), silent)

    def stored(address: str) -> Array | None:
        return run.setting.weights[address] if address in run.program.weights else None

    return Side(
        name, run.dtype, values.get, stored, run.inputs, run.program, run, tokens=run.setting.tokens, right=right
    )


def precision_of(arrays: Mapping[str, Array]) -> str:
    """The coarsest precision that holds every number of these arrays: float32 may be bfloat16 written out.

    Arrays of whole numbers only say nothing. The type they are stored in where nothing else is left.
    """
    telling = [array for array in arrays.values() if array.dtype.name in KINDS and array.size]
    telling = [array for array in telling if (array[finite_at(array)] % 1 != 0).any()]
    stored = [array.dtype for array in telling or arrays.values() if array.dtype.name in KINDS and array.size]
    for name in ("bfloat16", "float16", "float32"):
        if telling and all(holds(KINDS[name], array) for array in telling):
            return name
    return max(stored, key=lambda kind: kind.itemsize, default=KINDS["float32"]).name


def finite_at(array: Array) -> Array:
    return np.isfinite(array.astype(np.float64))


def holds(kind: Any, array: Array) -> bool:
    """Whether rounding to this type changes no number."""
    wide = array.astype(np.float64)
    with np.errstate(all="ignore"):
        back = array.astype(kind).astype(np.float64)
    return bool(((back == wide) | np.isnan(wide)).all())
