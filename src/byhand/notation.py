"""Writing arithmetic for people: lines in names, and evaluated nodes in numbers.

Both are plain ASCII; a line in numbers is a Python expression, so it can be pasted and checked.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from byhand.arithmetic import COMPARISONS, CONSTANTS, SIGNS, Line, Node, indices, reduction

RANK = {"or": 0, "and": 1, "<": 2, "<=": 2, ">": 2, ">=": 2, "==": 2, "+": 3, "-": 3, "*": 4, "/": 4, "//": 4, "%": 4}
RANK |= {"neg": 5, "**": 6}
ATOM = 9
Written = tuple[str, int]  # a text and how tightly its outermost sign binds


@dataclass(frozen=True)
class Names:
    """How the operator's own words are written: addresses for its arrays, numbers or other letters for its indices."""

    addresses: Mapping[str, str]
    letters: Mapping[str, int | str]
    settings: Mapping[str, Any]

    def line(self, line: Line) -> str:
        """``name[i,j] = expression`` with everything written as these names say."""
        left = self.addresses.get(line.name, line.name)
        return f"{left}{self.places(line.index)} = {self.expression(line.expression)}"

    def expression(self, node: ast.expr) -> str:
        return self.write(node)[0]

    def write(self, node: ast.expr) -> Written:
        """The text of an expression and how tightly its outermost sign binds."""
        match node:
            case ast.Constant(value=value):
                return str(value), ATOM
            case ast.Name(id=name):
                return self.name(name), ATOM
            case ast.Subscript(value=ast.Name(id=name)):
                return f"{self.addresses.get(name, name)}{self.places(indices(node))}", ATOM
            case ast.BinOp(left=left, op=sign, right=right):
                return joined(SIGNS[type(sign)][0], [self.write(left), self.write(right)])
            case ast.Compare(left=left, ops=[sign], comparators=[right]):
                return joined(COMPARISONS[type(sign)][0], [self.write(left), self.write(right)])
            case ast.BoolOp(op=sign, values=values):
                return joined("and" if isinstance(sign, ast.And) else "or", [self.write(each) for each in values])
            case ast.UnaryOp(operand=inner):
                return f"-{within(self.write(inner), RANK['neg'])}", RANK["neg"]
            case ast.Call(func=ast.Name(id=function), args=arguments):
                over = reduction(node)
                if over:
                    kind, letters, term = over
                    run = ",".join(str(self.letters.get(letter, letter)) for letter in letters)
                    return f"{kind}[{run}]({self.expression(term)})", ATOM
                return f"{function}({', '.join(self.expression(each) for each in arguments)})", ATOM
        raise TypeError(f"not part of the notation: {ast.unparse(node)}")

    def places(self, index: Sequence[ast.expr]) -> str:
        """An index in its brackets, what is known of it worked out: ``[2*1+1]`` is ``[3]``."""
        written = (self.expression(self.worked(each)).replace(" ", "") for each in index)
        return f"[{','.join(written)}]" if index else ""

    def worked(self, node: ast.expr) -> ast.expr:
        """An index expression with its known whole numbers computed."""
        match node:
            case ast.Name(id=name) if isinstance(self.letters.get(name), int):
                return ast.Constant(int(self.letters[name]))
            case ast.BinOp(left=left, op=sign, right=right):
                return folded(self.worked(left), sign, self.worked(right))
        return node

    def name(self, name: str) -> str:
        if name in self.letters:
            return str(self.letters[name])
        if name in self.settings:
            return number(self.settings[name], 17)
        return self.addresses.get(name, name)


def folded(left: ast.expr, sign: ast.operator, right: ast.expr) -> ast.expr:
    """Two parts of an index joined by a sign: computed if both are numbers, and without a useless 0 or 1."""
    values = [part.value if isinstance(part, ast.Constant) else None for part in (left, right)]
    match sign, values:
        case _, [int(a), int(b)]:
            return ast.Constant(SIGNS[type(sign)][1](a, b))
        case (ast.Mult(), [0, _]) | (ast.Mult(), [_, 0]):
            return ast.Constant(0)
        case (ast.Add(), [0, _]) | (ast.Mult(), [1, _]):
            return right
        case (ast.Add(), [_, 0]) | (ast.Mult(), [_, 1]) | (ast.FloorDiv(), [_, 1]):
            return left
    return ast.BinOp(left, sign, right)


def joined(sign: str, parts: list[Written]) -> Written:
    """Parts joined by a sign, with brackets wherever Python would otherwise join them in another order."""
    rank = RANK[sign]
    first, others = (rank + 1, rank) if sign == "**" else (rank, rank + 1)  # 2 ** 3 ** 4 is 2 ** (3 ** 4)
    written = [within(part, others if i else first) for i, part in enumerate(parts)]
    return f" {sign} ".join(written), rank


def within(part: Written, rank: int) -> str:
    text, own = part
    return f"({text})" if own < rank else text


def number(value: float, digits: int) -> str:
    """A number in so many significant digits; 17 is exact."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int) or (value == int(value) if abs(value) < 1e15 else False):
        return str(int(value))
    return repr(float(value)) if digits >= 17 else f"{value:.{digits}g}"


def numbers(node: Node, digits: int = 6, most: int | None = 8) -> str:
    """The node in numbers. digits: significant ones; most: terms shown of a long sum, the rest counted (None: all)."""
    return write_numbers(node, digits, most)[0]


def write_numbers(node: Node, digits: int, most: int | None) -> Written:
    match node.kind, node.parts:
        case ("number", ()) if node.name in CONSTANTS:
            return node.name, ATOM
        case (("operand" | "local" | "number"), _):
            text = number(node.value, digits)
            return text, RANK["neg"] if text.startswith("-") else ATOM
        case "where", (_, chosen):
            return write_numbers(chosen, digits, most)
        case "neg", (inner,):
            return f"-{within(bracketed(write_numbers(inner, digits, most)), RANK['neg'])}", RANK["neg"]
        case (("sum" | "max"), (only,)):
            return write_numbers(only, digits, most)  # Python's max needs two
        case "sum", parts:
            return joined("+", [bracketed(part) for part in shown(parts, digits, most)])
        case kind, parts if kind in RANK:
            return joined(kind, [bracketed(write_numbers(part, digits, most)) for part in parts])
        case kind, parts:
            return f"{kind}({', '.join(text for text, _ in shown(parts, digits, most))})", ATOM


def shown(parts: tuple[Node, ...], digits: int, most: int | None) -> list[Written]:
    """The first parts in numbers, and how many more there are."""
    made = [write_numbers(part, digits, most) for part in parts[:most]]
    return made + [(f"... {len(parts) - len(made)} more", ATOM)] * (len(parts) > len(made))


def bracketed(part: Written) -> Written:
    """A part that starts with a minus in brackets: 2 * (-3), (-3) ** 2."""
    return (f"({part[0]})", ATOM) if part[1] == RANK["neg"] else part
