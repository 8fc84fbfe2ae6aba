"""Which elements of which arrays one element needs, without computing any of them where that can be avoided."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from byhand.arithmetic import Evaluation, Index, Line, index_letters, indices
from byhand.explain import Values, leaves, operands_of, sizes_of
from byhand.program import BackwardStep, Step
from byhand.pseudocode import opened
from byhand.pseudocode.vector import address_of

Array = np.ndarray[Any, Any]
Places = tuple[Any, ...]  # one array of indices, or one index, for every axis


@dataclass(frozen=True)
class Unit:
    """A step, forward or backward, with its arithmetic ready to be evaluated.

    names: the address of every array by the operator's own name; shapes: of what the lines define.
    """

    made: Step | BackwardStep
    evaluation: Evaluation
    names: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]

    @cached_property
    def lines(self) -> list[Line]:
        return arrays_of(self.evaluation.lines)

    def needs(self, wanted: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
        """All elements that some elements need.

        wanted: truth values by address, in the shape of the array. Returns truth values by name for what the lines
        define, the wanted ones included, and by name for the operands.
        """
        inside = {line.name: np.zeros(self.shapes[line.name], bool) for line in self.lines}
        outside = {name: np.zeros(np.shape(array), bool) for name, array in self.evaluation.operands.items()}
        for name in inside:
            if self.names.get(name) in wanted:
                inside[name] |= wanted[self.names[name]]
        for line in reversed(self.lines):
            if inside[line.name].any():
                for name, places in self.read_by(line, inside[line.name]):
                    (outside if name in outside else inside)[name][places] = True
        return inside, outside

    def read_by(self, line: Line, wanted: Array) -> Iterator[tuple[str, Places]]:
        """The names that a line reads to make some elements, and where."""
        if any(isinstance(node, ast.Call) and called(node) == "where" for node in ast.walk(line.expression)):
            yield from self.chosen_by(line.name, wanted)
            return
        bound = bindings(line, wanted, self.evaluation.sizes)
        for node in ast.walk(line.expression):
            if isinstance(node, ast.Subscript):
                yield called(node), self.places(node, bound)
            elif isinstance(node, ast.Name) and self.shape_of(node.id) == ():
                yield node.id, ()

    def chosen_by(self, name: str, wanted: Array) -> Iterator[tuple[str, Index]]:
        """The same where a line chooses by a condition: only what was chosen is needed, so it has to be evaluated."""
        for index in np.argwhere(wanted):
            for leaf in leaves(self.evaluation.element(name, tuple(map(int, index)))):
                yield leaf.name, leaf.index

    def shape_of(self, name: str) -> tuple[int, ...] | None:
        if name in self.evaluation.operands:
            return np.shape(self.evaluation.operands[name])
        return self.shapes.get(name)

    def places(self, node: ast.Subscript, bound: Mapping[str, Array]) -> Places:
        """Where an array is read, as indices that NumPy takes: the letters on the left run together, those of a sum
        each over its own axis.
        """
        letters = sorted({name for each in indices(node) for name in index_letters(each) if len(name) == 1})
        together = [letter for letter in letters if letter in bound]
        alone = [letter for letter in letters if letter not in bound]
        distinct = np.unique(np.stack([bound[letter] for letter in together] or [np.zeros(1, int)]), axis=1)
        first, *others = np.ix_(range(distinct.shape[1]), *(range(self.evaluation.sizes[x.upper()]) for x in alone))
        values = dict(zip(alone, others, strict=True)) | {x: distinct[i][first] for i, x in enumerate(together)}
        known = {**self.evaluation.sizes, **self.evaluation.operands, **values}
        return tuple(eval(code(each), {}, known) for each in indices(node))


def unit(run: Values, look: Callable[[str], Array], made: Step | BackwardStep) -> Unit:
    """A step of a run with its arithmetic ready to be evaluated. look: gives arrays by address."""
    if isinstance(made, Step):
        arrays, names = operands_of(run, made, backward=False)
        evaluation = Evaluation(made.operator.lines(made.absent), arrays, sizes_of(run, made), made.attributes)
        return ready(made, evaluation, names, look)
    if made.step is None:
        lines, names = opened.summed(made, run.program)
        arrays = {name: look(address) for name, address in names.items() if name != "total"}
        sizes = zip(lines[0].index, arrays["part0"].shape, strict=True)
        named = {each.id.upper(): size for each, size in sizes if isinstance(each, ast.Name)}
        return ready(made, Evaluation(lines, arrays, named), names, look)
    step = made.step
    arrays, names = operands_of(run, step, backward=True)
    names = {name: names[name] for name in arrays} | {f"d_{name}": address for name, address in made.writes.items()}
    lines = step.operator.gradient_lines(step.absent)
    return ready(made, Evaluation(lines, arrays, sizes_of(run, step), step.attributes), names, look)


def ready(
    made: Step | BackwardStep, evaluation: Evaluation, names: dict[str, str], look: Callable[[str], Array]
) -> Unit:
    """The unit, with the shapes of what its lines define: as the run holds it, or as their letters say."""
    shapes = {
        line.name: np.shape(look(address_of(names[line.name])))
        if line.name in names
        else tuple(evaluation.sizes[letter.upper()] for each in line.index for letter in index_letters(each))
        for line in arrays_of(evaluation.lines)
    }
    return Unit(made, evaluation, names, shapes)


def arrays_of(lines: Iterable[Line]) -> list[Line]:
    """The lines that define arrays; the others name sizes."""
    return [line for line in lines if line.index or not line.name.isupper()]


def bindings(line: Line, wanted: Array, sizes: Mapping[str, int]) -> dict[str, Array]:
    """The letters on a line's left side for every wanted element that the line defines: one array a letter."""
    letters = sorted({letter for each in line.index for letter in index_letters(each)})
    grid = np.meshgrid(*(np.arange(sizes[letter.upper()]) for letter in letters), indexing="ij") if letters else []
    every = {letter: values.ravel() for letter, values in zip(letters, grid, strict=True)}
    left = tuple(eval(code(each), {}, {**sizes, **every}) for each in line.index)
    return {letter: values[wanted[left]] for letter, values in every.items()}


def code(node: ast.expr) -> Any:
    return compile(ast.Expression(node), "index", "eval")


def called(node: ast.Call | ast.Subscript) -> str:
    """The name of the function or array."""
    inner = node.func if isinstance(node, ast.Call) else node.value
    assert isinstance(inner, ast.Name)
    return inner.id
