"""What a training step holds from its forward to its backward run: every saved value, and who reads it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from math import prod
from typing import NamedTuple

from byhand.engines import Engine
from byhand.errors import InputError
from byhand.program import Program, Step
from byhand.shapes import Shape

HELD, AGAIN, INSIDE = "held", "computed again", "computed again inside attention"


class Entry(NamedTuple):
    """One saved value. bytes: that it takes from forward to backward; readers: lines of backward, with their steps."""

    address: str
    axes: str
    shape: Shape
    bytes: int
    state: str
    readers: tuple[str, ...]


def ledger(
    program: Program, shapes: dict[str, Shape], engine: Engine, again: Collection[str] = (), itemsize: int = 4
) -> list[Entry]:
    """Every value that the backward of the loss reads, in the order of the program.

    shapes: see `Program.shapes`; again: those that are computed again rather than held; itemsize: bytes of a number.
    """
    held = engine.saved(program)
    readers: dict[str, list[str]] = {}
    for step in program.path("loss"):
        for name in step.operator.saved:
            readers.setdefault(step.names[name], []).extend(lines(step, name))
    found = []
    for address in program.producer:
        if address in readers or address in held:
            state = AGAIN if address in again else HELD if address in held else INSIDE
            size = prod(shapes[address]) * itemsize if state == HELD else 0
            axes = program.axes(address)
            found.append(Entry(address, axes, shapes[address], size, state, tuple(readers.get(address, ()))))
    return found


def lines(step: Step, name: str) -> list[str]:
    """The lines of a step's gradient in which one of its arrays stands."""
    text = [line.strip() for line in step.operator.gradient.strip().splitlines()]
    standing = [line for line in text if re.search(rf"\b{name}\b", line.partition("=")[2])]
    return [f"{step.address}: {line}" for line in standing or text[:1]]


def chosen(program: Program, engine: Engine, patterns: Sequence[str]) -> frozenset[str]:
    """The saved values that fit the patterns of what is to be computed again. Raises InputError if one fits none."""
    saved = engine.saved(program)
    for pattern in patterns:
        if not any(fnmatchcase(address, pattern) for address in saved):
            some = ", ".join([address for address in program.producer if address in saved][:4])
            raise InputError(f"recompute: nothing that is held fits {pattern!r:.60}; held are {some}, ...")
    return frozenset(address for address in saved if any(fnmatchcase(address, each) for each in patterns))
