"""A program, or a part of it, as pseudocode: whole arrays, every operator opened, or the numbers of one element.

``pseudocode`` needs no weights and no run. ``worked`` shows one element of a run with its numbers.
"""

from __future__ import annotations

from byhand.errors import InputError
from byhand.program import BackwardStep, Program, Step
from byhand.pseudocode import opened, parts, vector
from byhand.pseudocode.document import Group, Pseudocode, Section
from byhand.pseudocode.letters import GROUP, HEAD, Letter, key
from byhand.pseudocode.vector import Style
from byhand.pseudocode.worked import worked

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
    depth: "vector" for one line an operator, "operators" for its arithmetic. direction: "backward" lists the gradients
    of the loss (without targets of the logits, or of what comes last). B, T, S: sizes to write in the place of
    letters. heads: the lines of one head i instead of all heads at once.
    Raises AddressError, with the nearest addresses, when no step belongs to the part, and InputError for other words.
    """
    for word, known in ((depth, tuple(DEPTHS)), (direction, DIRECTIONS)):
        if word not in known:
            raise InputError(f"{word!r} is not one of {', '.join(known)}")
    steps: list[Step] | list[BackwardStep] = parts.forward(program, part)
    said = direction
    if direction == "backward":
        of, steps = parts.differentiated(program, part)
        said = f"backward from {of}"
    sized = extent(program, B, T, S)
    style = Style(program, program.shapes(**sized) if sized else {}, heads)
    letters = key(program, [each if isinstance(each, Step) else each.step for each in steps], sized)
    letters |= one_head(style) if heads else {}
    title = f"{program.name}, {part or 'all steps'}, {said}: {DEPTHS[depth]}"
    sections = tuple(section(each, style, depth) for each in steps)
    return Pseudocode(title, program.name, part, depth, direction, letters, sections)


def extent(program: Program, B: int | None, T: int | None, S: int | None) -> dict[str, int]:
    """The sizes that are not the model's, all of them when one is given; S is the source text's, or as long as T."""
    asked = T or 1 if S is None or "source.tokens" not in program.inputs else S
    return {"B": B or 1, "T": T or 1, "S": asked} if B or T or S else {}


def section(each: Step | BackwardStep, style: Style, depth: str) -> Section:
    """The lines of one step."""
    short = vector.lines(each, style)
    name = each.operator.name if isinstance(each, Step) else each.name
    if depth == "vector":
        return Section(each.address, name, (), (Group(short),))
    heading = (*map(str, short), *opened.bounds(each, style))
    return Section(each.address, name, heading, (Group(opened.lines(each, style)),))


def one_head(style: Style) -> dict[str, Letter]:
    """The letters of the head that lines are about, instead of all."""
    own = {HEAD: Letter("the head of these lines")}
    return own if style.shared == 1 else {**own, GROUP: Letter(f"its key/value head, {HEAD} // {style.shared}")}
