"""How often a letter comes, from 0 to 99, in two digits and two layers: "a?abacab=" is continued by "03".

Every position first learns which letter is asked for, the very first. A head then looks at all its copies, one of
which is the question itself. Both digits are steps of the same number; which of them is due, the current token says, by
moving that number out of the way.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from byhand.wiring.parts import FIRST, everywhere, scores
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program

LETTERS, DIGITS = "abcd", "0123456789"
MOST = 99


def counting(most: int = MOST) -> Wiring:
    """Texts of a letter, "?", up to `most` letters, "=" and two digits."""
    wiring = Wiring(LETTERS + "?=" + DIGITS, context=most + 6, name="count")
    tokens = wiring.tokens
    with wiring.layer():
        asked = wiring.head("asked", everywhere(), tokens, pick=FIRST, default=wiring.begin)
    with wiring.layer():
        share = wiring.average("share", scores(asked, tokens, {(x, x): 1 for x in LETTERS}), weight=most + 1)
        due = share.form + tokens.numbers({"=": -1})  # below 0 for the tens, from 0 for the ones

        def digit(number: Fraction) -> str:
            part = number % 1
            copies = min(max(0, int((most + 1) * part / (1 - part)) - 1), most)  # but for the one in the question
            return DIGITS[copies // 10 % 10 if number < 0 else copies % 10]

        wiring.predict(wiring.steps("digit", due, digit))
    return wiring


def task(letter: str, letters: str) -> str:
    """The whole text of a question with its answer."""
    return f"{letter}?{letters}={letters.count(letter):02}"


def follows(text: str) -> str | None:
    """The next digit of the count, where a text is a question and the beginning of the right answer."""
    question, equals, _ = text.partition("=")
    letter, mark, letters = question[:1], question[1:2], question[2:]
    if not equals or letter not in LETTERS or mark != "?" or set(letters) - set(LETTERS):
        return None
    whole = task(letter, letters)
    return whole[len(text)] if whole.startswith(text) and len(text) < len(whole) else None


def random_question(rng: np.random.Generator) -> str:
    """A question about 99 letters, of which any number may be the one that is asked for."""
    letter, share = rng.choice(list(LETTERS)), rng.random()
    others = rng.choice(list(LETTERS), MOST)
    letters = np.where(rng.random(MOST) < share, letter, others)
    return task(str(letter), "".join(letters))


PROGRAMS = {"count": Program(counting, follows, random_question)}
