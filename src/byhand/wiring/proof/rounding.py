"""How each precision rounds, as bounds that hold for every order of summation.

A sum of n terms differs from the exact one by at most n u times the sum of their sizes (Higham 2002, "Accuracy and
Stability of Numerical Algorithms", section 4.2), u being the unit roundoff, whatever the order and however it is split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, Any]
SINGLE = 2.0**-24


@dataclass(frozen=True)
class Rounding:
    """stored: relative rounding of a value that is kept; product: of what a matrix product reads; summed: inside sums.

    weight: a matrix as it is read; table: embeddings, gains and biases as they are read.
    """

    name: str
    stored: float
    product: float
    weight: Callable[[Array], Array]
    table: Callable[[Array], Array]
    summed: float = SINGLE


def plain(array: Array) -> Array:
    return array.astype(np.float64)


def in_tf32(array: Array) -> Array:
    """Rounded to 11 significant bits, to nearest even."""
    bits = array.astype(np.float32).view(np.uint32)
    rounded = (bits + 0xFFF + (bits >> 13 & 1)) & np.uint32(0xFFFFE000)
    return rounded.view(np.float32).astype(np.float64)


def in_bfloat16(array: Array) -> Array:
    return array.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)


ROUNDINGS = {
    "float32": Rounding("float32", SINGLE, 0.0, plain, plain),
    "tf32": Rounding("tf32", SINGLE, 2.0**-11, in_tf32, plain),
    "bfloat16": Rounding("bfloat16", 2.0**-8, 0.0, in_bfloat16, in_bfloat16),
}
