"""Sorting digits, copies included, one after the other and in three layers: "3121>" is continued by "1123.".

Every position first learns whether it stands behind ">". Then a digit of the answer is due once more if there are more
copies of it in the question than in the answer so far; else the next larger digit of the text is, and if there is none,
the end. (The answer so far has no larger ones than its last.)
"""

from __future__ import annotations

import numpy as np

from byhand.wiring.parts import having, scores
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program

DIGITS, ASK, END = "0123456789", ">", "."
NUMBERS = 16


def sorting(numbers: int = NUMBERS) -> Wiring:
    """Texts of up to so many digits, ">", the same digits in order, and "."."""
    wiring = Wiring(DIGITS + ASK + END, context=2 * numbers + 3, name="sort")
    tokens = wiring.tokens
    order = {digit: place for place, digit in enumerate(ASK + DIGITS + END)}  # ">" is below all digits
    with wiring.layer():
        answered = wiring.count("answered", having(tokens, ASK), most=1, of=bool)
    with wiring.layer():
        copies = scores(tokens, tokens, {(digit, digit): 1 for digit in DIGITS})
        left = wiring.average("left", copies, answered, {False: 1, True: -1})
        again = wiring.steps("again", left, lambda number: number > 0)
        larger = {(one, two): -order[two] for one in order for two in DIGITS if order[two] > order[one]}
        after = wiring.head("after", scores(tokens, tokens, larger), tokens, default=END)
    with wiring.layer():
        once_more = [({again: True, tokens: digit}, digit) for digit in DIGITS]
        the_next = [({again: False, after: digit}, digit) for digit in DIGITS]
        wiring.predict(wiring.rules("digit", once_more + the_next, default=END))
    return wiring


def task(digits: str) -> str:
    """The whole text of a question with its answer."""
    return f"{digits}{ASK}{''.join(sorted(digits))}{END}"


def follows(text: str) -> str | None:
    """The next digit in order, or the end, where a text is a question and the beginning of the right answer."""
    digits, asked, _ = text.partition(ASK)
    whole = task(digits)
    if not asked or END in digits or len(whole) < len(text) + 1 or not whole.startswith(text):
        return None
    return whole[len(text)]


def random_digits(rng: np.random.Generator) -> str:
    """16 digits, of all ten or of a few only, and the answer."""
    some = rng.choice(list(DIGITS), int(rng.integers(1, 11)))
    return task("".join(rng.choice(some, NUMBERS)))


PROGRAMS = {"sort": Program(sorting, follows, random_digits)}
