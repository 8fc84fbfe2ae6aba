"""The first numbers of an array as a table, and the array as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from byhand.markup.parts import paragraph, table
from byhand.markup.picture import heat

Array = np.ndarray[Any, Any]

MOST = 10  # rows and columns of a table


def array(values: Array, axes: str, names: Mapping[str, Sequence[str]]) -> str:
    """The last two axes of an array, at the first place of the others: a picture and a table.

    names: by axis letter, what stands along it. Tokens are headings; an axis without names has numbers.
    """
    if values.ndim == 0:
        return paragraph(f"{values.item():.9g}", code=True)
    front = values.ndim - 2
    shown = values[(0,) * front] if front > 0 else np.atleast_2d(values)
    letters = axes[-2:] if values.ndim > 1 else f" {axes}"
    above = ", ".join(f"{letter} = 0 of {size}" for letter, size in zip(axes[:-2], values.shape, strict=False))
    picture = heat(shown, f"{letters.strip()} as colours") if shown.size > 1 and shown.dtype.kind in "fV" else ""
    return (paragraph(f"shown: {above}") if above else "") + picture + numbers(shown, letters, names)


def numbers(shown: Array, letters: str, names: Mapping[str, Sequence[str]]) -> str:
    """The first rows and columns of [rows, columns], and how many more there are."""
    rows, columns = (headings(letter, size, names) for letter, size in zip(letters, shown.shape, strict=True))
    more = [f"{size - MOST} more {letter}" for size, letter in zip(shown.shape, letters, strict=True) if size > MOST]
    head = ["", *columns[:MOST]]
    lines = [[name, *map(written, row[:MOST])] for name, row in zip(rows[:MOST], shown, strict=False)]
    return table(lines, head, caption=f"without {', '.join(more)}" if more else "")


def headings(letter: str, size: int, names: Mapping[str, Sequence[str]]) -> list[str]:
    given = names.get(letter, ())
    if len(given) != size or any(not isinstance(name, str) for name in given[:1]):
        return [f"{letter}{i}" if letter.strip() else "" for i in range(size)]
    return [f"{i} {name!r}" for i, name in enumerate(given)]


def written(number: Any) -> str:
    return f"{number:.4g}" if np.asarray(number).dtype.kind in "fV" else str(number)
