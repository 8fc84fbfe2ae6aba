"""What a reversal builds with. A reversal turns the backward of a step into calls of kernels, beside its lowering::

@reverses("relu")
def reverse_relu(b: Builder, step: Step, d: Gradients) -> None:
    d_x, add = d.to(step, "x")
    b.call(relu_backward, flat(b.array(step.names["x"])), flat(d.output(step)), flat(d_x), add)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from byhand.engines.cpu.builder import Builder
from byhand.program import Step

Array = np.ndarray[Any, Any]


class Place(NamedTuple):
    """Where a gradient goes, in its value's shape, and whether it is added to what is there or takes its place."""

    array: Array
    add: bool


class Gradients(Protocol):
    """The gradients of a plan, float32 and in one piece each."""

    def output(self, step: Step) -> Array:
        """The gradient of a step's main output."""
        ...

    def to(self, step: Step, name: str) -> Place | None:
        """Where the gradient of the step's input goes that the operator calls so; None where nobody wants it."""
        ...

    def inner(self, address: str) -> Array | None:
        """Where the gradient of a value is written that passes between fused steps; None where nobody wants it."""
        ...


Reversal = Callable[[Builder, Step, Gradients], None]
REVERSALS: dict[str, Reversal] = {}


def reverses(*operators: str) -> Callable[[Reversal], Reversal]:
    """Say that a function turns the backward of steps of these operators into calls of kernels."""

    def enter(reversal: Reversal) -> Reversal:
        REVERSALS.update(dict.fromkeys(operators, reversal))
        return reversal

    return enter
