"""Random inputs for any operator, made from its record alone: its shapes, its settings, the names of its inputs.

What is drawn goes by name, never by operator: an input called ``id`` gets token ids and a setting called ``theta`` a
base, whichever operator has it; every other input gets real numbers. Axis sizes are small and no two are alike, so that
two axes cannot be taken for each other unnoticed. `variants` makes every axis once a single element long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from inspect import Parameter
from itertools import chain, combinations
from typing import Any

import numpy as np

from byhand.operators.record import Operator

Array = np.ndarray[Any, Any]
Sizes = dict[str, int]

# Values of settings that have no default. theta and original_context put rotary pairs into all three regimes of Llama
# 3.1; a setting that is a single capital letter is a size and comes from the axes.
SETTINGS: dict[str, Any] = {
    "theta": 50.0,
    "original_context": 64,
    "low": 1.0,
    "high": 4.0,
    "factor": 8.0,
    "degree": 0.7,
    "most": 2,
    "mass": 0.8,
    "share": 0.3,
    "penalty": 1.3,
}


def spread(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Real numbers of both signs between 0.2 and 2.2 in size, none equal: no kink of relu, no tie of top_k is near."""
    count = int(np.prod(shape))
    places = (rng.permutation(count) + rng.uniform(0.25, 0.75, count)) / count
    return ((0.2 + 2 * places) * rng.choice([-1.0, 1.0], count)).reshape(shape)


def ids(rng: np.random.Generator, shape: tuple[int, ...], sizes: Sizes) -> Array:
    """Rows of the table, at least one of them twice where there is room for two."""
    rows = rng.integers(0, sizes["V"], shape)
    rows.flat[-1] = rows.flat[0]
    return rows


def targets(rng: np.random.Generator, shape: tuple[int, ...], sizes: Sizes) -> Array:
    """Tokens, some of them negative (not to be predicted) where there is room for two."""
    rows = rng.integers(-2, sizes.get("V", 5), shape)
    rows.flat[-1] = -1
    rows.flat[0] = 0
    return rows


def allowed(rng: np.random.Generator, shape: tuple[int, ...], sizes: Sizes) -> Array:
    """Which keys each query may see: about half of them, and never none."""
    seen = rng.random(shape) < 0.5
    one = rng.integers(0, shape[-1], (*shape[:-1], 1))
    np.put_along_axis(seen, one, True, -1)
    return seen


def shares_of_one(rng: np.random.Generator, shape: tuple[int, ...], sizes: Sizes) -> Array:
    parts = rng.uniform(0.1, 1, shape)
    return parts / parts.sum(-1, keepdims=True)


CONTENT: dict[str, Callable[[np.random.Generator, tuple[int, ...], Sizes], Array]] = {
    "id": ids,
    "target": targets,
    "allowed": allowed,
    "probs": shares_of_one,
    "running": lambda rng, shape, sizes: np.cumsum(shares_of_one(rng, shape, sizes), -1),
    "seen": lambda rng, shape, sizes: rng.random(shape) < 0.5,
    "place": lambda rng, shape, sizes: rng.integers(0, sizes["S"], shape),
    "position": lambda rng, shape, sizes: rng.integers(0, 60, shape),
    "uniform": lambda rng, shape, sizes: rng.random(shape),
}


def letters(record: Operator) -> list[str]:
    """The axes an operator speaks of, those that only a setting names included, in a fixed order."""
    found = "".join(operand.axes for operand in (*record.inputs, *record.outputs))
    named = "".join(name for name in record.settings if len(name) == 1)
    return sorted(set(found + named) - {"1"})


def draw_sizes(record: Operator, rng: np.random.Generator, one: str = "") -> Sizes:
    """Distinct sizes for all axes. one: the axis that gets length one; "R" gives every key head one query head."""
    axes = letters(record)
    grouped = {"G", "H"} <= set(axes)
    ones = "GR" if grouped and one == "H" else one
    while True:
        sizes = dict(zip(axes, map(int, rng.permutation(np.arange(2, 3 + len(axes)))), strict=False))
        if grouped:
            sizes["G"], sizes["R"] = map(int, rng.permutation([2, 3]))
        sizes |= dict.fromkeys(ones, 1)
        if grouped:
            sizes["H"] = sizes["G"] * sizes.pop("R")
        if {"J", "K"} <= set(axes):
            sizes["K"] = 2 * sizes["J"]
        if "D" in record.settings:
            sizes["D"] *= 2  # sines and cosines come in pairs
        alike = grouped and "R" in ones  # H = G is then meant
        if len(set(sizes.values())) == len(sizes) - alike:
            return sizes


@dataclass(frozen=True)
class Example:
    """One call of an operator. inputs: by the operator's names, without the absent ones."""

    record: Operator
    sizes: Sizes
    inputs: dict[str, Array]
    settings: dict[str, Any]

    @property
    def absent(self) -> frozenset[str]:
        return frozenset(operand.name for operand in self.record.inputs if operand.name not in self.inputs)

    @property
    def differentiable(self) -> tuple[str, ...]:
        return tuple(name for name in self.record.differentiable if name in self.inputs)

    def forward(self, **changed: Array) -> dict[str, Array]:
        """All outputs by name; changed: inputs to put in the place of the example's own."""
        given = {**self.inputs, **changed}
        inside = {"rounded": lambda array: array} if self.record.rounds_inside else {}
        arrays = [given.get(operand.name) for operand in self.record.inputs]
        results = self.record.forward(*arrays, **self.settings, **inside)
        results = results if isinstance(results, tuple) else (results,)
        names = (operand.name for operand in self.record.outputs)
        return {name: np.asarray(result) for name, result in zip(names, results, strict=True)}

    def saved(self) -> dict[str, Array]:
        """What backward reads besides the gradient of the main output."""
        known = {**self.inputs, **self.forward()}
        return {name: known[name] for name in self.record.saved}

    def backward(self, cotangent: Array) -> dict[str, Array | None]:
        """The gradient of every input that is present, None where there is none."""
        axes = {operand.name: operand.axes for operand in (*self.record.inputs, *self.record.outputs)}
        saved = {f"{name}_{axes[name]}".rstrip("_"): array for name, array in self.saved().items()}
        settings = {name: self.settings[name] for name in self.record.backward_settings}
        gradients = self.record.backward(cotangent, **saved, **settings)
        named = zip((operand.name for operand in self.record.inputs), gradients, strict=True)
        return {name: gradient for name, gradient in named if name in self.inputs}

    @property
    def main(self) -> str:
        return self.record.outputs[0].name


def example(record: Operator, seed: int = 0, one: str = "", absent: frozenset[str] = frozenset()) -> Example:
    """A random call of the operator; the same seed gives the same numbers."""
    rng = np.random.default_rng(seed)
    sizes = draw_sizes(record, rng, one)
    inputs = {}
    for operand in record.inputs:
        shape = tuple((sizes | {"1": 1})[letter] for letter in operand.axes)
        content = CONTENT.get(operand.name)
        made = content(rng, shape, sizes) if content else spread(rng, shape)
        inputs |= {} if operand.name in absent else {operand.name: made}
    settings = {
        name: sizes[name] if name in sizes else SETTINGS[name] if default is Parameter.empty else default
        for name, default in record.settings.items()
    }
    return Example(record, sizes | {"1": 1}, inputs, settings)


def variants(record: Operator) -> Iterator[Example]:
    """Examples of an operator: unequal axes, each axis once of length one, optional inputs present and absent."""
    optional = [operand.name for operand in record.inputs if operand.optional]
    choices = chain.from_iterable(combinations(optional, n) for n in range(len(optional) + 1))
    ones = ["", "", "", *letters(record), *(["R"] if {"G", "H"} <= set(letters(record)) else [])]
    for absent in map(frozenset, choices):
        for seed, one in enumerate(ones):
            yield example(record, seed, one, absent)


def hidden(record: Operator) -> Iterator[Example]:
    """Examples in which some scores or logits are -inf, as a mask leaves them; none for operators that read neither."""
    for operand in record.inputs:
        if operand.name in ("score", "logits"):
            for seed in range(3):
                each = example(record, seed)
                array = each.inputs[operand.name]
                seen = allowed(np.random.default_rng(seed), array.shape, each.sizes)
                yield replace(each, inputs={**each.inputs, operand.name: np.where(seen, array, -np.inf)})
