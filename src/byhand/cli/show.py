"""What every command prints with: the console, tables, prose, and the one JSON document.

Only bold and dim, and green and red where something is right or wrong: readable on a dark and on a light background, and
without colours at all.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from textwrap import wrap
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

CLOSED_PIPE = 141  # 128 + SIGPIPE, as of any program whose reader has gone
WIDEST = 100  # columns of prose that can still be read


class Out(Console):
    """Standard output; it ends quietly when its reader goes away."""

    def on_broken_pipe(self) -> None:
        closed_pipe()


def closed_pipe() -> None:
    """Leave, sending what is still unwritten nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(CLOSED_PIPE)


def console(stderr: bool = False) -> Console:
    """A console for the moment. NO_COLOR leaves out bold and dim too, so that nothing but text is written."""
    plain = bool(os.environ.get("NO_COLOR"))
    return Out(stderr=stderr, color_system=None if plain else "auto", highlight=False, markup=False, emoji=False)


def write(*parts: RenderableType) -> None:
    """Print each part on lines of its own."""
    out = console()
    for part in parts:
        out.print(part)


def prose(text: str, style: str = "") -> None:
    """A paragraph, wrapped at a width that can be read."""
    write(wrapped(text, 0, style))


def wrapped(text: str, columns: int = 0, style: str = "") -> Text:
    """A paragraph set in by so many columns."""
    width = min(console().width, WIDEST)
    margin = " " * columns
    lines = wrap(text, width, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)
    return Text("\n".join(lines), style=style)


def heading(text: str) -> None:
    write(Text(text, style="bold"))


def dim(text: str) -> Text:
    return Text(text, style="dim")


def inset(part: RenderableType, columns: int = 2) -> Padding:
    return Padding(part, (0, 0, 0, columns), expand=False)


def table(columns: Mapping[str, str], rows: Iterable[Sequence[RenderableType]]) -> Table:
    """A quiet table. columns: heading and how its cells are set, "left" or "right"; nothing is ever cut off."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name, justify in columns.items():
        made.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        made.add_row(*row)
    return made


def ruled(columns: Mapping[str, str], rows: Sequence[list[str] | RenderableType]) -> Group:
    """A table whose rows may also be anything else that is printed across all columns."""
    cells = [list(columns), *(row for row in rows if isinstance(row, list))]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    sides = [">" if side == "right" else "<" for side in columns.values()]

    def line(row: list[str], style: str = "") -> Text:
        placed = (f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True))
        return Text("  ".join(placed).rstrip(), style=style)

    return Group(line(list(columns), "dim"), *(line(row) if isinstance(row, list) else row for row in rows))


# --- JSON -------------------------------------------------------------------------------------------------------


def document(data: Any) -> None:
    """Print plain data as one JSON document.

    JSON has no numbers for them, so NaN and the infinities are the strings "NaN", "Infinity" and "-Infinity", which
    float() in Python and Number() in JavaScript read.
    """
    try:
        sys.stdout.write(json.dumps(plain(data), allow_nan=False) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        closed_pipe()


def plain(data: Any) -> Any:
    """Data of dicts, lists, strings and JSON numbers only."""
    match data:
        case Mapping():
            return {str(key): plain(value) for key, value in data.items()}
        case np.ndarray() | np.generic():
            return plain(data.tolist())
        case list() | tuple():
            return [plain(value) for value in data]
        case float() if not isfinite(data):
            return "NaN" if data != data else "Infinity" if data > 0 else "-Infinity"
        case str() | bool() | int() | float() | None:
            return data
    return str(data)
