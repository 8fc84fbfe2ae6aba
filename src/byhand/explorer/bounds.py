"""How far rounding alone can have moved a stored number from what its arithmetic gives in float64.

A running error analysis of the number's own tree of operations, by the rules of `compare.rounding`: each operation adds
u times its result, a function 4 u, a sum of n terms min(n, 6 sqrt(n)) u times the sum of the absolute terms; what goes
in passes through by the slope of the operation. What an operator reads is stored and has no error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, isnan, sqrt

from byhand.arithmetic import Evaluation, Node
from byhand.compare.rounding import ERF, FUNCTION, SURE, UNITS
from byhand.explain import Values, operands_of, origin, sizes_of
from byhand.explanation import Explanation
from byhand.program import Step
from byhand.shapes import Index

MARGIN = 2.0  # an engine may add and multiply in another order than the formula says
FEW = 4  # operations that an edit or a sum of few parts takes


def agrees(run: Values, each: Explanation) -> bool:
    """Whether a stored number is what its formula gives, but for rounding."""
    if each.stored == each.value or (isnan(each.stored) and isnan(each.value)):
        return True
    apart = abs(each.stored - each.value)
    return isfinite(apart) and apart <= MARGIN * bound(run, each)


def bound(run: Values, each: Explanation) -> float:
    """The most that rounding can have moved the stored number by, in theory."""
    unit = UNITS.get(each.dtype, UNITS["float64"])
    step, lines, name = origin(run, each.address)
    size = sum(abs(term.value) for term in each.terms if isfinite(term.value))
    last = unit.kept * abs(each.value) + unit.least
    if isinstance(step, Step) and lines and not each.note:
        arrays, _ = operands_of(run, step, each.address.startswith("d:"))
        evaluation = Evaluation(lines, arrays, sizes_of(run, step), step.attributes)
        node = evaluation.element(name, each.index)
        inner = unit.kept if step.operator.rounds_inside else unit.summed
        return Errors(inner, unit.summed, evaluation.done).of(node) + last
    if step is not None and not each.note and each.operator == "sum":
        # each part is computed anew to be shown, in another order than the engine's
        parts = [run.explain(operand.address, operand.index) for operand in each.operands]
        return sum(2 * bound(run, part) for part in parts) + FEW * unit.kept * size + last
    return FEW * unit.kept * size + last


@dataclass
class Errors:
    """Bounds of the nodes of one evaluation. unit: of an operation; summed: in a sum; done: nodes of other lines."""

    unit: float
    summed: float
    done: Mapping[tuple[str, Index], Node]
    known: dict[tuple[str, Index], float] = field(default_factory=dict)

    def of(self, node: Node) -> float:
        """How far the node's value may be off."""
        if node.kind == "local":
            key = node.name, node.index
            if key not in self.known:
                self.known[key] = self.of(self.done[key])
            return self.known[key]
        if not node.parts or node.kind == "operand" or isinstance(node.value, bool):
            return 0.0
        if node.kind == "where":
            return self.of(node.parts[1])
        errors = [self.of(part) for part in node.parts]
        values = [float(part.value) for part in node.parts]
        if node.kind == "sum":
            count = len(values)
            return sum(errors) + min(count, SURE * sqrt(count)) * self.summed * sum(map(abs, values))
        if node.kind in ("max", "neg"):
            return max(errors)
        passed = SLOPES.get(node.kind, lambda values, errors, result: inf)(values, errors, float(node.value))
        found = passed + self.unit * ROUNDINGS.get(node.kind, 1.0) * size_of(node)
        return found if found == found else inf


def size_of(node: Node) -> float:
    """What the roundings of an operation are measured by: its result; 1 at least where libraries round to that."""
    return max(abs(node.value), 1.0) if ROUNDINGS.get(node.kind) == ERF else abs(node.value)


# Roundings of an operation beside its result's own.
ROUNDINGS = {"exp": FUNCTION, "log": FUNCTION, "**": FUNCTION, "tanh": ERF, "erf": ERF, "sin": ERF, "cos": ERF}
Slope = Callable[[list[float], list[float], float], float]


def product(values: list[float], errors: list[float], result: float) -> float:
    (x, y), (ex, ey) = values, errors
    return times(ex, abs(y)) + times(abs(x), ey) + times(ex, ey)


def quotient(values: list[float], errors: list[float], result: float) -> float:
    (_, y), (ex, ey) = values, errors
    if not ex and not ey:
        return 0.0
    return (ex + times(abs(result), ey)) / (abs(y) - ey) if abs(y) > ey else inf


def power(values: list[float], errors: list[float], result: float) -> float:
    (x, y), (ex, _) = values, errors
    return times(abs(y) * (abs(x) + ex) ** (y - 1), ex) if ex else 0.0


def function(slope: Callable[[float, float], float]) -> Slope:
    """What a function makes of the error that goes in, by its slope at x with result y."""
    return lambda values, errors, result: times(slope(values[0], result), errors[0])


def times(a: float, b: float) -> float:
    """A product in which nothing times infinity is nothing."""
    return a * b if a and b else 0.0


SLOPES: dict[str, Slope] = {
    "+": lambda values, errors, result: sum(errors),
    "-": lambda values, errors, result: sum(errors),
    "*": product,
    "/": quotient,
    "//": lambda values, errors, result: 0.0,
    "%": lambda values, errors, result: 0.0,
    "**": power,
    "exp": function(lambda x, y: y),
    "log": function(lambda x, y: 1 / abs(x) if x else inf),
    "sqrt": function(lambda x, y: 0.5 / y if y else inf),
    "tanh": function(lambda x, y: 1 - y * y),
    "erf": function(lambda x, y: 1.13),  # at most 2 / sqrt(pi)
    "sin": function(lambda x, y: 1.0),
    "cos": function(lambda x, y: 1.0),
}
