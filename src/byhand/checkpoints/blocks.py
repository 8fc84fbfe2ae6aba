"""Weights in blocks: which of a program can be, how they then lie, and making them from plain ones or at random.

Blocks run along what a product sums over, a row for each output, so that a row times a vector is one number of the
result. Gains, biases and tables that are only looked up by position stay as they are; so does a matrix whose sum is not
of whole blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from byhand.checkpoints.files.quantized import BLOCK, BLOCKS, Quantized, dequantized, encoded, in_parts, row_bytes
from byhand.errors import InputError
from byhand.layouts import Row, Stored, pieces, shape
from byhand.layouts.layout import as_it_lies, marked, taken
from byhand.program import Program
from byhand.shapes import Shape
from byhand.weights import Weights, random, slices

Array = np.ndarray[Any, Any]

SUMMED = {"linear": 1, "to_heads": 1, "from_heads": 2}  # how many of a weight's first axes the product sums over
TABLE = "V D"


@dataclass(frozen=True)
class Scheme:
    """What --dtype q8 and its like mean. tables: the kind of token tables; fit: look for the best scales."""

    matrices: str
    tables: str
    fit: bool = False

    def kind(self, axes: str, held: Quantized | None) -> str:
        """Of a weight with these axes. held: the blocks it lies in; four bits are not made eight."""
        if held is not None and held.kind == self.matrices == "Q4_0":
            return held.kind
        return self.tables if axes == TABLE else self.matrices


class Plan(NamedTuple):
    """How a weight will be stored. axes: rows in front, then what is summed."""

    kind: str
    axes: str
    fit: bool = False


SCHEMES = {
    "q8": Scheme("Q8_0", "Q8_0"),
    "q4": Scheme("Q4_0", "Q8_0", fit=True),
    "q8_0": Scheme("Q8_0", "Q8_0"),
    "q4_0": Scheme("Q4_0", "Q4_0"),  # to the bit what llama.cpp makes
}


# --- which weights, and how they lie --------------------------------------------------------------------------------


def axes_in_blocks(program: Program) -> dict[str, str]:
    """How each weight that is read by products lies in blocks: rows in front, then what is summed: "HK D"."""
    found: dict[str, str] = {}
    for step in program:
        name = step.operator.name
        if name in SUMMED:
            address, first = step.names["weight"], SUMMED[name]
            axes = marked(program.weights[address])
            found[address] = f"{axes[first:]} {axes[:first]}"
        elif name == "unembed" or (name == "lookup" and reads_tokens(program, step.names["id"])):
            found[step.names["table"]] = TABLE
    return found


def reads_tokens(program: Program, address: str) -> bool:
    return address in program.inputs and program.inputs[address].rule == "tokens"


def row_of(address: str, axes: str, rotary: str = "") -> Row:
    """A weight by itself as a row of a layout."""
    return Row(address, Stored(axes, (address,), rotary), ((address,),))


def lying(program: Program, address: str, axes: str) -> Shape:
    """Rows, and numbers in each."""
    return shape(row_of(address, axes), program)


def why_not(program: Program, address: str) -> str:
    """Why a weight is not held in blocks; "" where it can be."""
    axes = axes_in_blocks(program).get(address)
    if axes is None:
        return "no product sums over it"
    columns = lying(program, address, axes)[1]
    return f"it sums {columns} numbers, which are not whole blocks of {BLOCK}" if columns % BLOCK else ""


def planned(weights: Weights, program: Program, dtype: str | None) -> dict[str, Plan]:
    """How each weight is stored that a dtype of SCHEMES puts into blocks; None: those that lie in blocks already."""
    found: dict[str, Plan] = {}
    for address, axes in axes_in_blocks(program).items():
        held = kept(weights.sources[address], axes)
        if dtype is None and held:
            found[address] = Plan(held.kind, axes)
        elif dtype is not None and lying(program, address, axes)[1] % BLOCK == 0:
            found[address] = Plan(SCHEMES[dtype].kind(axes, held), axes, SCHEMES[dtype].fit)
    return found


def of_blocks(kind: str, blocks: Array, size: Shape) -> Quantized:
    """An array that is in blocks, its last axis along them."""
    make = partial(plain, kind, blocks, size)
    return Quantized(size, np.dtype(np.float32), make, kind, blocks, parts=partial(in_parts, kind, blocks))


def plain(kind: str, blocks: Array, size: Shape) -> Array:
    return dequantized(kind, blocks).reshape(size)


def weight_of(part: Quantized, row: Row, program: Program) -> Quantized:
    """The one weight of a row, whose array is in blocks, with its own axes."""
    address, rotary = row.weights[0], row.stored.rotary
    size = tuple(program.sizes[letter] for letter in program.weights[address])
    make = partial(taken, row, part, program, address, (slice(None),))
    parts = part.parts if as_it_lies(row, program) else None
    return Quantized(size, part.dtype, make, part.kind, part.blocks, row.stored.axes, rotary, parts=parts)


def kept(source: Any, axes: str) -> Quantized | None:
    """A source that lies in these blocks already. Heads of keys count as heads: one array may hold both."""
    same = isinstance(source, Quantized) and source.axes.replace("G", "H") == axes.replace("G", "H")
    return source if same else None


# --- making them ----------------------------------------------------------------------------------------------------


def made(weights: Weights, program: Program, address: str, plan: Plan) -> Iterator[Array]:
    """A weight as blocks [rows, bytes], some rows at a time; those it lies in already stay, bit for bit.

    Raises InputError, naming it, for numbers that they cannot hold.
    """
    held = kept(weights.sources[address], plan.axes)
    if held is not None and held.kind == plan.kind:
        yield from slices(held.blocks)
    else:
        for piece in pieces(row_of(address, plan.axes), weights, program):
            yield from encoded(plan.kind, piece, address, plan.fit)


def quantise(weights: Weights, program: Program, dtype: str) -> Weights:
    """The weights with all that can be in blocks of a dtype of SCHEMES, held in memory; the others as they are.

    Raises InputError for another dtype, and for numbers that blocks cannot hold.
    """
    check_scheme(dtype)
    found = dict(weights.sources)
    for address, plan in planned(weights, program, dtype).items():
        blocks, done = empty(program, address, plan), 0
        for part in made(weights, program, address, plan):
            blocks[done : done + len(part)] = part
            done += len(part)
        found[address] = whole(blocks, program, address, plan)
    return Weights(found)


def empty(program: Program, address: str, plan: Plan) -> Array:
    rows, columns = lying(program, address, plan.axes)
    return np.empty((rows, row_bytes(plan.kind, columns)), np.uint8)


def whole(blocks: Array, program: Program, address: str, plan: Plan) -> Quantized:
    """A weight of blocks that lie in its own axes."""
    part = of_blocks(plan.kind, blocks, lying(program, address, plan.axes))
    return weight_of(part, row_of(address, plan.axes), program)


def check_scheme(dtype: str) -> None:
    if dtype not in SCHEMES:
        raise InputError(f"dtype {dtype!r:.40} is none in blocks; use {', '.join(SCHEMES)}")


def random_blocks(program: Program, dtype: str, seed: int = 0) -> Weights:
    """Random weights of a program as `weights.random` has them, those in blocks made as such: no plain numbers first.

    Products keep the size of what they read. Raises InputError for another dtype, and for a seed below 0.
    """
    check_scheme(dtype)
    weights, rng = random(program, seed), np.random.default_rng(seed)
    found = dict(weights.sources)
    for address, plan in planned(weights, program, dtype).items():
        blocks = empty(program, address, plan)
        fill(plan.kind, blocks, lying(program, address, plan.axes)[1], rng)
        found[address] = whole(blocks, program, address, plan)
    return Weights(found)


def fill(kind: str, blocks: Array, columns: int, rng: np.random.Generator) -> None:
    """Put random bytes into blocks whose numbers will have a mean square of 1 / columns."""
    spread = sqrt((255**2 - 1) / 12) if kind == "Q8_0" else sqrt((16**2 - 1) / 12 + 0.25)
    for part in slices(blocks):
        part[:] = rng.integers(0, 256, part.shape, np.uint8)
        each = part.reshape(-1, BLOCKS[kind])
        sizes_N = rng.uniform(0.8, 1.2, len(each)) * rng.choice((-1, 1), len(each))  # codes of 4 bits lean to one side
        each[:, :2] = (sizes_N / (spread * sqrt(columns))).astype("<f2")[:, None].view(np.uint8)
        if kind == "Q8_0":
            codes = each[:, 2:].view(np.int8)
            np.maximum(codes, -127, out=codes)  # which no quantiser goes below
