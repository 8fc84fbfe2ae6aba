"""Which texts of brackets are right: "T" where all are closed, "P" where some still are to be, "F" where one is wrong.

For one kind of brackets two layers do: the mean of +1 and -1 over all positions so far has the sign of the level, and
a text is wrong from where that is negative. For two kinds, up to a depth, three: a mean in which the begin token counts
so much that the number of positions hardly matters says the level itself. A closing bracket belongs to the latest
letter before which the level was what it is now; a text is wrong from where that is no opening one of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np

from byhand.wiring.parts import LATEST, everywhere, having, scores
from byhand.wiring.variables import Variable
from byhand.wiring.verifying import Texts
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program

PAIRS = {"(": ")", "[": "]"}
FINE, WRONG, DEEP = "fine", "wrong", "deep"
DEPTH, LENGTHS = 6, {"dyck-1": 128, "dyck-2": 40}


def dyck_1(context: int = LENGTHS["dyck-1"] + 1) -> Wiring:
    """T, P or F after every bracket; other letters change nothing."""
    wiring = Wiring("()PTF", context=context, name="dyck-1")
    with wiring.layer():
        mean = wiring.average("mean", everywhere(), wiring.tokens, {"(": 1, ")": -1})
        level = wiring.steps("level", mean, lambda number: (number > 0) - (number < 0))
    with wiring.layer():
        lowest = wiring.head("lowest", having(level, -1), level, default=0)
        answers = [({lowest: -1}, "F"), ({lowest: {0, 1}, level: 0}, "T")]
        wiring.predict(wiring.rules("verdict", answers, default="P"))
    return wiring


def dyck_2(depth: int = DEPTH, context: int = LENGTHS["dyck-2"] + 1) -> Wiring:
    """The same for two kinds; "!" from where more than `depth` brackets were open, which is too many to follow."""
    wiring = Wiring("()[]PTF!", context=context, name="dyck-2")
    with wiring.layer():
        before, level = levels(wiring, depth)
    with wiring.layer():
        same = scores(level, before, {(here, here): 1 for here in range(depth)})
        mate = wiring.head("mate", same, wiring.tokens, pick=LATEST, default=wiring.begin)
        others = {end: set(wiring.tokens.domain) - {start} for start, end in PAIRS.items()}
        followed = set(range(-1, depth + 1))
        apart = [({wiring.tokens: end, mate: wrong, level: followed}, WRONG) for end, wrong in others.items()]
        fit = wiring.rules("fit", [*apart, ({level: depth + 1}, DEEP)], default=FINE)
    with wiring.layer():
        worst = wiring.head("worst", scores(None, fit, {WRONG: 1, DEEP: 2}), fit, default=FINE)
        answers = [({worst: WRONG}, "F"), ({worst: DEEP}, "!"), ({worst: FINE, level: 0}, "T")]
        wiring.predict(wiring.rules("verdict", answers, default="P"))
    return wiring


def levels(wiring: Wiring, depth: int) -> tuple[Variable, Variable]:
    """How many brackets are open before and after a letter, from -1, or less, to depth, or more, and depth + 1.

    The begin token counts 2 (depth + 1) context times, so that level / (weight + positions) is never as much as half a
    step away from level / scale.
    """
    weight = 2 * (depth + 1) * wiring.context
    change = {"(": 1, "[": 1, ")": -1, "]": -1}
    mean = wiring.average("mean", everywhere(), wiring.tokens, change, weight=weight)
    scale = weight + Fraction(wiring.context, 2)

    def level(number: Fraction, most: int) -> int:
        return min(max(round(number * scale), -1), most)

    earlier = mean.form - 1 / scale * wiring.tokens.numbers(change)
    before = wiring.steps("before", earlier, partial(level, most=depth))
    return before, wiring.steps("level", mean, partial(level, most=depth + 1))


def follows(pairs: dict[str, str], depth: int | None = None) -> Callable[[str], str]:
    """The verdict on a text by a stack; "!" where more than `depth` opening brackets were ahead of closing ones."""

    def after(text: str) -> str:
        stack: list[str] = []
        level, right = 0, True
        for letter in text:
            level += (letter in pairs) - (letter in pairs.values())
            if depth is not None and level > depth:
                return "!"
            if letter in pairs:
                stack.append(pairs[letter])
            elif letter in pairs.values():
                right = right and bool(stack) and stack.pop() == letter
        return "F" if not right else "P" if stack else "T"

    return after


def random_brackets(pairs: dict[str, str], length: int, depth: int) -> Texts:
    """Brackets of full length that are right, but in most texts one of them is changed, and in some they go deeper."""

    def text(rng: np.random.Generator) -> str:
        most = depth + int(rng.integers(3) == 0)
        letters: list[str] = []
        stack: list[str] = []
        for left in range(length, 0, -1):
            if stack and (len(stack) in (most, left) or rng.random() < 0.5):
                letters.append(stack.pop())
            else:
                letters.append(str(rng.choice(list(pairs))))
                stack.append(pairs[letters[-1]])
        if rng.integers(4):
            letters[rng.integers(length)] = str(rng.choice([*pairs, *pairs.values()]))
        return "".join(letters)

    return text


ONE = {"(": ")"}
PROGRAMS = {
    "dyck-1": Program(dyck_1, follows(ONE), random_brackets(ONE, LENGTHS["dyck-1"], 20)),
    "dyck-2": Program(dyck_2, follows(PAIRS, DEPTH), random_brackets(PAIRS, LENGTHS["dyck-2"], DEPTH)),
}
