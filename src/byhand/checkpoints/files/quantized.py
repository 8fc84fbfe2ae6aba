"""Arrays in the number formats of ggml: plain ones, and rows of blocks that share a scale.

Q8_0: 32 numbers as int8 and one float16 scale, 34 bytes. Q4_0: 32 numbers of 4 bits and one float16 scale, 18 bytes.
Source: ggml/src/ggml-quants.c of llama.cpp; the arithmetic is that of its library gguf.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from byhand.errors import InputError
from byhand.shapes import Shape
from byhand.weights import Lazy, slices

Array = np.ndarray[Any, Any]

PLAIN = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16)}
BLOCKS = {"Q8_0": 34, "Q4_0": 18}  # bytes of a block
BLOCK = 32  # numbers in a block
KINDS = (*PLAIN, *BLOCKS)


@dataclass(frozen=True, eq=False)
class Quantized(Lazy):
    """A weight that a file holds in blocks; calling it gives its numbers as float32, in the weight's own axes.

    kind: key in BLOCKS; blocks: uint8 [rows, bytes], a view of the file, a row for each output; axes: of these numbers
    in the file, such as "HK D"; rotary: the order of a head's features in the file, "" where that is all one.
    """

    kind: str
    blocks: Array
    axes: str = ""
    rotary: str = ""


def dequantized(kind: str, blocks: Array) -> Array:
    """The numbers of blocks [rows, bytes] as float32 [rows, columns]."""
    made, done = np.empty((len(blocks), blocks.shape[1] // BLOCKS[kind] * BLOCK), np.float32), 0
    for part in in_parts(kind, blocks):
        made[done : done + len(part)] = part
        done += len(part)
    return made


def in_parts(kind: str, blocks: Array) -> Iterator[Array]:
    """The same some rows at a time."""
    from gguf import GGMLQuantizationType, quants

    for part in slices(blocks):
        with np.errstate(all="ignore"):  # a scale may be inf or NaN; the engine names the step where that arrives
            made = quants.dequantize(part, GGMLQuantizationType[kind])
        yield made


def row_bytes(kind: str, columns: int) -> int:
    """The bytes of one row. Raises InputError where a row is not whole blocks."""
    if kind in PLAIN:
        return columns * PLAIN[kind].itemsize
    if columns % BLOCK:
        raise InputError(f"rows of {columns} numbers are not whole blocks of {BLOCK}; {kind} cannot hold them")
    return columns // BLOCK * BLOCKS[kind]


def nbytes(kind: str, shape: Shape) -> int:
    """The bytes of an array. Raises InputError as `row_bytes`."""
    rows = 1
    for size in shape[:-1]:
        rows *= size
    return rows * row_bytes(kind, shape[-1])


def encoded(kind: str, array: Array, name: str) -> Iterator[Array]:
    """An array as the bytes of a kind, some rows at a time.

    Raises InputError, naming the array, for numbers that the kind cannot hold.
    """
    for part in slices(array.reshape(-1, array.shape[-1])):
        yield converted(kind, part, name) if kind in PLAIN else quantized(kind, part, name)


def converted(kind: str, rows: Array, name: str) -> Array:
    """Numbers in a plain kind, rounded to the nearest."""
    with np.errstate(over="ignore", under="ignore"):
        made = np.ascontiguousarray(rows).astype(PLAIN[kind])
    lost = np.isinf(made.astype(np.float32)) & np.isfinite(rows)
    if lost.any():
        raise InputError(f"{name} holds {float(rows[lost][0]):g}, too large for {kind}; save it as bf16 or f32")
    return made


def quantized(kind: str, rows: Array, name: str) -> Array:
    """Numbers [rows, columns] as blocks, uint8 [rows, bytes], the same that llama.cpp's quantiser makes."""
    from gguf import GGMLQuantizationType, quants

    with np.errstate(over="ignore"):
        plain = np.ascontiguousarray(rows, np.float32)
    most = float(np.abs(plain).max())
    if not most <= float(np.finfo(np.float16).max) * (127 if kind == "Q8_0" else 8):
        raise InputError(f"{name} holds {most:g}, which {kind} cannot; save it as f32")
    with np.errstate(all="ignore"):  # blocks of zeros, and of numbers so small that their scale becomes zero
        return quants.quantize(plain, GGMLQuantizationType[kind])
