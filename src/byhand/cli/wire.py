"""``byhand wire``: a wiring from a Python file as a proven model of GPT-2 or Llama."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

from rich.text import Text
from typer import Argument, Exit, Option

from byhand.cli import show
from byhand.cli.arguments import Output
from byhand.cli.waiting import waiting
from byhand.errors import InputError, one_line
from byhand.wiring import Report, Verification, Wired, compile
from byhand.wiring.sources import Found, found, told
from byhand.wiring.verifying import ENGINES, TRANSFORMERS
from byhand.wiring.zoo.program import FAMILIES

EXAMPLES = (
    "wire aab",
    "wire parity.py --family llama --verify --random 20",
    "wire parity.py --name parity --look --step 0110",
    "wire addition-10 --save adder",
)
WRONG = 1


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    file: Annotated[
        str,
        Argument(metavar="FILE", help="Your Python file, which is run; or a program of the zoo.", show_default=False),
    ]
    name: Annotated[
        str | None, Option(metavar="NAME", help="Its Wiring, or its function that makes one, if there are several.")
    ] = None
    family: Annotated[str, Option(metavar="NAME", help="gpt2 or llama.")] = "gpt2"
    verify: Annotated[bool, Option("--verify", help="Run it on all short texts and on random long ones.")] = False
    random: Annotated[int, Option(metavar="N", help="How many long ones.")] = 2000
    look: Annotated[bool, Option("--look", help="Show what its stream, heads and units hold.")] = False
    step: Annotated[str | None, Option(metavar="TEXT", help="Show what it does at the end of TEXT.")] = None
    save: Annotated[Path | None, Option(metavar="FOLDER", help="Save it as transformers loads it.")] = None
    force: Annotated[bool, Option("--force", help="Replace what is there.")] = False


def command(asked: Asked) -> None:
    """Make a model from a wiring, prove what it does on all texts, and report.

    FILE is your own program and is run like any other. It has a Wiring at its top level; it may have follows(text),
    which says in plain Python what should come next, and texts(rng), which makes random texts. The exit code is 1 where
    --verify finds a wrong prediction, and 2 where the wiring is refused.
    """
    check(asked)
    source = found(asked.file, asked.name)
    for warning in source.warnings:
        print(f"byhand: warning: {one_line(warning)}", file=sys.stderr)
    begun = perf_counter()
    with waiting(f"compiling {source.wiring.name}"):
        wired = compile(source.wiring, asked.family)
        report = wired.report()
    seconds = perf_counter() - begun
    if not asked.json:
        show.listing(str(report))
        show.write(show.dim(f"compiled and proven in {seconds:.1f} s"))
        for part in sight(asked, wired):
            show.write("")
            show.listing(part)
    verification = verified(asked, wired, source) if asked.verify else None
    saved = None if asked.save is None else wired.save(asked.save, force=asked.force)
    if asked.json:
        show.document(document(report, source, list(sight(asked, wired)), verification, saved) | {"seconds": seconds})
    else:
        print_end(verification, saved)
    if verification is not None and not verification.passed:
        raise Exit(WRONG)


def check(asked: Asked) -> None:
    """Raise InputError before anything is run."""
    if asked.family not in FAMILIES:
        raise InputError(f"--family is {asked.family!r}; give {' or '.join(FAMILIES)}")
    if asked.random < 0:
        raise InputError(f"--random is {asked.random}; give 0 or more")
    if asked.save is not None and asked.save.exists() and not asked.force:
        raise InputError(f"{asked.save} exists; name another folder, or replace it with --force")


def sight(asked: Asked, wired: Wired) -> Iterator[str]:
    """What --look and --step show."""
    if asked.look:
        look = wired.look()
        yield str(look.stream())
        for layer in wired.wiring.layers:
            for head in layer.heads:
                yield f"{look.scores(head.name)}\n\n{look.values(head.name)}"
        yield "\n".join(look.rules())
    if asked.step is not None:
        yield str(wired.look().step(asked.step))


def verified(asked: Asked, wired: Wired, source: Found) -> Verification:
    """Run on every engine that is there, against the wiring and what the file says should follow."""
    there = all(find_spec(each) for each in ("torch", "transformers"))
    engines = [*ENGINES, *(TRANSFORMERS if there else ())]
    with own_code(source), waiting(f"running {wired.wiring.name} on {', '.join(engines)}"):
        return wired.verify(source.follows, texts=source.texts, random=asked.random, engines=engines)


def own_code(source: Found) -> AbstractContextManager[Any]:
    """What `follows` and `texts` raise is told with the line of the file."""
    return nullcontext() if source.file is None else told(source.file)


def document(
    report: Report, source: Found, sight: list[str], verification: Verification | None, saved: Path | None
) -> dict[str, Any]:
    """Everything as plain data; sites by precision."""
    sites = {
        dtype: [asdict(site) | {"slack": site.slack, "verdict": site.verdict} for site in some]
        for dtype, some in report.proof.sites.items()
    }
    return {
        "name": report.name,
        "sizes": report.sizes,
        "fingerprint": report.fingerprint,
        "verdicts": {dtype: report.proof.verdict(dtype) for dtype in sites},
        "sites": sites,
        "warnings": list(source.warnings),
        "sight": sight,
        "verification": None if verification is None else {"passed": verification.passed, **asdict(verification)},
        "saved": None if saved is None else str(saved),
    }


def print_end(verification: Verification | None, saved: Path | None) -> None:
    if verification is not None:
        word, style = ("right", "bold green") if verification.passed else ("wrong", "bold red")
        show.write("", Text.assemble((word, style), f" {verification}"))
    if saved is not None:
        show.write("", show.wrapped(f"saved {saved}, for transformers and for byhand run, explain, train ..."))
