"""Many numbers in few cells: each cell stands for a block of a matrix, by its extreme number or its mean.

A masked number (minus infinity) stands for nothing: a cell is masked only where its whole block is. NaN always shows.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, Any]

AT_ONCE = 2**19  # numbers that are converted at a time, so that they stay near the processor
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
MASKED = -np.inf


def factor(count: int, most: int) -> int:
    """How many of so many numbers go into one cell, so that there are at most so many cells."""
    return max(1, -(-count // max(1, most)))


def pooled(matrix: Array, factors: tuple[int, int], way: str) -> Array:
    """A matrix in blocks of so many rows and columns, each as one float32. way: "extreme" or "mean"."""
    if factors == (1, 1):
        return as_float32(matrix)
    if abs(matrix.strides[0]) < abs(matrix.strides[1]) and factors[1] > 1:
        return pooled(matrix.T, (factors[1], factors[0]), way).T  # along the lines of memory
    rows = max(1, AT_ONCE // max(1, matrix.shape[1] * factors[0])) * factors[0]
    strips = [matrix[start : start + rows] for start in range(0, len(matrix), rows)]
    pool = extremes if way == "extreme" else means
    with np.errstate(all="ignore"):  # NaN is shown, not complained about
        return np.concatenate([pool(as_float32(strip), factors) for strip in strips])


def as_float32(array: Array) -> Array:
    """The numbers as float32, the type that is drawn; bfloat16 by moving its bits, which is all there is to do."""
    if array.dtype == BFLOAT16:
        bits = array.view(np.uint16).astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32)
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def extremes(strip: Array, factors: tuple[int, int]) -> Array:
    """The number of largest magnitude of each block; the positive one of two alike."""
    low, high = blocks(strip, factors, np.minimum), blocks(strip, factors, np.maximum)
    if np.isneginf(low).any():
        low = blocks(np.where(np.isneginf(strip), np.inf, strip), factors, np.minimum)
        low[np.isneginf(high)] = MASKED
    return np.where(np.abs(low) > np.abs(high), np.where(np.isneginf(high), MASKED, low), high)


def means(strip: Array, factors: tuple[int, int]) -> Array:
    """The mean of what is not masked in each block."""
    masked = np.isneginf(strip)
    wide = np.where(masked, 0, strip).astype(np.float64)
    count = blocks((~masked).astype(np.float64), factors, np.add)
    total = blocks(wide, factors, np.add)
    return np.where(count > 0, total / np.maximum(count, 1), MASKED).astype(np.float32)


def blocks(strip: Array, factors: tuple[int, int], together: np.ufunc) -> Array:
    """A strip with the numbers of each block put together; the last blocks may be smaller."""
    return along(along(strip, factors[0], together).T, factors[1], together).T


def along(strip: Array, size: int, together: np.ufunc) -> Array:
    """Every so many rows put together."""
    if size == 1:
        return strip
    whole = len(strip) // size * size
    made = together.reduce(strip[:whole].reshape(-1, size, strip.shape[1]), axis=1)
    if whole == len(strip):
        return made
    return np.concatenate([made, together.reduce(strip[whole:], axis=0, keepdims=True)])
