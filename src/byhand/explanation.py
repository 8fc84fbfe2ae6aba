"""What an explanation holds, and how it reads: one number, its formula, its numbers, its terms, its operands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import frexp, isfinite
from typing import Any, Protocol

import numpy as np

from byhand import markup, notation
from byhand.addresses import base, known
from byhand.arithmetic import exact_sum
from byhand.changes import Edit
from byhand.errors import InputError
from byhand.program import BackwardStep, Program
from byhand.shapes import Index, Shape

Array = np.ndarray[Any, Any]
# By dtype: bits of the fraction, and the exponent below which the last place gets no smaller.
FORMATS = {"float64": (52, -1022), "float32": (23, -126), "bfloat16": (7, -126)}


class Values(Protocol):
    """What an explanation needs to know of a run."""

    @property
    def program(self) -> Program: ...

    @property
    def edits(self) -> tuple[Edit, ...]: ...

    def look(self, address: str) -> Array:
        """The array at an address: a value, ``d:x`` a gradient, ``d:x@step`` the part of it that one step adds,
        ``x@unedited`` the value before the run's edits of it, ``d:x@unedited`` the gradient of that.
        """
        ...

    def shape(self, address: str) -> Shape:
        """The shape of the array at an address, without computing it."""
        ...

    def explain(self, address: str, index: Index) -> Explanation: ...

    def remark(self, address: str) -> str:
        """How a value was computed otherwise than its formula says; "" where it was not."""
        ...

    def backward_step(self, address: str) -> BackwardStep | None:
        """The step that writes a gradient; None where the gradient was given to start from."""
        ...


@dataclass(frozen=True)
class Operand:
    """One element that an explained number was made from. kind: weight, input, value, gradient or start."""

    address: str
    index: Index
    value: float
    kind: str

    def __str__(self) -> str:
        return f"{self.address}{place(self.index)}"


@dataclass(frozen=True)
class Term:
    """One addend of an explained number: its value, its numbers, and the operands in it."""

    value: float
    numbers: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True)
class Working:
    """A quantity computed on the way, such as a row's maximum: its formula in names, in numbers, and its value."""

    name: str
    formula: str
    numbers: str
    value: float


@dataclass(frozen=True, repr=False)
class Explanation:
    """Everything about one number of a run.

    stored: as the run holds it (dtype says how); value: recomputed in float64, the exactly rounded sum of the terms;
    ulp: their difference in units of the last place of the stored one; operator: what made it, "sum" of several
    gradients, "edit", or "" for what was given; formula: in names; numbers: the same with numbers, a Python expression;
    working: what was computed on the way; operands: where everything came from; note: the edits of this number;
    remark: in what the engine departed from the formula.
    """

    address: str
    index: Index
    axes: str
    kind: str
    stored: float
    dtype: str
    value: float
    ulp: float
    numbers: str
    terms: tuple[Term, ...]
    operator: str = ""
    formula: str = ""
    operands: tuple[Operand, ...] = ()
    note: str = ""
    remark: str = ""
    work: Callable[[], tuple[Working, ...]] = field(default=tuple, repr=False, compare=False)
    run: Values | None = field(default=None, repr=False, compare=False)

    @cached_property
    def working(self) -> tuple[Working, ...]:
        return self.work()

    @property
    def cancelling(self) -> float:
        """The difference in units of the largest term's last place: the fair measure where large terms cancel."""
        largest = max((abs(term.value) for term in self.terms), default=0.0)
        return gap(self.stored, self.value, largest, self.dtype)

    def follow(self, operand: int | Operand) -> Explanation:
        """The explanation of one of the operands, by its place in `operands` or itself. Raises InputError."""
        assert self.run is not None
        chosen = self.operands[operand] if isinstance(operand, int) else operand
        if chosen.kind == "working":
            raise InputError(f"{chosen} was only computed on the way to {self.address}; its formula is in `working`")
        return self.run.explain(chosen.address, chosen.index)

    def by(self, letter: str) -> dict[str, float]:
        """The terms added up along an axis of the operands: ``by("H")`` gives what every head contributes."""
        groups: dict[str, list[float]] = {}
        for term in self.terms:
            groups.setdefault(self.group(term, letter), []).append(term.value)
        return {name: exact_sum(values) for name, values in groups.items()}

    def group(self, term: Term, letter: str) -> str:
        assert self.run is not None
        for operand in term.operands:
            axes = axes_of(self.run, operand.address)
            if letter in axes:
                return f"{letter}={operand.index[axes.index(letter)]}"
        return ", ".join(operand.address for operand in term.operands) or "constant"

    def tree(self, depth: int, most: int = 8) -> Iterator[tuple[int, Explanation]]:
        """This explanation and those of its operands, down to depth, each number once, with its distance from here.

        most: operands followed from each number; the others are still listed in its `operands`.
        """
        seen: set[tuple[str, Index]] = set()
        queue = [(0, self)]
        while queue:
            level, each = queue.pop(0)
            if (each.address, each.index) in seen:
                continue
            seen.add((each.address, each.index))
            yield level, each
            if level < depth:
                queue += [(level + 1, each.follow(operand)) for operand in each.operands[:most]]

    def to_dict(self) -> dict[str, Any]:
        """The whole explanation as plain data, for JSON."""
        return {
            "address": self.address,
            "index": list(self.index),
            "axes": self.axes,
            "operator": self.operator,
            "kind": self.kind,
            "stored": self.stored,
            "dtype": self.dtype,
            "recomputed": self.value,
            "ulp": self.ulp,
            "ulp_of_largest_term": self.cancelling,
            "formula": self.formula,
            "numbers": self.numbers,
            "note": self.note,
            "remark": self.remark,
            "working": [vars(each) for each in self.working],
            "terms": [
                {"value": t.value, "numbers": t.numbers, "operands": list(map(str, t.operands))} for t in self.terms
            ],
            "operands": [{**vars(o), "index": list(o.index)} for o in self.operands],
        }

    def __str__(self) -> str:
        return text(self)

    __repr__ = __str__

    def _repr_html_(self, most: int = 12) -> str:
        lines = [markup.heading(f"{self.address}{place(self.index)}", f"{self.operator or self.kind}, {self.dtype}")]
        for name, remark in (("edited", self.note), ("computed otherwise", self.remark)):
            lines += [markup.paragraph(f"{name}: {remark}")] * bool(remark)
        if not self.operands and not self.working:
            return markup.card(*lines, markup.paragraph(f"{notation.number(float(self.stored), 17)}: {leaf(self)}"))
        ways = [(way.name, way.formula, notation.number(way.value, 6)) for way in self.working]
        terms = [(str(i), notation.number(term.value, 9), term.numbers) for i, term in enumerate(self.terms[:most])]
        left = exact_sum([term.value for term in self.terms[most:]])
        rest = [("...", notation.number(left, 9), f"the other {len(self.terms) - most}")] * (len(self.terms) > most)
        check = [
            ("stored", notation.number(float(self.stored), 17)),
            ("recomputed in float64", notation.number(self.value, 17)),
            ("difference", agreement(self)),
        ]
        working = markup.fold(f"{len(ways)} lines of working", markup.table(ways[:100], words=2)) if ways else ""
        addends = markup.table([*terms, *rest], ("term", "value", "from"))
        return markup.card(
            *lines, markup.paragraph(f"= {self.formula}", code=True), working, addends, markup.table(check)
        )


def axes_of(run: Values, address: str) -> str:
    """The axes of a value or gradient; "" for the name of a local result."""
    return run.program.axes(base(address)) if known(run.program, address) else ""


def ulps(stored: float, value: float, dtype: str) -> float:
    """How far apart two numbers are in units of the stored one's last place; 0 when equal, inf when one is infinite."""
    return gap(stored, value, 0.0, dtype)


def gap(stored: float, value: float, size: float, dtype: str) -> float:
    """The distance of two numbers in units of the last place of the largest among them and `size`."""
    if stored == value or (stored != stored and value != value):
        return 0.0
    if not (isfinite(stored) and isfinite(value)):
        return float("inf")
    bits, smallest = FORMATS.get(dtype, FORMATS["float64"])
    exponent = max(frexp(max(abs(stored), abs(value), size if isfinite(size) else 0.0))[1] - 1, smallest)
    return abs(stored - value) / 2.0 ** (exponent - bits)


def agreement(each: Explanation) -> str:
    """How the stored number compares with the recomputed one, in a few words."""
    words = f"{each.ulp:.3g} ulp from the stored value"
    cancels = each.ulp > 16 and each.cancelling < each.ulp / 2
    return f"{words} ({each.cancelling:.3g} ulp of the largest term: the terms cancel)" if cancels else words


def place(index: Index) -> str:
    return f"[{','.join(map(str, index))}]" if index else ""


def text(each: Explanation, digits: int = 6, most: int = 8) -> str:
    """The explanation for a terminal: a heading, the working, the formula in names and in numbers, and the check."""
    shown = notation.number(float(each.stored), 17)
    lines = [f"{each.address}{place(each.index)} = {shown}   ({each.operator or each.kind}, {each.dtype})"]
    if each.note:
        lines.append(f"  edited: {each.note}")
    if each.remark:
        lines.append(f"  computed otherwise: {each.remark}")
    if not each.operands and not each.working:
        return "\n".join([*lines, f"  {leaf(each)}"])
    for way in each.working[:most]:
        lines.append(f"  {way.name} = {way.formula} = {notation.number(way.value, digits)}")
    if len(each.working) > most:
        lines.append(f"  ... {len(each.working) - most} more lines of working")
    lines.append(f"  = {each.formula}")
    addends = [notation.number(term.value, digits) for term in each.terms[:most]]
    more = [f"... {len(each.terms) - most} more"] * (len(each.terms) > most)
    lines.append(f"  = {' + '.join(f'({a})' if a.startswith('-') else a for a in addends + more)}")
    lines.append(f"  = {notation.number(each.value, 17)} recomputed in float64, {agreement(each)}")
    return "\n".join(lines)


def leaf(each: Explanation) -> str:
    """What a number is that was made from no others; of an input, what its rule says."""
    given = each.run.program.inputs.get(base(each.address)) if each.run is not None else None
    return LEAF.get(given.rule if given else each.kind, "made from settings alone")


LEAF = {
    "weight": "a weight of the model",
    "start": "where the gradient starts",
    "input": "given with the text",
    # by the rule of an input, see inputs.RULES
    "tokens": "given with the text",
    "positions": "place in the text",
    "segments": "its segment",
    "targets": "what should come",
    "causal": "causal: later positions are hidden",
    "everything": "everything may be seen",
    "reached": "later positions are hidden",
    "cache": "kept from what was read before",
    "source": "everything may be seen",
    "logits": "made by the model",
    "seen": "whether the text holds this token",
    "uniform": "drawn from the seed",
}
