"""What an engine is asked to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from byhand.engines.learning import Learner, Parameters
from byhand.engines.reference import Look, Precision
from byhand.program import Program, Step
from byhand.shapes import Shape
from byhand.weights import Weights

Array = np.ndarray[Any, Any]
Progress = Callable[[Step], None]


def silent(step: Step) -> None:
    """The progress nobody watches."""


class Steps(tuple[Step, ...]):
    """Steps of a program in order, with what is asked of them again and again."""

    program: Program

    @classmethod
    def of(cls, program: Program, steps: Iterable[Step]) -> Steps:
        made = cls(steps)
        made.program = program
        return made

    @cached_property
    def given(self) -> tuple[str, ...]:
        """What they read that none of them writes and that is no weight."""
        made = {address for step in self for address in step.writes.values()} | self.program.weights.keys()
        reads = dict.fromkeys(read for step in self for read in step.reads if read is not None)
        return tuple(read for read in reads if read not in made)

    @cached_property
    def identity(self) -> tuple[int, ...]:
        """The same for the same steps, as long as they are held."""
        return tuple(map(id, self))


@dataclass(frozen=True)
class Task:
    """Steps to run in order, and which of their values to return.

    look: gives what no step here writes (inputs, values of an earlier run, weights in the run's precision); stored: the
    same, but weights as the model holds them; keep: addresses to return; change: what the run's edits make of a value,
    for the addresses in `edited`; progress: told of each step before it runs. own: addresses of arrays that the engine
    may write to: caches that grow in place; passed: what of an edited value's gradient reaches the step that made it.
    """

    program: Program
    steps: Steps
    weights: Weights
    precision: Precision
    look: Look
    stored: Look
    keep: Collection[str]
    shapes: Callable[[], Mapping[str, Shape]]
    change: Callable[[str, Array], Array] = lambda address, array: array
    edited: frozenset[str] = frozenset()
    progress: Progress = silent
    own: frozenset[str] = frozenset()
    passed: Callable[[str, Array], Array] = lambda address, gradient: gradient


class Engine(Protocol):
    """One way to compute a program."""

    @property
    def name(self) -> str: ...

    @property
    def precisions(self) -> tuple[str, ...]: ...

    def forward(self, task: Task) -> dict[str, Array]:
        """The values to keep by address. Raises ShapeError and NotANumber, naming the step."""
        ...

    def repeated(self, task: Task) -> Callable[[], dict[str, Array]]:
        """`forward` of one task again and again, for what `look` gives then, in the same shapes."""
        ...

    def inner(self, steps: Sequence[Step], keep: Collection[str]) -> set[str]:
        """Addresses of the values that never lie in memory, when these are kept."""
        ...

    def backward(self, task: Task, of: str, seed: Array) -> dict[str, Array]:
        """The gradient of every value and weight by address, from that of `of`; look gives all values of the task."""
        ...

    def learner(self, program: Program, parameters: Parameters, again: frozenset[str] = frozenset()) -> Learner:
        """What trains these parameters on a program with a loss.

        again: values that are computed a second time in the backward run rather than held until then.
        """
        ...

    def saved(self, program: Program) -> set[str]:
        """Addresses of the values that are held from the forward to the backward run of a loss."""
        ...
