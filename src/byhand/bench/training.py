"""What everybody who trains is given: the batches, the settings of AdamW, and how long a turn is.

The settings are nanoGPT's for a model of 124M parameters, without its schedule and its clipping.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from byhand.bench.work import Work

Array = np.ndarray[Any, Any]

RATE, BETAS, EPS, DECAY = 6e-4, (0.9, 0.95), 1e-8, 0.1
CHECKED = 3  # steps whose losses are compared: the last shows what two updates did
TURN = 1.0  # seconds that a turn lasts at least: a step of a small model takes a few milliseconds


def batch(work: Work, step: int) -> tuple[Array, Array]:
    """The tokens and the targets [B,T] of a step, which counts from 1.

    The first CHECKED steps have the same batch, so that their losses fall if the updates are right; later ones have a
    new one each, as nothing is left to learn when one has been seen a hundred times, and numbers get so small that
    processors are slow.
    """
    drawn = np.random.default_rng([work.tokens, max(step, CHECKED)])
    ids = drawn.integers(0, work.config["vocabulary"], (work.batch, work.tokens + 1))
    return ids[:, :-1].copy(), ids[:, 1:].copy()


class Trained:
    """Somebody who trains: `learn` takes the next step on a batch and gives its loss."""

    def __init__(self, work: Work, learn: Callable[[Array, Array], float]) -> None:
        self.work, self.learn, self.steps = work, learn, 0
        self.facts: dict[str, Any] = {}

    def step(self) -> float:
        """The loss of the next step."""
        self.steps += 1
        return self.learn(*batch(self.work, self.steps))

    def answer(self) -> Array:
        """The losses of the first steps."""
        return np.array([self.step() for _ in range(CHECKED)])

    def run(self) -> float:
        """Seconds that a step takes, one after the other for a whole turn."""
        start, before = perf_counter(), self.steps
        while perf_counter() - start < TURN:
            self.step()
        return (perf_counter() - start) / (self.steps - before)
