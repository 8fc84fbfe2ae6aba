"""How far rounding alone can move the result of one step: its arithmetic in float64 with an error bound beside it.

Every operator states its arithmetic as text (see `arithmetic`). Here that text is evaluated for whole arrays at once,
and with each number goes a bound on the error that a computer of another precision may have made of it: a running
error analysis. u is half the distance from 1 to the next number of the precision. Each operation adds u times its
result; a function such as exp adds 4 u times its result (erf 16 u); errors of what goes in pass through by the slope of
the operation. A sum of n terms adds min(n, 6 sqrt(n)) u times the sum of the absolute terms, whatever order they are
added in.

Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.3 (running error analysis); Higham and Mary
2019, "A New Approach to Probabilistic Rounding Error Analysis" (the square root).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np

from byhand.arithmetic import COMPARISONS, CONSTANTS, SIGNS, Line, index_letters, indices, named_sizes, reduction
from byhand.operators.activation import erf
from byhand.operators.record import Operator

Array = np.ndarray[Any, Any]
SURE = 6.0  # a random sum of roundings is beyond 6 of its sqrt(n) less than once in 10^7 times
FUNCTION = 4.0  # roundings that a library's exp, tanh ... may be off by
ERF = 16.0  # u that a library's erf may be off by, whatever its value: the one in PyTorch's float32 GELU is off by 13


class Unit(NamedTuple):
    """The rounding of a precision: of what is kept, inside a sum, the smallest number that has all its digits, and
    where numbers computed in it become infinite.
    """

    kept: float
    summed: float
    least: float
    most: float


UNITS = {
    "float64": Unit(2.0**-53, 2.0**-53, 2.0**-1022, np.inf),
    "float32": Unit(2.0**-24, 2.0**-24, 2.0**-126, 2.0**128),
    "bfloat16": Unit(2.0**-8, 2.0**-24, 2.0**-126, 2.0**128),
    "float16": Unit(2.0**-11, 2.0**-24, 2.0**-24, 2.0**128),
}


class Bounded(NamedTuple):
    """An array in float64, and how far rounding may have moved each of its numbers."""

    value: Array
    bound: Array


@dataclass(frozen=True)
class Part:
    """What an expression is, for all values of its index letters: one axis a letter, in their order."""

    letters: str
    value: Array
    error: Array

    def spread(self, letters: str) -> tuple[Array, Array]:
        """Value and error with an axis for each of these letters, of size one where it does not depend on it."""
        have = [letter for letter in letters if letter in self.letters]
        order = [self.letters.index(letter) for letter in have]
        places = tuple(slice(None) if letter in have else None for letter in letters)
        return self.value.transpose(order)[places], self.error.transpose(order)[places]


def bounded(
    operator: Operator,
    operands: Mapping[str, Array],
    sizes: Mapping[str, int],
    attributes: Mapping[str, Any],
    unit: Unit,
) -> dict[str, Bounded]:
    """The outputs of one step by the operator's names, in float64, with what rounding may have done to each number.

    operands: arrays by the operator's names, exactly as they were read; the optional ones may be left out.
    """
    absent = frozenset(o.name for o in operator.inputs if o.name not in operands)
    lines = operator.lines(absent)
    names = [line.name for line in lines]
    pieces = frozenset(name for name in names if names.count(name) > 1)
    evaluation = Evaluation(operands, named_sizes(lines, sizes), attributes, unit, pieces)
    with np.errstate(all="ignore"):
        for line in lines:
            if line.index or not line.name.isupper():
                evaluation.define(line)
    found = {}
    for output in operator.outputs:
        value, error = evaluation.done.get(output.name, (None, None))
        if value is not None and error is not None:
            found[output.name] = Bounded(value, finite(error + unit.kept * np.abs(value)) + unit.least)
    return found


def union(*parts: Part) -> str:
    return "".join(dict.fromkeys("".join(part.letters for part in parts)))


def finite(error: Array) -> Array:
    """Infinite results are exact."""
    return np.nan_to_num(error, nan=0.0, posinf=0.0)


@dataclass
class Evaluation:
    """Evaluates the lines of an operator's arithmetic one after the other; `done` has the results.

    pieces: names whose array several lines give together, such as out[j] and out[j+J].
    """

    operands: Mapping[str, Array]
    sizes: Mapping[str, int]
    attributes: Mapping[str, Any]
    unit: Unit
    pieces: frozenset[str] = frozenset()
    done: dict[str, tuple[Array, Array]] = field(default_factory=dict)

    def define(self, line: Line) -> None:
        """Put the result of a line where its left side says."""
        part = self.part(line.expression)
        letters = "".join(sorted({each for expression in line.index for each in index_letters(expression)}))
        shape = tuple(self.sizes[letter.upper()] for letter in letters)
        value, error = (np.broadcast_to(array, shape) for array in part.spread(letters))
        if all(isinstance(each, ast.Name) for each in line.index) and line.name not in self.pieces:
            order = [letters.index(each.id) for each in line.index if isinstance(each, ast.Name)]
            self.done[line.name] = value.transpose(order), error.transpose(order)
            return
        places = tuple(np.broadcast_to(self.part(each).spread(letters)[0], shape) for each in line.index)
        size = tuple(int(place.max()) + 1 for place in places)
        before = self.done.get(line.name)
        whole = tuple(map(max, size, before[0].shape)) if before else size
        made = np.zeros(whole), np.zeros(whole)
        for target, old, new in zip(made, before or (None, None), (value, error), strict=True):
            if old is not None:
                target[tuple(map(slice, old.shape))] = old
            target[tuple(place.astype(np.int64) for place in places)] = new
        self.done[line.name] = made

    # --- expressions ----------------------------------------------------------------------------------------------

    def part(self, node: ast.expr) -> Part:
        match node:
            case ast.Constant(value=int() | float() as value):
                return self.constant(value)
            case ast.Name(id=name):
                return self.named(name)
            case ast.Subscript():
                return self.looked_up(node)
            case ast.BinOp(left=left, op=sign, right=right):
                return self.joined(type(sign), self.part(left), self.part(right))
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                part = self.part(inner)
                return Part(part.letters, -part.value, part.error)
            case ast.Call():
                return self.called(node)
            case ast.Compare(left=left, ops=[comparison], comparators=[right]):
                return self.decided(COMPARISONS[type(comparison)][1], self.part(left), self.part(right))
            case ast.BoolOp(op=joint, values=values):
                holds = np.logical_and if isinstance(joint, ast.And) else np.logical_or
                return reduce(partial(self.decided, holds), map(self.part, values))
        raise TypeError(f"not part of the notation: {ast.unparse(node)}")

    def constant(self, value: float) -> Part:
        error = 0.0 if isinstance(value, int) or float(value).is_integer() else abs(value) * self.unit.kept
        return Part("", np.asarray(value), np.asarray(error))

    def named(self, name: str) -> Part:
        if len(name) == 1 and name.islower() and name.upper() in self.sizes:
            places = np.arange(self.sizes[name.upper()])
            return Part(name, places, np.zeros(len(places)))
        for source in (self.sizes, self.attributes, CONSTANTS):
            if name in source:
                return self.constant(source[name])
        return Part("", *self.array(name))

    def array(self, name: str) -> tuple[Array, Array]:
        if name in self.done:
            return self.done[name]
        return self.operands[name], np.zeros(())

    def looked_up(self, node: ast.Subscript) -> Part:
        """Elements of an operand or an earlier line, for all values of the letters in the index."""
        assert isinstance(node.value, ast.Name)
        value, error = self.array(node.value.id)
        places = indices(node)
        letters = "".join(each.id for each in places if isinstance(each, ast.Name) and each.id.islower())
        if len(letters) == len(places) == len(set(letters)):
            cut = tuple(slice(self.sizes[letter.upper()]) for letter in letters)
        else:
            parts = [self.part(each) for each in places]
            letters = union(*parts)
            # a place outside belongs to an element that the arithmetic does not choose, such as a target of -1
            cut = tuple(
                part.spread(letters)[0].astype(np.int64) % max(size, 1)
                for part, size in zip(parts, value.shape, strict=True)
            )
        chosen = value[cut]
        wide = chosen if chosen.dtype.kind in "iub" else chosen.astype(np.float64)
        return Part(letters, wide, error[cut] if error.ndim else np.zeros((1,) * wide.ndim))

    def joined(self, sign: type, a: Part, b: Part) -> Part:
        """Two parts with a sign between them."""
        letters = union(a, b)
        (x, ex), (y, ey) = a.spread(letters), b.spread(letters)
        if sign in (ast.FloorDiv, ast.Mod) or (x.dtype.kind in "iub" and y.dtype.kind in "iub" and sign is not ast.Div):
            value = np.asarray(SIGNS[sign][1](x, y) if sign is not ast.Pow else np.power(x, y))
            return Part(letters, value, np.zeros((1,) * value.ndim))
        value, error = RULES[sign](x, ex, y, ey)
        if sign is ast.Div:
            # what is divided by a number too large for the precision becomes zero
            error = error + np.where(np.abs(y) + ey < self.unit.most / 2, 0, np.abs(value))
        return Part(letters, value, finite(error + self.unit.kept * np.abs(value)))

    def decided(self, holds: Callable[[Any, Any], Any], a: Part, b: Part) -> Part:
        letters = union(a, b)
        value = np.asarray(holds(a.spread(letters)[0], b.spread(letters)[0]))
        return Part(letters, value, np.zeros((1,) * value.ndim))

    def called(self, node: ast.Call) -> Part:
        over = reduction(node)
        if over:
            return self.reduced(*over)
        assert isinstance(node.func, ast.Name)
        parts = [self.part(each) for each in node.args]
        if node.func.id == "where":
            letters = union(*parts)
            (choice, _), yes, no = (part.spread(letters) for part in parts)
            value, error = (np.where(choice, one, other) for one, other in zip(yes, no, strict=True))
            return Part(letters, value, error)
        if node.func.id == "max":
            letters = union(*parts)
            (x, ex), (y, ey) = (part.spread(letters) for part in parts)
            return Part(letters, np.maximum(x, y), np.maximum(ex, ey))
        (part,) = parts
        value, error = FUNCTIONS[node.func.id](part.value.astype(np.float64), part.error)
        own = ERF if node.func.id == "erf" else FUNCTION * np.abs(value)
        return Part(part.letters, value, finite(error + own * self.unit.kept))

    # --- sums -----------------------------------------------------------------------------------------------------

    def reduced(self, kind: str, letters: list[str], term: ast.expr) -> Part:
        if kind == "sum":
            value, size, error, left, count = self.summed(letters, term)
            rounds = min(count, SURE * count**0.5) * self.unit.summed * size
            return Part(left, value, finite(error + rounds + self.unit.kept * np.abs(value)))
        part = self.part(term)
        axes = tuple(part.letters.index(letter) for letter in letters)
        left = "".join(letter for letter in part.letters if letter not in letters)
        error = np.broadcast_to(part.error, part.value.shape).max(axes)
        return Part(left, part.value.max(axes), error)

    def summed(self, letters: list[str], term: ast.expr) -> tuple[Array, Array, Array, str, int]:
        """A sum, the sum of its absolute terms, the error of its terms, the letters left and how many terms."""
        parts = [self.part(each) for each in factors(term)]
        left = "".join(letter for letter in union(*parts) if letter not in letters)
        spec = ",".join(part.letters for part in parts) + f"->{left}"
        full = [np.broadcast_to(part.error, part.value.shape) if part.error.any() else None for part in parts]
        values = [part.value.astype(np.float64) for part in parts]
        sizes = [np.abs(value) for value in values]
        count = int(np.prod([self.sizes[letter.upper()] for letter in letters]))
        error: Any = np.zeros(())
        for place, each in enumerate(full):
            if each is not None:
                error = error + np.einsum(
                    spec, *(each if i == place else s for i, s in enumerate(sizes)), optimize=True
                )
        value, size = (np.asarray(np.einsum(spec, *arrays, optimize=True)) for arrays in (values, sizes))
        return value, size, np.broadcast_to(error, value.shape), left, count + len(parts) - 1


def factors(node: ast.expr) -> list[ast.expr]:
    """The factors of a product; one for anything else."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return [*factors(node.left), *factors(node.right)]
    return [node]


# --- how errors pass through -----------------------------------------------------------------------------------------


def quotient(x: Array, ex: Array, y: Array, ey: Array) -> tuple[Array, Array]:
    value = x / y
    return value, (ex + np.abs(value) * ey) / np.maximum(np.abs(y) - ey, np.abs(y) / 2)


def power(x: Array, ex: Array, y: Array, ey: Array) -> tuple[Array, Array]:
    value = np.power(x.astype(np.float64), y)
    by_base = np.where(ex > 0, np.abs(y) * np.power(np.abs(x).astype(np.float64), y - 1) * ex, 0)
    by_exponent = np.where(ey > 0, np.abs(value * np.log(np.abs(x).astype(np.float64))) * ey, 0)
    return value, by_base + by_exponent + 3 * 2.0**-53 * np.abs(value)


RULES: dict[type, Callable[..., tuple[Array, Array]]] = {
    ast.Add: lambda x, ex, y, ey: (x + y, ex + ey),
    ast.Sub: lambda x, ex, y, ey: (x - y, ex + ey),
    ast.Mult: lambda x, ex, y, ey: (x * y, np.abs(x) * ey + np.abs(y) * ex + ex * ey),
    ast.Div: quotient,
    ast.Pow: power,
}
FUNCTIONS: dict[str, Callable[[Array, Array], tuple[Array, Array]]] = {
    "exp": lambda x, e: (np.exp(x), np.exp(x) * np.expm1(np.minimum(e, 700))),
    "log": lambda x, e: (np.log(x), e / np.maximum(np.abs(x) - e, np.abs(x) / 2)),
    "sqrt": lambda x, e: (np.sqrt(x), np.sqrt(x) - np.sqrt(np.maximum(x - e, 0)) + e * (x == 0)),
    "tanh": lambda x, e: (np.tanh(x), e * np.minimum(1, 1 - np.tanh(x) ** 2 + 2 * e)),
    "erf": lambda x, e: (np.asarray(erf(x), np.float64), e * np.minimum(1.13, 1.13 * np.exp(-(x**2)) + 2 * e)),
    "sin": lambda x, e: (np.sin(x), e),
    "cos": lambda x, e: (np.cos(x), e),
}
