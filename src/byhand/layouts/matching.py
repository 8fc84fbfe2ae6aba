"""A file's arrays held against a layout, both ways: nothing missing, nothing left over, every shape right."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from byhand.errors import InputError, ShapeError
from byhand.layouts.layout import Array, Layout, Source, layers, names, rows_for, shape, split
from byhand.program import Program
from byhand.shapes import Shape
from byhand.weights import Lazy

CHUNK = 1 << 22  # bytes compared at once


class Matched(NamedTuple):
    """weights: by address; ignored: arrays that are no weights, with the reason; copies: what stands there twice."""

    weights: dict[str, Source]
    ignored: dict[str, str]
    copies: dict[str, str]


def match(
    layout: Layout, program: Program, arrays: Mapping[str, Source], where: str, words: Mapping[str, str]
) -> Matched:
    """The weights of a program from a file's arrays.

    where: the file, for messages; words: what the file's config calls the size of a letter, such as {"D": "n_embd"}.
    Raises InputError for arrays that are missing or left over and for a copy with other numbers, ShapeError naming the
    array, its shape and the config values that need another.
    """
    rows = names(rows_for(layout, program))
    missing = [name for name in rows if name not in arrays]
    others = [name for name in arrays if name not in rows]
    ignored = {name: why for name in others if (why := reason(layout, name))}
    copies = {name: of for name in others if (of := layout.copies.get(name)) in rows and of is not None}
    left_over = [name for name in others if name not in ignored and name not in copies]
    refuse(missing, f"{where} lacks", f"which {layout.title} with {layers(program)} layers needs", left_over)
    refuse(left_over, f"{where} holds", f"which no {layout.title} with {layers(program)} layers has", missing)
    found: dict[str, Source] = {}
    for name, row in rows.items():
        check_shape(name, arrays[name].shape, shape(row, program), where, described(row.stored.axes, program, words))
        found |= split(row, arrays[name], program)
    for copy, original in copies.items():
        check_copy(copy, arrays[copy], original, arrays[original], where)
    return Matched(found, ignored, copies)


def reason(layout: Layout, name: str) -> str | None:
    """Why an array that no row names may be left out; None if it may not."""
    return next((why for pattern, why in layout.ignored.items() if fnmatchcase(name, pattern)), None)


def refuse(found: list[str], what: str, why: str, others: list[str]) -> None:
    if found:
        some = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        fix = f"; its unknown names are {', '.join(others[:2])}" if others else ""
        raise InputError(f"{what} {some}, {why}; the config does not belong to these weights, or a part is absent{fix}")


def described(axes: str, program: Program, words: Mapping[str, str]) -> str:
    """The sizes in the file's own words: "n_embd 32, n_inner 128"."""
    letters = dict.fromkeys(letter.upper() for letter in axes if letter.isalpha() and letter != "L")
    sizes = {**program.sizes, "L": layers(program)}
    return ", ".join(f"{words.get(letter, letter)} {sizes[letter]}" for letter in letters)


def check_shape(name: str, got: Shape, needed: Shape, where: str, sizes: str) -> None:
    if got != needed:
        raise ShapeError(f"{where}: {name} has shape {got}, but its config says {sizes}, which needs {needed}")


def check_copy(copy: str, array: Source, original: str, same: Source, where: str) -> None:
    """Raise InputError when a tied array that stands in the file twice differs in any bit."""
    one, other = (each() if isinstance(each, Lazy) else each for each in (array, same))
    if one.shape != other.shape or one.dtype != other.dtype or not same_bytes(one, other):
        raise InputError(
            f"{where}: {copy} differs from {original}, but its config says that they are tied; "
            "set tie_word_embeddings to false there"
        )


def same_bytes(one: Array, other: Array) -> bool:
    """Whether two arrays of one shape and type hold the same bytes, compared a part at a time, or not if shared."""
    if one.ctypes.data == other.ctypes.data and one.strides == other.strides:
        return True
    rows = max(1, CHUNK // max(1, one[:1].nbytes))
    return all(one[at : at + rows].tobytes() == other[at : at + rows].tobytes() for at in range(0, len(one), rows))
