"""Rules of a feed-forward: from patterns to sets of values, and whether they exclude each other and cover all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from math import prod
from typing import Any

from byhand.wiring.parts import Rule
from byhand.wiring.refusals import refuse
from byhand.wiring.variables import Number, Value, Variable

Pattern = Mapping[Variable, Value]
SHOWN = 8  # the most values of a variable that a message lists


def variables(given: Any, site: str) -> list[Variable]:
    """One variable or several as a list. Raises WiringError for anything else."""
    made = [given] if isinstance(given, Variable) else list(given) if isinstance(given, Iterable) else [given]
    for each in made:
        if isinstance(each, Number):
            refuse(site, f"it reads the number {each.name}; turn it into a variable first, with steps")
        if not isinstance(each, Variable):
            refuse(site, f"its inputs are variables, and not {each!r:.40}")
    return made


def check_patterns(site: str, rules: Any) -> None:
    """Raises WiringError for rules that are no pairs of a pattern and a value."""
    for rule in rules if isinstance(rules, list | tuple) else [rules]:
        if not (isinstance(rule, tuple) and len(rule) == 2 and isinstance(rule[0], Mapping)):
            refuse(site, f"a rule is a pair, ({{variable: value}}, value), and not {rule!r:.40}")
        for each, wanted in rule[0].items():
            if not isinstance(each, Variable):
                refuse(site, f"a pattern gives variables values, and {each!r:.40} is no variable")
            if not isinstance(wanted, Hashable | set):
                refuse(site, f"a pattern wants {wanted!r:.40}; give one value, or a set of values")


def ruled(
    inputs: Sequence[Variable],
    rules: Sequence[tuple[Pattern, Value]],
    domain: Sequence[Value],
    start: Mapping[Variable, Value],
) -> tuple[list[Rule], list[tuple[str, str]]]:
    """The rules by places; and those that never apply and why, in words. start: the values at the begin position."""
    made, never = [], []
    for pattern, then in rules:
        when = tuple(places(each, pattern[each]) if each in pattern else all_of(each) for each in inputs)
        if why := hindrance(inputs, when, start):
            never.append((f"{wording(pattern)} -> {then!r}", why))
        else:
            made.append(Rule(when, domain.index(then)))
    return made, never


def places(variable: Variable, wanted: Value) -> frozenset[int]:
    """The places of the wanted values; those that the variable never has are left out."""
    values = wanted if isinstance(wanted, set | frozenset) else {wanted}
    return frozenset(place for place, value in enumerate(variable.domain) if value in values)


def all_of(variable: Variable) -> frozenset[int]:
    return frozenset(range(len(variable.domain)))


def hindrance(inputs: Sequence[Variable], when: Sequence[frozenset[int]], start: Mapping[Variable, Value]) -> str:
    """Why a rule can never apply, in words, if it cannot: a variable never has what it wants, or it wants the begin
    token together with a value that is not there at the begin position."""
    asked = list(zip(inputs, when, strict=True))
    for each, allowed in asked:
        if not allowed:
            return f"{each.name} is always one of {shortened(each.domain)}"
    begin = next((each for each, allowed in asked if each.when == 0 and allowed == {0}), None)
    for each, allowed in asked:
        if begin and each.domain.index(start[each]) not in allowed:
            return f"where {begin.name} is {begin.domain[0]!r}, {each.name} is {start[each]!r}"
    return ""


def shortened(domain: Sequence[Value]) -> str:
    shown = ", ".join(map(repr, domain[:SHOWN]))
    return shown if len(domain) <= SHOWN else f"{shown}, ... ({len(domain)} in all)"


def wording(pattern: Pattern) -> str:
    return " and ".join(f"{each.name} = {value!r}" for each, value in pattern.items()) or "always"


def check_apart(site: str, inputs: Sequence[Variable], rules: Sequence[Rule], defaulted: bool) -> None:
    """Refuse rules of which two fit at once, and, without a default, those that leave something open."""
    for first, second in combinations(rules, 2):
        both = [a & b for a, b in zip(first.when, second.when, strict=True)]
        if all(both):
            example = ", ".join(
                f"{each.name} = {each.domain[min(some)]!r}" for each, some in zip(inputs, both, strict=True)
            )
            refuse(site, f"two rules fit {example}; rules are added up, so at most one may apply")
    covered = sum(prod(map(len, rule.when)) for rule in rules)
    total = prod(len(each.domain) for each in inputs)
    if not defaulted and covered < total:
        refuse(site, f"its rules say nothing about {total - covered} of {total} combinations; give default=")


def most_frequent(values: Iterable[Value]) -> Value:
    return Counter(values).most_common(1)[0][0]
