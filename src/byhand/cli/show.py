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
from typing import Any

import numpy as np
from rich import box
from rich.console import Console, RenderableType
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
    out = console()
    out.print(Text(text, style=style), width=min(out.width, WIDEST))


def heading(text: str) -> None:
    write(Text(text, style="bold"))


def dim(text: str) -> Text:
    return Text(text, style="dim")


def inset(part: RenderableType, columns: int = 2) -> Padding:
    return Padding(part, (0, 0, 0, columns))


def table(columns: Mapping[str, str], rows: Iterable[Sequence[RenderableType]], totals: Sequence[str] = ()) -> Table:
    """A quiet table. columns: heading and how its cells are set, "left" or "right"; nothing is ever cut off."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim", show_footer=bool(totals))
    for (name, justify), total in zip(columns.items(), totals or [""] * len(columns), strict=True):
        made.add_column(name, total, justify=justify, overflow="fold", footer_style="bold")  # type: ignore[arg-type]
    for row in rows:
        made.add_row(*row)
    return made


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
