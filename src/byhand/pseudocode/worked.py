"""One element of a run with its numbers: every element inside a part that it needs, each with its own arithmetic."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Protocol

import numpy as np

from byhand import notation
from byhand.arithmetic import Index, Node
from byhand.errors import AddressError, InputError
from byhand.explain import Values, axes_of, leaves
from byhand.program import BackwardStep, Step
from byhand.pseudocode import opened, parts, vector
from byhand.pseudocode.closure import Unit, unit
from byhand.pseudocode.document import Group, Pseudocode, Section, bracket
from byhand.pseudocode.letters import key
from byhand.pseudocode.vector import Style
from byhand.shapes import element

Array = np.ndarray[Any, Any]
LAYER = re.compile(r"(?:\w+\.)*?blocks\.\d+(?=\.)")
DIRECTIONS = ("forward", "backward", "both")
Made = Step | BackwardStep


class Reversed(Protocol):
    """The gradients of a run: the backward steps that made them, in order."""

    steps: list[BackwardStep]


class Observed(Values, Protocol):
    """What worked numbers need of a run."""

    @property
    def grad(self) -> Reversed: ...


def worked(
    run: Observed,
    address: str,
    index: Sequence[int],
    part: str | None = None,
    direction: str | None = None,
    digits: int = 6,
    most: int | None = 8,
) -> Pseudocode:
    """One element of a run, down to single operations: all elements inside a part that it needs, in program order.

    part: as in `pseudocode`; without it the element's layer, or its step alone outside of layers. What comes from
    outside the part is listed first. direction: "backward" for a gradient (which takes values as given), "both" to work
    out those values too. digits: significant ones; most: terms and alike lines that text and Markdown show (None: all);
    plain data is complete and exact. Numbers are worked out in float64 from the values that the run holds; the gradient
    that passes through an edited value (``d:x@unedited``) is taken as given.
    Raises AddressError for an unknown address, index or part, and InputError for another direction.
    """
    array = run.look(address)
    place = element(axes_of(run, address), array.shape, tuple(index), address)
    usual = "backward" if address.startswith("d:") else "forward"
    direction = direction or usual
    if direction not in DIRECTIONS or (direction != usual and (direction, usual) != ("both", "backward")):
        raise InputError(f"{address} cannot be worked out {direction!r}; leave it out, or ask for 'both' of a gradient")
    steps, part = chosen(run, address, part, direction)
    if not any(address in step.writes.values() for step in steps):
        raise AddressError(f"{address} is not computed in {part}; name a part that holds it")
    closure = Closure(run, Writing(digits, most))
    wanted = np.zeros(array.shape, bool)
    wanted[place] = True
    sections = closure.sections(steps, {address: wanted})
    letters = key(run.program, [each if isinstance(each, Step) else each.step for each in steps], {})
    title = f"{run.program.name}, {part}: all numbers behind {address}{bracket(place)}, {array.dtype.name}"
    facts = {"address": address, "index": list(place), "dtype": array.dtype.name}
    return Pseudocode(title, run.program.name, part, "numbers", direction, letters, sections, most, facts)


def chosen(run: Observed, address: str, part: str | None, direction: str) -> tuple[list[Made], str]:
    """The steps to work out, in order, and the part they are. Raises AddressError."""
    value = vector.address_of(address)
    source = run.backward_step(address) if address.startswith("d:") else run.program.producer.get(value)
    if source is None:
        raise AddressError(f"{address} is given to {run.program.name}, not computed")
    layer = LAYER.match(value)
    if part is None and layer is None and direction != "both":
        return [source], value
    within = layer[0] if part is None and layer else part or ""
    steps: list[Made] = []
    if direction != "backward":
        steps += parts.forward(run.program, within)
    if direction != "forward":
        own = parts.backward(run.program, within, run.grad.steps)
        # the gradient of what a layer hands on is computed by the step that reads it, outside the layer
        steps += [each for each in run.grad.steps if each in own or (part is None and each is source)]
    return steps, within or "all steps"


@dataclass(frozen=True)
class Writing:
    """How numbers are written: significant digits, and terms shown of a sum (None: all)."""

    digits: int
    most: int | None

    def number(self, value: float) -> str:
        return notation.number(value, self.digits)


class Closure:
    """Finds what elements need, step by step from the last to the first, and lists it from the first to the last."""

    def __init__(self, run: Observed, writing: Writing) -> None:
        self.run, self.writing = run, writing
        self.look = cache(run.look)

    def sections(self, steps: Sequence[Made], wanted: dict[str, Array]) -> tuple[Section, ...]:
        """What comes from outside, then every step with the elements of it that are needed.

        wanted: truth values by address, in the shape of the array.
        """
        found: list[Section] = []
        made: set[str] = set()
        for step in reversed(steps):
            if not wanted.keys() & set(step.writes.values()):
                continue
            ready = unit(self.run, self.look, step)
            inside, outside = ready.needs(wanted)
            made.update(step.writes.values())
            found.append(self.section(ready, inside))
            for name, mask in outside.items():
                if mask.any():
                    wanted[ready.names[name]] = wanted.get(ready.names[name], False) | mask
        order = {address: place for place, address in enumerate(self.run.program.addresses)}
        outside = sorted(
            wanted.keys() - made, key=lambda each: (each.startswith("d:"), order[vector.address_of(each)], each)
        )
        elements = [Given(address, wanted[address], self) for address in outside]
        given = tuple(Group(each, rows=Rows(each)) for each in elements)
        return Section("given", "", ("given",), given), *reversed(found)

    def section(self, ready: Unit, inside: Mapping[str, Array]) -> Section:
        """The lines of one step, those of one name together below what they say in names."""
        step = ready.made
        texts = map(str, opened.lines(step, Style(self.run.program)))
        said = [(line.name, text) for line, text in zip(ready.lines, texts, strict=True)]
        groups = (
            Group(Elements(ready, name, mask, self), tuple(text for each, text in said if each == name))
            for name, mask in inside.items()
            if mask.any()
        )
        operator = step.operator.name if isinstance(step, Step) else step.name
        return Section(step.address, operator, (), tuple(groups))


class Listed(Sequence[Any]):
    """Lines for the elements that a mask chooses, each made when asked for."""

    def __init__(self, address: str, mask: Array, closure: Closure) -> None:
        self.address, self.mask, self.closure = address, mask, closure

    @cached_property
    def places(self) -> Array:
        return np.argwhere(self.mask)

    def __len__(self) -> int:
        return int(self.mask.sum())

    def __getitem__(self, i: Any) -> Any:
        return self.line(tuple(map(int, self.places[i])))

    @abstractmethod
    def line(self, index: Index) -> Number: ...


class Given(Listed):
    """Elements from outside."""

    def line(self, index: Index) -> Number:
        value = self.closure.look(self.address)[index].item()
        return Number(self.address, self.address, index, None, value, value, "", self.closure.writing)


class Rows(Sequence[str]):
    """Elements from outside, those that lie side by side along the last axis on one line."""

    def __init__(self, elements: Given) -> None:
        self.elements = elements

    @cached_property
    def ends(self) -> list[tuple[int, int]]:
        """Where each row starts among the elements, and where the next one does."""
        places = self.elements.places
        steps = np.diff(places, axis=0)
        apart = (steps[:, :-1] != 0).any(1) | (steps[:, -1] != 1) if places.size else steps.any(1)
        starts = [0, *(1 + np.flatnonzero(apart)).tolist()]
        return list(zip(starts, [*starts[1:], len(places)], strict=True))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i: Any) -> Any:
        start, end = self.ends[i]
        if end - start == 1:
            return str(self.elements[start])
        writing = self.elements.closure.writing
        most = end if writing.most is None else min(start + writing.most, end)
        values = [writing.number(self.elements[each].value) for each in range(start, most)]
        more = [f"... {end - most} more"] * (end > most)
        *before, first = self.elements[start].index
        place = bracket([*before, f"{first}:{first + end - start}"])
        return f"{self.elements.address}{place} = {', '.join(values + more)}"


class Elements(Listed):
    """Elements of what one name of a step stands for."""

    def __init__(self, unit: Unit, name: str, mask: Array, closure: Closure) -> None:
        self.unit, self.name = unit, name
        super().__init__(unit.names.get(name, ""), mask, closure)

    def line(self, index: Index) -> Number:
        node = self.unit.evaluation.element(self.name, index)
        note, stored, address = reason(self.unit, node), None, self.address
        if address:
            stored = self.closure.look(address)[index].item()
            edits = (edit for edit in self.closure.run.edits if edit.address == address)
            note += ["edited"] * any(edit.covers(index, self.mask.shape) for edit in edits)
        else:
            made = self.unit.made
            step = made if isinstance(made, Step) else made.step
            address = f"{step.address.removesuffix('.out')}.{self.name}" if step else self.name
        writing = self.closure.writing
        return Number(address, self.address or self.name, index, node, node.value, stored, ", ".join(note), writing)


@dataclass(frozen=True)
class Number:
    """One element: how it was made (None: given), its value worked out in float64, and as the run holds it."""

    address: str
    name: str
    index: Index
    node: Node | None
    value: float
    stored: float | None
    note: str
    writing: Writing

    def __str__(self) -> str:
        value = self.writing.number(self.value)
        formula = notation.numbers(self.node, self.writing.digits, self.writing.most) if self.node else value
        equal = [f"{self.name}{bracket(self.index)}", *([formula] if formula != value else []), value]
        stored = value if self.stored is None else self.writing.number(self.stored)
        notes = [self.note] * bool(self.note) + [f"stored as {stored}"] * (stored != value)
        return " = ".join(equal) + (f"  # {', '.join(notes)}" if notes else "")

    def to_dict(self) -> dict[str, Any]:
        """Complete and exact, whatever the text leaves out."""
        formula = notation.numbers(self.node, 17, None) if self.node else ""
        own = {"address": self.address, "index": list(self.index), "formula": formula, "value": self.value}
        return {**own, "stored": self.stored, "note": self.note}


def reason(unit: Unit, node: Node) -> list[str]:
    """Where a copied number comes from, and by which conditions and look-ups."""
    source, leading = node, []
    for each in outside_of_sums(node):
        leading += leaves(each.parts[0]) if each.kind == "where" else each.parts if each.kind == "operand" else []
    while source.kind == "where":
        source = source.parts[1]
    copied = [named(unit, source)] if source.kind in ("operand", "local") else []
    conditions = dict.fromkeys(f"{named(unit, each)} = {notation.number(each.value, 6)}" for each in leading)
    return copied + ["as " + " and ".join(conditions)] * bool(conditions)


def outside_of_sums(node: Node) -> Iterator[Node]:
    """A node and its parts, but nothing inside of sums."""
    yield node
    if node.kind not in ("sum", "max"):
        for part in node.parts:
            yield from outside_of_sums(part)


def named(unit: Unit, leaf: Node) -> str:
    return unit.names.get(leaf.name, leaf.name) + bracket(leaf.index)
