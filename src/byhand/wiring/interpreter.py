"""What a wiring means: its variables on a text, in plain Python, without any matrix."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import TYPE_CHECKING, Any

from byhand.errors import InputError
from byhand.wiring.parts import FIRST, Attending, Average, Deciding, Level, Offset, Table
from byhand.wiring.refusals import refuse
from byhand.wiring.variables import Read, Value, Variable

if TYPE_CHECKING:
    from byhand.wiring.wiring import Wiring

Values = dict[str, list[Any]]


def interpret(wiring: Wiring, text: Sequence[str]) -> Values:
    """The value of every variable at every position, the begin token first. Raises InputError for foreign letters."""
    for place, letter in enumerate(text):
        if letter not in wiring.alphabet:
            raise InputError(f"letter {letter!r} at {place} is not in the alphabet {wiring.alphabet!r}")
    if len(text) >= wiring.context:
        raise InputError(
            f"the text has {len(text)} letters, and at most {wiring.context - 1} fit after the begin token"
        )
    values: Values = {"tokens": [wiring.begin, *text]}
    for layer in wiring.layers:
        values |= {head.out.name: attend(head, values) for head in layer.heads}
        values |= {part.out.name: [decide(part, values, at) for at in range(len(text) + 1)] for part in layer.deciding}
    return values


def predictions(wiring: Wiring, text: Sequence[str]) -> list[Any]:
    """What is predicted after the begin token and after every letter. Raises WiringError without `predict`."""
    return interpret(wiring, text)[predicted_name(wiring)]


def predicted_name(wiring: Wiring) -> str:
    if wiring.predicted is None:
        refuse(wiring.name, "it predicts nothing; say wiring.predict(variable)")
    return wiring.predicted.name


def attend(head: Attending, values: Values) -> list[Any]:
    """What a head brings to every position. The begin position is no match of anything."""
    positions = range(len(values["tokens"]))
    if isinstance(head.where, Offset):
        back = head.where.distance
        found = [[at - back] if at > back else [] for at in positions]
    else:
        asks, says = places(head.where.query, values), places(head.where.key, values)
        found = [matches(head.where.levels[asks[at]], says, at) for at in positions]
    if isinstance(head, Average):
        return means(head, places(head.read, values), found)
    read = values[head.read.name]
    pick = 0 if head.pick == FIRST else -1
    nothing = read if head.default is None else [head.default] * len(read)
    return [read[each[pick]] if each else nothing[at] for at, each in enumerate(found)]


def means(head: Average, read: Sequence[int], found: Sequence[Sequence[int]]) -> list[Fraction]:
    """The mean of the numbers at the positions found for each, and of the begin token's; read: places, by position."""
    shared = lcm(*(number.denominator for number in head.numbers))
    whole = [int(number * shared) for number in head.numbers]  # quicker to sum than fractions
    sums = [Fraction(sum(whole[read[each]] for each in some), shared) for some in found]
    begin = head.begin * head.weight
    return [(total + begin) / (len(some) + head.weight) for total, some in zip(sums, found, strict=True)]


def matches(row: Sequence[Level], says: Sequence[int], at: int) -> list[int]:
    """The positions of the text, up to this one, that are wanted most."""
    levels = [row[says[each]] for each in range(1, at + 1)]
    best = max((level for level in levels if level is not None), default=None)
    return [] if best is None else [each for each, level in enumerate(levels, 1) if level == best]


def places(variable: Variable | None, values: Values) -> list[int]:
    """The place of a variable's value at every position; 0 for no variable."""
    if variable is None:
        return [0] * len(values["tokens"])
    return [variable.places[value] for value in values[variable.name]]


def decide(part: Deciding, values: Values, at: int) -> Value:
    """What a feed-forward writes at a position."""
    reads = part.inputs if isinstance(part, Table) else part.form.terms
    return outcome(part, tuple(values[each.name][at] for each in reads))


@lru_cache(maxsize=100_000)
def outcome(part: Deciding, given: tuple[Value, ...]) -> Value:
    """What a feed-forward makes of these values of what it reads."""
    if isinstance(part, Table):
        here = [each.places[value] for each, value in zip(part.inputs, given, strict=True)]
        fits = (rule.then for rule in part.rules if all(p in some for p, some in zip(here, rule.when, strict=True)))
        return part.out.domain[next(fits, part.default)]
    terms = zip(part.form.terms.items(), given, strict=True)
    number = part.form.constant + sum(worth(read, numbers, value) for (read, numbers), value in terms)
    return part.out.domain[part.place(number)]


def worth(read: Read, numbers: Sequence[Fraction], value: Value) -> Fraction:
    """What a value adds to a form. A number that nobody foresaw, as in mutants, adds its share like all others."""
    if value in read.places:
        return numbers[read.places[value]]
    return value * next(number / each for number, each in zip(numbers, read.options, strict=True) if each)
