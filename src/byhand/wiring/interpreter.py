"""What a wiring means: its variables on a text, in plain Python, without any matrix."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from byhand.errors import InputError
from byhand.wiring.parts import FIRST, Attending, Average, Deciding, Offset, Scores, Table
from byhand.wiring.variables import Value

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
    positions = range(len(text) + 1)
    for layer in wiring.layers:
        values |= {head.out.name: [attend(head, values, at) for at in positions] for head in layer.heads}
        values |= {part.out.name: [decide(part, values, at) for at in positions] for part in layer.deciding}
    return values


def predictions(wiring: Wiring, text: Sequence[str]) -> list[Any]:
    """What is predicted after the begin token and after every letter. Raises WiringError without `predict`."""
    return interpret(wiring, text)[predicted_name(wiring)]


def predicted_name(wiring: Wiring) -> str:
    from byhand.wiring.refusals import refuse

    if wiring.predicted is None:
        refuse(wiring.name, "it predicts nothing; say wiring.predict(variable)")
    return wiring.predicted.name


def attend(head: Attending, values: Values, at: int) -> Value:
    """What a head brings to a position. The begin position is no match of anything."""
    if isinstance(head, Average):
        found = matches(head.where, values, at)
        listed = [Fraction(0)] if head.read is None else head.numbers
        domain = (None,) if head.read is None else head.read.domain
        read = [listed[domain.index(values[head.read.name][each]) if head.read else 0] for each in found]
        return (sum(read) + head.begin * head.weight) / (len(found) + head.weight)
    if isinstance(head.where, Offset):
        found = [at - head.where.distance] if at > head.where.distance else []
    else:
        found = matches(head.where, values, at)
    if found:
        return values[head.read.name][found[0] if head.pick == FIRST else found[-1]]
    return values[head.read.name][at] if head.default is None else head.default


def matches(where: Scores, values: Values, at: int) -> list[int]:
    """The positions of the text, up to this one, that are wanted most."""
    row = where.levels[place(where.query, values, at)]
    levels = [(row[place(where.key, values, each)], each) for each in range(1, at + 1)]
    best = max((level for level, _ in levels if level is not None), default=None)
    return [each for level, each in levels if level is not None and level == best]


def place(variable: Any, values: Values, at: int) -> int:
    return 0 if variable is None else variable.domain.index(values[variable.name][at])


def decide(part: Deciding, values: Values, at: int) -> Value:
    """What a feed-forward writes at a position."""
    if isinstance(part, Table):
        places = [place(each, values, at) for each in part.inputs]
        fits = (
            rule.then for rule in part.rules if all(p in allowed for p, allowed in zip(places, rule.when, strict=True))
        )
        return part.out.domain[next(fits, part.default)]
    number = part.form.constant
    for read, numbers in part.form.terms.items():
        options = getattr(read, "domain", None) or read.values
        number += numbers[options.index(values[read.name][at])]
    return part.out.domain[dict(part.images)[number]]
