"""How another project's file holds a model's weights: under which names, in which axes, several in one array.

A layout is a table with one row an array of the file::

    "h.{l}.attn.c_attn.weight": stored("D +HK", Q, K, V)

says that the file's array has two axes: the width, and behind it q, k and v one after the other (+), each with its
heads side by side. The same row reads (`split`) and writes (`joined`). Letters are those of the weight in its program;
the second axis of a letter is written small, so that "d D" is a matrix of two widths turned over. L in front stacks
blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from byhand.errors import ShapeError
from byhand.program import Program
from byhand.shapes import Shape
from byhand.weights import Lazy, Weights

Array = np.ndarray[Any, Any]
Source = Array | Lazy

ROTARY = {"rotary_pairs": "pairs", "rotary_halves": "halves"}


@dataclass(frozen=True)
class Stored:
    """One array of a file; see the module's text for `axes`.

    weights: addresses, with {l} for the block; rotary: in which order the file holds the features of a query or key
    head, "pairs" or "halves", and "" where that is all one.
    """

    axes: str
    weights: tuple[str, ...]
    rotary: str = ""

    @property
    def groups(self) -> list[str]:
        """The letters of every axis, without L and the plus sign."""
        return [group.removeprefix("+") for group in self.axes.split() if group != "L"]

    @property
    def joint(self) -> int:
        """The axis along which several weights follow one another."""
        found = [i for i, group in enumerate(group for group in self.axes.split() if group != "L") if group[0] == "+"]
        return found[0] if found else 0

    @property
    def stacked(self) -> bool:
        return self.axes.startswith("L ")


def stored(axes: str, *weights: str, rotary: str = "") -> Stored:
    return Stored(axes, weights, rotary)


@dataclass(frozen=True)
class Layout:
    """A project's table.

    title: what it is called; rows: by the name in the file, with {l} where each block has its own array; ignored: why
    an array that is no weight may be left out, by a pattern of its name (* is anything); copies: arrays that may stand
    in a file a second time, as {second name: name of the row}.
    """

    title: str
    rows: Mapping[str, Stored]
    ignored: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A row of a layout for one program. blocks: the addresses in it, a tuple for each block that is stacked."""

    name: str
    stored: Stored
    blocks: tuple[tuple[str, ...], ...]

    @property
    def weights(self) -> list[str]:
        return [address for block in self.blocks for address in block]


def rows_for(layout: Layout, program: Program) -> list[Row]:
    """The rows of a program, block by block where blocks have their own arrays, without those it has no weight for."""
    count = layers(program)
    found = []
    for name, row in layout.rows.items():
        numbers = range(count) if "{l}" in name else [0]
        for number in numbers:
            blocks = range(count) if row.stacked else [number]
            each = [tuple(address.format(l=block) for address in row.weights) for block in blocks]
            present = [block for block in each if all(address in program.weights for address in block)]
            if present:
                found.append(Row(name.format(l=number), row, tuple(present)))
    return found


def layers(program: Program) -> int:
    """How many blocks have weights."""
    numbers = (address.split(".")[1] for address in program.weights if address.startswith("blocks."))
    return len(set(numbers))


def rotary_of(program: Program) -> str:
    """The order of features in this program's query and key heads; "" without rotary positions."""
    return next((ROTARY[step.operator.name] for step in program if step.operator.name in ROTARY), "")


# --- one row, read and written -------------------------------------------------------------------------------------


def sizes_of(row: Row, program: Program, address: str) -> list[Shape]:
    """The sizes of the letters in each of the file's axes, for one of the weights in it."""
    axes = marked(program.weights[address])
    return [tuple(program.sizes[letter_in(letter, axes).upper()] for letter in group) for group in row.stored.groups]


def marked(axes: str) -> str:
    """The axes with the second of a letter written small: "DD" becomes "Dd"."""
    return "".join(letter.lower() if letter in axes[:i] else letter for i, letter in enumerate(axes))


def letter_in(letter: str, axes: str) -> str:
    """The letter as this weight has it: a row for q, k and v says H, and keys that are shared have G there."""
    return "G" if letter == "H" and "H" not in axes and "G" in axes else letter


def shape(row: Row, program: Program) -> Shape:
    """The shape of the file's array."""
    pieces = [[prod(group) for group in sizes_of(row, program, address)] for address in row.blocks[0]]
    whole = list(pieces[0])
    whole[row.stored.joint] = sum(piece[row.stored.joint] for piece in pieces)
    return (len(row.blocks),) * row.stored.stacked + tuple(whole)


def split(row: Row, array: Source, program: Program) -> dict[str, Source]:
    """The weights in a file's array, by address: views of it, or Lazy where the file's array is or features are moved.

    Raises ShapeError when the array does not have the shape of the row.
    """
    if array.shape != shape(row, program):
        raise ShapeError(f"{row.name} has shape {array.shape}, but this model needs {shape(row, program)}")
    if as_it_lies(row, program):
        return {row.weights[0]: array}
    moved = bool(row.stored.rotary) and row.stored.rotary != rotary_of(program)
    found: dict[str, Source] = {}
    for address, cut in cuts(row, program):
        make = partial(taken, row, array, program, address, cut)
        size = tuple(program.sizes[letter] for letter in program.weights[address])
        found[address] = Lazy(size, array.dtype, make) if moved or isinstance(array, Lazy) else make()
    return found


def as_it_lies(row: Row, program: Program) -> bool:
    """Whether a file's array is one weight, with the same axes in the same order."""
    first, *others = row.weights
    same = not others and shape(row, program) == tuple(program.sizes[letter] for letter in program.weights[first])
    flat = order(row, program, first)
    return same and flat == sorted(flat) and row.stored.rotary in ("", rotary_of(program))


def cuts(row: Row, program: Program) -> Iterator[tuple[str, tuple[int | slice, ...]]]:
    """Every weight of a row with the part of the file's array that it is."""
    for number, block in enumerate(row.blocks):
        start = 0
        for address in block:
            length = prod(sizes_of(row, program, address)[row.stored.joint])
            part: tuple[int | slice, ...] = (slice(None),) * row.stored.joint + (slice(start, start + length),)
            yield address, (number, *part) if row.stored.stacked else part
            start += length


def taken(row: Row, array: Source, program: Program, address: str, cut: tuple[int | slice, ...]) -> Array:
    """One weight out of a file's array, with its own axes."""
    plain = array() if isinstance(array, Lazy) else array
    sizes = sizes_of(row, program, address)
    apart = plain[cut].reshape([size for group in sizes for size in group])
    weight = apart.transpose(order(row, program, address))
    return reordered(weight, program.weights[address], row.stored.rotary, rotary_of(program))


def order(row: Row, program: Program, address: str) -> list[int]:
    """Where each axis of the weight stands among the letters of the file's axes."""
    axes = marked(program.weights[address])
    letters = [letter_in(letter, axes) for group in row.stored.groups for letter in group]
    return [letters.index(letter) for letter in axes]


def joined(row: Row, look: Callable[[str], Array], program: Program) -> Array:
    """The file's array, made from the weights that `look` gives by address."""
    made = [together([placed(row, look, program, a) for a in block], row.stored.joint) for block in row.blocks]
    return np.stack(made) if row.stored.stacked else made[0]


def together(parts: list[Array], axis: int) -> Array:
    """Arrays one after the other; one alone is not copied, for it may be most of the model."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


def pieces(row: Row, weights: Weights, program: Program) -> Iterator[Array]:
    """The file's array in parts that follow one another in the file, so that little is in memory: a block at a time,
    and some rows at a time of a weight that lies in the file as it is.
    """
    for block in row.blocks:
        one = Row(row.name, replace(row.stored, axes=row.stored.axes.removeprefix("L ")), (block,))
        if as_it_lies(one, program):
            yield from weights.parts(block[0])
        else:
            yield joined(one, weights.__getitem__, program)


def placed(row: Row, look: Callable[[str], Array], program: Program, address: str) -> Array:
    """One weight as it lies in the file's array."""
    axes = program.weights[address]
    weight = reordered(look(address), axes, rotary_of(program), row.stored.rotary)
    turned = weight.transpose(np.argsort(order(row, program, address)))
    return turned.reshape([prod(group) for group in sizes_of(row, program, address)])


def reordered(weight: Array, axes: str, before: str, after: str) -> Array:
    """The features of every head moved from one rotary order to the other: pairs (2j, 2j+1), halves (j, j + K/2)."""
    if not before or not after or before == after:
        return weight
    at = axes.index("K")
    K = weight.shape[at]
    places = (
        np.arange(K).reshape(K // 2, 2).T.ravel() if after == "halves" else np.arange(K).reshape(2, K // 2).T.ravel()
    )
    return np.take(weight, places, axis=at)


def changes(row: Row, program: Program) -> str:
    """What is done between the file and the model, in words; "as it is" where nothing is."""
    first = row.blocks[0][0]
    words = ["blocks apart"] * row.stored.stacked + ["parts apart"] * (len(row.blocks[0]) > 1)
    words += ["heads apart"] * any(len(group) > 1 for group in row.stored.groups)
    flat = order(row, program, first)
    words += ["turned over"] * (flat != sorted(flat))
    if row.stored.rotary and row.stored.rotary != rotary_of(program):
        words.append(f"rotary {row.stored.rotary} to {rotary_of(program)}")
    return ", ".join(words) or "as it is"


def names(rows: Sequence[Row]) -> dict[str, Row]:
    return {row.name: row for row in rows}
