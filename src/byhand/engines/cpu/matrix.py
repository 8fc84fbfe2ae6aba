"""How a weight lies in memory, as a product of matrices reads it: always as the model holds it, never a second copy."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from byhand.checkpoints.files.quantized import BLOCK, Quantized
from byhand.weights import Weights

Array = np.ndarray[Any, Any]

PLAIN = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


@dataclass(frozen=True, eq=False)
class Matrix:
    """A weight with `ins` numbers read and `outs` numbers made for every row of a product.

    kind: f32, f16 or bf16 (the latter two as uint16), q8_0 or q4_0 (blocks as GGUF has them, uint8 [outs, bytes]).
    array: its rows; outs_first: whether a row holds what makes one output ([outs, ins]), else [ins, outs]. Rows may lie
    apart (a view of a larger array); inside a row numbers lie side by side.
    """

    kind: str
    array: Array
    ins: int
    outs: int
    outs_first: bool

    @property
    def nbytes(self) -> int:
        """Bytes that are read when the whole matrix is."""
        return self.array.shape[0] * self.array.shape[1] * self.array.itemsize

    @property
    def in_blocks(self) -> bool:
        return self.kind.startswith("q")


def matrix(weights: Weights, address: str, axes_in: int, table: bool = False) -> Matrix:
    """The matrix of a weight whose first `axes_in` axes are read and the others made.

    table: the other way round: rows of a table [V, D] are outputs (or are looked up).
    """
    source = weights.sources[address]
    if isinstance(source, Quantized) and blocks_fit(source, axes_in, table):
        outs = source.blocks.shape[0]
        return Matrix(source.kind.lower(), source.blocks, prod(source.shape) // outs, outs, True)
    array = weights[address]
    split = 1 if table else axes_in
    first, last = prod(array.shape[:split]), prod(array.shape[split:])
    ins, outs = (last, first) if table else (first, last)
    kind = PLAIN.get(array.dtype.name)
    if kind is None:
        array, kind = array.astype(np.float32), "f32"
    rows = view(array, first, last)
    columns = view(array.transpose(*range(split, array.ndim), *range(split)), last, first)
    lying, by_first = (rows, True) if rows is not None else (columns, False)
    if lying is None:
        lying, by_first = np.ascontiguousarray(array).reshape(first, last), True
    lying = lying if kind == "f32" else lying.view(np.uint16)
    return Matrix(kind, lying, ins, outs, by_first == table)


def blocks_fit(source: Quantized, axes_in: int, table: bool) -> bool:
    """Whether the blocks of a file run along what a product sums over, each row an output."""
    rows = source.blocks.shape[0]
    made = prod(source.shape[:1]) if table else prod(source.shape[axes_in:])
    return rows == made and (prod(source.shape) // rows) % BLOCK == 0


def view(array: Array, rows: int, columns: int) -> Array | None:
    """The array as [rows, columns] without a copy, where a row lies in one piece; else None."""
    made = array.view()
    try:
        made.shape = (rows, columns)
    except AttributeError:
        return None
    contiguous = columns == 1 or made.strides[1] == made.itemsize
    return made if contiguous else None
