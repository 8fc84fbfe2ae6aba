"""What belongs to a program of the zoo: its wiring, and what it should do in plain Python that knows of no wiring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from byhand.wiring.verifying import Spec, Texts
from byhand.wiring.wiring import Wiring

FAMILIES = ("gpt2", "llama")


@dataclass(frozen=True)
class Program:
    """make: the wiring; follows: the token that should come after a text, None where nothing is asked; texts: makes a
    random text of full length, None for any letters; every: makes all whole texts of a program that answers questions,
    where there are few enough to run them all; impossible: why it has no model of a family, by the family's name.
    """

    make: Callable[[], Wiring]
    follows: Spec
    texts: Texts | None = None
    impossible: Mapping[str, str] = field(default_factory=dict)
    every: Callable[[], Iterable[str]] | None = None

    @property
    def families(self) -> tuple[str, ...]:
        """The families that it has a model of."""
        return tuple(family for family in FAMILIES if family not in self.impossible)
