"""A program, or a part of it, as pseudocode: whole arrays, every operator opened, or the numbers of one element.

``pseudocode`` needs no weights and no run. ``worked`` shows one element of a run with its numbers.
"""

from __future__ import annotations

from byhand.errors import InputError
from byhand.program import BackwardStep, Program, Step
from byhand.pseudocode import opened, parts, vector
from byhand.pseudocode.document import Pseudocode, Section
from byhand.pseudocode.letters import key
from byhand.pseudocode.vector import Style

__all__ = ["Pseudocode", "pseudocode", "worked"]

DEPTHS = {"vector": "one line an operator", "operators": "every operator opened"}
DIRECTIONS = ("forward", "backward")


def pseudocode(
    program: Program,
    part: str = "blocks.0",
    depth: str = "vector",
    direction: str = "forward",
    B: int | None = None,
    T: int | None = None,
    S: int | None = None,
    heads: bool = False,
) -> Pseudocode:
    """A part of a program as pseudocode.

    part: an address, what addresses start with (``blocks.0.attn``) or a pattern (``blocks.*.mlp``); "" for all of it.
    depth: "vector" for one line an operator, "operators" for its arithmetic. direction: "backward" lists the gradients of
    the loss (of the logits, or the last value, where there is no loss). B, T, S: sizes to write in the place of letters.
    heads: the lines of one head i instead of all heads at once.
    Raises AddressError, with the nearest addresses, when no step belongs to the part, and InputError for other words.
    """
    for word, known in ((depth, tuple(DEPTHS)), (direction, DIRECTIONS)):
        if word not in known:
            raise InputError(f"{word!r} is not one of {', '.join(known)}")
    steps: list[Step] | list[BackwardStep] = parts.forward(program, part)
    if direction == "backward":
        steps = parts.backward(program, part, program.reverse(parts.result(program)))
    sized = {letter: size for letter, size in (("B", B), ("T", T), ("S", S)) if size is not None}
    style = Style(program, program.shapes(B or 1, T or 1, S) if sized else {}, heads)
    title = f"{program.name}, {part or 'all steps'}, {direction}: {DEPTHS[depth]}"
    sections = tuple(section(each, style, depth) for each in steps)
    letters = key(program, [each if isinstance(each, Step) else each.step for each in steps], sized)
    return Pseudocode(title, program.name, part, depth, direction, letters, sections)


def section(each: Step | BackwardStep, style: Style, depth: str) -> Section:
    """The lines of one step."""
    short = vector.lines(each, style)
    name = each.operator.name if isinstance(each, Step) else each.name
    if depth == "vector":
        return Section(each.address, name, (), (short,))
    heading = (*map(str, short), *opened.bounds(each, style))
    return Section(each.address, name, heading, (opened.lines(each, style),))
