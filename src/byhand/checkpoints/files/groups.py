"""int8 in groups with one factor each, as llama2.c's version 2 holds its matrices: weight = number * factor.

The largest weight of a group becomes 127 or -127. Source: quantize_q80 in llama2.c's export.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from byhand.errors import InputError
from byhand.weights import slices

Array = np.ndarray[Any, Any]

MOST = np.float32(127)


def dequantized(numbers: Array, factors: Array) -> Array:
    """float32 weights in the shape of the numbers; numbers: int8; factors: float32 [groups]."""
    weights = numbers.reshape(len(factors), -1).astype(np.float32)
    weights *= factors[:, None]
    return weights.reshape(numbers.shape)


def in_parts(numbers: Array, factors: Array) -> Iterator[Array]:
    """The same some rows at a time; a row is whole groups."""
    each, done = factors.reshape(len(numbers), -1), 0
    for part in slices(numbers):
        yield dequantized(part, each[done : done + len(part)].reshape(-1))
        done += len(part)


def quantized(pieces: Iterable[Array], group: int, name: str) -> Iterator[bytes]:
    """The bytes of an array in groups, all numbers, then all factors; it comes in pieces of whole groups.

    Raises InputError for inf and NaN.
    """
    factors = []
    flat = (groups for piece in pieces for groups in slices(piece.reshape(-1, group)))
    for groups in flat:
        weights = groups.astype(np.float32)
        if not np.isfinite(weights).all():
            raise InputError(f"{name} holds inf or NaN, which int8 in groups cannot say; save it in float32")
        numbers, each = grouped(weights)
        factors.append(each)
        yield numbers.tobytes()
    yield from (each.astype("<f4").tobytes() for each in factors)


def grouped(weights: Array) -> tuple[Array, Array]:
    """int8 numbers and the factor of each group; weights: float32 [groups, group].

    Dividing rounds, so weights that came from such a file may lead to the factor next to theirs; the neighbours are
    tried, and one that gives the weights exactly is taken, so that reading and writing gives the same file.
    """
    factor = np.abs(weights).max(axis=1) / MOST
    numbers = divided(weights, factor)
    for towards in (np.float32(0), np.float32(np.inf)):
        inexact = np.flatnonzero((numbers * factor[:, None] != weights).any(axis=1))
        near = np.nextafter(factor[inexact], towards)
        again = divided(weights[inexact], near)
        exact = (again * near[:, None] == weights[inexact]).all(axis=1)
        factor[inexact[exact]], numbers[inexact[exact]] = near[exact], again[exact]
    return numbers.astype(np.int8), factor


def divided(weights: Array, factor: Array) -> Array:
    """Whole numbers from -127 to 127, as float32; a group of zeros has factor zero."""
    safe = np.where(factor > 0, factor, np.float32(1))[:, None]
    return np.clip(np.rint(weights / safe), -MOST, MOST)
