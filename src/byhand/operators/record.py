"""What an operator is, and the registry of all of them.

An operator is a class body that is read once and turned into a record, so that everything about it stands on one
screen: what it means, its shapes, its equation, its gradient, its arithmetic, and the two functions that compute it::

    @operator
    class relu:
        "Keep what is positive."
        shapes = "x_BTF -> out_BTF"
        equation = "out = max(x, 0)"
        gradient = "d_x = d_out where x > 0, else 0"
        arithmetic = "..."            # one element forward, and d_ lines for one element backward
        def forward(x_BTF): ...
        def backward(d_out_BTF, x_BTF): ...

Every fact is stated once. ``forward`` takes the inputs; ``backward`` takes the gradients of the outputs and then
exactly those inputs and outputs it needs kept, by name: what training must save is the signature of ``backward``.
Settings such as ``eps`` are keyword-only. An input whose name ends in ``?`` in `shapes` may be absent. An input for
which no ``d_`` line exists (token ids, masks, angles) has no gradient.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from byhand import arithmetic
from byhand.errors import InputError
from byhand.shapes import split_name

Array = np.ndarray[Any, Any]


class Operand(NamedTuple):
    """One array an operator reads or writes: its name, its axes, and whether it may be absent."""

    name: str
    axes: str
    optional: bool = False


def operands(text: str) -> tuple[Operand, ...]:
    """Read ``"x_BTD, bias_F?"``."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(Operand(*split_name(part.rstrip("?")), part.endswith("?")) for part in parts)


@dataclass(frozen=True, repr=False)
class Operator:
    """The record of one operator. See the module's text for what each field holds.

    wide: its output keeps float32 in a run that rounds to bfloat16 (angles, losses), as PyTorch models do.
    picks: its output is nothing but numbers of what it reads, a few of many (the rows of a table), so that only these
    need be read and converted.
    count: operations forward and backward as expressions of the sizes, where the arithmetic's own count is not what a
    computer does (looking up is not multiplying by one-hot rows).
    """

    name: str
    summary: str
    source: str
    shapes: str
    equation: str
    gradient: str
    arithmetic: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    wide: bool = False
    picks: bool = False
    count: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def inputs(self) -> tuple[Operand, ...]:
        return operands(self.shapes.split("->")[0])

    @cached_property
    def outputs(self) -> tuple[Operand, ...]:
        """The main output first, then the side values it makes on the way (a norm's mean and rstd)."""
        return operands(self.shapes.split("->")[1])

    @cached_property
    def saved(self) -> tuple[str, ...]:
        """Names of the inputs and outputs that backward reads."""
        known = [*self.inputs, *self.outputs]
        names = [split_name(p)[0] for p in positional(self.backward)]
        return tuple(operand.name for operand in known if operand.name in names)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The keyword-only settings of forward with their defaults (inspect.Parameter.empty where there is none)."""
        parameters = inspect.signature(self.forward).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "rounded"}

    @cached_property
    def backward_settings(self) -> tuple[str, ...]:
        """The settings that backward needs too."""
        return tuple(set(inspect.signature(self.backward).parameters) & set(self.settings))

    @cached_property
    def rounds_inside(self) -> bool:
        """Whether forward rounds intermediate values in bfloat16 runs (it then takes `rounded`)."""
        return "rounded" in inspect.signature(self.forward).parameters

    def lines(self, absent: frozenset[str] = frozenset()) -> tuple[arithmetic.Line, ...]:
        """The arithmetic of the forward direction."""
        return tuple(line for line in arithmetic.parse(self.arithmetic.split("---")[0], absent))

    def gradient_lines(self, absent: frozenset[str] = frozenset()) -> tuple[arithmetic.Line, ...]:
        """The arithmetic of the backward direction."""
        _, _, text = self.arithmetic.partition("---")
        return tuple(line for line in arithmetic.parse(text, absent) if line.name.removeprefix("d_") not in absent)

    @cached_property
    def differentiable(self) -> tuple[str, ...]:
        """Names of the inputs that have a gradient."""
        defined = {line.name for line in self.gradient_lines()}
        return tuple(operand.name for operand in self.inputs if f"d_{operand.name}" in defined)

    def operations(self, sizes: Mapping[str, int], direction: str, absent: frozenset[str] = frozenset()) -> int:
        """Elementary operations of one call, direction "forward" or "backward", from the sizes of the axes."""
        if direction in self.count:
            return int(eval(self.count[direction], {}, dict(sizes)))
        lines = self.lines(absent) if direction == "forward" else self.gradient_lines(absent)
        return arithmetic.operations(lines, sizes)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<operator {self.name}: {self.shapes}>"

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        """One of byhand's own stays the very same, so that whoever has something for it knows it again."""
        if REGISTRY.get(self.name) is self and self.forward.__module__.startswith(__package__ or ""):
            return find, (self.name,)
        return Operator, tuple(getattr(self, each.name) for each in fields(self))


def positional(function: Callable[..., Any]) -> list[str]:
    """Names of the arrays a function takes, in order."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]


REGISTRY: dict[str, Operator] = {}


def operator(declaration: type) -> Operator:
    """Turn a class body into an Operator and enter it in the registry."""
    fields = {key: value for key, value in vars(declaration).items() if not key.startswith("_")}
    text = inspect.cleandoc(declaration.__doc__ or "")
    summary, _, source = text.partition("\n\n")
    record = Operator(name=declaration.__name__, summary=" ".join(summary.split()), source=source, **fields)
    assert record.name not in REGISTRY, f"two operators are called {record.name}"
    REGISTRY[record.name] = record
    return record


def find(name: str) -> Operator:
    """The operator of this name. Raises InputError listing the names there are."""
    if name not in REGISTRY:
        raise InputError(f"no operator {name!r}; there are: {', '.join(sorted(REGISTRY))}")
    return REGISTRY[name]
