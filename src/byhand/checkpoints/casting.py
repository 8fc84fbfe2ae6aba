"""A model's weights in another type, each converted when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from byhand.checkpoints.files.mapped import BFLOAT16, Array
from byhand.checkpoints.record import Parts
from byhand.errors import InputError
from byhand.weights import Lazy, Weights

DTYPES = {"f64": np.dtype("<f8"), "f32": np.dtype("<f4"), "f16": np.dtype("<f2"), "bf16": BFLOAT16}


def cast(parts: Parts, dtype: str) -> Parts:
    """The same model with all weights of one of DTYPES, rounded to nearest; made anew each time they are asked for."""
    wanted, shapes, weights = DTYPES[dtype], parts.program.shapes(), parts.weights
    made = {
        address: Lazy(
            shapes[address],
            wanted,
            partial(whole, weights, address, wanted),
            parts=partial(in_parts, weights, address, wanted),
        )
        for address in weights
    }
    return replace(parts, weights=Weights(made))


def whole(weights: Weights, address: str, dtype: np.dtype[Any]) -> Array:
    return converted(weights[address], address, dtype)


def in_parts(weights: Weights, address: str, dtype: np.dtype[Any]) -> Iterator[Array]:
    return (converted(part, address, dtype) for part in weights.parts(address))


def converted(array: Array, address: str, dtype: np.dtype[Any]) -> Array:
    """Raises InputError for a number that the type cannot hold, which would become infinite."""
    with np.errstate(over="ignore"):
        made = array.astype(dtype, copy=False)
    if not np.isfinite(made).all() and np.isfinite(array).all():
        largest = np.abs(array).max()
        raise InputError(f"{address} holds {largest:g}, which is beyond the largest {dtype}; use bf16 or f32")
    return made
