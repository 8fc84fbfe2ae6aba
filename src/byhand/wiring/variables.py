"""Variables over finite domains, and affine forms of them.

A variable has one value at every position of a text. A form is a sum of numbers, one read off each variable; it exists
only inside a feed-forward, where steps turn it into a variable again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from byhand.wiring.given import answer, known, number
from byhand.wiring.refusals import refuse

Value = Any  # anything that can be a key of a dictionary
EMBEDDING, ATTENTION, FEED_FORWARD = "embedding", "attention", "feed-forward"


@dataclass(frozen=True, eq=False)
class Variable:
    """A name, the values it can have, how they are written into the stream, and who writes it.

    code: "one-hot", "signs" or an array [values, dimensions], see `codes`; layer: -1 for the embedding; part: the half
    of that layer, ATTENTION or FEED_FORWARD.
    """

    name: str
    domain: tuple[Value, ...]
    layer: int = -1
    part: str = EMBEDDING
    code: Any = "one-hot"

    def __repr__(self) -> str:
        return f"<{self.name}: {', '.join(map(str, self.domain))}>"

    @property
    def options(self) -> tuple[Value, ...]:
        """What it can be."""
        return self.domain

    @cached_property
    def places(self) -> dict[Value, int]:
        """The place of each value."""
        return {value: place for place, value in enumerate(self.domain)}

    @property
    def when(self) -> int:
        """When it is written: 0 by the embedding, then 1, 2 by the halves of layer 0, 3, 4 by those of layer 1 ..."""
        return 0 if self.layer < 0 else 2 * self.layer + (1 if self.part == ATTENTION else 2)

    def place(self, value: Value, site: str) -> int:
        """The place of a value in the domain. Raises WiringError naming the site."""
        if value not in self.domain:
            refuse(site, f"{self.name} is never {value!r}; its values are {', '.join(map(repr, self.domain))}")
        return self.domain.index(value)

    def numbers(self, of: Mapping[Value, Any] | Callable[[Value], Any]) -> Form:
        """A number for each value: those of the mapping, 0 for the others; or what the function gives.

        Raises WiringError for values that it never has, and for what is no number.
        """
        site = f"numbers of {self.name}"
        if isinstance(of, Mapping):
            known(site, of, self.domain, f"{self.name} is")
            return Form({self: tuple(number(site, of.get(value, 0)) for value in self.domain)})
        return Form({self: tuple(number(site, answer(site, of, value)) for value in self.domain)})


@dataclass(frozen=True, eq=False)
class Number:
    """What an average leaves in the stream for the feed-forward of its own layer: one of finitely many fractions."""

    name: str
    layer: int
    values: tuple[Fraction, ...]

    @property
    def options(self) -> tuple[Fraction, ...]:
        """What it can be."""
        return self.values

    @cached_property
    def places(self) -> dict[Fraction, int]:
        """The place of each value."""
        return {value: place for place, value in enumerate(self.values)}

    @property
    def when(self) -> int:
        return 2 * self.layer + 1

    @property
    def form(self) -> Form:
        return Form({self: self.values})


Read = Variable | Number


@dataclass(frozen=True, eq=False)
class Form:
    """A sum of numbers read off variables: terms say what each value of each contributes, in its order."""

    terms: Mapping[Read, tuple[Fraction, ...]] = field(default_factory=dict)
    constant: Fraction = Fraction(0)

    def __add__(self, other: Form | int | float | Fraction) -> Form:
        if not isinstance(other, Form):
            return Form(self.terms, self.constant + number("a form, added to something", other))
        terms = dict(self.terms)
        for read, numbers in other.terms.items():
            old = terms.get(read, (Fraction(0),) * len(numbers))
            terms[read] = tuple(a + b for a, b in zip(old, numbers, strict=True))
        return Form(terms, self.constant + other.constant)

    def __mul__(self, factor: int | float | Fraction) -> Form:
        f = number("a form, multiplied", factor)
        return Form({read: tuple(f * n for n in numbers) for read, numbers in self.terms.items()}, f * self.constant)

    def __sub__(self, other: Form | int | float | Fraction) -> Form:
        return self + -(other if isinstance(other, Form) else number("a form, less something", other))

    def __neg__(self) -> Form:
        return self * -1

    def __rsub__(self, other: int | float | Fraction) -> Form:
        return -self + other

    __radd__, __rmul__ = __add__, __mul__

    def centred(self) -> Form:
        """The same with numbers around 0, where a sum of them is rounded least and a norm's mean disturbs it least."""
        terms, constant = dict(self.terms), self.constant
        for read, numbers in self.terms.items():
            if isinstance(read, Variable) and read.code == "one-hot":
                middle = Fraction(round(sum(numbers) / len(numbers)))
                terms[read], constant = tuple(each - middle for each in numbers), constant + middle
        return Form(terms, constant)

    def possible(self, site: str, most: int = 100_000) -> list[Fraction]:
        """Every value that it can have, if the variables were free, in order. Raises WiringError for too many."""
        sums = {self.constant}
        for numbers in self.terms.values():
            sums = {old + each for old in sums for each in set(numbers)}
            if len(sums) > most:
                refuse(site, f"its form has more than {most:,} values; make it of fewer or coarser numbers")
        return sorted(sums)


def form_of(given: Form | Number, site: str) -> Form:
    """A number as a form of itself. Raises WiringError for anything else."""
    if not isinstance(given, Form | Number):
        refuse(site, f"it needs a form, such as digits.numbers({{...}}) or an average, and got {given!r:.60}")
    return given.form if isinstance(given, Number) else given
