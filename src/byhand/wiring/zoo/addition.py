"""Adding two numbers of n digits, least significant digit first, in one layer: 21+43=64 reads 12 + 34 = 46.

While digit k of the sum is predicted, the current token is digit k - 1, and the four digits that matter stand at fixed
distances. Whether a carry came is seen from the digit already written: it is a + b or a + b + 1, modulo 10. With
T = a' + b' of the digits before and s' the digit written, T - s' is 0 or -1 without a carry and 10 or 9 with one, so

    22 (a + b) + T - s'

grows by 22 with every unit of a + b + carry, and the digit is a staircase of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from byhand.wiring.parts import offset
from byhand.wiring.verifying import Spec, Texts
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program

DIGITS = "0123456789"


def addition(digits: int) -> Wiring:
    """Texts such as "12+34=46" for two digits: each number, and the sum of one digit more, least digit first."""
    wiring = Wiring(DIGITS + "+=", context=3 * digits + 4, name=f"addition-{digits}")
    value = {digit: int(digit) for digit in DIGITS}  # all other tokens count as 0
    with wiring.layer():
        far = {"a": 2 * digits + 1, "b": digits, "a before": 2 * digits + 2, "b before": digits + 1}
        a, b, a_before, b_before = (
            wiring.head(name, offset(-distance), wiring.tokens, default=wiring.begin).numbers(value)
            for name, distance in far.items()
        )
        form = 22 * (a + b) + a_before + b_before - wiring.tokens.numbers(value)
        wiring.predict(wiring.steps("digit", form, lambda z: str((2 * int(z) + 35) // 44 % 10)))
    return wiring


def task(a: int, b: int, digits: int) -> str:
    """The whole text of a sum."""
    numbers = ((a, digits), (b, digits), (a + b, digits + 1))
    first, second, total = (f"{number:0{width}}"[::-1] for number, width in numbers)
    return f"{first}+{second}={total}"


def follows(digits: int) -> Spec:
    """The next digit of the sum, where a text is the beginning of a right one."""

    def after(text: str) -> str | None:
        question, equals, _ = text.partition("=")
        first, plus, second = question.partition("+")
        if not (equals and plus and len(first) == len(second) == digits and (first + second).isdigit()):
            return None
        whole = task(int(first[::-1]), int(second[::-1]), digits)
        return whole[len(text)] if whole.startswith(text) and len(text) < len(whole) else None

    return after


def random_sum(digits: int) -> Texts:
    """A random sum; in every other one nearly all digits add up to nine, so that carries go far."""

    def text(rng: np.random.Generator) -> str:
        a, b = (int(rng.integers(10**digits)) for _ in range(2))
        if rng.random() < 0.5:
            b = 10**digits - 1 - a + int(rng.integers(2))
        return task(a, b % 10**digits, digits)

    return text


def every_sum(digits: int) -> Iterator[str]:
    """All sums of two numbers of so many digits."""
    return (task(a, b, digits) for a in range(10**digits) for b in range(10**digits))


PROGRAMS = {
    "addition-3": Program(partial(addition, 3), follows(3), random_sum(3), every=partial(every_sum, 3)),
    "addition-10": Program(partial(addition, 10), follows(10), random_sum(10)),
}
