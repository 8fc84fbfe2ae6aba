"""The parts a wiring is made of, as records: where heads look, what they read, what feed-forwards decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product
from typing import Any

from byhand.wiring.given import answer, known, level
from byhand.wiring.refusals import refuse
from byhand.wiring.variables import Form, Number, Value, Variable

Level = float | None  # how much a key is wanted; None: not at all
LATEST, FIRST, ONLY = "latest", "first", "only"


@dataclass(frozen=True)
class Offset:
    """The one key that stands `distance` positions before the query."""

    distance: int


@dataclass(frozen=True, eq=False)
class Scores:
    """How much each value of the key variable is wanted by each value of the query variable.

    levels: [query value][key value], higher is better, None is never; a missing variable counts as one value.
    """

    query: Variable | None
    key: Variable | None
    levels: tuple[tuple[Level, ...], ...]

    @property
    def certain(self) -> bool:
        """Whether a query always finds at least its own position."""
        return self.query is self.key and all(row[place] is not None for place, row in enumerate(self.levels))

    def tells(self, read: Variable) -> bool:
        """Whether all best matches of a query have the same value of this variable."""
        wanted = [[level for level in row if level is not None] for row in self.levels]
        return read is self.key and all(len(set(row)) == len(row) for row in wanted)


Where = Offset | Scores


def offset(distance: int) -> Offset:
    """The position so many steps away: ``offset(-1)`` is the one before. Raises WiringError for what lies ahead."""
    if not isinstance(distance, int) or distance > 0:
        refuse(f"offset({distance!r})", "a position reads only itself and what stands before it; give 0, -1, -2, ...")
    return Offset(-distance)


def scores(query: Variable | None, key: Variable | None, of: Callable[..., Level] | Mapping[Any, Level]) -> Scores:
    """A head that wants keys by a table.

    of: a function of the query's value and the key's, or a mapping by (query value, key value); None or False, or left
    out, is never wanted. Without a query or a key variable the function takes one value, or none. Raises WiringError.
    """
    sides = [each for each in (query, key) if each is not None]
    for each in sides:
        if not isinstance(each, Variable):
            refuse("scores", f"heads look by variables, and got {each!r:.40}")
    site = f"scores of {' and '.join(each.name for each in sides) or 'nothing'}"
    every = [values if len(sides) != 1 else values[0] for values in product(*(each.domain for each in sides))]
    if isinstance(of, Mapping):
        known(site, of, every, f"{' and '.join(each.name for each in sides)} are")
        found = [of.get(values) for values in every]
    else:
        found = [answer(site, of, *(values if len(sides) != 1 else [values])) for values in every]
    listed = [level(site, each) for each in found]
    if all(each is None for each in listed):
        refuse(site, "no key is ever wanted, since nothing has a level")
    width = len(key.domain) if key is not None else 1
    return Scores(query, key, tuple(tuple(listed[at : at + width]) for at in range(0, len(listed), width)))


def equal(query: Variable, key: Variable) -> Scores:
    """The keys whose `key` has the value that the query's `query` has."""
    return scores(query, key, lambda asks, says: 1 if asks == says else None)


def having(key: Variable, *values: Value) -> Scores:
    """The keys whose `key` has one of these values, whatever the query."""
    if not isinstance(key, Variable):
        refuse("having", f"heads look by variables, and got {key!r:.40}")
    for value in values:
        key.place(value, "having")
        if key.when == 0 and value == key.domain[0]:
            refuse("having", f"{value!r} is the begin token, which is not part of the text: no head matches it")
    return scores(None, key, lambda says: 1 if says in values else None)


def everywhere() -> Scores:
    """Every position of the text up to the query."""
    return scores(None, None, lambda: 1)


@dataclass(frozen=True, eq=False)
class Head:
    """Copies the value of `read` at the one position picked to `out`; where nothing matches, `default`."""

    name: str
    where: Where
    pick: str
    read: Variable
    out: Variable
    default: Value | None


@dataclass(frozen=True, eq=False)
class Average:
    """The mean of a number over all best matches and the begin token, which counts `weight` times as `begin`."""

    name: str
    where: Scores
    read: Variable | None
    numbers: tuple[Fraction, ...]
    begin: Fraction
    weight: int
    out: Number


@dataclass(frozen=True)
class Rule:
    """Where every input has one of these values (by place), the output has that one (by place)."""

    when: tuple[frozenset[int], ...]
    then: int


@dataclass(frozen=True, eq=False)
class Table:
    """A feed-forward that decides by rules, of which at most one fits; `default` where none does."""

    name: str
    inputs: tuple[Variable, ...]
    rules: tuple[Rule, ...]
    default: int
    out: Variable


@dataclass(frozen=True, eq=False)
class Steps:
    """A feed-forward that decides by a form: images [(value of the form, place of the output's value)], in order."""

    name: str
    form: Form
    images: tuple[tuple[Fraction, int], ...]
    out: Variable

    @cached_property
    def places(self) -> dict[Fraction, int]:
        """The place of the output's value for each number."""
        return dict(self.images)

    def place(self, number: Fraction) -> int:
        """The same for any number: steps lie halfway between those that the form can be."""
        if number in self.places:
            return self.places[number]
        return min(self.images, key=lambda image: abs(image[0] - number))[1]


Attending = Head | Average
Deciding = Table | Steps
