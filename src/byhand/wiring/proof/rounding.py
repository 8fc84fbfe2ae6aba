"""How each precision rounds, as bounds that hold for every order of summation.

A sum of n terms differs from the exact one by at most n u times the sum of their sizes (Higham 2002, "Accuracy and
Stability of Numerical Algorithms", section 4.2), u being the unit roundoff, whatever the order and however it is split.

float32: every result is rounded by 2^-24 of its size, at most. bfloat16: weights and all that a step hands to the next
are rounded to 8 bits, to the nearest, while norms, softmax, angles and the sums inside of products are in float32; so
transformers computes with dtype=bfloat16. tf32: both sides of every product are rounded or cut to 11 bits.
Rounding never swaps two numbers, so an interval goes to that of its rounded ends, and what is exact stays so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, Any]
Rounded = tuple[Array, Array]  # values and how far each can be off
SINGLE = 2.0**-24
FUZZ = 2.0**-40  # far above what this proof itself loses in float64


def plain(array: Array) -> Array:
    return array.astype(np.float64)


def in_bfloat16(array: Array) -> Array:
    return array.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)


def at_bits(array: Array, bits: int, to: Callable[[Array], Array] = np.rint) -> Array:
    """Numbers with so many significant bits; to: the nearest whole number (even on ties), or another one."""
    share, power = np.frexp(array)
    return np.ldexp(to(np.ldexp(share, bits)), power - bits)


def as_they_are(values: Array, errors: Array) -> Rounded:
    return values, errors


def rounded(values: Array, errors: Array, bits: int, to: Callable[[Array], Array] = np.rint) -> Rounded:
    """Values off by up to `errors`, rounded: of numbers close to where rounding changes both sides are in the range."""
    exact = (errors == 0) & (at_bits(values, bits) == values)
    wide = np.where(exact, 0.0, errors + FUZZ * np.abs(values))
    low, high = at_bits(values - wide, bits, to), at_bits(values + wide, bits, to)
    return (low + high) / 2, (high - low) / 2


@dataclass(frozen=True)
class Rounding:
    """stored: relative rounding of what is kept; summed: of each term inside sums; cut: of a product's sides, at most.

    table: weights as they are read; kept: what becomes of a result that is handed on; taken: of what a product reads.
    coarse: whether these two do anything, so that every number is rounded by itself; products, scores: whether those of
    queries and keys are handed on, before and after they are divided.
    """

    name: str
    stored: float
    summed: float = SINGLE
    table: Callable[[Array], Array] = plain
    kept: Callable[[Array, Array], Rounded] = as_they_are
    taken: Callable[[Array, Array], Rounded] = as_they_are
    cut: float = 0.0
    products: bool = True
    scores: bool = True

    @property
    def coarse(self) -> bool:
        return self.name != "float32"

    @property
    def handed(self) -> float:
        """By what share a number can change between the step that makes it and a product that reads it, at most."""
        return max(self.stored, self.cut) if self.coarse else 0.0


ROUNDINGS = {
    "float32": Rounding("float32", SINGLE),
    "tf32": Rounding("tf32", SINGLE, 4 * SINGLE, taken=partial(rounded, bits=11), cut=2.0**-10),
    "bfloat16": Rounding("bfloat16", 2.0**-8, 4 * SINGLE, table=in_bfloat16, kept=partial(rounded, bits=8)),
}


def ways(name: str) -> list[Rounding]:
    """All ways in which a precision is computed: tf32 by rounding or by cutting, scores as they are where attention is
    one fused step.
    """
    first = ROUNDINGS[name]
    if name == "tf32":
        return [first, replace(first, taken=partial(rounded, bits=11, to=np.trunc))]
    if name == "bfloat16":
        return [first, replace(first, products=False), replace(first, products=False, scores=False)]
    return [first]
