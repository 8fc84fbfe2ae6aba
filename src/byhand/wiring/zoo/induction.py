"""What followed the latest earlier copy of the current letter, or the first, or most of them: ... x y ... x -> y."""

from __future__ import annotations

from functools import partial
from itertools import combinations

from byhand.wiring.parts import FIRST, LATEST, equal, offset
from byhand.wiring.verifying import Spec
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program


def induction(alphabet: str = "abcdef", *, context: int = 128, pick: str = LATEST) -> Wiring:
    """Two layers: every position learns which letter came before it; then the current letter looks for its like there.

    Where the letter is new, the begin token is predicted.
    """
    wiring = Wiring(alphabet, context=context, name=f"induction-{pick}")
    with wiring.layer():
        before = wiring.head("before", offset(-1), wiring.tokens, default=wiring.begin)
    with wiring.layer():
        same = equal(query=wiring.tokens, key=before)
        wiring.predict(wiring.head("followed", same, wiring.tokens, pick=pick, default=wiring.begin))
    return wiring


def follows(pick: str) -> Spec:
    """The letter behind the latest or first copy of the last letter; "^" where there is none."""

    def after(text: str) -> str:
        found = [text[at] for at in range(1, len(text)) if text[at - 1] == text[-1]]
        return (found[-1] if pick == LATEST else found[0]) if found else "^"

    return after


def most_followed(alphabet: str = "abcd", context: int = 48) -> Wiring:
    """Three layers: what most often followed all earlier copies of the current letter.

    For every two letters, the mean of +1 for one and -1 for the other over all positions behind a copy says which came
    more often. Of several the first in the alphabet is predicted; where the letter is new, the begin token.
    """
    wiring = Wiring(alphabet, context=context, name="induction-all")
    with wiring.layer():
        before = wiring.head("before", offset(-1), wiring.tokens, default=wiring.begin)
    with wiring.layer():
        same = equal(query=wiring.tokens, key=before)
        copies = wiring.count("copies", same, most=1)
        ahead = {
            (one, other): wiring.steps(
                f"{one} or {other}",
                wiring.average(f"{one} before {other}", same, wiring.tokens, {one: 1, other: -1}),
                lambda mean: mean >= 0,
            )
            for one, other in combinations(alphabet, 2)
        }
    with wiring.layer():
        wins = [
            ({copies: 1, **{said: letter == pair[0] for pair, said in ahead.items() if letter in pair}}, letter)
            for letter in alphabet
        ]
        wiring.predict(wiring.rules("followed", wins, default=wiring.begin))
    return wiring


def most_follows(text: str) -> str:
    """The letter that most often stands behind one like the last; of several the first in the alphabet."""
    found = [text[at] for at in range(1, len(text)) if text[at - 1] == text[-1]]
    return max(sorted(found), key=found.count, default="^")


PROGRAMS = {
    "induction-latest": Program(induction, follows(LATEST)),
    "induction-first": Program(partial(induction, pick=FIRST), follows(FIRST)),
    "induction-all": Program(most_followed, most_follows),
}
