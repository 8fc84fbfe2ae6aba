"""Heads of a stock Llama: rotary pairs turn queries and keys, so a score is a sum of plane by plane products.

A pair of features is a complex number that is turned by w * position. With q and k at a distance d the pair gives
Re(q * conj(k) * exp(i w d)). Fast pairs tell distances apart; slow ones hardly turn and hold what a plain product
needs; one in between grows steadily and says which of two matches is later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from byhand.wiring.heads import LEAK, NEED, QUIET, UNIT, Design, Start, power, short, strengths, value_of
from byhand.wiring.layout import Layout
from byhand.wiring.learned import with_begin
from byhand.wiring.matching import Affine, beside, constant, content
from byhand.wiring.parts import FIRST, ONLY, Attending, Average, Offset, Scores
from byhand.wiring.positions import Rotary
from byhand.wiring.refusals import WiringError, refuse
from byhand.wiring.wiring import Wiring

Array = np.ndarray[Any, Any]
THETAS = (1e4, 1e6, 1e8, 1e12, 1e18)
HEAD_WIDTHS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)
STRAY = 2.0**-12  # how much of an average's score may be lost by turning


@dataclass(frozen=True, eq=False)
class Planes:
    """Features of one head by rotary pair: those of pair f are 2f and 2f + 1 here, and f and f + pairs in the file."""

    query: list[Affine]
    key: list[Affine]


def design(rotary: Rotary, head: Attending, layout: Layout, start: Start, site: str) -> Design:
    """The matrices of one head in the order of transformers' files. Raises WiringError where these pairs do not do."""
    value, output = value_of(head, layout, start, site)
    if value.count > rotary.head_width:
        refuse(site, f"it copies {value.count} values, and a head of width {rotary.head_width} holds no more than that")
    if isinstance(head.where, Offset):
        query, key = by_distance(head.where.distance, layout, rotary, start, site)
    else:
        query, key = by_content(head, head.where, layout, rotary, start, site)
    return Design(head.name, query, key, value, output, isinstance(head, Average))


def empty(layout: Layout, rotary: Rotary) -> list[Affine]:
    return [constant(layout.width, 0.0, 0.0) for _ in range(rotary.head_width // 2)]


def in_halves(pairs: list[Affine]) -> Affine:
    """The first features of all pairs, then the second ones: how transformers stores them."""
    both = beside(pairs)
    order = [*range(0, both.count, 2), *range(1, both.count, 2)]
    return Affine(both.weights[:, order], both.constant[order])


def by_distance(distance: int, layout: Layout, rotary: Rotary, start: Start, site: str) -> tuple[Affine, Affine]:
    """All pairs but the slowest turn the query back by the distance; the slowest holds the begin token's score."""
    *fast, slow = rotary.turns
    away = np.arange(-distance, rotary.context - distance)
    lost = sum((1 - np.cos(turn * away) for turn in fast), np.zeros(len(away)))
    lost[distance] = np.inf
    loss, turned = float(lost.min()), len(fast) * (1 - np.cos(slow * rotary.context))
    noise = UNIT * (64 * len(fast) + 16 * rotary.context * sum(fast))
    if loss / 2 - turned < QUIET * noise:
        refuse(site, f"rotary pairs of theta {rotary.theta:g} and head width {rotary.head_width} do not tell distance "
               f"{distance} from {distance + away[int(lost.argmin())]} in a context of {rotary.context}; "
               "widen the heads or shorten the context")  # fmt: skip
    strength = power(NEED / (loss / 2 - turned))
    if strength > rotary.strongest / 2:  # distances are told apart by less than their scores
        refuse(site, f"its scores would have to reach {strength:.0g}; shorten the context")
    query, key = empty(layout, rotary), empty(layout, rotary)
    text = constant(layout.width, 1.0, 0.0).at(start.stream, start.dim, np.zeros(2))
    for pair, turn in enumerate(fast):
        angle = distance * turn
        query[pair] = constant(layout.width, strength * np.cos(angle), -strength * np.sin(angle))
        key[pair] = text
    query[-1] = constant(layout.width, 1.0, 0.0)
    bonus = strength * (len(fast) - loss / 2)
    key[-1] = constant(layout.width, 0.0, 0.0).at(start.stream, start.dim, np.array([bonus, 0.0]))
    return in_halves(query), in_halves(key)


def by_content(
    head: Attending, where: Scores, layout: Layout, rotary: Rotary, start: Start, site: str
) -> tuple[Affine, Affine]:
    """The table's features on the slowest pairs, two a pair; the pick on the best of the others."""
    mean = isinstance(head, Average)
    found = content(where, layout, mean, site)
    extra = log(head.weight) / LEAK if isinstance(head, Average) else 0.0
    key = found.key.at(start.stream, start.dim, np.zeros(found.key.count))
    features = with_begin(found.query, key, 1.0, found.begin + extra, layout, start)
    if mean:  # a pair for each feature: what is wanted scores 0, and turned it stays 0
        features = (one_a_pair(features[0]), one_a_pair(features[1]))
    count = (features[0].count + 1) // 2
    if count + (not mean) > rotary.head_width // 2:
        refuse(
            site,
            f"its table needs {2 * (count + (not mean))} features, and a head of width {rotary.head_width} has fewer",
        )
    lost, drift = turned_away(features, where, layout, rotary, start)
    query, keys = empty(layout, rotary), empty(layout, rotary)
    if isinstance(head, Average):
        strong = LEAK
        if lost * strong > STRAY:
            refuse(
                site,
                f"equal keys far apart would not count alike: rotary pairs of theta {rotary.theta:g} turn too fast",
            )
    else:
        if lost > 1 / 8:
            refuse(site, f"rotary pairs of theta {rotary.theta:g} and head width {rotary.head_width} turn too fast")
        strong, position = short(NEED / (1 - 2 * lost)), 0.0
        if head.pick != ONLY:
            pair, step, reach = steady(rotary, count, site)
            strong, position = strengths(found.levels, step * (1 - 2 * lost), reach, drift, site)
            strong = short(strong / (1 - 2 * lost))
            sign = -1 if head.pick == FIRST else 1
            angle = np.pi / 2 - rotary.turns[pair] * (rotary.context - 1) / 2
            query[pair] = constant(layout.width, sign * position * np.cos(angle), sign * position * np.sin(angle))
            keys[pair] = constant(layout.width, 1.0, 0.0).at(start.stream, start.dim, np.zeros(2))
        if max(strong, position) > rotary.strongest:
            refuse(site, f"its scores would have to reach {max(strong, position):.0g}; shorten the context")
    for place, (asks, says) in enumerate(zip(*map(paired, features), strict=True)):
        query[-1 - place], keys[-1 - place] = asks.scaled(strong), says
    return in_halves(query), in_halves(keys)


def one_a_pair(features: Affine) -> Affine:
    """Features with a zero after each."""
    weights, numbers = (np.stack([each, np.zeros_like(each)], -1) for each in (features.weights, features.constant))
    return Affine(weights.reshape(len(weights), -1), numbers.reshape(-1))


def paired(features: Affine) -> list[Affine]:
    """Features two by two, the last with a zero if they are odd."""
    odd = features.count % 2
    weights = np.pad(features.weights, ((0, 0), (0, odd)))
    numbers = np.pad(features.constant, (0, odd))
    return [Affine(weights[:, f : f + 2], numbers[f : f + 2]) for f in range(0, len(numbers), 2)]


def turned_away(
    features: tuple[Affine, Affine], where: Scores, layout: Layout, rotary: Rotary, start: Start
) -> tuple[float, float]:
    """By how much turning changes a content score at most: from what it is at distance 0, and from step to step."""
    asks, says = (
        values(each, variable, layout) for each, variable in zip(features, (where.query, where.key), strict=True)
    )
    says = np.concatenate([says, start.stream[None] @ features[1].weights + features[1].constant])
    q_QJ, k_UJ = as_complex(asks), as_complex(says)
    slow_PJ = rotary.phases()[:, ::-1][:, : q_QJ.shape[1]]
    score = np.real(np.einsum("QJ,UJ,PJ->PQU", q_QJ, k_UJ.conj(), slow_PJ, optimize=True))
    return float(np.abs(score - score[0]).max()), float(np.abs(np.diff(score, axis=0)).max(initial=0))


def values(features: Affine, variable: Any, layout: Layout) -> Array:
    """What the features are for each value, [values, features]."""
    if variable is None:
        return features.constant[None]
    slot = layout.slots[variable.name]
    return slot.codes @ features.weights[slot.dims] + features.constant


def as_complex(features: Array) -> Array:
    padded = np.pad(features, ((0, 0), (0, features.shape[1] % 2)))
    return padded[:, ::2] + 1j * padded[:, 1::2]


def steady(rotary: Rotary, taken: int, site: str) -> tuple[int, float, float]:
    """The pair whose sine falls most evenly with the distance: (pair, smallest step, largest value).

    What counts is the step beside the largest value, since content has to score above that; a little also beside 1, as
    very slow pairs need queries that are much larger than the scores that come of them.
    """
    free = rotary.turns[: len(rotary.turns) - taken]
    middle = np.arange(rotary.context) - (rotary.context - 1) / 2
    found = [(0.0, 0, 0.0, 1.0)]
    for pair, turn in enumerate(free):
        later = -np.sin(turn * middle)
        step, reach = float((later[:-1] - later[1:]).min()), float(np.abs(later).max())
        if turn * rotary.context < np.pi and step >= QUIET * 64 * UNIT:
            found.append((step / (reach + 1 / 16), pair, step, reach))
    _, pair, step, reach = max(found)
    if not step:
        pairs = f"no rotary pair of theta {rotary.theta:g} and head width {rotary.head_width}"
        refuse(site, f"{pairs} says which of two matches is later in a context of {rotary.context}")
    return pair, step, reach


def rotary_for(
    wiring: Wiring, tried: Callable[[Rotary], Any], width: int | None, theta: float | None, strongest: float
) -> Rotary:
    """The narrowest heads whose pairs do for all heads. tried: raises WiringError for pairs that do not.

    width, theta: those to use, None where they are to be found; strongest: how large scores may become. Raises the last
    WiringError.
    """
    failed: WiringError | None = None
    for head_width in HEAD_WIDTHS if width is None else (width,):
        for each in THETAS if theta is None else (theta,):
            rotary = Rotary(each, head_width, wiring.context, strongest)
            try:
                tried(rotary)
                return rotary
            except WiringError as error:
                failed = error
    assert failed is not None
    raise failed
