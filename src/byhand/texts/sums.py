"""Integer arithmetic and brackets, a line each, without end; every line is true."""

from __future__ import annotations

from collections.abc import Iterator

from byhand.texts.chance import Chance

OPENS, CLOSES = "([{<", ")]}>"
# Up to where a number between 0 and 1 means a sum, a product, a bracketed sum; else brackets.
SHARES = 0.35, 0.55, 0.7


def sums(seed: int) -> Iterator[str]:
    """Lines without end; a seed from 0 on always gives the same ones.

    `12+345=357`, `41-73=-32`, `8*7=56`, `(3+4)*5=35`; `([]{~})`, after ~ what closes the brackets that are open; and
    `(()[])#2`, after # how deep they go.
    """
    chance = Chance(seed)
    while True:
        kind = chance.number()
        if kind < SHARES[0]:
            yield addition(chance)
        elif kind < SHARES[1]:
            yield product(chance)
        elif kind < SHARES[2]:
            yield bracketed(chance)
        else:
            yield brackets(chance)


def whole(chance: Chance, digits: int) -> int:
    """A number from 0 on, of one to so many digits, each length as often as another."""
    return chance.below(10 ** (1 + chance.below(digits)))


def addition(chance: Chance) -> str:
    """Two numbers of up to three digits, added or subtracted."""
    a, b = whole(chance, 3), whole(chance, 3)
    return f"{a}+{b}={a + b}" if chance.happens(0.5) else f"{a}-{b}={a - b}"


def product(chance: Chance) -> str:
    """A number of up to two digits times one of one digit."""
    a, b = whole(chance, 2), whole(chance, 1)
    return f"{a}*{b}={a * b}"


def bracketed(chance: Chance) -> str:
    """Three digits: two of them first, in brackets, before or after the third."""
    a, b, c = (whole(chance, 1) for _ in range(3))
    inner, value = (f"({a}+{b})", a + b) if chance.happens(0.5) else (f"({a}-{b})", a - b)
    return f"{inner}*{c}={value * c}" if chance.happens(0.5) else f"{c}*{inner}={c * value}"


def brackets(chance: Chance) -> str:
    """A line of brackets with its depth, or the beginning of one and what closes it."""
    line, open_now, deepest = "", "", 0
    for _ in range(2 + chance.below(11)):
        if open_now and (len(open_now) == 5 or chance.happens(0.45)):
            line, open_now = line + open_now[-1], open_now[:-1]
        else:
            which = chance.below(len(OPENS))
            line, open_now = line + OPENS[which], open_now + CLOSES[which]
        deepest = max(deepest, len(open_now))
    closing = open_now[::-1]
    return f"{line}~{closing}" if closing and chance.happens(0.5) else f"{line}{closing}#{deepest}"
