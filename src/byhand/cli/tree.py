"""Explanations: the numbers a number was made from, and theirs, down to weights and token ids."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text
from rich.tree import Tree

from byhand.cli.figures import scalar, token_name
from byhand.explanation import Explanation, Operand, Term, leaf, place
from byhand.run import Run

DECIMAL = re.compile(r"\d+\.\d+(?:e[+-]?\d+)?|\d+e[+-]?\d+")

INDENT = 4  # columns of a tree's guide lines, a level


def shorter(numbers: str, digits: int) -> str:
    """The same arithmetic with so many significant digits."""
    return DECIMAL.sub(lambda found: scalar(float(found[0]), digits), numbers)


def largest(terms: tuple[Term, ...]) -> list[Term]:
    """The terms that are not zero, the largest first; all of them where all are zero."""
    return sorted((term for term in terms if term.value), key=lambda term: -abs(term.value)) or list(terms)


def weighty(each: Explanation) -> list[list[Operand]]:
    """What a number was made from, the weightiest first: the operands of each term that is not zero.

    Where the number is no sum of operands, each operand alone, first the one at the same index (a norm's own input).
    """
    terms = largest(each.terms)
    direct = [[o for o in term.operands if o.kind != "working"] for term in (terms if terms[0].value else terms[:1])]
    if any(direct):
        return [operands for operands in direct if operands]
    return [[operand] for operand in sorted(each.operands, key=lambda operand: operand.index != each.index)]


@dataclass
class Branch:
    """One number and those it was made from. repeated: it stands further up, so it is not opened again."""

    each: Explanation
    parts: list[Branch] = field(default_factory=list)
    left_out: int = 0
    repeated: bool = False

    def walk(self) -> Iterator[Branch]:
        yield self
        for part in self.parts:
            yield from part.walk()

    def to_dict(self) -> dict[str, Any]:
        each = self.each
        facts = {
            "address": each.address,
            "index": each.index,
            "value": each.stored,
            "kind": each.kind,
            "numbers": each.numbers,
        }
        return facts | {
            "repeated": self.repeated,
            "left_out": self.left_out,
            "from": [part.to_dict() for part in self.parts],
        }


def grow(each: Explanation, depth: int, most: int | None, seen: set[str] | None = None) -> Branch:
    """The tree of an explanation, so many levels deep, following what the largest `most` terms were made from."""
    seen = set() if seen is None else seen
    key = f"{each.address}{each.index}"
    branch = Branch(each)
    if not each.operands:
        return branch
    if key in seen:
        branch.repeated = True
        return branch
    seen.add(key)
    if depth > 0:
        groups = weighty(each)
        followed = dict.fromkeys(operand for group in groups[:most] for operand in group)
        branch.parts = [grow(each.follow(operand), depth - 1, most, seen) for operand in followed]
        branch.left_out = len({operand for group in groups for operand in group} - set(followed))
    return branch


def drawn(branch: Branch, run: Run, digits: int, width: int) -> Tree:
    """The tree as it is printed, in so many columns."""
    tree = Tree(label(branch, run, digits, width), guide_style="dim")
    add(tree, branch, run, digits, width - INDENT)
    return tree


def add(tree: Tree, branch: Branch, run: Run, digits: int, width: int) -> None:
    for part in branch.parts:
        add(tree.add(label(part, run, digits, width)), part, run, digits, width - INDENT)
    if branch.parts and branch.left_out:
        tree.add(Text(f"... {branch.left_out} more", style="dim"))


def label(branch: Branch, run: Run, digits: int, width: int) -> Text:
    """``blocks.0.attn.heads[0,1,0,7] = 1  mix: 0.5 * 1 + 0.5 * 1``; how it was made only as far as there is room."""
    each = branch.each
    text = Text.assemble(f"{each.address}{place(each.index)} = ", (scalar(float(each.stored), digits), "bold"))
    for note in notes(branch, run, digits):
        if len(text) + 2 + len(note) <= width:
            return text.append(f"  {note}", style="dim")
    return text


def notes(branch: Branch, run: Run, digits: int) -> Iterator[str]:
    """How the number was made, in numbers, then shorter; for a leaf what it is."""
    each = branch.each
    if each.kind == "input" and each.address.endswith("tokens"):
        yield f"the token {token_name(run.setting.tokens.text(int(each.stored)))}"
    elif not each.operands:
        yield each.operator or ("weight" if each.kind == "weight" else leaf(each))
    elif branch.repeated:
        yield "as above"
    else:
        terms = largest(each.terms)
        for shown in (3, 2, 1):
            some = " + ".join(shorter(term.numbers, digits) for term in terms[:shown])
            yield f"{each.operator}: {some}{rest(terms[shown:])}"
        yield each.operator


def rest(terms: list[Term]) -> str:
    """The addends that are not written out; those that are zero are not counted, so that there is room deep down."""
    return f" + {len(terms)} more" if terms and terms[0].value else ""
