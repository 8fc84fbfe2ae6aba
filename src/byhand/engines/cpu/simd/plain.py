"""The whole vocabulary of kernels in NumPy, for NUMBA_DISABLE_JIT=1: slow, but every step can be looked at.

See `compiled` for what each word means. Vectors have four lanes here. What compiled code would do silently to memory
that is not there is an error here.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

LANES = 4
BYTES = 4 * LANES
WORDS, MOST_AXES = 8, 4  # as in kernel.py


class Tile:
    """rows x cols vectors, in one array of three axes."""

    __array_ufunc__ = None  # a number of NumPy's leaves it to the tile to add itself

    def __init__(self, lanes_RCL: Any) -> None:
        self.lanes_RCL = lanes_RCL

    def __add__(self, other: Any) -> Tile:
        return lanewise(np.add, self, other)

    def __radd__(self, other: Any) -> Tile:
        return lanewise(np.add, other, self)

    def __sub__(self, other: Any) -> Tile:
        return lanewise(np.subtract, self, other)

    def __rsub__(self, other: Any) -> Tile:
        return lanewise(np.subtract, other, self)

    def __mul__(self, other: Any) -> Tile:
        return lanewise(np.multiply, self, other)

    def __rmul__(self, other: Any) -> Tile:
        return lanewise(np.multiply, other, self)

    def __truediv__(self, other: Any) -> Tile:
        return lanewise(np.divide, self, other)

    def __rtruediv__(self, other: Any) -> Tile:
        return lanewise(np.divide, other, self)


def lanewise(emit: Callable[..., Any], *operands: Any) -> Tile:
    """A tile of what `emit` makes of the operands' lanes; numbers take the element type of the tiles."""
    dtype = next(each.lanes_RCL.dtype for each in operands if isinstance(each, Tile))
    lanes = [each.lanes_RCL if isinstance(each, Tile) else np.asarray(each).astype(dtype) for each in operands]
    assert all(each.dtype == dtype for each in lanes), f"{emit.__name__} does not fit {[each.dtype for each in lanes]}"
    with np.errstate(all="ignore"):
        return Tile(emit(*lanes).astype(dtype))


def width(dtype: Any) -> int:
    return BYTES // np.dtype(dtype).itemsize


def zeros(dtype: Any, rows: int = 1, cols: int = 1) -> Tile:
    return Tile(np.zeros((rows, cols, width(dtype.name)), dtype.name))


# Memory.


def patch(a: Any, index: Any, rows: int, wide: int) -> Any:
    """The part of an array that starts at an index and is so many rows high and numbers wide, as two axes."""
    *outer, n = index if isinstance(index, tuple) else (index,)
    assert a.ndim == len(outer) + 1 and (rows == 1 or outer), f"{rows} rows at {index} of {a.ndim} axes"
    high = (*outer[:-1], slice(outer[-1], outer[-1] + rows)) if outer else (None,)
    part = a[(*high, slice(n, n + wide))]
    assert min((n, *outer)) >= 0 and part.shape == (rows, wide), f"{rows} x {wide} at {index} of {a.shape}"
    return np.asarray(part)


def load(a: Any, index: Any, rows: int = 1, cols: int = 1) -> Tile:
    lanes = width(a.dtype)
    return Tile(patch(a, index, rows, cols * lanes).reshape(rows, cols, lanes).copy())


def load_bf16(a: Any, index: Any, rows: int = 1, cols: int = 1) -> Tile:
    bits_RCL = patch(a, index, rows, cols * LANES).reshape(rows, cols, LANES).astype(np.uint32) << 16
    return Tile(bits_RCL.view(np.float32))


def load_f16(a: Any, index: Any, rows: int = 1, cols: int = 1) -> Tile:
    bits_RCL = patch(a, index, rows, cols * LANES).reshape(rows, cols, LANES).copy()
    return Tile(bits_RCL.view(np.float16).astype(np.float32))


def load_some(a: Any, index: Any, count: int, rows: int = 1, cols: int = 1) -> Tile:
    lanes = width(a.dtype)
    made_RN, there = np.zeros((rows, cols * lanes), a.dtype), min(max(count, 0), cols * lanes)
    if there:
        made_RN[:, :there] = patch(a, index, rows, there)
    return Tile(made_RN.reshape(rows, cols, lanes))


def repeat(a: Any, index: Any, rows: int = 1, cols: int = 1) -> Tile:
    each = 4 // a.dtype.itemsize
    four_RCE = patch(a, index, rows, cols * each).reshape(rows, cols, each)
    return Tile(np.tile(four_RCE, (1, 1, LANES)))


def store(a: Any, index: Any, t: Tile) -> None:
    rows, cols, lanes = t.lanes_RCL.shape
    store_some(a, index, t, rows, cols * lanes)


def store_some(a: Any, index: Any, t: Tile, high: int, wide: int) -> None:
    rows, cols, lanes = t.lanes_RCL.shape
    high, wide = min(high, rows), min(wide, cols * lanes)
    assert a.dtype == t.lanes_RCL.dtype, f"{t.lanes_RCL.dtype} into {a.dtype}"
    if high > 0 and wide > 0:
        patch(a, index, high, wide)[:] = t.lanes_RCL.reshape(rows, cols * lanes)[:high, :wide]


# Blocks: see `blocks`.

GROUPS = LANES // 4


def from_blocks(a: Any, index: Any, places: tuple[int, int, int], rows: int, size: int) -> Any:
    """`size` bytes of each of GROUPS blocks of each row; beyond what is there, those of the first row or block."""
    (apart, high, wide), (m, at) = places, index
    groups = [at + apart * (g if g < wide else 0) for g in range(GROUPS)]
    below = [m + (r if r < high else 0) for r in range(rows)]
    return np.stack([np.hstack([patch(a, (row, start), 1, size)[0] for start in groups]) for row in below])


def load_blocks(a: Any, index: Any, apart: int, high: int, wide: int, rows: int = 1) -> Tile:
    return Tile(from_blocks(a, index, (apart, high, wide), rows, 16)[:, None])


def load_scales(a: Any, index: Any, apart: int, high: int, wide: int, rows: int = 1) -> Tile:
    scales_RG = from_blocks(a, index, (apart, high, wide), rows, 2).view(np.float16)
    return Tile(np.repeat(scales_RG, 4, axis=1).astype(np.float32)[:, None])


def as_bytes(t: Tile) -> Tile:
    return Tile(t.lanes_RCL.view(np.uint8))


def as_lanes(t: Tile) -> Tile:
    return Tile(t.lanes_RCL.view(np.int32))


def store_fours(a: Any, index: Any, t: Tile, keep: int, apart: int, wide: int) -> None:
    for g in range(min(wide, len(t.lanes_RCL) // 4)):
        store(a, (index[0] + g * apart, index[1]), Tile(t.lanes_RCL[4 * g : 4 * g + keep]))


def store_totals(a: Any, index: Any, t: Tile, high: int, wide: int) -> None:
    sums_RC = np.array([[total(Tile(lanes[None, None])) for lanes in row] for row in t.lanes_RCL], np.float32)
    there_CR = sums_RC.T[:high, :wide]
    if there_CR.size:
        patch(a, index, *there_CR.shape)[:] = there_CR


def store_nearest(a: Any, index: Any, t: Tile) -> None:
    store_some(a, index, Tile(np.rint(t.lanes_RCL).astype(np.int8)), 1, LANES)


# Lane by lane, within the lanes and across them.


def larger(t: Any, u: Any) -> Tile:
    return lanewise(lambda t, u: np.where(t > u, t, u), t, u)


def fma(t: Any, u: Any, acc: Any) -> Tile:
    return lanewise(lambda t, u, acc: t.astype(np.float64) * u + acc, t, u, acc)


def dot(acc: Tile, u: Tile, s: Tile) -> Tile:
    products = u.lanes_RCL.astype(np.int32) * s.lanes_RCL
    return acc + Tile(products.reshape(*products.shape[:2], LANES, 4).sum(axis=-1, dtype=np.int32))


def low_nibbles(t: Tile) -> Tile:
    return Tile(t.lanes_RCL & 15)


def high_nibbles(t: Tile) -> Tile:
    return Tile(t.lanes_RCL >> 4)


def flipped(t: Tile) -> Tile:
    other = np.uint8 if t.lanes_RCL.dtype == np.int8 else np.int8
    return Tile((t.lanes_RCL.view(np.uint8) ^ np.uint8(128)).view(other))


def as_float(t: Tile) -> Tile:
    return Tile(t.lanes_RCL.astype(np.float32))


def transposed(t: Tile) -> Tile:
    return Tile(np.ascontiguousarray(t.lanes_RCL[:, 0].T)[:, None])


def reduced(emit: Callable[..., Any], t: Tile) -> Any:
    lanes = reduce(emit, t.lanes_RCL.reshape(-1, LANES))
    while len(lanes) > 1:  # the same order as compiled
        lanes = emit(lanes[: len(lanes) // 2], lanes[len(lanes) // 2 :])
    return lanes[0]


def total(t: Tile) -> Any:
    with np.errstate(all="ignore"):
        return reduced(operator.add, t)


def highest(t: Tile) -> Any:
    return reduced(lambda t, u: np.where(t > u, t, u), t)


# Plain numbers. Whole ones are Python's, because compiled code computes them in 64 bits, too.


def half(u: int) -> Any:
    return np.float32(np.uint16(u).view(np.float16))


def bf16(u: int) -> Any:
    return np.uint32(int(u) << 16).view(np.float32)


def rounded_bf16(x: Any) -> int:
    bits = bits_of(x) & 0xFFFFFFFF
    return bits >> 16 | 0x40 if math.isnan(x) else bits + 0x7FFF + (bits >> 16 & 1) >> 16


def bits_of(x: Any) -> int:
    return int(np.float32(x).view(np.int32))


def float_of(i: int) -> Any:
    return np.uint32(int(i) & 0xFFFFFFFF).view(np.float32)


def nearest(x: Any) -> int:
    return int(np.rint(np.float32(x)))


def product_of(x: Any, y: Any, z: Any) -> Any:
    return float32_of(lambda x, y, z: x * y + z, x, y, z)


def float32_of(body: Callable[..., Any], *numbers: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.float32(body(*(np.float64(number) for number in numbers)))


def exp(x: Any) -> Any:
    return float32_of(np.exp, x)


def log(x: Any) -> Any:
    return float32_of(np.log, x)


def tanh(x: Any) -> Any:
    return float32_of(np.tanh, x)


def erf(x: Any) -> Any:
    return float32_of(math.erf, x)


def logistic(x: Any) -> Any:
    return float32_of(lambda x: 1 / (1 + np.exp(-x)), x)


def sin(x: Any) -> Any:
    return float32_of(np.sin, x)


def cos(x: Any) -> Any:
    return float32_of(np.cos, x)


# A job. Here it is the Job itself that kernels get, not its address.


class Numbers(np.ndarray):
    """An array that gives its whole numbers as Python's, which do not overflow: compiled code widens them, too."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return int(found) if isinstance(found, np.integer) else found


class Place:
    """Some memory, for NumPy to make an array of."""

    def __init__(self, address: int, shape: Any, strides: Any, dtype: Any) -> None:
        lies = {"data": (address, False), "shape": shape, "strides": strides, "typestr": dtype.str}
        self.__array_interface__ = lies | {"version": 3}


def words(job: Any, place: int) -> list[int]:
    """What the job says of an argument, as in `memory`: the array itself may lie elsewhere than when it was made."""
    return job.words[(place + 1) * WORDS : (place + 2) * WORDS].tolist()


def array(job: Any, place: int, dtype: Any, axes: int) -> Any:
    argument, dtype = job.arguments[place], np.dtype(dtype.name)
    fits = argument is None or (argument.ndim == axes and argument.itemsize == dtype.itemsize)
    assert fits, f"{job}: argument {place} is another array"
    address, *rest = words(job, place)
    strides = (*rest[MOST_AXES : MOST_AXES + axes - 1], dtype.itemsize)
    return np.asarray(Place(address, tuple(rest[:axes]), strides, dtype)).view(Numbers)


def whole(job: Any, place: int) -> int:
    return words(job, place)[0]


def real(job: Any, place: int) -> float:
    assert isinstance(job.arguments[place], float), f"{job}: argument {place} is no float"
    return float(np.int64(words(job, place)[0]).view(np.float64))


def given(job: Any, place: int) -> bool:
    return words(job, place)[0] != 0


def take(job: Any, count: int) -> int:
    first = int(job.words[0])
    job.words[0] += count
    return first


LINE = 64  # bytes that come from memory at a time


def prefetch(job, place, row, byte):
    """There is nothing to ask for."""
