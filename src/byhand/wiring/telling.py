"""A wiring in words: its layers and parts, each with its values on an example text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from byhand.wiring.interpreter import interpret
from byhand.wiring.parts import ONLY, Attending, Average, Deciding, Offset, Scores, Table

if TYPE_CHECKING:
    from byhand.wiring.wiring import Wiring


def told(wiring: Wiring, text: str) -> str:
    """One line a part: where it is, its name, what it does, and its value at every position of the text.

    text: without the begin token. Raises InputError.
    """
    values = interpret(wiring, text)
    rows: list[list[Any]] = [["", "tokens", "the text", *values["tokens"]]]
    for at, layer in enumerate(wiring.layers):
        for part in (*layer.heads, *layer.deciding):
            what = decided(part) if isinstance(part, Deciding) else brought(part)
            rows.append([f"layer {at}", part.name, what, *values[part.out.name]])
    ends = f"predicts {wiring.predicted.name}" if wiring.predicted else "predicts nothing yet"
    return f"{wiring.name}: context {wiring.context}, {ends}\n{in_columns(rows)}"


def in_columns(rows: Sequence[Sequence[Any]]) -> str:
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    gaps = [2, 2, 2, *[1] * (len(widths) - 3)]
    lines = ["".join(c.ljust(w + g) for c, w, g in zip(row, widths, gaps, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def brought(head: Attending) -> str:
    if isinstance(head, Average):
        what = f"mean of {head.read.name}" if head.read else "share of the positions"
        return f"{what}{condition(head.where)}; begin counts {head.weight} times as {head.begin}"
    other = "" if head.default is None else f", else {head.default!r}"
    if isinstance(head.where, Offset):
        return f"{head.read.name} {head.where.distance} back{other}"
    pick = "" if head.pick == ONLY else f"{head.pick} "
    return f"{pick}{head.read.name}{condition(head.where)}{other}"


def condition(where: Scores) -> str:
    """Which keys are wanted, in words."""
    query, key = where.query, where.key
    if key is None:
        return "" if query is None else f" by {query.name}"
    if query is None:
        (row,) = where.levels
        wanted = [repr(value) for value, level in zip(key.domain, row, strict=True) if level is not None]
        return f" where {key.name} is {' or '.join(wanted)}"
    pairs = {(a, b) for a, row in zip(query.domain, where.levels, strict=True)
             for b, level in zip(key.domain, row, strict=True) if level is not None}  # fmt: skip
    if pairs == {(value, value) for value in query.domain if value in key.places}:
        return f" where {key.name} is this {query.name}"
    return f" by a table of this {query.name} and that {key.name}"


def decided(part: Deciding) -> str:
    if isinstance(part, Table):
        names = ", ".join(each.name for each in part.inputs)
        count = len(part.rules)
        return f"{count} rule{'s' * (count != 1)} on {names}, else {part.out.domain[part.default]!r}"
    return f"steps of {' and '.join(read.name for read in part.form.terms)}"
