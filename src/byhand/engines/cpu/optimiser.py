"""AdamW in a single pass over all parameters, and the length of their gradient."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np

from byhand.engines.cpu.kernel import Job
from byhand.engines.cpu.kernels.updating import BLOCK, SCALE, adamw, factors, left, squares
from byhand.engines.cpu.team import Calls, team
from byhand.engines.learning import Parameters, Update

Array = np.ndarray[Any, Any]


class Optimiser:
    """The calls that update parameters: made once for a grouping by decay, their numbers written anew every step."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters, self.decay = parameters, {}
        self.lefts: list[tuple[Array, float]] = []
        self.factors_7 = np.zeros(SCALE + 7, np.float32)
        self.calls: Calls | None = None
        flat_N = parameters.gradients.flat
        self.sum_P = np.zeros(-(-len(flat_N) // BLOCK), np.float64)
        self.squaring = Calls([Job(squares, flat_N, self.sum_P)], [True])

    def length(self) -> float:
        """The root of the sum of squares: of blocks by themselves, then of all in order."""
        team().run(self.squaring)
        return sqrt(float(sum(self.sum_P)))

    def update(self, how: Update) -> None:
        decay = dict(how.decay or {})
        if self.calls is None or decay != self.decay:
            self.calls = self.grouped(decay)
        self.factors_7[:] = factors(how)
        for left_1, rate in self.lefts:
            left_1[0] = left(how, rate)
        team().run(self.calls)

    def grouped(self, decay: Mapping[str, float]) -> Calls:
        p, jobs = self.parameters, []
        self.decay, self.lefts = dict(decay), []
        for start, stop, rate in stretches(p, decay):
            left_1 = np.zeros(1, np.float32)
            pieces = (piece.flat[start:stop] for piece in (p.values, p.gradients, p.first, p.second))
            jobs.append(Job(adamw, *pieces, self.factors_7, left_1))
            self.lefts.append((left_1, rate))
        return Calls(jobs, [False] * len(jobs))


def stretches(p: Parameters, decay: Mapping[str, float]) -> list[tuple[int, int, float]]:
    """The runs of parameters, one behind the other, that decay alike: where they begin and end, in numbers."""
    found: list[tuple[int, int, float]] = []
    ends = [*list(p.places.values())[1:], len(p.values.flat)]
    for (address, start), end in zip(p.places.items(), ends, strict=True):
        rate = decay.get(address, 0.0)
        if found and found[-1][2] == rate:
            found[-1] = found[-1][0], end, rate
        else:
            found.append((start, end, rate))
    return found
