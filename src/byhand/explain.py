"""One number, taken apart: its formula, its numbers, all its terms, and where every operand comes from.

An explanation is computed from the scalar arithmetic of the operator that made the number, in float64, on the operands
as the run holds them. It is therefore also a check: the stored value stands beside the recomputed one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from byhand import notation
from byhand.addresses import base
from byhand.arithmetic import Evaluation, Line, Node, exact_sum, terms
from byhand.changes import Edit
from byhand.engines.reference import UNEDITED
from byhand.explanation import Explanation, Operand, Term, Values, Working, axes_of, place, ulps
from byhand.program import BackwardStep, Step
from byhand.shapes import Index

Array = np.ndarray[Any, Any]


def explain(run: Values, address: str, index: Index) -> Explanation:
    """Explain one element; address and index as `run.look` knows them, gradients at ``d:`` addresses.

    Raises AddressError for an unknown address; the index must already be checked.
    """
    array = run.look(address)
    stored = array[index].item()
    edits = [edit for edit in run.edits if edit.address == address and edit.covers(index, array.shape)]
    itself = notation.number(stored, 17)
    bare = Explanation(
        address,
        index,
        axes_of(run, address),
        kind_of(run, address),
        stored,
        array.dtype.name,
        value=float(stored),
        ulp=0.0,
        numbers=itself,
        terms=(Term(float(stored), itself, ()),),
        note="; ".join(map(str, edits)),
        remark=run.remark(address),
        run=run,
    )
    step, lines, name = origin(run, address)
    if address.startswith("d:") and address.endswith(UNEDITED):
        return passed(bare, run)
    if isinstance(step, Step) and edits:
        return edited(bare, run, edits)
    if isinstance(step, Step) and lines:
        arrays, names = operands_of(run, step, address.startswith("d:"))
        evaluation = Evaluation(lines, arrays, sizes_of(run, step), step.attributes)
        return opened(bare, run, Opening(step, evaluation, names, name))
    if isinstance(step, BackwardStep):
        parts = [Node("operand", operand(run, part, index).value, name=part, index=index) for part in step.reads]
        text = " + ".join(f"{part}{place(index)}" for part in step.reads)
        return plain(bare, run, "sum", Node("sum", exact_sum([part.value for part in parts]), tuple(parts)), text)
    return bare


def plain(bare: Explanation, run: Values, operator: str, node: Node, formula: str) -> Explanation:
    """The explanation of a node whose operands are addresses."""
    made = tuple(
        Term(
            part.value, notation.numbers(part, 17), tuple(operand(run, leaf.name, leaf.index) for leaf in leaves(part))
        )
        for part in terms(node)
    )
    reads = tuple(each for term in made for each in term.operands)
    return finished(bare, made, operator=operator, formula=formula, numbers=text_of(node), operands=reads)


def edited(bare: Explanation, run: Values, edits: list[Edit]) -> Explanation:
    """A value that was set, added to or scaled after its step made it."""
    source, index = bare.address + UNEDITED, bare.index
    node, text = unchanged(run, source, index)
    for edit in edits:
        what = edit.at(index, run.shape(bare.address))
        if edit.action == "set":
            node, text = Node("number", what), literal(what)
        else:
            sign, value = ("+", node.value + what) if edit.action == "add" else ("*", node.value * what)
            node = Node(sign, value, (node, Node("number", what)))
            text = notation.joined(sign, [text, literal(what)])
    return plain(bare, run, "edit", node, text[0])


def passed(bare: Explanation, run: Values) -> Explanation:
    """The gradient before the edits of a value, from the one after them: nothing passes what was set."""
    source, index, shape = bare.address.removesuffix(UNEDITED), bare.index, run.shape(bare.address)
    node, text = unchanged(run, source, index)
    edits = [edit for edit in run.edits if edit.address == base(source) and edit.covers(index, shape)]
    for edit in reversed(edits):
        if edit.action == "set":
            node, text = Node("number", 0.0), literal(0.0)
        elif edit.action == "scale":
            what = edit.at(index, shape)
            node = Node("*", node.value * what, (node, Node("number", what)))
            text = notation.joined("*", [text, literal(what)])
    return replace(plain(bare, run, "edit backward", node, text[0]), note="; ".join(map(str, edits)))


def unchanged(run: Values, address: str, index: Index) -> tuple[Node, notation.Written]:
    """An operand as a node and as text."""
    return Node("operand", operand(run, address, index).value, name=address, index=index), (
        f"{address}{place(index)}",
        notation.ATOM,
    )


def literal(value: float) -> notation.Written:
    text = notation.number(value, 17)
    return (f"({text})" if text.startswith("-") else text), notation.ATOM


@dataclass(frozen=True)
class Opening:
    """A step with its arithmetic ready to be evaluated; names: address by the operator's own word; target: its name."""

    step: Step
    evaluation: Evaluation
    names: Mapping[str, str]
    target: str


def opened(bare: Explanation, run: Values, opening: Opening) -> Explanation:
    """The explanation of an element that an operator's arithmetic defines."""
    node = opening.evaluation.element(opening.target, bare.index)
    made = tuple(
        Term(part.value, notation.numbers(part, 17), tuple(linked(run, opening, each) for each in leaves(part)))
        for part in terms(node)
    )
    ways = dict(opening.evaluation.done)
    ways.pop((opening.target, bare.index))
    reads = {each: None for way in [*ways.values(), node] for each in leaf_operands(run, opening, way)}
    return finished(
        bare,
        made,
        operator=opening.step.operator.name + (" backward" if bare.address.startswith("d:") else ""),
        formula=formula(opening, opening.target, bare.index).partition(" = ")[2],
        numbers=text_of(node),
        operands=tuple(reads),
        work=partial(workings, opening, ways),
    )


def finished(bare: Explanation, made: tuple[Term, ...], **rest: Any) -> Explanation:
    """The explanation with its terms, their sum and how far that is from what is stored."""
    value = exact_sum([term.value for term in made])
    return replace(bare, terms=made, value=value, ulp=ulps(bare.stored, value, bare.dtype), **rest)


def text_of(node: Node) -> str:
    return notation.numbers(node, 17, most=None)


def origin(run: Values, address: str) -> tuple[Step | BackwardStep | None, tuple[Line, ...], str]:
    """The step that made a value, the arithmetic lines that say how, and the name the value has in them."""
    if not address.startswith("d:"):
        step = run.program.producer.get(base(address))
        if step is None:
            return None, (), ""
        return step, step.operator.lines(step.absent), next(n for n, a in step.writes.items() if a == base(address))
    backward = run.backward_step(address)
    if backward is None or backward.step is None:
        return backward, (), ""
    name = next(name for name, written in backward.writes.items() if written == address)
    return backward.step, backward.step.operator.gradient_lines(backward.step.absent), f"d_{name}"


def operands_of(run: Values, step: Step, backward: bool) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays an operator's arithmetic reads and their addresses, by the operator's own names."""
    if backward:
        made = UNEDITED if any(edit.address == step.address for edit in run.edits) else ""
        names = {name: step.names[name] + (made if name in step.writes else "") for name in step.operator.saved}
        names[f"d_{step.operator.outputs[0].name}"] = f"d:{step.address}{made}"
    else:
        names = {name: address for name, address in step.names.items() if name not in step.writes}
    return {name: run.look(address) for name, address in names.items()}, {**step.names, **names}


def sizes_of(run: Values, step: Step) -> dict[str, int]:
    return step.sizes({read: run.shape(read) for read in step.reads if read is not None})


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


def workings(opening: Opening, ways: Mapping[tuple[str, Index], Node]) -> tuple[Working, ...]:
    return tuple(working(opening, name, at, way) for (name, at), way in ways.items())


def working(opening: Opening, name: str, index: Index, node: Node) -> Working:
    left, _, right = formula(opening, name, index).partition(" = ")
    return Working(left, right, notation.numbers(node, 17), float(node.value))


def formula(opening: Opening, name: str, index: Index) -> str:
    """The line that defines an element, in addresses and with its indices filled in."""
    line, bound = opening.evaluation.choose(name, index)
    sizes = {line.name: opening.evaluation.sizes[line.name] for line in opening.evaluation.lines if line.name.isupper()}
    local = {each.name for each in opening.evaluation.lines} - {opening.target}
    addresses = {n: a for n, a in opening.names.items() if n not in local}
    return notation.Names(addresses, {**sizes, **bound}, opening.step.attributes).line(line)


def kind_of(run: Values, address: str) -> str:
    if address.startswith("d:"):
        return "gradient" if run.backward_step(address) or address.endswith(UNEDITED) else "start"
    program = run.program
    return "weight" if address in program.weights else "input" if address in program.inputs else "value"
