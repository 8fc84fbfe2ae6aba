"""Formulas as MathML, which browsers draw and screen readers read, from their text in an explanation.

The text is read by the rules that it is written by (see `notation`): addresses with an index in brackets, sums over
axes such as ``sum[d](...)``, functions, ``where(condition, this, that)``, and Python's signs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from byhand.notation import ATOM, RANK

TOKEN = re.compile(r"\s*(?:(\d[\d.]*(?:e[+-]?\d+)?)|([A-Za-z_][\w.:@]*)|(\*\*|//|<=|>=|==|[-+*/%<>()\[\],]))")
LEVELS = [("or",), ("and",), ("<", "<=", ">", ">=", "=="), ("+", "-"), ("*", "/", "//", "%")]
SIGNS = {"*": "·", "-": "−", "<=": "≤", ">=": "≥", "==": "=", "%": "mod", "or": "or", "and": "and"}
SYMBOLS = {"inf": "∞", "pi": "π"}
OVER = {"sum": "∑", "max": "max"}


@dataclass(frozen=True)
class Part:
    """A piece of a formula. kind: number, name, at (a name with an index), call, over (sum or max), neg, or a sign."""

    kind: str
    text: str = ""
    parts: tuple[Part, ...] = ()
    index: tuple[Part, ...] = ()


def equation(left: str, right: str) -> str:
    """``left = right`` as a whole <math> element, with the plain text beside it."""
    return math(row(drawn(read(left)), "<mo>=</mo>", drawn(read(right))), f"{left} = {right}")


def formula(text: str) -> str:
    """An expression as a whole <math> element."""
    return math(drawn(read(text)), text)


def math(inside: str, text: str) -> str:
    start = '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"'
    return f"{start} alttext={quoteattr(text)}>{inside}</math>"


# --- reading ----------------------------------------------------------------------------------------------------


class Reading:
    """The tokens of a formula and how far they have been read."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        place, end = 0, len(text.rstrip())
        while place < end:
            found = TOKEN.match(text, place)
            if found is None:
                raise ValueError(text)
            self.tokens.append(found.group().strip())
            place = found.end()
        self.place = 0

    @property
    def next(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        """The next token. Raises ValueError where another one was wanted."""
        found = self.next
        if not found or (wanted and found != wanted):
            raise ValueError(f"{wanted} is missing")
        self.place += 1
        return found

    def expression(self, level: int = 0) -> Part:
        """Parts joined by the signs of a level, which bind tighter the higher it is."""
        if level == len(LEVELS):
            return self.negative()
        left = self.expression(level + 1)
        while self.next in LEVELS[level]:
            left = Part(self.take(), "", (left, self.expression(level + 1)))
        return left

    def negative(self) -> Part:
        if self.next == "-":
            self.take()
            return Part("neg", "", (self.negative(),))
        base = self.atom()
        if self.next != "**":
            return base
        self.take()
        return Part("**", "", (base, self.negative()))

    def atom(self) -> Part:
        token = self.take()
        if token == "(":
            inside = self.expression()
            self.take(")")
            return inside
        if token[0].isdigit():
            return Part("number", token)
        if not (token[0].isalpha() or token[0] == "_"):
            raise ValueError(token)
        index = self.listed("[", "]") if self.next == "[" else None
        if self.next != "(":
            return Part("name", token) if index is None else Part("at", token, (), index)
        return Part("call" if index is None else "over", token, self.listed("(", ")"), index or ())

    def listed(self, start: str, stop: str) -> tuple[Part, ...]:
        """Expressions between brackets."""
        self.take(start)
        found = []
        while self.next != stop:
            found.append(self.expression())
            if self.next != stop:
                self.take(",")
        self.take(stop)
        return tuple(found)


def read(text: str) -> Part:
    """The parts of a formula; one that cannot be read is a text."""
    try:
        reading = Reading(text)
        found = reading.expression()
        return found if not reading.next else Part("text", text)
    except (ValueError, RecursionError):
        return Part("text", text)


# --- drawing ----------------------------------------------------------------------------------------------------


def drawn(part: Part) -> str:
    """A part as MathML."""
    if part.kind in DRAWING:
        return DRAWING[part.kind](part)
    rank = RANK[part.kind]
    left, right = part.parts
    return row(within(left, rank), f"<mo>{escape(SIGNS.get(part.kind, part.kind))}</mo>", within(right, rank + 1))


def row(*inside: str) -> str:
    return f"<mrow>{''.join(inside)}</mrow>"


def rank_of(part: Part) -> int:
    """How tightly the outermost sign of a part binds as it is drawn: a fraction needs no brackets."""
    return ATOM if part.kind == "/" else RANK.get(part.kind, ATOM)


def within(part: Part, rank: int) -> str:
    """A part in brackets if its own sign binds less tightly."""
    return bracketed(part) if rank_of(part) < rank else drawn(part)


def bracketed(part: Part) -> str:
    return row("<mo>(</mo>", drawn(part), "<mo>)</mo>")


def name(part: Part) -> str:
    text = SYMBOLS.get(part.text, part.text)
    return f"<mi>{escape(text)}</mi>" if len(text) < 8 and "." not in text else f"<mtext>{escape(text)}</mtext>"


def separated(parts: tuple[Part, ...]) -> str:
    return row("<mo>,</mo>".join(drawn(each) for each in parts))


def at(part: Part) -> str:
    return f"<msub>{name(part)}{separated(part.index)}</msub>"


def power(part: Part) -> str:
    base, exponent = part.parts
    simple = base.kind in ("number", "name", "at", "call")
    return f"<msup>{drawn(base) if simple else bracketed(base)}{drawn(exponent)}</msup>"


def over(part: Part) -> str:
    sign = f"<munder><mo>{escape(OVER.get(part.text, part.text))}</mo>{separated(part.index)}</munder>"
    (term,) = part.parts
    return row(sign, within(term, RANK["*"]))


def call(part: Part) -> str:
    if part.text == "sqrt" and len(part.parts) == 1:
        return f"<msqrt>{drawn(part.parts[0])}</msqrt>"
    if part.text == "where" and len(part.parts) == 3:
        return cases(*part.parts)
    return row(f"<mi>{escape(part.text)}</mi><mo>&#x2061;</mo>", "<mo>(</mo>", separated(part.parts), "<mo>)</mo>")


def cases(condition: Part, yes: Part, no: Part) -> str:
    """One of two, by a condition."""
    rows = [(drawn(yes), "<mtext>if </mtext>", drawn(condition)), (drawn(no), "<mtext>otherwise</mtext>", "")]
    cells = (f"<mtr><mtd>{value}</mtd><mtd>{row(word, when)}</mtd></mtr>" for value, word, when in rows)
    return row("<mo>{</mo>", f"<mtable columnalign='left left'>{''.join(cells)}</mtable>")


DRAWING: dict[str, Callable[[Part], str]] = {
    "number": lambda part: f"<mn>{escape(part.text)}</mn>",
    "text": lambda part: f"<mtext>{escape(part.text)}</mtext>",
    "neg": lambda part: row("<mo>−</mo>", within(part.parts[0], RANK["neg"])),
    "/": lambda part: f"<mfrac>{drawn(part.parts[0])}{drawn(part.parts[1])}</mfrac>",
    "//": lambda part: row("<mo>⌊</mo>", DRAWING["/"](part), "<mo>⌋</mo>"),
    "**": power,
    "name": name,
    "at": at,
    "over": over,
    "call": call,
}
