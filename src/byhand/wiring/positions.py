"""Codes of positions: circles for a stock GPT-2's table, and what Llama's rotary pairs make of a distance.

A circle of period P is written as three cosines a third of a turn apart: their sum is 0 and the sum of their squares
3/2 at every angle, so it is legal. Two vectors on it multiply to the cosine of the angle between them, which is how a
head finds the key that stands a fixed distance before the query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from byhand.operators.rotary import frequencies

Array = np.ndarray[Any, Any]
THIRDS = 2 * np.pi * np.arange(3) / 3


def three(angle: Array) -> Array:
    """Points on a circle as three cosines, [..., 3]."""
    return np.cos(np.asarray(angle)[..., None] + THIRDS)


COSINE, SINE = np.cos(THIRDS) * 2 / 3, -np.sin(THIRDS) * 2 / 3  # three(a) @ COSINE = cos(a), three(a) @ SINE = sin(a)


@dataclass(frozen=True)
class Circles:
    """The position table of a GPT-2: some circles, and half a circle for "later", whose sine grows evenly.

    periods: of the circles, in positions; arc: whether there is the half circle.
    """

    context: int
    periods: tuple[float, ...] = ()
    arc: bool = False

    @property
    def dims(self) -> int:
        return 3 * (len(self.periods) + self.arc)

    def codes(self) -> Array:
        """[positions, dims]."""
        place = np.arange(self.context)
        parts = [three(2 * np.pi * place / period) for period in self.periods]
        parts += [three(np.arcsin(self.later()))] if self.arc else []
        return np.concatenate(parts, axis=1) if parts else np.zeros((self.context, 0))

    def later(self) -> Array:
        """From -1 at the first position to 1 at the last, in equal steps."""
        return np.linspace(-1, 1, self.context)

    def loss(self) -> tuple[float, int]:
        """How much a key at the wrong distance scores below that at the right one, at least, and by which distance."""
        away = np.arange(1, self.context)
        lost = sum((1 - np.cos(2 * np.pi * away / period) for period in self.periods), np.zeros(len(away)))
        worst = int(lost.argmin())
        return float(lost[worst]), int(away[worst])


def periods(context: int, circles: int) -> tuple[float, ...]:
    """The periods with the largest loss: the text's length and its roots."""
    return tuple(float(context) ** (k / circles) for k in range(1, circles + 1))


@dataclass(frozen=True)
class Rotary:
    """The rotary pairs of a Llama: pair f turns by turns[f] a position. strongest: how large scores may become."""

    theta: float
    head_width: int
    context: int
    strongest: float = 2.0**24

    @property
    def turns(self) -> Array:
        return frequencies(self.head_width // 2, self.theta)

    def phases(self) -> Array:
        """exp(i w d) for every distance d and pair f: [context, pairs]."""
        return np.exp(1j * np.arange(self.context)[:, None] * self.turns)
