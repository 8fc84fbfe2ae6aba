"""Single elements: every operator opened into its arithmetic, with addresses for arrays and the step's own indices."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from byhand import notation
from byhand.arithmetic import Line, parse, reduction
from byhand.program import BackwardStep, Program, Step
from byhand.pseudocode import document
from byhand.pseudocode.letters import GROUP, HEAD, Letters, distinct
from byhand.pseudocode.vector import Style, gradient_names


def lines(each: Step | BackwardStep, style: Style) -> list[document.Line]:
    """The lines of a step or a backward step, in order, or the sum of a gradient's parts."""
    if isinstance(each, Step):
        return written(each, style, each.operator.lines(each.absent), each.names)
    if each.step is not None:
        return written(each.step, style, each.step.operator.gradient_lines(each.step.absent), gradient_names(each))
    own, names = summed(each, style.program)
    return [made(line, notation.Names(names, {"h": HEAD} if style.heads else {}, {})) for line in own]


def bounds(each: Step | BackwardStep, style: Style) -> list[str]:
    """How far the indices run that belong to no axis: ``i < D // 2``."""
    if not isinstance(each, Step):
        return []
    names = naming(each, style, {})
    own = [line for line in each.operator.lines() if line.name.isupper() and not line.index and line.name != "R"]
    return [f"{line.name.lower()} < {names.expression(line.expression)}" for line in own]


def summed(each: BackwardStep, program: Program) -> tuple[tuple[Line, ...], dict[str, str]]:
    """The arithmetic that adds up the parts of a gradient, and the addresses of its names."""
    ((value, total),) = each.writes.items()
    place = document.bracket(distinct(program.axes(value)))
    parts = {f"part{i}": address for i, address in enumerate(each.reads)}
    text = f"total{place} = " + " + ".join(part + place for part in parts)
    return parse(text), {"total": total, **parts}


def written(step: Step, style: Style, lines: Iterable[Line], names: Mapping[str, str]) -> list[document.Line]:
    """Lines of an operator's arithmetic as those of a step."""
    letters = Letters(step, style.program)
    known = Known(letters.single, letters.shared)
    shown = naming(step, style, names)
    return [made(known.line(line), shown) for line in lines if line.index or not line.name.isupper()]


def made(line: Line, names: notation.Names) -> document.Line:
    left, _, formula = names.line(line).partition(" = ")
    return document.Line(names.addresses.get(line.name, line.name), left, "", formula)


def naming(step: Step, style: Style, names: Mapping[str, str]) -> notation.Names:
    """How the operator's words are written in this step."""
    letters = Letters(step, style.program)
    sizes = letters.sizes if style.shapes else {}
    places = {k.lower(): v.lower() for k, v in letters.written.items()}
    if style.heads:
        heads = {"h": HEAD, "g": HEAD if style.shared == 1 else GROUP}
        places = {small: heads.get(letter, letter) for small, letter in places.items()}
    return notation.Names(names, {**letters.written, **sizes, **places}, step.attributes)


class Known(ast.NodeTransformer):
    """Puts in what a model's sizes settle: an index that can only be 0, and R, the query heads of a key/value head."""

    def __init__(self, single: frozenset[str], shared: int | None) -> None:
        self.single, self.shared = single, shared

    def line(self, line: Line) -> Line:
        return Line(line.name, tuple(self.settled(each) for each in line.index), self.settled(line.expression))

    def settled(self, node: ast.expr) -> ast.expr:
        copy = ast.parse(ast.unparse(node), mode="eval").body  # lines are shared by all steps
        return self.visit(copy)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.single:
            return ast.Constant(0)
        return ast.Constant(self.shared) if node.id == "R" and self.shared else node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        over = reduction(node)
        if over is None:
            return self.generic_visit(node)  # type: ignore[return-value]
        kind, letters, term = over
        left = [letter for letter in letters if letter not in self.single]
        term = self.visit(term)
        names: list[ast.expr] = [ast.Name(letter) for letter in left]
        return ast.Call(ast.Name(kind), [*names, term], []) if left else term

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.BinOp(left=same, op=ast.FloorDiv() | ast.Mult(), right=ast.Constant(value=1)):
                return same
            case ast.BinOp(left=same, op=ast.Add(), right=ast.Constant(value=0)):
                return same
        return node
