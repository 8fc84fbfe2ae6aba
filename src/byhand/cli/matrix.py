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
    """The labels along the axes, by letter."""

    tokens: dict[str, list[str]]
    columns: Mapping[str, Sequence[str]]

    def column(self, letter: str, place: int) -> str:
        if letter in self.columns:
            return token_name(self.columns[letter][place])
        return token_name(self.tokens[letter][place]) if letter in self.tokens else str(place)

    def row(self, letter: str, place: int) -> str:
        if letter in self.tokens:
            return f"{place} {token_name(self.tokens[letter][place])}"
        return self.column(letter, place)


def names(tensor: Tensor, columns: Mapping[str, Sequence[str]] | None = None) -> Names:
    """The tokens along position axes, and the caller's names along others."""
    return Names(dict(tensor.labels), columns or {})


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
            names = (f"{letter}={labels.row(letter, i)}" for letter, i in zip(axes, place, strict=False))
            made.append(Text(", ".join(names), style="dim"))
        made += Matrix(each, axes[-2:], *kept, labels).tables(width, whole)
    if len(places) < count:
        made.append(Text(f"... {count - len(places)} more; choose with an index", style="dim"))
    return made


def squeezed(tensor: Tensor, labels: Names) -> tuple[Array, str]:
    """The array with at least two axes, without those of size one; positions go down, anything else across."""
    keep = [i for i, size in enumerate(tensor.shape) if size > 1]
    axes = "".join(tensor.axes[i] for i in keep)
    array = tensor.array.reshape([tensor.shape[i] for i in keep])
    if len(axes) == 1 and axes in labels.tokens:
        return array[:, None], f"{axes}1"
    if len(axes) < 2:
        return array.reshape(1, -1), f"1{axes or '1'}"
    return array, axes


def picked(size: int, most: int) -> list[int]:
    """All places along an axis, or the first ones and the last."""
    return list(range(size)) if size <= most else [*range(most - 1), size - 1]


class Matrix(NamedTuple):
    """The cells of one matrix, and which rows and columns of the value they are."""

    texts: Array
    axes: str
    rows: list[int]
    columns: list[int]
    labels: Names

    def tables(self, width: int, whole: bool) -> list[Table]:
        """The matrix as one table; when whole and too wide, as several below each other."""
        heads = ["" if self.axes[0] == "1" else self.labels.row(self.axes[0], i) for i in self.rows]
        tops = ["" if self.axes[1] == "1" else self.labels.column(self.axes[1], i) for i in self.columns]
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
