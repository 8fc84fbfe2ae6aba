"""``byhand compare``: where two models, runs or dumps part, whether that is rounding, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from rich.text import Text
from typer import Argument, Exit, Option

import byhand
from byhand.cli import show
from byhand.cli.arguments import Output, ids
from byhand.cli.starting import changes, edited, progress
from byhand.compare import Comparison, compare, with_transformers
from byhand.errors import InputError
from byhand.model import Model

EXAMPLES = (
    "compare gpt2-tiny gpt2-tiny Hello --dtype-b float64",
    'compare aab aab aab --edit-b "blocks.0.attn.v.weight[5,0,7]=0"',
    "compare gpt2_124M.bin gpt2_124M_debug_state.bin",
    "compare llama/ llama/ --with transformers",
    "compare llama/ theirs.npz --all",
)
DIFFER = 1
HELP_OF_TEXT = "What both are run on; else a few fixed ids."


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    a: Annotated[str, Argument(metavar="A", help="A model by name, folder or file; or a dump.", show_default=False)]
    b: Annotated[str, Argument(metavar="B", help="The same, an .npz, or llm.c's debug state.", show_default=False)]
    text: Annotated[str | None, Argument(metavar="TEXT", help=HELP_OF_TEXT, show_default=False)] = None
    ids: Annotated[str | None, Option(metavar="1,2,3", help="Token ids instead of TEXT.")] = None
    source: Annotated[str | None, Option(metavar="TEXT", help="The text to translate (encoder-decoder).")] = None
    dtype: Annotated[str | None, Option(metavar="NAME", help="float64, float32 or bfloat16: of A, and of B too.")] = (
        None
    )
    dtype_b: Annotated[str | None, Option(metavar="NAME", help="Another for B.")] = None
    engine: Annotated[str, Option(metavar="NAME", help="What computes A, and B too.")] = "reference"
    engine_b: Annotated[str | None, Option(metavar="NAME", help="Another for B.")] = None
    with_: Annotated[str | None, Option("--with", metavar="transformers", help="What loads and runs B.")] = None
    edit_b: Annotated[
        list[str], Option(metavar="CHANGE", help="Change B on the way: ADDR[i,j]=1, *=2, +=3. Repeatable.")
    ] = field(default_factory=list)
    seed: Annotated[int, Option(metavar="N", help="Seed of the random weights.")] = 0
    all: Annotated[bool, Option("--all", help="List every value, not only those around the first difference.")] = False


def command(asked: Asked) -> None:
    """Find the first step at which two models or runs part, and why.

    The exit code is 0 where they are the same, or the same up to rounding, and 1 where they differ.
    """
    text = given_text(asked)
    a, b = (given(asked, name) for name in (asked.a, asked.b))
    dtype_b = asked.dtype_b
    if asked.with_ is not None:
        b = other_program(asked)
        dtype_b = None
    elif asked.edit_b:
        b, dtype_b = with_edits(asked, b, text), None
    with progress(f"comparing {asked.a} and {asked.b}") as tick:
        found = compare(
            a,
            b,
            text,
            dtype=asked.dtype,
            dtype_b=dtype_b,
            engine=(asked.engine, asked.engine_b or asked.engine),
            progress=tick,
            source=asked.source,
        )
    show.document(found.to_dict()) if asked.json else print_comparison(found, asked.all)
    if found.first:
        raise Exit(DIFFER)


def given_text(asked: Asked) -> Any:
    """The text or the ids, or None. Raises InputError for both."""
    if asked.text is not None and asked.ids is not None:
        raise InputError("got both TEXT and --ids; give one of them")
    return asked.text if asked.ids is None else ids(asked.ids, "--ids")


def given(asked: Asked, name: str) -> Any:
    """A built-in model with its seed; anything else as its name or path."""
    return byhand.load(name, seed=asked.seed) if name in byhand.names() else name


def other_program(asked: Asked) -> Any:
    """B as transformers runs it. Raises InputError."""
    if asked.with_ != "transformers":
        raise InputError(f"--with is {asked.with_!r}; give transformers")
    if asked.edit_b:
        raise InputError("--edit-b changes a model of byhand; leave out --with")
    return with_transformers(asked.b, asked.dtype_b or asked.dtype).model


def with_edits(asked: Asked, b: Any, text: Any) -> Any:
    """A run of B with its edits. Raises InputError where B is no model."""
    if isinstance(b, str) and Path(b).suffix == ".npz":
        raise InputError("--edit-b changes a model; B is a dump")
    model = b if isinstance(b, Model) else byhand.load(b, seed=asked.seed)
    changes(model, asked.edit_b)  # so that a mistake in them is told before the run
    if text is None:
        raise InputError("--edit-b needs TEXT or --ids, such as --ids 0,1,1")
    engine, dtype = asked.engine_b or asked.engine, asked.dtype_b or asked.dtype or "float32"
    run = model.run(text, source=asked.source, dtype=dtype, engine=engine)
    return edited(model, run, asked.edit_b)


def print_comparison(found: Comparison, every: bool) -> None:
    """The verdict, what is to be said about the first difference, its cause, and the steps."""
    style = "red" if found.first else "green"
    word, _, rest = found.headline.partition(":")
    show.write(Text.assemble((word, f"bold {style}"), f":{rest}"))
    for line in found.details():
        show.write(show.wrapped(line, 2))
    for cause in found.causes:
        show.write(show.wrapped(str(cause), 2, "bold"))
    show.write("")
    sides = {"value": "left", "operator": "left", "verdict": "left", "largest": "right", "differ": "right"}
    rows = found.rows(every)
    if not show.fits(sides, rows):
        rows, sides = [(a, v, n) for a, _, v, n, _ in rows], {k: sides[k] for k in ("value", "verdict", "largest")}
    show.write(show.table(sides, rows))
    show.write("")
    facts = [f"{side}: {n}, {d}" for side, n, d in zip("AB", found.names, found.dtypes, strict=True)]
    show.write(show.dim("   ".join(facts)))
    for note in filter(None, [found.skipped(), *found.notes]):
        show.write(show.wrapped(note, 0, "dim"))
