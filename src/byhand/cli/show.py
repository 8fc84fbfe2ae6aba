"""What every command prints with: the console, tables, prose, and the one JSON document.

Only bold and dim, and green and red where something is right or wrong: readable on a dark and on a light background,
and without colours at all.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from textwrap import wrap
from typing import Any, NoReturn

import numpy as np
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.text import Text

CLOSED_PIPE = 141  # 128 + SIGPIPE, as of any program whose reader has gone
PIECE = 1 << 15  # characters written at a time
# The control characters but tabs and ends of lines, and the signs that turn the direction of text around.
OBEYED = {sign: f"\\x{sign:02x}" for sign in (*range(32), *range(127, 160)) if sign not in (9, 10)}
OBEYED |= {sign: f"\\u{sign:04x}" for sign in (*range(0x2028, 0x202F), *range(0x2066, 0x206A))}
WIDEST = 100  # columns of prose that can still be read

Cells = Sequence[str | Text]


class Out(Console):
    """Standard output; it ends quietly when its reader goes away.

    Names from files may hold anything; what a terminal would obey rather than show is written as its number.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        text = Text(renderable) if isinstance(renderable, str) else renderable
        yield from super().render(shown(text) if isinstance(text, Text) else text, options)

    def on_broken_pipe(self) -> None:
        leave(CLOSED_PIPE)


def shown(text: Text) -> Text:
    """A text with numbers for the signs that a terminal would obey; it has to be wrapped as long as it then is."""
    places = [place for place, sign in enumerate(text.plain) if ord(sign) in OBEYED]
    if not places:
        return text
    pieces = text.divide(sorted({end for place in places for end in (place, place + 1)}))
    for piece in pieces:
        piece.plain = piece.plain.translate(OBEYED)
    return Text("", text.style, justify=text.justify, overflow=text.overflow, no_wrap=text.no_wrap).join(pieces)


def leave(code: int) -> NoReturn:
    """End, sending what is still unwritten nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(code)


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


def table(columns: Mapping[str, str], rows: Sequence[Any], margin: int = 0) -> Group:
    """A quiet table, set in by a margin. columns: heading and how its cells are set, "left" or "right".

    A row is a list or tuple of cells, or anything else that is printed, across all columns. Nothing is ever cut off.
    """
    head: Cells = [dim(name) for name in columns]
    widths = widths_of(columns, rows)
    right = [side == "right" for side in columns.values()]
    lines = (aligned(row, widths, right, margin) if isinstance(row, list | tuple) else row for row in (head, *rows))
    return Group(*lines)


def widths_of(columns: Mapping[str, str], rows: Sequence[Any]) -> list[int]:
    """Columns on the terminal of each column of a table."""
    cells = [list(columns), *(row for row in rows if isinstance(row, list | tuple))]
    return [max(map(width_of, column)) for column in zip(*cells, strict=True)]


def fits(columns: Mapping[str, str], rows: Sequence[Any]) -> bool:
    """Whether each row of a table takes one line."""
    return sum(width + 2 for width in widths_of(columns, rows)) - 2 <= console().width


def width_of(cell: str | Text) -> int:
    """Columns on the terminal, where some letters take two."""
    return cell.cell_len if isinstance(cell, Text) else cell_len(cell)


def aligned(cells: Cells, widths: Sequence[int], right: Sequence[bool], margin: int) -> Text:
    """One row of a table."""
    line = Text(" " * margin)
    for cell, width, to_the_right in zip(cells, widths, right, strict=True):
        blanks = " " * (width - width_of(cell))
        line.append_text(Text.assemble(blanks, cell, "  ") if to_the_right else Text.assemble(cell, blanks, "  "))
    line.rstrip()
    return line


def listing(text: str) -> None:
    """Text whose lines are already as they should be; comments step back."""
    out = console()
    for line in text.splitlines():
        out.print(Text(line, style="dim" if line.startswith("#") else ""), soft_wrap=True)


def raw(text: str) -> None:
    """Text as it is, for other programs; in pieces, so that a reader that goes away is noticed."""
    ended = text if text.endswith("\n") else f"{text}\n"
    try:
        for i in range(0, len(ended), PIECE):
            sys.stdout.write(ended[i : i + PIECE])
            sys.stdout.flush()
    except BrokenPipeError:
        leave(CLOSED_PIPE)


# --- JSON -------------------------------------------------------------------------------------------------------


def document(data: Any) -> None:
    """Print plain data as one JSON document.

    JSON has no numbers for them, so NaN and the infinities are the strings "NaN", "Infinity" and "-Infinity", which
    float() in Python and Number() in JavaScript read.
    """
    raw(json.dumps(plain(data), allow_nan=False))


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


def numbers(array: np.ndarray[Any, Any]) -> Any:
    """An array as nested lists; bfloat16 as the floats it stands for."""
    return (array.astype(np.float32) if array.dtype.name == "bfloat16" else array).tolist()
