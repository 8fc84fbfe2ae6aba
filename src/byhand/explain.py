"""One number, taken apart: its formula, its numbers, all its terms, and where every operand comes from.

An explanation is computed from the scalar arithmetic of the operator that made the number, in float64, on the operands
as the run holds them. It is therefore also a check: the stored value stands beside the recomputed one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import frexp, isfinite
from typing import Any, Protocol

import numpy as np

from byhand import notation
from byhand.arithmetic import Evaluation, Index, Line, Node, exact_sum, terms
from byhand.errors import AddressError
from byhand.program import BackwardStep, Program, Step

Array = np.ndarray[Any, Any]
FRACTION_BITS = {"float64": 52, "float32": 23, "bfloat16": 7}


class Values(Protocol):
    """What an explanation needs to know of a run."""

    @property
    def program(self) -> Program: ...

    @property
    def edits(self) -> tuple[Any, ...]: ...

    def look(self, address: str) -> Array:
        """The array at an address; ``d:`` addresses are gradients, ``d:x@step`` the part that one step adds."""
        ...

    def backward_step(self, address: str) -> BackwardStep | None:
        """The step that writes a gradient; None where the gradient was given to start from."""
        ...


@dataclass(frozen=True)
class Operand:
    """One element that an explained number was made from. kind: weight, input, value, gradient or start."""

    address: str
    index: Index
    value: float
    kind: str

    def __str__(self) -> str:
        return f"{self.address}{place(self.index)}"


@dataclass(frozen=True)
class Term:
    """One addend of an explained number: its value, its numbers, and the operands in it."""

    value: float
    numbers: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True)
class Working:
    """A quantity computed on the way, such as a row's maximum: its formula in names, in numbers, and its value."""

    name: str
    formula: str
    numbers: str
    value: float


@dataclass(frozen=True)
class Explanation:
    """Everything about one number of a run.

    stored: as the run holds it (dtype says how); value: recomputed in float64, the exactly rounded sum of the terms;
    ulp: their difference in units of the last place of the stored one; formula: in names; numbers: the same with
    numbers, a Python expression; working: what was computed on the way; operands: where everything came from.
    """

    address: str
    index: Index
    axes: str
    operator: str
    kind: str
    stored: float
    dtype: str
    value: float
    ulp: float
    formula: str
    numbers: str
    terms: tuple[Term, ...]
    operands: tuple[Operand, ...]
    working: tuple[Working, ...] = ()
    note: str = ""
    run: Values | None = field(default=None, repr=False, compare=False)

    def follow(self, operand: int | Operand) -> Explanation:
        """The explanation of one of the operands, by its place in `operands` or itself."""
        assert self.run is not None
        chosen = self.operands[operand] if isinstance(operand, int) else operand
        return explain(self.run, chosen.address, chosen.index)

    def by(self, letter: str) -> dict[str, float]:
        """The terms added up along an axis of the operands: ``by("H")`` gives what every head contributes."""
        groups: dict[str, list[float]] = {}
        for term in self.terms:
            groups.setdefault(self.group(term, letter), []).append(term.value)
        return {name: exact_sum(values) for name, values in groups.items()}

    def group(self, term: Term, letter: str) -> str:
        assert self.run is not None
        for operand in term.operands:
            axes = axes_of(self.run, operand.address)
            if letter in axes:
                return f"{letter}={operand.index[axes.index(letter)]}"
        return ", ".join(operand.address for operand in term.operands) or "constant"

    def tree(self, depth: int, most: int = 8) -> Iterator[tuple[int, Explanation]]:
        """This explanation and those of its operands, down to depth, each number once, with its distance from here.

        most: operands followed from each number; the others are still listed in its `operands`.
        """
        seen: set[tuple[str, Index]] = set()
        queue = [(0, self)]
        while queue:
            level, each = queue.pop(0)
            if (each.address, each.index) in seen:
                continue
            seen.add((each.address, each.index))
            yield level, each
            if level < depth:
                queue += [(level + 1, each.follow(operand)) for operand in each.operands[:most]]

    def to_dict(self) -> dict[str, Any]:
        """The whole explanation as plain data, for JSON."""
        return {
            "address": self.address,
            "index": list(self.index),
            "axes": self.axes,
            "operator": self.operator,
            "kind": self.kind,
            "stored": self.stored,
            "dtype": self.dtype,
            "recomputed": self.value,
            "ulp": self.ulp,
            "formula": self.formula,
            "numbers": self.numbers,
            "note": self.note,
            "working": [vars(each) for each in self.working],
            "terms": [{"value": t.value, "numbers": t.numbers, "operands": list(map(str, t.operands))} for t in self.terms],
            "operands": [{**vars(o), "index": list(o.index)} for o in self.operands],
        }

    def __str__(self) -> str:
        return text(self)


def explain(run: Values, address: str, index: Index) -> Explanation:
    """Explain one element; address and index as `run.look` knows them, gradients at ``d:`` addresses.

    Raises AddressError for an unknown address; the index must already be checked.
    """
    stored = run.look(address)[index].item()
    dtype = run.look(address).dtype.name
    axes = axes_of(run, address)
    note = "; ".join(str(edit) for edit in run.edits if edit.address == address)
    step, lines, name = origin(run, address)
    if isinstance(step, Step) and lines:
        arrays, names = operands_of(run, step, address.startswith("d:"))
        evaluation = Evaluation(lines, arrays, sizes_of(run, step), step.attributes)
        return opened(run, Opening(step, evaluation, names, name), address, index, stored, dtype, axes, note)
    parts = tuple(operand(run, part, index) for part in step.reads) if isinstance(step, BackwardStep) else ()
    value = exact_sum([part.value for part in parts]) if parts else float(stored)
    made = tuple(Term(part.value, notation.number(part.value, 17), (part,)) for part in parts)
    return Explanation(
        address,
        index,
        axes,
        operator="sum" if parts else "",
        kind=kind_of(run, address),
        stored=stored,
        dtype=dtype,
        value=value,
        ulp=ulps(stored, value, dtype),
        formula=" + ".join(f"{part}" for part in parts),
        numbers=" + ".join(f"({term.numbers})" for term in made),
        terms=made or (Term(value, notation.number(value, 17), ()),),
        operands=parts,
        note=note,
        run=run,
    )


@dataclass(frozen=True)
class Opening:
    """A step with its arithmetic ready to be evaluated; names: address by the operator's own word; target: its name."""

    step: Step
    evaluation: Evaluation
    names: Mapping[str, str]
    target: str


def opened(
    run: Values, opening: Opening, address: str, index: Index, stored: float, dtype: str, axes: str, note: str
) -> Explanation:
    """The explanation of an element that an operator's arithmetic defines."""
    node = opening.evaluation.element(opening.target, index)
    made = tuple(
        Term(part.value, notation.numbers(part, 17), tuple(linked(run, opening, each) for each in leaves(part)))
        for part in terms(node)
    )
    value = exact_sum([term.value for term in made])
    ways = dict(opening.evaluation.done)
    ways.pop((opening.target, index))
    reads = {each: None for way in [*ways.values(), node] for each in leaf_operands(run, opening, way)}
    return Explanation(
        address,
        index,
        axes,
        operator=opening.step.operator.name + (" backward" if address.startswith("d:") else ""),
        kind=kind_of(run, address),
        stored=stored,
        dtype=dtype,
        value=value,
        ulp=ulps(stored, value, dtype),
        formula=formula(opening, opening.target, index).partition(" = ")[2],
        numbers=notation.numbers(node, 17, most=1_000_000),
        terms=made,
        operands=tuple(reads),
        working=tuple(working(opening, name, at, way) for (name, at), way in ways.items()),
        note=note,
        run=run,
    )


def origin(run: Values, address: str) -> tuple[Step | BackwardStep | None, tuple[Line, ...], str]:
    """The step that made a value, the arithmetic lines that say how, and the name the value has in them."""
    if not address.startswith("d:"):
        step = run.program.producer.get(address)
        if step is None:
            return None, (), ""
        return step, step.operator.lines(step.absent), next(n for n, a in step.writes.items() if a == address)
    backward = run.backward_step(address)
    if backward is None or backward.step is None:
        return backward, (), ""
    name = next(name for name, written in backward.writes.items() if written == address)
    return backward.step, backward.step.operator.gradient_lines(backward.step.absent), f"d_{name}"


def operands_of(run: Values, step: Step, backward: bool) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays an operator's arithmetic reads and their addresses, by the operator's own names."""
    if backward:
        names = {name: step.names[name] for name in step.operator.saved}
        through = "@edit" if any(edit.address == step.address for edit in run.edits) else ""
        names[f"d_{step.operator.outputs[0].name}"] = f"d:{step.address}{through}"
    else:
        names = {name: address for name, address in step.names.items() if name not in step.writes}
    return {name: run.look(address) for name, address in names.items()}, {**step.names, **names}


def sizes_of(run: Values, step: Step) -> dict[str, int]:
    return step.sizes({read: run.look(read).shape for read in step.reads if read is not None})


def leaves(node: Node) -> Iterator[Node]:
    """The operands and local results that a node reads directly."""
    if node.kind in ("operand", "local"):
        yield node
    for part in node.parts:
        yield from leaves(part)


def leaf_operands(run: Values, opening: Opening, node: Node) -> Iterator[Operand]:
    return (linked(run, opening, leaf) for leaf in leaves(node) if leaf.kind == "operand")


def linked(run: Values, opening: Opening, leaf: Node) -> Operand:
    """The operand with its address; a local result keeps its own short name."""
    if leaf.kind == "local":
        return Operand(leaf.name, leaf.index, leaf.value, "working")
    address = opening.names[leaf.name]
    return Operand(address, leaf.index, leaf.value, kind_of(run, address))


def operand(run: Values, address: str, index: Index) -> Operand:
    return Operand(address, index, run.look(address)[index].item(), kind_of(run, address))


def working(opening: Opening, name: str, index: Index, node: Node) -> Working:
    left, _, right = formula(opening, name, index).partition(" = ")
    return Working(left, right, notation.numbers(node, 17), float(node.value))


def formula(opening: Opening, name: str, index: Index) -> str:
    """The line that defines an element, in addresses and with its indices filled in."""
    line, bound = opening.evaluation.choose(name, index)
    local = {each.name for each in opening.evaluation.lines} - {opening.target}
    addresses = {n: a for n, a in opening.names.items() if n not in local}
    return notation.Names(addresses, bound, opening.step.attributes).line(line)


def kind_of(run: Values, address: str) -> str:
    if address.startswith("d:"):
        return "gradient" if run.backward_step(address) else "start"
    program = run.program
    return "weight" if address in program.weights else "input" if address in program.inputs else "value"


def axes_of(run: Values, address: str) -> str:
    """The axes of a value or gradient; "" for the name of a local result."""
    try:
        return run.program.axes(address.removeprefix("d:").partition("@")[0])
    except AddressError:
        return ""


def ulps(stored: float, value: float, dtype: str) -> float:
    """How far apart two numbers are in units of the stored one's last place; 0 when equal, inf when one is infinite."""
    if stored == value or (stored != stored and value != value):
        return 0.0
    if not (isfinite(stored) and isfinite(value)):
        return float("inf")
    bits = FRACTION_BITS.get(dtype, 52)
    largest = max(abs(stored), abs(value))
    return abs(stored - value) / 2.0 ** (frexp(largest)[1] - 1 - bits)


def place(index: Index) -> str:
    return f"[{','.join(map(str, index))}]" if index else ""


def text(each: Explanation, digits: int = 6, most: int = 8) -> str:
    """The explanation for a terminal: a heading, the working, the formula in names and numbers, the check, the operands."""
    shown = notation.number(float(each.stored), 17)
    lines = [f"{each.address}{place(each.index)} = {shown}   ({each.operator or each.kind}, {each.dtype})"]
    if each.note:
        lines.append(f"  edited: {each.note}")
    if not each.operands and not each.working:
        return "\n".join([*lines, f"  {LEAF.get(each.kind, 'made from settings alone')}"])
    for way in each.working[:most]:
        lines.append(f"  {way.name} = {way.formula} = {notation.number(way.value, digits)}")
    if len(each.working) > most:
        lines.append(f"  ... {len(each.working) - most} more lines of working")
    lines.append(f"  = {each.formula}")
    addends = [notation.number(term.value, digits) for term in each.terms[:most]]
    more = [f"... {len(each.terms) - most} more"] * (len(each.terms) > most)
    lines.append(f"  = {' + '.join(f'({a})' if a.startswith('-') else a for a in addends + more)}")
    lines.append(f"  = {notation.number(each.value, 17)} recomputed in float64, {each.ulp:.3g} ulp from what is stored")
    return "\n".join(lines)


LEAF = {
    "weight": "a weight of the model",
    "input": "given with the text",
    "start": "where the gradient starts",
}
