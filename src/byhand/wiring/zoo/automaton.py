"""A finite automaton, run step by step: after every letter its next state is written into the text.

"1B1A0A" is the binary number 110 with the remainders 1, 0 and 0 by three, as B, A and A.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from byhand.wiring.parts import offset
from byhand.wiring.verifying import Texts
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program

Moves = Mapping[tuple[str, str], str]  # the next state, by state and letter
REMAINDERS: Moves = {
    (state, bit): "ABC"[(2 * "ABC".index(state) + int(bit)) % 3] for state in "ABC" for bit in "01"
}  # of a binary number by three, highest bit first


def automaton(moves: Moves, start: str, *, context: int = 64, name: str = "automaton") -> Wiring:
    """One layer: the state stands before the letter, and a table has all moves.

    Before the first letter stands the begin token, which counts as the first state. What follows a state is not asked.
    """
    states, letters = (sorted({move[place] for move in moves}) for place in (0, 1))
    wiring = Wiring("".join([*letters, *states]), context=context, name=name)
    with wiring.layer():
        state = wiring.head("state", offset(-1), wiring.tokens, default=wiring.begin)
        first = {(wiring.begin, letter): moves[start, letter] for letter in letters}
        wiring.predict(wiring.table("next", [state, wiring.tokens], {**moves, **first}, default=start))
    return wiring


def divisible(text: str) -> str | None:
    """The remainder by three of the number in the text, where all states before it are right."""
    bits, states = text[::2], text[1::2]
    if len(text) % 2 == 0 or set(bits) - set("01"):
        return None
    right = "".join("ABC"[int(bits[: end + 1], 2) % 3] for end in range(len(bits)))
    return right[-1] if states == right[:-1] else None


def random_bits(context: int = 64) -> Texts:
    """A random binary number with its remainders."""

    def text(rng: np.random.Generator) -> str:
        made, value = "", 0
        for bit in rng.integers(2, size=(context - 1) // 2):
            value = 2 * value + int(bit)
            made += f"{bit}{'ABC'[value % 3]}"
        return made

    return text


PROGRAMS = {"automaton": Program(lambda: automaton(REMAINDERS, "A"), divisible, random_bits())}
