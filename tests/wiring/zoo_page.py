"""Writes docs/zoo.md, what was measured of every program, beside others: ``python -m tests.wiring.zoo_page``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from byhand.wiring.zoo import PROGRAMS, Program

from .exact import read

HEAD = """\
# The zoo

Programs wired by hand as unmodified GPT-2 and Llama models. Their sources are in `byhand.wiring.zoo`, one short file
each, and their weights come with the package: `byhand run wired-aab-llama aab`, `byhand wire aab --look`.
[Weights by hand](wiring.md) says how they are made and what the words below mean.

Every model here was saved as a folder, loaded by transformers, and run on all short texts and on 100,000 random ones
of full length: in float32, with eager and SDPA attention, at once and token by token with a cache; and on byhand's two
engines. Every prediction was right, on all of them. Besides, each is proven for all texts up to its
context.
"""
SIZES = ("layers", "width", "hidden", "context", "parameters", "not 0", "slack")
MEASURED = ("program", "", *SIZES, "short texts", "random texts", "bfloat16", "seconds")
WORDS = """\
*parameters*: all, and how many are not 0. *slack*: how often the rounding of float32 fits, at least, into the margin of
the closest decision, whatever the order of sums. *bfloat16*: whether the proof covers it too, as exact or ok; then the
texts were also run in it. *seconds*: to compile and prove, on one core. The page is made from what
`python -m tests.wiring.exact` measured.
"""
OTHERS = """\
## Beside others

Compilers that made this kind of model before. What is said of them is from their papers and sources, not measured here.
"""
BESIDE = (
    ("", "Tracr", "ALTA", "TorchWright", "byhand"),
    ("model", "its own, in Haiku", "its own, in NumPy", "Phi-3 of transformers", "GPT-2 and Llama of transformers"),
    ("gives", "a sequence, decoded outside of it", "a sequence", "the next token", "the next token"),
    ("attention", "both ways, or causal", "both ways", "causal", "causal"),
    ("norms", "none", "none", "RMS norms, held still by a few very large numbers", "layer and RMS norms, by its codes"),
    ("feed-forward", "ReLU", "four layers of clipped ReLU", "SwiGLU", "GELU, SwiGLU"),
    ("layers", "as many as needed", "one, again and again", "as many as needed", "as many as needed"),
    ("counts", "11 is read as 10 (its issue 7)", "", "", "refused beyond what is proven"),
    ("nothing matches", "not always noticed", "", "", "a default, or refused"),
    (
        "held to",
        "a validator, text by text",
        "its interpreter, text by text",
        "bounds and probes",
        "a proof, all texts",
    ),
    ("three digits added", "", "", "29 layers, width 1024", "{adder}"),
)
APART = """\
What cannot be compared: a layer of Tracr has no norm, and one of ALTA four feed-forwards in a row. A model that sees
the whole text at once solves other tasks than one that continues it: it sorts in place, for example. And the adder of
TorchWright reads another format than ours, where the digits stand at fixed places and the least comes first.
"""


def page() -> str:
    """The whole page."""
    measured = read()
    rows = [row for name, program in PROGRAMS.items() for row in rows_of(name, program, measured)]
    beside = [[cell.format(adder=adder(measured)) for cell in row] for row in BESIDE]
    figures = table(MEASURED, rows, right=len(SIZES) + 2)
    return "\n".join([HEAD, figures, WORDS, "## What they do\n", *said(), OTHERS, table(beside[0], beside[1:]), APART])


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: int = 0) -> str:
    """Markdown; that many columns from the third on are set to the right."""
    sides = ["---", "---", *["--:"] * right, *["---"] * (len(head) - 2 - right)]
    lines = [head, sides[: len(head)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def said() -> Iterator[str]:
    """What the programs of each file do, in its own first words."""
    found: dict[str, list[str]] = {}
    for name, program in PROGRAMS.items():
        found.setdefault(module_of(program), []).append(name)
    for module, names in found.items():
        text = " ".join((sys.modules[module].__doc__ or "").split("\n\n")[0].split())
        yield f"- **{', '.join(names)}**: {text}"
    yield ""


def module_of(program: Program) -> str:
    return getattr(program.make, "func", program.make).__module__


def rows_of(name: str, program: Program, measured: dict[str, Any]) -> Iterator[list[str]]:
    """A row for each family; where it is impossible, why."""
    for family in ("gpt2", "llama"):
        found = measured.get(name, {}).get(family)
        empty = [""] * (len(MEASURED) - 3)
        if family in program.impossible:
            yield [name, family, program.impossible[family], *empty]
        elif found is None:
            yield [name, family, "not measured", *empty]
        else:
            yield [name, family, *cells(found)]


def cells(found: dict[str, Any]) -> Iterator[str]:
    for key in ("layers", "width", "hidden", "context", "parameters", "not_zero", "slack"):
        yield f"{found[key]:,.0f}" if found[key] >= 10 else f"{found[key]:.3g}"
    yield from (f"{found[key]:,}" for key in ("exhaustive", "random"))
    yield "" if found["bfloat16"] == "no" else found["bfloat16"]
    yield f"{found['seconds']:g}"


def adder(measured: dict[str, Any]) -> str:
    """The size of the adder of three digits."""
    found = measured.get("addition-3", {}).get("llama")
    return f"{found['layers']} layer, width {found['width']}" if found else "not measured"


if __name__ == "__main__":
    print(page(), end="")
