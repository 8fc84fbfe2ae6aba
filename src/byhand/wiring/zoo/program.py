"""What belongs to a program of the zoo: its wiring, and what it should do in plain Python that knows of no wiring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from byhand.wiring.verifying import Spec, Texts
from byhand.wiring.wiring import Wiring


@dataclass(frozen=True)
class Program:
    """make: the wiring; follows: the token that should come after a text, None where nothing is asked; texts: makes a
    random text of full length, None for any letters.
    """

    make: Callable[[], Wiring]
    follows: Spec
    texts: Texts | None = None
