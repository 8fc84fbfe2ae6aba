"""The residual stream: which dimensions hold which variable, from when to when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import numpy as np

from byhand.wiring import codes
from byhand.wiring.positions import Circles
from byhand.wiring.variables import Number, Variable
from byhand.wiring.wiring import Wiring

Array = np.ndarray[Any, Any]
POSITION, NEXT = "position", "next token"
LOUD = 4.0  # how much more the next token is written than the current one, where both share the token table


@dataclass(frozen=True, eq=False)
class Slot:
    """Where a variable lies: from dimension `first`, its codes [values, dimensions], written and erased when."""

    name: str
    first: int
    codes: Array
    values: Sequence[Any]
    written: int
    erased: int | None = None

    @property
    def dims(self) -> slice:
        return slice(self.first, self.first + self.codes.shape[1])

    def live(self, when: int) -> bool:
        return self.written <= when and (self.erased is None or when < self.erased)


@dataclass(frozen=True, eq=False)
class Layout:
    """All slots by name, and the width of the stream, in which some dimensions may be unused."""

    slots: dict[str, Slot]
    width: int

    def live(self, when: int) -> list[Slot]:
        """What is in the stream after so many halves of layers; 0 is the embedding."""
        return [slot for slot in self.slots.values() if slot.live(when)]

    def used(self) -> int:
        return max(slot.dims.stop for slot in self.slots.values())

    def column(self, name: str, weights: Array) -> Array:
        """Weights on the dimensions of one slot [dimensions, columns] as weights on the stream [D, columns]."""
        made = np.zeros((self.width, weights.shape[1]))
        made[self.slots[name].dims] = weights
        return made

    def row(self, name: str, value: int) -> Array:
        """What writing one value adds to the stream, [D]."""
        slot = self.slots[name]
        made = np.zeros(self.width)
        made[slot.dims] = slot.codes[value]
        return made


def lay_out(wiring: Wiring, circles: Circles, scratch: Array, tied: bool) -> dict[str, Slot]:
    """A slot for each variable, in the order in which they are written.

    circles: the position table; scratch: how a number 1 is written for one layer.
    """
    last = 2 * len(wiring.layers)
    slots: dict[str, Slot] = {}
    here = 0

    def put(name: str, made: Array, values: Sequence[Any], written: int, erased: int | None = None) -> None:
        nonlocal here
        slots[name] = Slot(name, here, made, values, written, erased)
        here += made.shape[1]

    put("tokens", codes.matrix(wiring.tokens), wiring.tokens.domain, 0)
    if circles.dims:
        put(POSITION, circles.codes(), range(wiring.context), 0)
    for read in list(wiring.variables.values())[1:]:
        if isinstance(read, Number):
            made = np.array([float(each) for each in read.values])[:, None] * scratch * loudness(read)
            put(read.name, made, read.values, read.when, None if read.when + 1 == last else read.when + 1)
        elif tied and shares(wiring, read):
            slots[read.name] = over_tokens(wiring, read, read.name, last)
        else:
            put(read.name, codes.matrix(read), read.domain, read.when)
    if tied and wiring.predicted is not None and not shares(wiring, wiring.predicted):
        slots[NEXT] = over_tokens(wiring, wiring.predicted, NEXT, last)
    return slots


def loudness(read: Number) -> float:
    """The power of two by which a number is written larger, so that its values come close to 1."""
    return 2.0 ** -ceil(log2(max((abs(float(value)) for value in read.values if value), default=1.0)))


def shares(wiring: Wiring, read: Variable) -> bool:
    """Whether a variable is the prediction and written last, so that it can go straight into the tokens' slot."""
    return read is wiring.predicted and read.when == 2 * len(wiring.layers)


def over_tokens(wiring: Wiring, read: Variable, name: str, when: int) -> Slot:
    """The slot of what is predicted, where a tied head reads it: over that of the tokens, and louder."""
    made = LOUD * np.eye(len(wiring.tokens.domain))[[wiring.tokens.domain.index(value) for value in read.domain]]
    return Slot(name, 0, made, read.domain, when)
