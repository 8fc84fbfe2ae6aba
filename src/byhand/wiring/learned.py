"""Heads of a stock GPT-2: positions are codes in the stream, so every term of a score is a plain product."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np

from byhand.wiring.heads import (
    LEAK,
    NEED,
    QUIET,
    STRONGEST,
    UNIT,
    Design,
    Start,
    asked_latest,
    power,
    short,
    strengths,
    value_of,
)
from byhand.wiring.layout import POSITION, Layout
from byhand.wiring.matching import Affine, beside, constant, content
from byhand.wiring.parts import FIRST, ONLY, Attending, Average, Offset, Scores
from byhand.wiring.positions import COSINE, SINE, Circles, periods
from byhand.wiring.refusals import refuse
from byhand.wiring.variables import Variable
from byhand.wiring.wiring import Wiring

CALM = 2.0**11  # scores beyond this are worth another circle: a low precision could not tell them apart


def circles_for(wiring: Wiring, given: tuple[float, ...] | None = None) -> Circles:
    """The position table with the fewest circles that tell all distances apart without a shout. Raises WiringError.

    given: periods to use instead of those found.
    """
    heads = [head for layer in wiring.layers for head in layer.heads]
    arc = any(asked_latest(head) for head in heads)
    if not any(isinstance(head.where, Offset) for head in heads):
        return Circles(wiring.context, (), arc)
    choices = [given] if given is not None else [periods(wiring.context, count) for count in range(1, 5)]
    made = [Circles(wiring.context, each, arc) for each in choices]
    good = [each for each in made if each.loss()[0] / 2 > QUIET * 64 * UNIT * len(each.periods)]
    if good:
        calm = [each for each in good if power(2 * NEED / each.loss()[0]) <= CALM]
        return (calm or good[-1:])[0]
    circles = made[-1]
    loss, where = circles.loss()
    why = f"distances {where} apart look alike (they differ by {loss:.1g})"
    refuse(
        "positions",
        f"circles of periods {', '.join(f'{p:g}' for p in circles.periods)} do not do for a context of "
        f"{wiring.context}: {why}; give periods= up to the context, or a shorter context",
    )


def design(circles: Circles, head: Attending, layout: Layout, start: Start, site: str) -> Design:
    """The matrices of one head, scores still without the division by the root of the head's width."""
    if isinstance(head.where, Offset):
        query, key = by_distance(head.where.distance, layout, circles, start, site)
    else:
        query, key = by_content(head, head.where, layout, circles, start, site)
    value, output = value_of(head, layout, start, site)
    return Design(head.name, query, key, value, output, isinstance(head, Average))


def by_distance(distance: int, layout: Layout, circles: Circles, start: Start, site: str) -> tuple[Affine, Affine]:
    """Points on circles: the query turned back by the distance falls on its key and on no other.

    The begin token has no place on the circles; it scores half the smallest loss below the right key, so it is read
    when there is no right key.
    """
    loss, _ = circles.loss()
    strength = power(2 * NEED / loss)
    if strength > STRONGEST:
        refuse(site, f"its scores would have to reach {strength:.0g}; shorten the context")
    queries, keys = [], []
    for place, period in enumerate(circles.periods):
        turn = 2 * np.pi * distance / period
        cosine, sine = COSINE * np.cos(turn) + SINE * np.sin(turn), SINE * np.cos(turn) - COSINE * np.sin(turn)
        queries.append(on_circle(layout, place, strength * np.stack([cosine, sine], 1)))
        keys.append(on_circle(layout, place, np.stack([COSINE, SINE], 1)))
    key = beside(keys).at(start.stream, start.dim, np.zeros(2 * len(keys)))
    bonus = strength * (len(circles.periods) - loss / 2)
    return with_begin(beside(queries), key, 1.0, bonus, layout, start)


def on_circle(layout: Layout, place: int, weights: np.ndarray) -> Affine:
    """Columns on one circle of the position code."""
    made = np.zeros((layout.width, weights.shape[1]))
    first = layout.slots[POSITION].first + 3 * place
    made[first : first + 3] = weights
    return Affine(made, np.zeros(weights.shape[1]))


def with_begin(
    query: Affine, key: Affine, asks: float, says: float, layout: Layout, start: Start
) -> tuple[Affine, Affine]:
    """One more feature, by which the begin token scores asks * says and no other does."""
    if says == 0:
        return query, key
    more = constant(layout.width, 0.0).at(start.stream, start.dim, np.array([says]))
    return beside([query, constant(layout.width, asks)]), beside([key, more])


def balanced(features: Affine, variable: Variable | None, layout: Layout) -> Affine:
    """The same features by weights that sum to 0, which do not see how far off the mean is that a layer norm takes."""
    if variable is None:
        return features
    slot = layout.slots[variable.name]
    weights, level = features.weights.copy(), features.weights[slot.dims].mean(0)
    weights[slot.dims] -= level
    return Affine(weights, features.constant + level * slot.codes[0].sum())


def by_content(
    head: Attending, where: Scores, layout: Layout, circles: Circles, start: Start, site: str
) -> tuple[Affine, Affine]:
    mean = isinstance(head, Average)
    found = content(where, layout, mean, site)
    if mean:
        found = replace(
            found,
            query=balanced(found.query, where.query, layout),
            key=balanced(found.key, where.key, layout),
        )
    key = found.key.at(start.stream, start.dim, np.zeros(found.key.count))
    if isinstance(head, Average):
        bonus = found.begin + log(head.weight) / LEAK
        return with_begin(found.query.scaled(LEAK), key, LEAK, bonus, layout, start)
    if head.pick == ONLY:
        strong = short(NEED)
        return with_begin(found.query.scaled(strong), key, strong, found.begin, layout, start)
    step = 2 / (circles.context - 1)
    strong, position = strengths(found.levels, step, 1.0, 0.0, site)
    query, key = with_begin(found.query.scaled(strong), key, strong, found.begin, layout, start)
    later = on_circle(layout, len(circles.periods), SINE[:, None]).at(start.stream, start.dim, np.zeros(1))
    sign = -position if head.pick == FIRST else position
    return beside([query, constant(layout.width, sign)]), beside([key, later])
