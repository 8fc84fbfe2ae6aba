"""Adding two numbers of n digits that are written as people do, most significant digit first.

Answered least digit first ("12+34=640"), the digits that matter stand ever further back: at mirrored places, which
positions that know where they are can look up. Answered most significant digit first ("12+34=046"), they stand at
fixed distances, but whether a carry will come is decided further right: by the first two digits whose sum is not nine.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import numpy as np

from byhand.wiring.parts import offset, scores
from byhand.wiring.variables import Form
from byhand.wiring.verifying import Spec, Texts
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program

DIGITS = "0123456789"


def least_out(digits: int) -> Wiring:
    """Two layers: each digit of b is added to the one of a above it; then both are read from mirrored places.

    A carry comes if the sum before was above nine, or was nine and has become a 0.
    """
    wiring = Wiring(DIGITS + "+=", context=3 * digits + 4, name=f"addition-msd-in-{digits}")
    equals = 2 * digits + 2  # the place of "="; digit k of the answer is predicted k places behind it
    with wiring.layer():
        place = wiring.position("place", lambda p: p if p > digits + 1 else 0)
        both = above(wiring, digits)
        low = wiring.steps("low", both, lambda z: int(z) % 10)
        side = wiring.steps("side", both, against_nine)
    with wiring.layer():
        same = {(equals + k, equals - 1 - k): 1 for k in range(digits)}
        before = {(equals + k, equals - k): 1 for k in range(1, digits + 1)}
        digit = wiring.head("digit", scores(place, place, same), low, default=0)
        carry = wiring.head("carry", scores(place, place, before), side, default=-1)
        form = 2 * digit.numbers(int) + carry.numbers(int) + wiring.tokens.numbers({"0": 1})
        wiring.predict(wiring.steps("sum", form, lambda z: str((int(z) + 1) // 2 % 10)))
    return wiring


def above(wiring: Wiring, digits: int) -> Form:
    """The sum of a digit of b and the one of a above it, which stands at a fixed distance."""
    value = {digit: int(digit) for digit in DIGITS}  # all other tokens count as 0
    a = wiring.head("a", offset(-digits - 1), wiring.tokens, default=wiring.begin)
    return a.numbers(value) + wiring.tokens.numbers(value)


def against_nine(total: Fraction) -> int:
    return (total > 9) - (total < 9)


def most_out(digits: int) -> Wiring:
    """Three layers: each digit of b is added to the one of a above it; sums that are not nine learn where they are;
    then the next of these to the right decides.
    """
    wiring = Wiring(DIGITS + "+=", context=3 * digits + 4, name=f"addition-msd-{digits}")
    first, last = digits + 2, 2 * digits + 1  # the places of b
    with wiring.layer():
        place = wiring.position("place", lambda p: p if p >= first else 0)
        both = above(wiring, digits)
        low = wiring.steps("low", both, lambda z: int(z) % 10)
        side = wiring.steps("side", both, against_nine)
    with wiring.layer():
        digit = wiring.head("digit", offset(-digits - 1), low, default=0)
        decided = [({place: p, side: {-1, 1}}, p) for p in range(first, last + 1)]
        stop = wiring.rules("stop", decided, default=0)
    with wiring.layer():
        nearest = scores(place, stop, lambda p, s: -s if p - digits - 1 < s and last < p else None)
        carry = wiring.head("carry", nearest, side, default=-1)
        form = 2 * digit.numbers(int) + carry.numbers({1: 1})
        wiring.predict(wiring.steps("sum", form, lambda z: str((int(z) + 1) // 2 % 10)))
    return wiring


def task(a: int, b: int, digits: int, least_first: bool) -> str:
    """The whole text of a sum."""
    total = f"{a + b:0{digits + 1}}"
    return f"{a:0{digits}}+{b:0{digits}}={total[::-1] if least_first else total}"


def follows(digits: int, least_first: bool) -> Spec:
    """The next digit of the sum, where a text is the beginning of a right one."""

    def after(text: str) -> str | None:
        question, equals, _ = text.partition("=")
        first, plus, second = question.partition("+")
        if not (equals and plus and len(first) == len(second) == digits and (first + second).isdigit()):
            return None
        whole = task(int(first), int(second), digits, least_first)
        return whole[len(text)] if whole.startswith(text) and len(text) < len(whole) else None

    return after


def texts(digits: int, least_first: bool) -> Texts:
    """A random sum; in every other one nearly all digits add up to nine, so that carries go far."""

    def text(rng: np.random.Generator) -> str:
        a, b = (int(rng.integers(10**digits)) for _ in range(2))
        if rng.random() < 0.5:
            b = max(0, 10**digits - 1 - a + int(rng.integers(-1, 2)) * 10 ** int(rng.integers(digits)))
        return task(a, b % 10**digits, digits, least_first)

    return text


PROGRAMS = {
    "addition-msd-10": Program(partial(most_out, 10), follows(10, False), texts(10, False)),
    "addition-msd-in-10": Program(partial(least_out, 10), follows(10, True), texts(10, True)),
}
