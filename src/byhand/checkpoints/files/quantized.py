"""Arrays in the number formats of ggml: plain ones, and rows of blocks that share a scale.

Q8_0: 32 numbers as int8 and one float16 scale, 34 bytes. Q4_0: 32 numbers of 4 bits and one float16 scale, 18 bytes.
Source: ggml/src/ggml-quants.c of llama.cpp; the arithmetic is that of its library gguf, but for `fitted`, which looks
for better scales than llama.cpp's.
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
FOUR_BITS = 8  # what is added to -8 ... 7, so that Q4_0 holds 0 ... 15
TRIED = (8, 7, 7.5, 8.5, 9, 10)  # what the largest number of a block becomes where its scale is looked for


@dataclass(frozen=True, eq=False)
class Quantized(Lazy):
    """A weight that a file holds in blocks; calling it gives its numbers as float32, in the weight's own axes.

    kind: key in BLOCKS; blocks: uint8 [rows, bytes], a view of the file, a row for each output; axes: of these numbers
    in the file, such as "HK D"; rotary: the order of a head's features in the file, "" where it is the model's own.
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
    for part in slices(blocks):
        with np.errstate(all="ignore"):  # a scale may be inf or NaN; the engine names the step where that arrives
            made = numbers_of(kind, part)
        yield made


def numbers_of(kind: str, blocks: Array) -> Array:
    each = blocks.reshape(-1, BLOCKS[kind])
    scale_N1 = np.ascontiguousarray(each[:, :2]).view("<f2").astype(np.float32)
    codes_NC = each[:, 2:]
    if kind == "Q8_0":
        made_NB = np.multiply(codes_NC.view(np.int8), scale_N1, dtype=np.float32)
    else:
        made_NB = np.empty((len(each), BLOCK), np.float32)
        np.subtract(codes_NC & 15, FOUR_BITS, out=made_NB[:, : BLOCK // 2], dtype=np.float32)
        np.subtract(codes_NC >> 4, FOUR_BITS, out=made_NB[:, BLOCK // 2 :], dtype=np.float32)
        made_NB *= scale_N1
    return made_NB.reshape(len(blocks), -1)


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


def encoded(kind: str, array: Array, name: str, fit: bool = False) -> Iterator[Array]:
    """An array as the bytes of a kind, some rows at a time. fit: look for the best scales, see `fitted`.

    Raises InputError, naming the array, for numbers that the kind cannot hold.
    """
    for part in slices(array.reshape(-1, array.shape[-1])):
        yield converted(kind, part, name) if kind in PLAIN else quantized(kind, part, name, fit)


def converted(kind: str, rows: Array, name: str) -> Array:
    """Numbers in a plain kind, rounded to the nearest."""
    with np.errstate(over="ignore", under="ignore"):
        made = np.ascontiguousarray(rows).astype(PLAIN[kind])
    lost = np.isinf(made.astype(np.float32)) & np.isfinite(rows)
    if lost.any():
        raise InputError(f"{name} holds {float(rows[lost][0]):g}, too large for {kind}; save it as bf16 or f32")
    return made


def quantized(kind: str, rows: Array, name: str, fit: bool = False) -> Array:
    """Numbers [rows, columns] as blocks, uint8 [rows, bytes]: those of llama.cpp's quantiser, or of `fitted`.

    Raises InputError, naming the array, for numbers that the kind cannot hold.
    """
    from gguf import GGMLQuantizationType, quants

    with np.errstate(over="ignore"):
        plain = np.ascontiguousarray(rows, np.float32)
    most = float(np.abs(plain).max())
    if not most <= float(np.finfo(np.float16).max) * (127 if kind == "Q8_0" else 6 if fit else 8):
        raise InputError(f"{name} holds {most:g}, which {kind} cannot; save it as f32")
    with np.errstate(all="ignore"):  # blocks of zeros, and of numbers so small that their scale becomes zero
        if fit and kind == "Q4_0":
            return fitted(plain.reshape(-1, BLOCK)).reshape(len(rows), -1)
        return quants.quantize(plain, GGMLQuantizationType[kind])


def fitted(numbers_NB: Array) -> Array:
    """Blocks of Q4_0, uint8 [N, 18], with the scale that leaves the least squared error of a few.

    llama.cpp's scale makes -8 of the largest number. Each of TRIED gives whole numbers q; for these the best scale is
    sum(x q) / sum(q q), which leaves sum(x x) - sum(x q)^2 / sum(q q).
    """
    largest_N1 = np.take_along_axis(numbers_NB, np.abs(numbers_NB).argmax(axis=1, keepdims=True), axis=1)
    largest_N1[np.abs(largest_N1) < np.finfo(np.float32).tiny] = 1  # all zeros: any scale gives them
    scale_N, most_N = np.zeros((2, len(numbers_NB)), np.float32)
    for each in TRIED:
        q_NB = four_bits(numbers_NB * (-each / largest_N1))
        xq_N, qq_N = np.einsum("nb,nb->n", numbers_NB, q_NB), np.einsum("nb,nb->n", q_NB, q_NB)
        gain_N = xq_N / qq_N * xq_N
        better_N = gain_N > most_N
        most_N[better_N] = gain_N[better_N]
        scale_N[better_N] = (xq_N / qq_N)[better_N]
    half_N1 = scale_N.astype("<f2")[:, None]
    wide_N1 = half_N1.astype(np.float32)
    q_NB = four_bits(numbers_NB * np.where(wide_N1 == 0, 0, 1 / wide_N1)) + FOUR_BITS
    code_NB = q_NB.astype(np.uint8)
    pairs_NC = code_NB[:, : BLOCK // 2] | code_NB[:, BLOCK // 2 :] << 4
    return np.concatenate([half_N1.view(np.uint8), pairs_NC], axis=1)


def four_bits(x_NB: Array) -> Array:
    """Rounded to the whole numbers from -8 to 7, in place."""
    return np.clip(np.rint(x_NB, out=x_NB), -FOUR_BITS, FOUR_BITS - 1, out=x_NB)
