"""What training asks of an engine, and how the reference engine does it: the definition of correct.

A learner holds a program with a loss and the parameters it trains. `learn` runs it forward and backward on one batch
and leaves the gradients in the parameters; `update` takes one step of AdamW with them.
Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import prod, sqrt
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from byhand.engines import reference
from byhand.engines.pool import ALIGNED, aligned
from byhand.program import Program
from byhand.shapes import Shape
from byhand.weights import Weights

Array = np.ndarray[Any, Any]
LOSS = "loss"


class Parameters:
    """The weights of a program while they are trained: float32, with a gradient and AdamW's two moments for each.

    Each of the four is one piece of memory (`flat`), of which the arrays by address are views; `weights` reads them.
    """

    def __init__(self, program: Program, weights: Mapping[str, Array]) -> None:
        shapes = program.shapes()
        self.shapes: dict[str, Shape] = {address: shapes[address] for address in program.weights}
        self.places, size = laid_side_by_side(self.shapes)
        self.values, self.gradients, self.first, self.second = (Piece(self, size) for _ in range(4))
        for address in self.shapes:
            self.values[address][...] = weights[address]
        self.weights = Weights(dict(self.values))

    @property
    def pieces(self) -> dict[str, Piece]:
        """What training has to remember, by name; gradients begin anew with every batch."""
        return {"values": self.values, "first": self.first, "second": self.second}


class Piece(Mapping[str, Array]):
    """Arrays by address, one behind the other in `flat`, and zero at first. They may be written to."""

    def __init__(self, parameters: Parameters, size: int) -> None:
        self.flat = aligned(max(size, ALIGNED)).view(np.float32)
        self.flat[:] = 0
        self.arrays = {
            address: self.flat[place : place + prod(shape)].reshape(shape)
            for (address, shape), place in zip(parameters.shapes.items(), parameters.places.values(), strict=True)
        }

    def __getitem__(self, address: str) -> Array:
        return self.arrays[address]

    def __iter__(self) -> Any:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


def laid_side_by_side(shapes: Mapping[str, Shape]) -> tuple[dict[str, int], int]:
    """Where each array begins, in numbers, each at a fresh line of the cache; and the bytes of all."""
    places, end = {}, 0
    for address, shape in shapes.items():
        places[address] = end
        end += -(-prod(shape) * 4 // ALIGNED) * ALIGNED // 4
    return places, 4 * end


@dataclass(frozen=True)
class Update:
    """One step of AdamW. number: which step this is, from 1; scale: what gradients are multiplied by first, less than 1
    where they are clipped; decay: by address, 0 for those that are not named.
    """

    number: int
    rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    decay: Mapping[str, float] | None = None
    scale: float = 1.0


class Learner(Protocol):
    """A program with a loss, and the parameters it trains."""

    program: Program
    parameters: Parameters

    def learn(self, inputs: Mapping[str, Array], share: float = 1.0, fresh: bool = True) -> float:
        """The loss of a batch; share × its gradients are put into the parameters, or added to those there.

        inputs: all of the program's, as `inputs.prepare` makes them. Raises NotANumber, naming the step.
        """
        ...

    def loss(self, inputs: Mapping[str, Array]) -> float:
        """The loss of a batch, without gradients, with the same bits."""
        ...

    def length(self) -> float:
        """The length of the gradient of all parameters together, in float64."""
        ...

    def update(self, how: Update) -> None:
        """Change the parameters and their moments by one step of AdamW."""
        ...


class ReferenceLearner:
    """The reference engine learns: every step and its backward in NumPy. again: see `Engine.learner`."""

    def __init__(self, program: Program, parameters: Parameters, again: frozenset[str] = frozenset()) -> None:
        self.program, self.parameters, self.again = program, parameters, again
        self.precision = reference.precision("float32")
        self.backward = program.reverse(LOSS)

    def learn(self, inputs: Mapping[str, Array], share: float = 1.0, fresh: bool = True) -> float:
        values = self.forward(inputs, self.program.saved() - self.again | {LOSS})
        look = self.looking(inputs, values)
        seed = {LOSS: np.asarray(share, np.float32)}
        gradients = reference.backward(self.backward, seed, look, self.precision)
        for address, kept in self.parameters.gradients.items():
            made = gradients.get(address, 0.0)
            kept[...] = made if fresh else kept + made
        return float(values[LOSS])

    def loss(self, inputs: Mapping[str, Array]) -> float:
        return float(self.forward(inputs, {LOSS})[LOSS])

    def forward(
        self, inputs: Mapping[str, Array], keep: Collection[str], there: Mapping[str, Array] = MappingProxyType({})
    ) -> dict[str, Array]:
        """These values, made from the inputs and from those that are there."""
        steps = self.program.needed(keep, lambda address: address in inputs or address in there)
        return reference.forward(steps, self.looking(inputs, there), self.precision, keep)

    def looking(self, inputs: Mapping[str, Array], values: Mapping[str, Array]) -> Callable[[str], Array]:
        """What gives inputs, values and weights by address."""

        def look(address: str) -> Array:
            address = address.removesuffix(reference.UNEDITED)
            if address in self.again and address not in values:
                return self.forward(inputs, {address}, values)[address]
            found = values.get(address, inputs.get(address))
            return self.parameters.values[address] if found is None else found

        return look

    def length(self) -> float:
        return float(sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in self.parameters.gradients.values())))

    def update(self, how: Update) -> None:
        p, decay = self.parameters, how.decay or {}
        for address in p.shapes:
            adamw(
                p.values[address], p.gradients[address], p.first[address], p.second[address], how, decay.get(address, 0)
            )


def adamw(value: Array, gradient: Array, first: Array, second: Array, how: Update, decay: float) -> None:
    """One array's step, in place. The averages of the gradient and its square are freed of their start at zero."""
    gradient = gradient * np.float32(how.scale)
    value *= np.float32(1 - how.rate * decay)
    first += np.float32(1 - how.beta1) * (gradient - first)
    second *= np.float32(how.beta2)
    second += np.float32(1 - how.beta2) * np.square(gradient)
    root = np.sqrt(second) / np.float32(sqrt(1 - how.beta2**how.number)) + np.float32(how.eps)
    value -= np.float32(how.rate / (1 - how.beta1**how.number)) * (first / root)
