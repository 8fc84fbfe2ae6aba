"""A value as matrices with named rows and columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
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
    array, axes = squeezed(tensor)
    texts = np.array(cells(array)).reshape(array.shape)
    if array.ndim == 0:
        return [Text(str(texts))]
    if array.ndim == 1 and axes in labels.tokens:
        texts, axes = texts[:, None], f"{axes}1"
    elif array.ndim == 1:
        texts, axes = texts[None, :], f"1{axes}"
    leading = list(product(*(range(size) for size in texts.shape[:-2])))
    chosen = leading if whole else leading[:MANY_GRIDS]
    made: list[RenderableType] = []
    for place in chosen:
        if place:
            made.append(
                Text(" ".join(f"{a}={labels.column(a, i)}" for a, i in zip(axes, place, strict=False)), style="dim")
            )
        made += matrix(texts[place], axes[-2:], labels, width, whole)
    if len(chosen) < len(leading):
        made.append(Text(f"... {len(leading) - len(chosen)} more; choose with an index", style="dim"))
    return made


def squeezed(tensor: Tensor) -> tuple[Array, str]:
    """The array without its axes of size one, but for the last two when there is nothing else."""
    keep = [i for i, size in enumerate(tensor.shape) if size > 1]
    if not keep and tensor.axes:
        keep = [len(tensor.axes) - 1]
    return tensor.array.reshape([tensor.shape[i] for i in keep]), "".join(tensor.axes[i] for i in keep)


def matrix(texts: Array, axes: str, labels: Names, width: int, whole: bool) -> list[Table]:
    """One matrix as a grid; when whole and too wide, as several below each other."""
    rows = list(range(len(texts)))
    if not whole and len(rows) > MANY_ROWS:
        rows = [*rows[: MANY_ROWS - 4], -1, *rows[-3:]]
    heads = ["" if axes[0] == "1" else labels.row(axes[0], i) if i >= 0 else "..." for i in rows]
    tops = ["" if axes[1] == "1" else labels.column(axes[1], i) for i in range(texts.shape[1])]
    widths = [max(len(top), *(len(text) for text in texts[:, i])) + 1 for i, top in enumerate(tops)]
    room = max(width - max(map(len, heads)) - 1, max(widths))
    return [grid(texts, rows, heads, tops, columns) for columns in chunks(widths, room, whole)]


def chunks(widths: list[int], room: int, whole: bool) -> list[list[int]]:
    """Columns that fit side by side: all in several goes when whole, else the first and last (-1 for the gap)."""
    if sum(widths) <= room:
        return [list(range(len(widths)))]
    if not whole:
        each = max(widths)
        fit = max(2, (room - 4) // each)
        return [[*range(fit - 1), -1, len(widths) - 1]]
    made: list[list[int]] = [[]]
    for i, wide in enumerate(widths):
        if made[-1] and sum(widths[j] for j in made[-1]) + wide > room:
            made.append([])
        made[-1].append(i)
    return made


def grid(texts: Array, rows: list[int], heads: list[str], tops: list[str], columns: list[int]) -> Table:
    """The chosen rows and columns; zeros step back so that the rest can be seen."""
    made = Table(box=None, pad_edge=False, padding=(0, 0, 0, 1), header_style="dim", show_header=any(tops))
    made.add_column("", style="dim", no_wrap=True)
    for column in columns:
        made.add_column("..." if column < 0 else tops[column], justify="right", no_wrap=True)
    for row, head in zip(rows, heads, strict=True):
        line = ["..." if column < 0 or row < 0 else str(texts[row, column]) for column in columns]
        made.add_row(head, *(Text(text, style="dim" if text in ("0", "...") else "") for text in line))
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
