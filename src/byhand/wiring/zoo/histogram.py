"""How many copies of the current letter there are so far, in one layer: "abac" gives 1, 1, 2, 1."""

from __future__ import annotations

import numpy as np

from byhand.wiring.parts import equal
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program

NUMERALS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # one token for every number up to 35
LETTERS = "abcdef"


def histogram(context: int = len(NUMERALS)) -> Wiring:
    """A head that looks at all its likes, and steps that say how many there were; a numeral is a letter too."""
    wiring = Wiring(LETTERS + NUMERALS, context=context, name="histogram")
    with wiring.layer():
        same = equal(wiring.tokens, wiring.tokens)
        wiring.predict(wiring.count("count", same, most=context - 1, of=NUMERALS.__getitem__))
    return wiring


def follows(text: str) -> str:
    """The number of copies of the last letter as one numeral; "0" where there is no letter yet."""
    return NUMERALS[text.count(text[-1])] if text else "0"


def random_letters(rng: np.random.Generator) -> str:
    """Letters of full length, some far more frequent than others, so that small and large counts both come."""
    often = rng.dirichlet(np.full(len(LETTERS), 0.3))
    return "".join(rng.choice(list(LETTERS), len(NUMERALS) - 1, p=often))


PROGRAMS = {"histogram": Program(histogram, follows, random_letters)}
