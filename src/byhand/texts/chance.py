"""Random choices that are the same for a seed on every machine and in every version of Python.

Only Random.random is used: of all its methods Python promises only that this one's numbers never change.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

Any = TypeVar("Any")


class Chance:
    """Choices from a seed, a whole number from 0 on."""

    def __init__(self, seed: int) -> None:
        self.number = Random(seed).random

    def below(self, end: int) -> int:
        """A whole number from 0 to end - 1."""
        return int(self.number() * end)

    def one(self, of: Sequence[Any]) -> Any:
        """One of these."""
        return of[int(self.number() * len(of))]

    def some(self, count: int, of: Sequence[Any]) -> list[Any]:
        """So many different ones of these, in any order."""
        left = list(of)
        return [left.pop(self.below(len(left))) for _ in range(count)]

    def happens(self, share: float) -> bool:
        """Whether something happens that happens in this share of all cases."""
        return self.number() < share
