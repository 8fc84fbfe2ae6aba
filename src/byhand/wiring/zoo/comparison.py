"""Comparing two numbers of n digits, most significant first: "1230?1240<", by the first digits that differ."""

from __future__ import annotations

import numpy as np

from byhand.wiring.parts import having, offset
from byhand.wiring.verifying import Spec, Texts
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program

DIGITS = "0123456789"


def comparison(digits: int) -> Wiring:
    """Two layers: each digit is compared with the one above it; then the first difference decides.

    After every digit of the second number it says how the two compare so far.
    """
    wiring = Wiring(DIGITS + "?<=>", context=2 * digits + 3, name="comparison")
    with wiring.layer():
        above = wiring.head("above", offset(-digits - 1), wiring.tokens, default=wiring.begin)
        less = [({above: digit, wiring.tokens: set(DIGITS[at + 1 :])}, "<") for at, digit in enumerate(DIGITS[:-1])]
        more = [({above: digit, wiring.tokens: set(DIGITS[:at])}, ">") for at, digit in enumerate(DIGITS) if at]
        here = wiring.rules("here", less + more, default="=")
    with wiring.layer():
        wiring.predict(wiring.head("first", having(here, "<", ">"), here, pick="first", default="="))
    return wiring


def follows(digits: int) -> Spec:
    """How the first number compares with the second, as far as that is written."""

    def after(text: str) -> str | None:
        first, mark, second = text.partition("?")
        if not (mark and second.isdigit() and first.isdigit() and len(first) == digits >= len(second)):
            return None
        a, b = int(first[: len(second)]), int(second)
        return "<" if a < b else ">" if a > b else "="

    return after


def texts(digits: int) -> Texts:
    """Two random numbers that agree in their first digits, sometimes in all, and how they compare."""

    def text(rng: np.random.Generator) -> str:
        first, other = ("".join(map(str, rng.integers(10, size=digits))) for _ in range(2))
        alike = int(rng.integers(digits + 1))
        second = first[:alike] + other[alike:]
        return f"{first}?{second}{'<' if first < second else '>' if first > second else '='}"

    return text


PROGRAMS = {"comparison": Program(lambda: comparison(10), follows(10), texts(10))}
