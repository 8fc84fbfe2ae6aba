"""A table of scores as products of query and key features, and the score of "nothing matches" between the levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from byhand.wiring import codes
from byhand.wiring.layout import Layout
from byhand.wiring.parts import Scores
from byhand.wiring.refusals import refuse
from byhand.wiring.variables import Variable

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Affine:
    """Columns of weights on the stream [D, columns] and what is added to each [columns]."""

    weights: Array
    constant: Array

    @property
    def count(self) -> int:
        return self.weights.shape[1]

    def scaled(self, factor: Any) -> Affine:
        return Affine(self.weights * factor, self.constant * factor)

    def at(self, stream: Array, begin: int, wanted: Array) -> Affine:
        """The same, but with what is wanted at the begin token, whose stream [D] is known; begin: its dimension."""
        weights = self.weights.copy()
        weights[begin] += wanted - (stream @ self.weights + self.constant)
        return Affine(weights, self.constant)


def beside(parts: list[Affine]) -> Affine:
    return Affine(np.concatenate([p.weights for p in parts], 1), np.concatenate([p.constant for p in parts]))


def constant(width: int, *values: float) -> Affine:
    return Affine(np.zeros((width, len(values))), np.array(values, np.float64))


@dataclass(frozen=True, eq=False)
class Content:
    """Query and key features whose products are a score for every pair of values, in units of the closest levels.

    score: [query values, key values]; begin: the score that "nothing matches" should have, between never and wanted;
    levels: how many levels are wanted at all.
    """

    query: Affine
    key: Affine
    score: Array
    begin: float
    levels: int


def content(where: Scores, layout: Layout, mean: bool, site: str) -> Content:
    """The features of a table. mean: all that is wanted has the score 0, exactly. Raises WiringError.

    Each row of the table is replaced by the ranks of its levels: 1, 2, ... for what is wanted, -1 for never, so that
    the closest levels are 1 apart and 0 is left for the begin token; or all of them are one more.
    """
    ranks = ranked(where, mean)
    count = int(ranks.max(initial=1)) if not mean else 1
    begin = float(not mean and (ranks < 0).mean() > 1 / 2)
    ranks = ranks + begin  # where most products are 0, few errors are left
    sides = (codes_of(where.query, layout), codes_of(where.key, layout))
    for left, right in factors(ranks):
        features = [
            feature(variable, layout, side)
            for variable, side in zip((where.query, where.key), (left, right), strict=True)
        ]
        if features[0] is not None and features[1] is not None:
            return Content(features[0], features[1], ranks, begin, count)
    return by_signs(where, layout, sides, ranks, mean, site)


def ranked(where: Scores, mean: bool) -> Array:
    """[query values, key values]: the place of each level among those of its row; -1 for never."""
    rows = []
    for row in where.levels:
        order = sorted({level for level in row if level is not None})
        if mean:
            rows.append([0.0 if level is not None and level == order[-1] else -1.0 for level in row])
        else:
            rows.append([-1.0 if level is None else 1.0 + order.index(level) for level in row])
    return np.array(rows)


def factors(ranks: Array) -> list[tuple[Array, Array]]:
    """Ways to write the table as left @ right.T: one side says which value it is, the other reads off the table."""
    queries, keys = ranks.shape
    if not ranks.any():
        return [(np.zeros((queries, 0)), np.zeros((keys, 0)))]
    if (ranks == ranks[:1]).all():  # the query does not matter
        return [(np.ones((queries, 1)), ranks[:1].T)]
    ways = [(np.eye(queries), ranks.T), (ranks, np.eye(keys))]
    return ways if queries <= keys else ways[::-1]


def codes_of(variable: Variable | None, layout: Layout) -> Array:
    return np.ones((1, 1)) if variable is None else layout.slots[variable.name].codes


def feature(variable: Variable | None, layout: Layout, wanted: Array) -> Affine | None:
    """Columns that give each value the numbers wanted [values, columns]; None where its code cannot."""
    if variable is None or (wanted == wanted[:1]).all():
        return constant(layout.width, *wanted[0])
    weights = codes.linear(layout.slots[variable.name].codes, wanted)
    return None if weights is None else Affine(layout.column(variable.name, weights), np.zeros(wanted.shape[1]))


def by_signs(where: Scores, layout: Layout, sides: tuple[Array, Array], ranks: Array, mean: bool, site: str) -> Content:
    """Equality of values in codes other than one-hot: the products of the codes themselves. Raises WiringError."""
    query, key = where.query, where.key
    wanted = ranks > ranks.min(initial=0)
    if query is None or key is None or not (wanted.sum(1) <= 1).all():
        refuse(site, "its codes are not free enough for this table of scores; write the variables one-hot")
    left = sides[0]
    right = np.zeros((len(key.domain), left.shape[1]))
    for asks, says in np.argwhere(wanted):
        right[says] = left[asks]
    found = feature(key, layout, right)
    score = left @ right.T
    best, other = score[wanted].min(initial=np.inf), score[~wanted].max(initial=-np.inf)
    if found is None or best <= other or (mean and np.ptp(score[wanted]) > codes.ALIKE):
        refuse(site, f"{query.name} and {key.name} are written so that equal values do not score highest; use one-hot")
    asked = feature(query, layout, left)
    if asked is None:
        refuse(site, f"the code of {query.name} cannot be read by a head; write it one-hot")
    half = 1.0 if mean else (best - other) / 2
    return Content(asked, found.scaled(1 / half), score / half, best / half if mean else best / half - 1, 1)
