"""A training that has left all bounds: which step of the program was the first to give no number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from byhand.engines import reference
from byhand.errors import ByhandError, NotANumber
from byhand.program import Program

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]
FLOAT32 = reference.precision("float32")
HIDES = ("mask",)  # operators whose infinities are meant


class Diverged(ByhandError):
    """The loss or its gradient is no number any more; says where that began, and what is kept."""


def cause(program: Program, weights: Arrays, parts: Sequence[Arrays]) -> str:
    """In words: the first number, in the order of the program, that is none any more; "" where all are.

    parts: the inputs of every part of the step. The reference engine runs them again, forward and then backward.
    """
    for address in program.weights:
        if at := first_bad(weights[address]):
            return f"the last update left {at} in the weight {address}"
    return next((found for inputs in parts for found in Search(program, weights, inputs).found()), "")


class Search:
    """One batch run again, each value looked at as soon as it is there."""

    def __init__(self, program: Program, weights: Arrays, inputs: Arrays) -> None:
        self.program, self.weights, self.inputs = program, weights, inputs
        self.values: dict[str, Array] = {}

    def look(self, address: str) -> Array:
        address = address.removesuffix(reference.UNEDITED)
        for there in (self.values, self.inputs):
            if address in there:
                return there[address]
        return self.weights[address]

    def found(self) -> Iterator[str]:
        """What is no number, in words, in order."""
        try:
            yield from self.forward()
            yield from self.backward()
        except NotANumber as error:
            yield str(error)

    def forward(self) -> Iterator[str]:
        for step in self.program.needed(["loss"], self.inputs.__contains__):
            self.values |= reference.compute(step, self.look, FLOAT32)
            at = first_bad(self.values[step.address])
            if at and step.operator.name not in HIDES:
                read = ", ".join(f"{name} up to {peak(self.look(name)):.3g}" for name in step.reads if name is not None)
                yield f"{step.address} ({step.operator.name}) is the first to overflow, {at}; it reads {read}"

    def backward(self) -> Iterator[str]:
        gradients: dict[str, Array] = {"loss": np.float32(1)}  # type: ignore[dict-item]
        for each in self.program.reverse("loss"):
            if each.step is None:
                continue  # the parts were added as they came
            parts = reference.reverse(each.step, gradients[each.step.address], self.look, FLOAT32)
            for name, part in parts.items():
                address = each.step.names[name]
                gradients[address] = gradients[address] + part if address in gradients else part
                if at := first_bad(gradients[address]):
                    yield f"d:{address} ({each.name}) is the first to overflow on the way back, {at}"


def peak(array: Array) -> float:
    """The size of the largest of its finite numbers."""
    return float(np.abs(array[np.isfinite(array)]).max(initial=0))


def first_bad(array: Array) -> str:
    """The first number that is none, with its index as one would type it; "" where there is none."""
    if array.dtype.kind in "iub" or np.isfinite(array).all():
        return ""
    index = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
    return f"{array[index]:g} at [{','.join(map(str, index))}]"
