"""Subtracting two numbers of n digits, least significant digit first, in one layer: 43-81=61 reads 34 - 18 = 16.

As in `addition`, four digits at fixed distances and the one just written decide. With D = a' - b' of the digits before
and s' the digit written, D - s' is 0 or 1 without a borrow and -10 or -9 with one, so

    22 (a - b) + D - s'

grows by 22 with every unit of a - b - borrow, and the digit is a staircase of it.
"""

from __future__ import annotations

import numpy as np

from byhand.wiring.parts import offset
from byhand.wiring.verifying import Spec, Texts
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program

DIGITS = "0123456789"


def subtraction(digits: int) -> Wiring:
    """Texts such as "43-81=61" for two digits: a number, one that is not larger, and their difference."""
    wiring = Wiring(DIGITS + "-=", context=3 * digits + 3, name="subtraction")
    value = {digit: int(digit) for digit in DIGITS}  # all other tokens count as 0
    with wiring.layer():
        far = {"a": 2 * digits + 1, "b": digits, "a before": 2 * digits + 2, "b before": digits + 1}
        a, b, a_before, b_before = (
            wiring.head(name, offset(-distance), wiring.tokens, default=wiring.begin).numbers(value)
            for name, distance in far.items()
        )
        form = 22 * (a - b) + a_before - b_before - wiring.tokens.numbers(value)
        wiring.predict(wiring.steps("digit", form, lambda z: str((2 * int(z) + 9) // 44 % 10)))
    return wiring


def task(a: int, b: int, digits: int) -> str:
    """The whole text of a difference."""
    first, second, left = (f"{number:0{digits}}"[::-1] for number in (a, b, a - b))
    return f"{first}-{second}={left}"


def follows(digits: int) -> Spec:
    """The next digit of the difference, where a text is the beginning of a right one."""

    def after(text: str) -> str | None:
        question, equals, _ = text.partition("=")
        first, minus, second = question.partition("-")
        if not (equals and minus and len(first) == len(second) == digits and (first + second).isdigit()):
            return None
        a, b = int(first[::-1]), int(second[::-1])
        whole = task(a, b, digits) if a >= b else ""
        return whole[len(text)] if whole.startswith(text) and len(text) < len(whole) else None

    return after


def texts(digits: int) -> Texts:
    """A random difference; in every other one nearly all digits are equal or one smaller, so that borrows go far."""

    def text(rng: np.random.Generator) -> str:
        a, b = (int(rng.integers(10**digits)) for _ in range(2))
        if rng.random() < 0.5:
            b = max(0, a - int(rng.integers(10 ** int(rng.integers(1, digits + 1)))))
        return task(max(a, b), min(a, b), digits)

    return text


PROGRAMS = {"subtraction": Program(lambda: subtraction(10), follows(10), texts(10))}
