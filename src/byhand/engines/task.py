"""What an engine is asked to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from byhand.engines.reference import Look, Precision
from byhand.program import Program, Step
from byhand.shapes import Shape
from byhand.weights import Weights

Array = np.ndarray[Any, Any]
Progress = Callable[[Step], None]


@dataclass(frozen=True)
class Task:
    """Steps to run in order, and which of their values to return.

    look: gives what no step here writes (inputs, values of an earlier run, weights in the run's precision); stored: the
    same, but weights as the model holds them; keep: addresses to return; change: what the run's edits make of a value,
    for the addresses in `edited`; progress: told of each step before it runs. own: addresses of arrays that the engine
    may write to: caches that grow in place.
    """

    program: Program
    steps: Sequence[Step]
    weights: Weights
    precision: Precision
    look: Look
    stored: Look
    keep: Collection[str]
    shapes: Callable[[], Mapping[str, Shape]]
    change: Callable[[str, Array], Array] = lambda address, array: array
    edited: frozenset[str] = frozenset()
    progress: Progress = lambda step: None
    own: frozenset[str] = frozenset()


class Engine(Protocol):
    """One way to compute a program."""

    name: str
    precisions: tuple[str, ...]

    def forward(self, task: Task) -> dict[str, Array]:
        """The values to keep by address. Raises ShapeError and NotANumber, naming the step."""
        ...

    def inner(self, steps: Sequence[Step], keep: Collection[str]) -> set[str]:
        """Addresses of the values that never lie in memory, when these are kept."""
        ...
