"""The most frequent letter of a text, asked for by "?", in three layers: "abcbb?" gives b.

Every position first counts the copies of its letter so far; then it learns the largest count there is, and whether it
is its own. The latest position that leads in this way holds the most frequent letter.
"""

from __future__ import annotations

import numpy as np

from byhand.wiring.parts import LATEST, having, scores
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program

LETTERS, ASK = "abcdef", "?"


def most_frequent(context: int = 50) -> Wiring:
    """Of letters that are equally frequent, the one that came to be so last; "^" where there is no letter at all.

    It is predicted after every letter, and "?" is none.
    """
    wiring = Wiring(LETTERS + ASK, context=context, name="most-frequent")
    with wiring.layer():
        same = scores(wiring.tokens, wiring.tokens, lambda asks, says: 1 if asks == says != ASK else None)
        count = wiring.count("count", same, most=context // 2)  # no other letter can come as often as that
    with wiring.layer():
        most = wiring.head("most", scores(None, count, lambda number: number or None), count, default=0)
        ahead = [({count: number, most: number}, True) for number in range(1, context // 2 + 1)]
        leads = wiring.rules("leads", ahead, default=False)
    with wiring.layer():
        wiring.predict(wiring.head("letter", having(leads, True), wiring.tokens, pick=LATEST, default=wiring.begin))
    return wiring


def follows(text: str) -> str:
    """The letter that came most often; of several, the one that came last."""
    letters = text.replace(ASK, "")
    return max(sorted(letters, key=letters.rfind, reverse=True), key=letters.count, default="^")


def random_question(rng: np.random.Generator) -> str:
    """48 letters, some more frequent than others, and the question."""
    often = rng.dirichlet(np.ones(len(LETTERS)))
    return "".join(rng.choice(list(LETTERS), 48, p=often)) + ASK


PROGRAMS = {"most-frequent": Program(most_frequent, follows, random_question)}
