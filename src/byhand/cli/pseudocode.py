"""``byhand pseudocode``: a part of a model written out: whole arrays, arithmetic, or the numbers of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Argument, Option

import byhand
from byhand import pseudocode as written
from byhand.addresses import one, resolve
from byhand.cli import show
from byhand.cli.arguments import Start, check_digits, how_many, positive
from byhand.cli.starting import differentiate, edited, placed, progress, start
from byhand.errors import InputError
from byhand.pseudocode import Pseudocode

EXAMPLES = (
    "pseudocode gpt2-124m",
    "pseudocode llama3-8b blocks.0.attn --depth operators",
    "pseudocode original-base blocks.0 --backward --markdown",
    "pseudocode aab all --depth numbers --text aa --element loss",
)
DEPTHS = ("vector", "operators", "numbers")
EVERYTHING = "all"


@dataclass(frozen=True, kw_only=True)
class Asked(Start):
    part: Annotated[
        str | None,
        Argument(metavar="PART", help="blocks.0 if not said; an address, a pattern, or all.", show_default=False),
    ] = None
    text: Annotated[str | None, Option(metavar="TEXT", help="For numbers: the text to run.")] = None
    depth: Annotated[str, Option(metavar="DEPTH", help="vector, operators or numbers.")] = "vector"
    backward: Annotated[bool, Option("--backward", help="The gradients.")] = False
    element: Annotated[str | None, Option(metavar="ADDR[..]", help="For numbers: which; d:ADDR[..] is a gradient.")] = (
        None
    )
    terms: Annotated[str, Option(metavar="N|all", help="For numbers: terms, and alike lines, to show.")] = "8"
    digits: Annotated[int, Option(metavar="N", help="For numbers: significant digits; 17 is exact.")] = 6
    heads: Annotated[bool, Option("--heads", help="The lines of one head instead of all heads at once.")] = False
    batch: Annotated[int | None, Option(metavar="B", help="Write this size instead of B.")] = None
    tokens: Annotated[int | None, Option(metavar="T", help="Write this size instead of T.")] = None
    source_tokens: Annotated[int | None, Option(metavar="S", help="Write this size instead of S.")] = None
    short: Annotated[bool, Option("--short", help="Leave the part's own address out of the names.")] = False
    markdown: Annotated[bool, Option("--markdown", help="Write Markdown.")] = False


def command(asked: Asked) -> None:
    """Write a part of a model out as pseudocode.

    One line an operator, every operator opened, or all the numbers behind one element of a run.
    """
    if asked.depth not in DEPTHS:
        raise InputError(f"--depth is {asked.depth!r}; give one of {', '.join(DEPTHS)}")
    if asked.json and asked.markdown:
        raise InputError("got both --json and --markdown; give one of them")
    found = numbers(asked) if asked.depth == "numbers" else listing(asked)
    if asked.json:
        show.document(found.to_dict())
    elif asked.markdown:
        show.raw(found.markdown())
    else:
        show.listing(found.text(show.console().width, asked.short))


def listing(asked: Asked) -> Pseudocode:
    """Pseudocode of a program, for which nothing is run. Raises InputError for options that only a run could use."""
    for option, given in (
        ("--text", asked.text),
        ("--ids", asked.ids),
        ("--element", asked.element),
        ("--edit", asked.edit),
    ):
        if given:
            raise InputError(f"{option} is for --depth numbers; add that, or leave out {option}")
    sizes = {"B": positive(asked.batch, "--batch"), "T": positive(asked.tokens, "--tokens")}
    sizes["S"] = positive(asked.source_tokens, "--source-tokens")
    model = byhand.load(asked.model)
    program = model.program_with(targets=asked.backward and "logits" in model.program)
    part = "" if asked.part == EVERYTHING else asked.part or "blocks.0"
    direction = "backward" if asked.backward else "forward"
    return written.pseudocode(program, part, asked.depth, direction, **sizes, heads=asked.heads)


def numbers(asked: Asked) -> Pseudocode:
    """All numbers behind one element of a run. Raises InputError when it is not said which."""
    if asked.element is None:
        raise InputError("--depth numbers shows one element; say which: --element 'ADDR[0,2,1]'")
    if asked.backward and not asked.element.startswith("d:"):
        raise InputError(f"with --backward the element is a gradient; give --element 'd:{asked.element}'")
    check_digits(asked.digits)
    model, run = start(asked, asked.text, word="--text")
    run = edited(model, run, asked.edit)
    at = placed(model, asked.element)
    if at.address.startswith("d:"):
        differentiate(run, None)
    address = resolve(run.program, at.address)
    index = one(run.program, address, run.look(address).shape, at.index, at.choice)  # type: ignore[arg-type]
    part = "" if asked.part == EVERYTHING else asked.part
    with progress(f"working out {address}"):
        return written.worked(run, address, index, part, digits=asked.digits, most=how_many(asked.terms))
