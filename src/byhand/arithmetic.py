"""Scalar arithmetic: what an operator does to one element, as text that can be read, checked, run and counted.

An operator states its arithmetic in index notation, one line a named quantity::

    peak[b,h,t]     = max(s, score[b,h,t,s])
    exp[b,h,t,s]    = exp(score[b,h,t,s] - peak[b,h,t])
    total[b,h,t]    = sum(s, exp[b,h,t,s])
    weight[b,h,t,s] = exp[b,h,t,s] / total[b,h,t]

A small letter is an index along the axis of the same capital letter; a capital letter alone is that axis' size.
``sum(b, t, term)`` and ``max(s, term)`` run over whole axes; ``where(condition, yes, no)`` chooses; ``a[id[b,t], d]``
looks up; ``R = H // G`` names a size. The left side may index by an expression: ``out[b,t,h,2*j]`` is every even place.

From these lines come the opened pseudocode, every explanation with its numbers, and the count of operations. That they
say the same as the NumPy code beside them is tested for every operator, so they are not comments that can go stale.
"""

from __future__ import annotations

import ast
import math
import operator as python
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from byhand.shapes import Index


@dataclass(frozen=True)
class Line:
    """One line: the name it defines, the index expressions on its left, and its right side."""

    name: str
    index: tuple[ast.expr, ...]
    expression: ast.expr


@cache
def parse(text: str, absent: frozenset[str] = frozenset()) -> tuple[Line, ...]:
    """The lines of an arithmetic text, in order, without the optional operands that are absent."""
    lines = []
    for statement in ast.parse("\n".join(line.strip() for line in text.strip().splitlines())).body:
        statement = Without(absent).visit(statement)
        assert isinstance(statement, ast.Assign), f"not an assignment: {ast.unparse(statement)}"
        target = statement.targets[0]
        if isinstance(target, ast.Subscript):
            assert isinstance(target.value, ast.Name)
            lines.append(Line(target.value.id, indices(target), statement.value))
        else:
            assert isinstance(target, ast.Name)
            lines.append(Line(target.id, (), statement.value))
    return tuple(lines)


class Without(ast.NodeTransformer):
    """Drops an absent operand (a bias that a family does not have) from the sum it is added to."""

    def __init__(self, absent: frozenset[str]) -> None:
        self.absent = absent

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        right = node.right
        gone = isinstance(right, ast.Subscript) and isinstance(right.value, ast.Name) and right.value.id in self.absent
        return node.left if gone else node


def indices(subscript: ast.Subscript) -> tuple[ast.expr, ...]:
    """The index expressions between the brackets."""
    inside = subscript.slice
    return tuple(inside.elts) if isinstance(inside, ast.Tuple) else (inside,)


def reduction(node: ast.expr) -> tuple[str, list[str], ast.expr] | None:
    """("sum" or "max", letters, term) when the node runs over axes, else None: ``max(x, 0)`` is an ordinary maximum."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("sum", "max"):
        *letters, term = node.args
        names = [letter.id for letter in letters if isinstance(letter, ast.Name)]
        if len(names) == len(letters) and all(len(name) == 1 and name.islower() for name in names):
            return node.func.id, names, term
    return None


@dataclass(slots=True)
class Node:
    """A value and how it was made: the tree behind one number.

    kind: "operand" (an element of an array the operator reads), "local" (another line's result), "number", an
    arithmetic sign, a function's name, "sum", "max" or "where". parts: what it was made from, in order.
    """

    kind: str
    value: float
    parts: tuple[Node, ...] = ()
    name: str = ""
    index: Index = ()


def divide(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def guarded(function: Callable[..., float], outside: float) -> Callable[..., float]:
    """The function, giving `outside` where Python raises and IEEE arithmetic would go on."""

    def call(*arguments: float) -> float:
        try:
            return function(*arguments)
        except (ValueError, OverflowError):
            return outside

    return call


FUNCTIONS: dict[str, Callable[..., float]] = {
    "exp": guarded(math.exp, math.inf),
    "log": lambda x: -math.inf if x == 0 else guarded(math.log, math.nan)(x),
    "sqrt": guarded(math.sqrt, math.nan),
    "tanh": math.tanh,
    "erf": math.erf,
    "sin": guarded(math.sin, math.nan),
    "cos": guarded(math.cos, math.nan),
    "max": max,
}
SIGNS: dict[type, tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", python.add),
    ast.Sub: ("-", python.sub),
    ast.Mult: ("*", python.mul),
    ast.Div: ("/", divide),
    ast.FloorDiv: ("//", python.floordiv),
    ast.Mod: ("%", python.mod),
    ast.Pow: ("**", guarded(python.pow, math.inf)),
}
COMPARISONS: dict[type, tuple[str, Callable[[Any, Any], bool]]] = {
    ast.Lt: ("<", python.lt),
    ast.LtE: ("<=", python.le),
    ast.Gt: (">", python.gt),
    ast.GtE: (">=", python.ge),
    ast.Eq: ("==", python.eq),
}
CONSTANTS = {"pi": math.pi, "inf": math.inf}


def exact_sum(values: list[float]) -> float:
    """The correctly rounded sum; plain IEEE addition where infinities make that undefined."""
    try:
        return math.fsum(values)
    except (ValueError, OverflowError):
        return sum(values)


@dataclass
class Evaluation:
    """Evaluates single elements of an arithmetic against real operands, remembering every line it needed.

    operands: arrays by the operator's own names; sizes: of each capital letter;
    attributes: the step's settings. `done` maps (name, index) to its Node in the order of first need.
    """

    lines: tuple[Line, ...]
    operands: Mapping[str, Any]
    sizes: dict[str, int]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    done: dict[tuple[str, Index], Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sizes = named_sizes(self.lines, self.sizes)
        self.by_name: dict[str, list[Line]] = {}
        for line in self.lines:
            self.by_name.setdefault(line.name, []).append(line)

    def element(self, name: str, index: Index) -> Node:
        """The node of one element of a line's result. Raises KeyError for a name that no line defines."""
        key = (name, index)
        if key not in self.done:
            line, bound = self.choose(name, index)
            self.done[key] = self.evaluate(line.expression, bound)
        return self.done[key]

    def choose(self, name: str, index: Index) -> tuple[Line, dict[str, int]]:
        """The line that defines this element, and the value of each index letter on its left."""
        for line in self.by_name[name]:
            bound = match(line.index, index, self.sizes)
            if bound is not None:
                return line, bound
        raise KeyError(f"no line defines {name}{list(index)}")

    def evaluate(self, node: ast.expr, bound: dict[str, int]) -> Node:
        """The value of an expression with its index letters bound."""
        match node:
            case ast.Constant(value=int() | float() as value):
                return Node("number", value)
            case ast.Name(id=name):
                return self.named(name, bound)
            case ast.Subscript():
                return self.looked_up(node, bound)
            case ast.BinOp(left=left, op=sign, right=right):
                symbol, apply = SIGNS[type(sign)]
                a, b = self.evaluate(left, bound), self.evaluate(right, bound)
                return Node(symbol, apply(a.value, b.value), (a, b))
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                part = self.evaluate(inner, bound)
                return Node("neg", -part.value, (part,))
            case ast.Call():
                return self.called(node, bound)
            case ast.Compare(left=left, ops=[comparison], comparators=[right]):
                a, b = self.evaluate(left, bound), self.evaluate(right, bound)
                sign, holds = COMPARISONS[type(comparison)]
                return Node(sign, holds(a.value, b.value), (a, b))
            case ast.BoolOp(op=joint, values=values):
                parts = tuple(self.evaluate(each, bound) for each in values)
                both = isinstance(joint, ast.And)
                return Node("and" if both else "or", (all if both else any)(p.value for p in parts), parts)
        raise TypeError(f"not part of the notation: {ast.unparse(node)}")

    def named(self, name: str, bound: dict[str, int]) -> Node:
        if name in bound:
            return Node("number", bound[name], name=name)
        for source in (self.sizes, self.attributes, CONSTANTS):
            if name in source:
                return Node("number", source[name], name=name)
        return self.read(name, (), ())

    def looked_up(self, node: ast.Subscript, bound: dict[str, int]) -> Node:
        assert isinstance(node.value, ast.Name)
        places = [self.evaluate(each, bound) for each in indices(node)]
        index = tuple(int(place.value) for place in places)
        gathered = tuple(place for place in places if place.kind == "operand")
        return self.read(node.value.id, index, gathered)

    def read(self, name: str, index: Index, gathered: tuple[Node, ...]) -> Node:
        """An operand's element, or the result of another line."""
        if name in self.operands:
            return Node("operand", self.operands[name][index].item(), gathered, name, index)
        return Node("local", self.element(name, index).value, (), name, index)

    def called(self, node: ast.Call, bound: dict[str, int]) -> Node:
        over = reduction(node)
        if over:
            kind, letters, term = over
            parts = tuple(self.evaluate(term, each) for each in self.runs(letters, bound))
            values = [part.value for part in parts]
            return Node(kind, exact_sum(values) if kind == "sum" else max(values), parts, ",".join(letters))
        assert isinstance(node.func, ast.Name)
        if node.func.id == "where":
            condition = self.evaluate(node.args[0], bound)
            chosen = self.evaluate(node.args[1 if condition.value else 2], bound)
            return Node("where", chosen.value, (condition, chosen))
        parts = tuple(self.evaluate(each, bound) for each in node.args)
        return Node(node.func.id, FUNCTIONS[node.func.id](*(part.value for part in parts)), parts)

    def runs(self, letters: list[str], bound: dict[str, int]) -> Iterator[dict[str, int]]:
        """Every assignment of the letters, the last running fastest."""
        if not letters:
            yield bound
            return
        for i in range(self.sizes[letters[0].upper()]):
            yield from self.runs(letters[1:], {**bound, letters[0]: i})


def named_sizes(lines: tuple[Line, ...], sizes: Mapping[str, int]) -> dict[str, int]:
    """The sizes together with those that lines such as ``R = H // G`` name."""
    known = dict(sizes)
    for line in lines:
        if not line.index and line.name.isupper():
            known[line.name] = eval(compile(ast.Expression(line.expression), "size", "eval"), {}, known)
    return known


def match(pattern: tuple[ast.expr, ...], index: Index, sizes: Mapping[str, int]) -> dict[str, int] | None:
    """The index letters for which the left side's expressions equal the index, or None if there are none."""
    bound: dict[str, int] = {}
    for expression, place in zip(pattern, index, strict=True):
        if isinstance(expression, ast.Name):
            if place >= sizes.get(expression.id.upper(), math.inf):
                return None  # out[j] is the first half only, out[j+J] the second
            bound[expression.id] = place
            continue
        if isinstance(expression, ast.Constant):
            if expression.value != place:
                return None
            continue
        letter = min(index_letters(expression))
        code = compile(ast.Expression(expression), "index", "eval")
        found = [i for i in range(sizes[letter.upper()]) if eval(code, {}, {**sizes, letter: i}) == place]
        if not found:
            return None
        bound[letter] = found[0]
    return bound


def index_letters(expression: ast.expr) -> set[str]:
    """The index letters in an expression."""
    return {n.id for n in ast.walk(expression) if isinstance(n, ast.Name) and n.id.islower()}


def terms(node: Node) -> list[Node]:
    """The addends a number falls into: sums opened, common factors and divisors carried to each addend.

    The correctly rounded sum of their values is the number that an explanation shows.
    """
    match node.kind, node.parts:
        case "sum", parts:
            return [addend for part in parts for addend in terms(part)]
        case "+", (left, right):
            return terms(left) + terms(right)
        case "-", (left, right):
            return terms(left) + [Node("neg", -addend.value, (addend,)) for addend in terms(right)]
        case "/", (left, right) if len(addends := terms(left)) > 1:
            return [Node("/", divide(addend.value, right.value), (addend, right)) for addend in addends]
        case "*", (left, right):
            of_left, of_right = terms(left), terms(right)
            if len(of_left) > 1 and len(of_right) == 1:
                return [Node("*", addend.value * right.value, (addend, right)) for addend in of_left]
            if len(of_right) > 1 and len(of_left) == 1:
                return [Node("*", left.value * addend.value, (left, addend)) for addend in of_right]
    return [node]


def operations(lines: tuple[Line, ...], sizes: Mapping[str, int]) -> int:
    """How many elementary operations (+ - * / ** and functions) all elements of all lines take.

    A sum over n terms counts n additions, comparisons and look-ups count nothing: a product of [M,N] with [N,P] is the
    usual 2·M·N·P.
    """
    known = named_sizes(lines, sizes)
    total = 0
    for line in lines:
        if line.index or not line.name.isupper():
            letters = {letter for each in line.index for letter in index_letters(each)}
            total += math.prod(known[letter.upper()] for letter in letters) * each_operations(line.expression, known)
    return total


def each_operations(node: ast.expr, sizes: Mapping[str, int]) -> int:
    """Operations that one evaluation of an expression takes."""
    over = reduction(node)
    if over:
        _, letters, term = over
        return math.prod(sizes[letter.upper()] for letter in letters) * (1 + each_operations(term, sizes))
    match node:
        case ast.BinOp(left=left, right=right):
            return 1 + each_operations(left, sizes) + each_operations(right, sizes)
        case ast.UnaryOp(operand=inner):
            return each_operations(inner, sizes)
        case ast.Call(func=ast.Name(id="where"), args=[_, yes, no]):
            return max(each_operations(yes, sizes), each_operations(no, sizes))
        case ast.Call(args=arguments):
            return 1 + sum(each_operations(each, sizes) for each in arguments)
    return 0
