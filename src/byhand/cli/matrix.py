"""A value as matrices with named rows and columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice, pairwise, product
from math import prod
from typing import NamedTuple

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from byhand.cli.figures import cells, token_name
from byhand.tensor import Array, Tensor

MANY_ROWS = 24
MANY_GRIDS = 8
GAP, DOTS = -1, "..."


class Names(NamedTuple):
    """What stands along the axes: tokens and other names by letter, and by axis the places that a slice took."""

    tokens: Mapping[str, Sequence[str]]
    columns: Mapping[str, Sequence[str]]
    places: Sequence[range]


def names(
    tensor: Tensor, columns: Mapping[str, Sequence[str]] | None = None, places: Sequence[range] | None = None
) -> Names:
    """The tokens along position axes, the caller's names along others, and which places these are of the whole."""
    return Names(tensor.labels, columns or {}, places or [range(size) for size in tensor.shape])


class Axis(NamedTuple):
    """One axis of a matrix: its letter, and by place along it the number it has in the whole and its name."""

    letter: str
    numbers: Sequence[int]
    tokens: Sequence[str] = ()
    words: Sequence[str] = ()

    def word(self, i: int) -> str:
        """What a column is called: its token, its name, or its number."""
        if self.letter == "1":
            return ""
        if self.words:
            return token_name(self.words[self.numbers[i]])
        return token_name(self.tokens[i]) if self.tokens else str(self.numbers[i])

    def numbered(self, i: int) -> str:
        """What a row is called: a position has its number before the token."""
        return f"{self.numbers[i]} {self.word(i)}" if self.tokens else self.word(i)


def grids(tensor: Tensor, labels: Names, width: int, whole: bool = False) -> list[RenderableType]:
    """The numbers of a value as matrices, one for every choice of its leading axes.

    whole: leave nothing out; otherwise rows, columns and matrices in the middle of large ones are.
    """
    array, axes = squeezed(tensor, labels)
    *leading, rows, columns = array.shape
    count = prod(leading)
    places = list(islice(product(*map(range, leading)), count if whole else MANY_GRIDS))
    kept = [picked(rows, rows if whole else MANY_ROWS), picked(columns, columns if whole else width // 2)]
    some = np.array([array[place][np.ix_(*kept)] for place in places])
    texts = np.array(cells(some)).reshape(some.shape)
    made: list[RenderableType] = []
    for place, each in zip(places, texts, strict=True):
        if place:
            chosen = (f"{axis.letter}={axis.numbered(i)}" for axis, i in zip(axes, place, strict=False))
            made.append(Text(", ".join(chosen), style="dim"))
        made += Matrix(each, axes[-2], axes[-1], *kept).tables(width, whole)
    if len(places) < count:
        made.append(Text(f"... {count - len(places)} more; choose with an index", style="dim"))
    return made


def squeezed(tensor: Tensor, labels: Names) -> tuple[Array, list[Axis]]:
    """The array with at least two axes, without those of size one; positions go down, anything else across."""
    every = zip(tensor.axes, labels.places, tensor.shape, strict=True)
    axes = [
        Axis(letter, places, labels.tokens.get(letter, ()), labels.columns.get(letter, ()))
        for letter, places, size in every
        if size > 1
    ]
    array = tensor.array.reshape([len(axis.numbers) for axis in axes])
    alone = Axis("1", range(1))
    if len(axes) == 1 and axes[0].tokens:
        return array[:, None], [*axes, alone]
    return (array, axes) if len(axes) > 1 else (array.reshape(1, -1), [alone, *(axes or [alone])])


def picked(size: int, most: int) -> list[int]:
    """All places along an axis, or the first ones and the last."""
    return list(range(size)) if size <= most else [*range(most - 1), size - 1]


class Matrix(NamedTuple):
    """The cells of one matrix, its axes, and which places along them the cells are."""

    texts: Array
    down: Axis
    across: Axis
    rows: list[int]
    columns: list[int]

    def tables(self, width: int, whole: bool) -> list[Table]:
        """The matrix as one table; when whole and too wide, as several below each other."""
        heads = [self.down.numbered(i) for i in self.rows]
        tops = [self.across.word(i) for i in self.columns]
        widths = [max(len(top), *map(len, column)) + 1 for top, column in zip(tops, self.texts.T, strict=True)]
        room = max(width - max(map(len, heads)), max(widths))
        return [self.table(heads, tops, chosen) for chosen in chunks(widths, room, whole)]

    def table(self, heads: list[str], tops: list[str], chosen: list[int]) -> Table:
        """The chosen columns. Zeros step back so that the rest can be seen; a gap is marked with dots."""
        made = Table(box=None, pad_edge=False, padding=(0, 0, 0, 1), header_style="dim", show_header=any(tops))
        made.add_column("", style="dim", no_wrap=True)
        gaps = [self.columns[j] - self.columns[i] > 1 for i, j in pairwise(chosen)]
        marked = [part for j, gap in zip(chosen, [False, *gaps], strict=True) for part in ([GAP, j] if gap else [j])]
        for column in marked:
            made.add_column(DOTS if column == GAP else tops[column], justify="right", no_wrap=True)
        for i, head in enumerate(heads):
            if i and self.rows[i] - self.rows[i - 1] > 1:
                made.add_row(DOTS, *[DOTS] * len(marked))
            line = [DOTS if column == GAP else str(self.texts[i, column]) for column in marked]
            made.add_row(head, *(Text(text, style="dim" if text in ("0", DOTS) else "") for text in line))
        return made


def chunks(widths: list[int], room: int, whole: bool) -> list[list[int]]:
    """Columns that fit side by side: all, in several goes when whole, else the first ones and the last."""
    if sum(widths) <= room:
        return [list(range(len(widths)))]
    if not whole:
        used, last = 4 + widths[-1], len(widths) - 1
        fit = [i for i in range(last) if used + sum(widths[: i + 1]) <= room]
        return [[*(fit or [0]), last]]
    made: list[list[int]] = [[]]
    for i, wide in enumerate(widths):
        if made[-1] and sum(widths[j] for j in made[-1]) + wide > room:
            made.append([])
        made[-1].append(i)
    return made


def beside(parts: Sequence[RenderableType], out: Console, gap: int = 4) -> list[RenderableType]:
    """Parts next to each other, as many in a line as fit."""
    lines: list[list[RenderableType]] = [[]]
    used = 0
    for part in parts:
        wide = Measurement.get(out, out.options, part).maximum
        if lines[-1] and used + gap + wide > out.width:
            lines.append([])
            used = 0
        used += wide + gap * bool(lines[-1])
        lines[-1].append(part)
    return [row(line, gap) for line in lines]


def row(parts: Sequence[RenderableType], gap: int) -> RenderableType:
    made = Table.grid(padding=(0, gap, 0, 0))
    made.add_row(*parts)
    return made


def titled(title: str, note: str, parts: Sequence[RenderableType]) -> Group:
    """A name, what made it, and its numbers below."""
    return Group(Text.assemble((title, "bold"), (f"  {note}" if note else "", "dim")), *parts)
