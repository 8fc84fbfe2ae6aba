"""The same wiring with one thing changed: each change must make a verification fail, or the spec says too little."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from typing import Any

from byhand.wiring.parts import FIRST, LATEST, ONLY, Average, Head, Offset, Rule, Steps, Table
from byhand.wiring.variables import Variable
from byhand.wiring.wiring import Layer, Wiring


def mutants(wiring: Wiring) -> Iterator[tuple[str, Wiring]]:
    """Every wiring that differs in one rule, one step, one distance or one pick, and what was changed."""
    for at, layer in enumerate(wiring.layers):
        for place, head in enumerate(layer.heads):
            for what, changed in other_heads(head, wiring.context):
                heads = [*layer.heads[:place], changed, *layer.heads[place + 1 :]]
                yield f"layer {at}, head {head.name!r}: {what}", with_layer(wiring, at, Layer(heads, layer.deciding))
        for place, part in enumerate(layer.deciding):
            changes = other_tables(part) if isinstance(part, Table) else other_steps(part)
            for what, changed in changes:
                parts = [*layer.deciding[:place], changed, *layer.deciding[place + 1 :]]
                yield f"layer {at}, {part.name!r}: {what}", with_layer(wiring, at, Layer(layer.heads, parts))


def with_layer(wiring: Wiring, at: int, layer: Layer) -> Wiring:
    made = copy(wiring)
    made.layers = [*wiring.layers[:at], layer, *wiring.layers[at + 1 :]]
    return made


def other_heads(head: Any, context: int) -> Iterator[tuple[str, Any]]:
    if isinstance(head.where, Offset):
        away = head.where.distance + (1 if head.where.distance + 1 < context else -1)
        yield f"offset -{away}", replace(head, where=Offset(away))
        return
    if isinstance(head, Head) and head.pick != ONLY:
        other = LATEST if head.pick == FIRST else FIRST
        yield f"pick {other}", replace(head, pick=other)
    for asks, row in enumerate(head.where.levels):
        for says, level in enumerate(row):
            if level is not None and not begins(head.where.query, asks) and not begins(head.where.key, says):
                rows = list(map(list, head.where.levels))
                rows[asks][says] = None
                yield (
                    f"score {asks}, {says} never",
                    replace(head, where=replace(head.where, levels=tuple(map(tuple, rows)))),
                )
    if isinstance(head, Average):
        yield "begin counts once more", replace(head, weight=head.weight + 1)


def begins(variable: Variable | None, place: int) -> bool:
    """Whether a value is the begin token, which no text has."""
    return variable is not None and variable.when == 0 and place == 0


def other_tables(part: Table) -> Iterator[tuple[str, Table]]:
    values = len(part.out.domain)
    for place, rule in enumerate(part.rules):
        left = part.rules[:place] + part.rules[place + 1 :]
        yield f"without rule {place}", replace(part, rules=left)
        for other in range(values):
            if other not in (rule.then, part.default):
                rules = (*part.rules[:place], Rule(rule.when, other), *part.rules[place + 1 :])
                yield f"rule {place} gives {part.out.domain[other]!r}", replace(part, rules=rules)
    for other in range(values):
        if other != part.default:
            yield f"default {part.out.domain[other]!r}", replace(part, default=other)


def other_steps(part: Steps) -> Iterator[tuple[str, Steps]]:
    """Without each step: what lies between it and the next gets the value below it."""
    values = [value for _, value in part.images]
    starts = [place for place in range(1, len(values)) if values[place] != values[place - 1]]
    for start, end in zip(starts, [*starts[1:], len(values)], strict=True):
        lower = [(number, values[start - 1]) for number, _ in part.images[start:end]]
        images = (*part.images[:start], *lower, *part.images[end:])
        yield f"without the step at {part.images[start][0]}", replace(part, images=images)
