"""A model as a straight-line program of named steps, and everything that can be read off it without running it.

A family function builds a program by calling it, one line a step::

    p = Program("tiny", {"D": 8, "H": 2, "K": 4})
    x = p.input("stream BTD", "numbers")
    p("attn.q BTHK", to_heads, x, "attn.q.weight DHK", "attn.q.bias HK")

The address comes first and carries the axes of what it names. What a step reads is an earlier address, or a weight that
is declared where it is first read, with its axes, or None for an absent optional input. Addresses are public API.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import Parameter
from math import prod
from typing import Any, NamedTuple

from byhand import markup
from byhand.errors import AddressError, InputError, ShapeError
from byhand.operators.record import Operator
from byhand.shapes import Shape, bind


@dataclass(frozen=True)
class Step:
    """One operator applied once: what it reads, under which address its main output goes, its settings."""

    address: str
    axes: str
    operator: Operator
    reads: tuple[str | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def writes(self) -> dict[str, str]:
        """Address of every output by the operator's name for it; side values stand beside the main one."""
        main, *sides = self.operator.outputs
        beside = self.address.removesuffix(".out")
        return {main.name: self.address, **{side.name: f"{beside}.{side.name}" for side in sides}}

    @cached_property
    def names(self) -> dict[str, str]:
        """Address of every input and output, by the operator's own name for it."""
        given = {o.name: r for o, r in zip(self.operator.inputs, self.reads, strict=True) if r is not None}
        return given | self.writes

    @cached_property
    def absent(self) -> frozenset[str]:
        """The operator's names of the optional inputs this step does not have."""
        return frozenset(o.name for o, r in zip(self.operator.inputs, self.reads, strict=True) if r is None)

    @cached_property
    def gradients(self) -> dict[str, str]:
        """Address of every input that receives a gradient, by the operator's own name for it."""
        return {name: self.names[name] for name in self.operator.differentiable if name in self.names}

    @cached_property
    def saved(self) -> tuple[str, ...]:
        """Addresses that the backward of this step reads besides the gradient of its output."""
        return tuple(self.names[name] for name in self.operator.saved)

    def sizes(self, shapes: Mapping[str, Shape]) -> dict[str, int]:
        """The size of each of the operator's letters, from the shapes of what it reads and its settings.

        Raises ShapeError naming this step when they do not fit together.
        """
        given = [(o, self.names[o.name]) for o in self.operator.inputs if o.name in self.names]
        where = f"{self.address} ({self.operator.name}: {self.operator.shapes})"
        sizes = bind(((f"{o.name} = {address}", o.axes, shapes[address]) for o, address in given), where)
        settings = {key: value for key, value in self.attributes.items() if len(key) == 1 and key.isupper()}
        for letter, size in settings.items():
            if sizes.setdefault(letter, size) != size:
                raise ShapeError(f"{where}: {letter} is {sizes[letter]} in what it reads but {size} in its settings")
        if self.operator.name in ("scores", "mix") and sizes["H"] % sizes["G"]:
            raise ShapeError(f"{where}: {sizes['H']} query heads cannot share {sizes['G']} key/value heads evenly")
        return sizes | {"1": 1}


class Input(NamedTuple):
    """An array the caller gives or the model makes from the tokens.

    axes: its letters inside the program; extent: the letters of its sizes for the caller (an encoder inside a
    translation model has axes BT but the extent BS of the source text, a cache has axes BSGK but the extent BCGK of its
    places); rule: what it holds, see inputs.RULES.
    """

    axes: str
    extent: str
    rule: str


class Row(NamedTuple):
    """One line of a program's table. flops: elementary operations; saved: bytes that backward will read."""

    address: str
    operator: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    axes: str
    shape: Shape
    parameters: int
    flops: int
    saved: int
    attributes: Mapping[str, Any]


class BackwardStep(NamedTuple):
    """One step of the reversed program: an operator's backward, or (step None) the sum of several contributions.

    writes: the address of each gradient, by the operator's own name of the input it belongs to.
    """

    address: str
    step: Step | None
    reads: tuple[str, ...]
    writes: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"{self.step.operator.name} backward" if self.step else "sum"


class Program:
    """The list of steps, its inputs and its weights. sizes: letters that the model fixes, such as D and V."""

    def __init__(self, name: str, sizes: Mapping[str, int]) -> None:
        self.name = name
        self.sizes = dict(sizes)
        self.steps: list[Step] = []
        self.inputs: dict[str, Input] = {}
        self.weights: dict[str, str] = {}
        self.producer: dict[str, Step] = {}
        self._shapes: dict[tuple[int | None, ...], dict[str, Shape]] = {}

    # --- building ---------------------------------------------------------------------------------------------

    def input(self, spec: str, rule: str, extent: str = "") -> str:
        """Declare an input: ``p.input("mask BTS", "causal")``. Its extent is its own axes with S as long as T."""
        address, axes = spec.split(" ")
        self.inputs[address] = Input(axes, extent or axes.replace("S", "T"), rule)
        return address

    def __call__(self, spec: str, operator: Operator, *reads: str | None, **attributes: Any) -> str:
        """Add a step and return its address. See the module's text for how reads are written."""
        address, _, axes = spec.partition(" ")
        if len(reads) > len(operator.inputs):
            raise InputError(f"{address}: {operator.name} cannot read {len(reads)} arrays ({operator.shapes})")
        named = tuple(self.declared(read) for read in reads)
        missing = (None,) * (len(operator.inputs) - len(named))
        settings = {key: value for key, value in operator.settings.items() if key not in attributes}
        step = Step(address, axes, operator, named + missing, settings | attributes)
        self.check(step)
        self.steps.append(step)
        self.producer.update(dict.fromkeys(step.writes.values(), step))
        return address

    def declared(self, read: str | None) -> str | None:
        """The address that a read names, declaring a weight if it carries axes."""
        if read is None:
            return None
        address, _, axes = read.partition(" ")
        if axes and self.weights.setdefault(address, axes) != axes:
            raise ShapeError(f"weight {address} is declared with axes {axes} and with {self.weights[address]}")
        return address

    def check(self, step: Step) -> None:
        """Refuse a step that could not be run or reversed."""
        given = [read for read in step.reads if read is not None]
        for o, read in zip(step.operator.inputs, step.reads, strict=True):
            if read is None and not o.optional:
                raise InputError(f"{step.address}: {step.operator.name} needs {o.name} ({step.operator.shapes})")
            if read is not None and len(self.axes(read)) != len(o.axes):
                has = f"has axes {o.axes}, but {read} has {self.axes(read)}"
                raise ShapeError(f"{step.address}: {o.name} of {step.operator.name} {has}")
        if len(set(given)) < len(given):
            raise InputError(f"{step.address}: reads one value twice, which would leave its gradient ambiguous")
        if len(step.axes) != len(step.operator.outputs[0].axes):
            raise ShapeError(
                f"{step.address}: declared {step.axes}, but {step.operator.name} gives {step.operator.shapes}"
            )
        for name, value in step.attributes.items():
            if name not in step.operator.settings or value is Parameter.empty:
                wanted = ", ".join(step.operator.settings) or "none"
                raise InputError(f"{step.address}: {name} is missing or unknown; {step.operator.name} takes: {wanted}")
        for address in step.writes.values():
            if address in self:
                raise InputError(f"two steps are called {address}")

    # --- looking up -------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __contains__(self, address: str) -> bool:
        return address in self.producer or address in self.weights or address in self.inputs

    @property
    def addresses(self) -> list[str]:
        """All addresses: inputs, then what the steps write in order, then weights."""
        return [*self.inputs, *self.producer, *self.weights]

    def axes(self, address: str) -> str:
        """The axis letters of a value. Raises AddressError for an unknown address."""
        if address in self.inputs:
            return self.inputs[address].axes
        if address in self.weights:
            return self.weights[address]
        if address not in self.producer:
            raise AddressError(f"{self.name} has no value {address!r}")
        step = self.producer[address]
        if address == step.address:
            return step.axes
        letters = dict(zip(step.operator.outputs[0].axes, step.axes, strict=True))
        side = next(o for o in step.operator.outputs if step.writes[o.name] == address)
        return "".join(letters.get(letter, letter) for letter in side.axes)

    def readers(self, address: str) -> list[Step]:
        """The steps that read a value, in order."""
        return self._readers.get(address, [])

    @cached_property
    def _readers(self) -> dict[str, list[Step]]:
        found: dict[str, list[Step]] = {}
        for step in self.steps:
            for read in step.reads:
                if read is not None:
                    found.setdefault(read, []).append(step)
        return found

    def needed(self, targets: Iterable[str], known: Callable[[str], bool]) -> list[Step]:
        """The steps that must run, in order, to make the targets from what is known."""
        wanted = {target for target in targets if target in self.producer and not known(target)}
        steps = []
        for step in reversed(self.steps):
            if wanted.intersection(step.writes.values()):
                steps.append(step)
                wanted.update(read for read in step.reads if read in self.producer and not known(read))
        return steps[::-1]

    def dependents(self, address: str) -> set[str]:
        """The value itself and all that is computed from it."""
        touched = {address}
        for step in self.steps:
            if touched.intersection(read for read in step.reads if read is not None):
                touched.update(step.writes.values())
        return touched

    # --- shapes and costs, without running -----------------------------------------------------------------------

    def shapes(self, B: int = 1, T: int = 1, S: int | None = None, C: int | None = None) -> dict[str, Shape]:
        """The shape of every value for B texts of T tokens (source texts of S, a cache with places for C tokens)."""
        key = (B, T, S, C, len(self.steps))
        if key not in self._shapes:
            self._shapes.clear()
            self._shapes[key] = self._all_shapes(B, T, S, C)
        return dict(self._shapes[key])

    def _all_shapes(self, B: int, T: int, S: int | None, C: int | None) -> dict[str, Shape]:
        extent = {"B": B, "T": T, "S": T if S is None else S, "C": T if C is None else C, **self.sizes}
        shapes = {address: tuple(extent[letter] for letter in given.extent) for address, given in self.inputs.items()}
        shapes |= {address: tuple(self.sizes[letter] for letter in axes) for address, axes in self.weights.items()}
        for step in self.steps:
            sizes = step.sizes(shapes)
            shapes |= {step.writes[o.name]: tuple(sizes[letter] for letter in o.axes) for o in step.operator.outputs}
        return shapes

    def lengths(self, shapes: Mapping[str, Shape]) -> dict[str, int]:
        """B, T and, where the program has them, S and C (see `shapes`) from the shapes of its inputs."""
        found: dict[str, int] = {}
        for address, given in self.inputs.items():
            found |= dict(zip(given.extent, shapes[address], strict=True))
        return {letter: size for letter, size in found.items() if letter not in self.sizes}

    def saved(self) -> set[str]:
        """Addresses that backward reads (of the loss, if there is one), without weights: what training must keep."""
        steps = self.path("loss") if "loss" in self.producer else self.steps
        return {address for step in steps for address in step.saved if address not in self.weights}

    def table(self, B: int = 1, T: int = 1, S: int | None = None, itemsize: int = 4) -> list[Row]:
        """One row a step; itemsize: bytes a number."""
        shapes = self.shapes(B, T, S)
        saved, counted, rows = self.saved(), set(), []
        for step in self.steps:
            own = [read for read in step.reads if read in self.weights and read not in counted]
            counted.update(own)
            rows.append(
                Row(
                    step.address,
                    step.operator.name,
                    tuple(read for read in step.reads if read is not None),
                    tuple(step.writes.values()),
                    step.axes,
                    shapes[step.address],
                    sum(prod(shapes[weight]) for weight in own),
                    step.operator.operations(step.sizes(shapes), "forward", step.absent),
                    sum(prod(shapes[address]) * itemsize for address in step.writes.values() if address in saved),
                    step.attributes,
                )
            )
        return rows

    def __repr__(self) -> str:
        return f"<program {self.name}: {len(self)} steps, {self.parameters:,} parameters>"

    def __str__(self) -> str:
        """The steps as text, shapes in letters; `table` has shapes, costs and bytes for a batch."""
        rows = self.lines()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        heading = f"{self.name}: {len(self)} steps, {self.parameters:,} parameters"
        lines = (
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )
        return "\n".join([heading, *lines])

    def lines(self) -> list[tuple[str, str, str, str]]:
        """Of every step: its address, operator, axes, and what it reads."""
        return [
            (step.address, step.operator.name, step.axes, ", ".join(filter(None, step.reads))) for step in self.steps
        ]

    def _repr_html_(self, most: int = 400) -> str:
        head = markup.heading(self.name, f"{len(self)} steps, {self.parameters:,} parameters")
        steps = markup.table(self.lines()[:most], ("step", "operator", "axes", "reads"), words=4)
        more = [markup.paragraph(f"and {len(self) - most} more")] * (len(self) > most)
        return markup.card(head, markup.fold("the steps", steps, opened=len(self) <= 40), *more)

    @property
    def parameters(self) -> int:
        """How many numbers the weights hold; a tied table counts once."""
        return sum(prod(self.sizes[letter] for letter in axes) for axes in self.weights.values())

    # --- the reversed program ------------------------------------------------------------------------------------

    def reverse(self, of: str = "loss") -> list[BackwardStep]:
        """The backward program of one value: which backward runs when, what it reads, where its gradients go.

        The gradient of x is at ``d:x``. Where several steps read x, each adds a part, ``d:x@step``, and a sum follows.
        Raises AddressError if there is no such value.
        """
        if of not in self.producer:
            raise AddressError(f"{self.name} computes no {of!r}, so it has no gradient")
        path = self.path(of)
        readers = Counter(address for step in path for address in step.gradients.values())
        parts: dict[str, list[str]] = {}
        backward = []
        for step in reversed(path):
            if len(parts.get(step.address, ())) > 1:
                backward.append(summed(step.address, parts[step.address]))
            writes = {}
            for name, address in step.gradients.items():
                writes[name] = f"d:{address}@{step.address}" if readers[address] > 1 else f"d:{address}"
                parts.setdefault(address, []).append(writes[name])
            if writes:
                reads = (f"d:{step.address}", *step.saved)
                backward.append(BackwardStep(next(iter(writes.values())), step, reads, writes))
        for address, made in parts.items():
            if address not in self.producer and len(made) > 1:
                backward.append(summed(address, made))
        return backward

    def path(self, of: str) -> list[Step]:
        """The steps a gradient of `of` passes through, in forward order."""
        reached: set[str] = {of}
        steps = []
        for step in reversed(self.steps):
            if step.address in reached and step.gradients:
                steps.append(step)
                reached.update(step.gradients.values())
        return steps[::-1]


def summed(address: str, parts: Collection[str]) -> BackwardStep:
    """The step that adds up the parts of a gradient."""
    return BackwardStep(f"d:{address}", None, tuple(parts), {address: f"d:{address}"})
