"""Words and digits to be reversed or sorted: sources and targets for an encoder-decoder, without end."""

from __future__ import annotations

from collections.abc import Iterator

from byhand.texts.chance import Chance

LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
LONGEST = 12


def reversals(seed: int) -> Iterator[tuple[str, str]]:
    """Pairs without end; a seed from 0 on always gives the same ones.

    `reverse abcd` → `dcba`, `sort 30412` → `01234`: from 1 to 12 letters or digits, which may occur more than once.
    """
    chance = Chance(seed)
    while True:
        among = LETTERS if chance.happens(0.5) else DIGITS
        word = "".join([chance.one(among) for _ in range(1 + chance.below(LONGEST))])
        if chance.happens(0.5):
            yield f"reverse {word}", word[::-1]
        else:
            yield f"sort {word}", "".join(sorted(word))
