"""``byhand inspect``: what a file or folder is, how its numbers lie in it, and how that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.text import Text
from typer import Argument, Option

from byhand.checkpoints import Checkpoint, read
from byhand.checkpoints.companions import facts
from byhand.checkpoints.files.places import place_of
from byhand.cli import show
from byhand.cli.arguments import Output
from byhand.cli.figures import count
from byhand.cli.waiting import waiting
from byhand.doctor import decided
from byhand.errors import InputError
from byhand.families import FAMILIES
from byhand.hub import find, looks_like_name
from byhand.loading import names
from byhand.weights import given

EXAMPLES = ("inspect gpt2/", "inspect gpt2_124M.bin --names", "inspect llama.gguf", "inspect tokenizer.json")
SHORT = 24  # columns of a value that has how it is known beside it


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    path: Annotated[
        str, Argument(metavar="PATH", help="A folder or file, or the name of a pulled model.", show_default=False)
    ]
    names: Annotated[bool, Option("--names", help="Every array of the file, where it goes, and what is done.")] = False


def command(asked: Asked) -> None:
    """Say what a file or folder is, and how that is known.

    Its format, its layout and its settings. What the files leave open is decided by running the model both ways on
    eight tokens, and said. Nothing is written.
    """
    path = found(asked.path)
    if other := facts(path):
        return show.document({"path": str(path), **other}) if asked.json else print_other(path, other)
    with waiting(f"reading {asked.path}"):
        checkpoint = decided(read(path))
        given(FAMILIES[checkpoint.family].program(checkpoint.config), checkpoint.weights)
    if asked.json:
        return show.document(to_dict(checkpoint))
    print_checkpoint(asked.path, checkpoint)
    if asked.names:
        print_names(checkpoint)


def found(name: str) -> Path:
    """The file or folder of this name, or of the pulled model. Raises InputError."""
    path = place_of(name)
    if name and path.exists():
        return path
    if folder := find(name) if looks_like_name(name) else None:
        return folder
    if name in names():
        raise InputError(f"{name} is a built-in model, which lies in no file; its steps: byhand models {name}")
    raise InputError(f"there is no file or folder {name!r}; give a path, or pull a model first: byhand pull NAME")


def to_dict(checkpoint: Checkpoint) -> dict[str, Any]:
    program = FAMILIES[checkpoint.family].program(checkpoint.config)
    return {
        "path": str(checkpoint.path),
        "format": checkpoint.format,
        "description": checkpoint.description,
        "family": checkpoint.family,
        "config": asdict(checkpoint.config),
        "parameters": program.parameters,
        "tokenizer": None if checkpoint.tokenizer is None else checkpoint.tokenizer.kind,
        "findings": [each._asdict() for each in checkpoint.findings],
        "names": [{"name": name, "weights": list(weights), "change": how} for name, weights, how in checkpoint.rows],
        "ignored": dict(checkpoint.ignored),
    }


def print_checkpoint(name: str, checkpoint: Checkpoint) -> None:
    program = FAMILIES[checkpoint.family].program(checkpoint.config)
    show.heading(f"{name}: {checkpoint.description}")
    sizes = ", ".join(f"{key} {value}" for key, value in asdict(checkpoint.config).items() if type(value) is int)
    show.write("")
    show.prose(f"{checkpoint.family} with {count(program.parameters, 'B')} parameters: {sizes}.")
    show.write("")
    print_facts([(each.what, each.value, each.how) for each in checkpoint.findings])
    if checkpoint.ignored:
        show.write("", f"left out, being no weights: {len(checkpoint.ignored)}")
        for name, why in list(checkpoint.ignored.items())[:3]:
            show.write(show.wrapped(f"{name}: {why}", 2, "dim"))


def print_facts(facts: Sequence[tuple[str, str, str]]) -> None:
    """What was found out, in three columns; behind a long value, how that is known has lines of its own."""
    first = max(len(what) for what, _, _ in facts) + 2
    short = [len(value) for _, value, _ in facts if len(value) <= SHORT]
    second = first + max(short, default=0) + 2
    for what, value, how in facts:
        line = show.wrapped(value, first)
        line = Text.assemble((what.ljust(first), "bold"), line[first:])
        beside = show.wrapped(how, second, "dim")
        if len(value) <= second - first - 2:
            line = Text.assemble(line, " " * (second - len(line)), beside[second:])
            show.write(line)
        else:
            show.write(line, beside)


def print_names(checkpoint: Checkpoint) -> None:
    """Every array of the file, what is done with it, and the weights that it becomes."""
    show.write("")
    for name, weights, how in checkpoint.rows:
        show.write(Text.assemble(name, (f"  {how}", "dim")))
        show.write(show.wrapped(", ".join(weights), 2, "dim"))


def print_other(path: Path, other: dict[str, Any]) -> None:
    """A file that belongs to a model but is none: a tokenizer, token ids, a debug state."""
    show.heading(f"{path}: {other['description']}")
    for key, value in other.items():
        if key not in ("description", "ids"):  # the kind says how many ids there are
            show.write(Text.assemble((key.ljust(max(map(len, other))), "bold"), f"  {in_words(value)}"))


def in_words(value: Any) -> str:
    """A fact: tokens as ids with names, other lists with commas."""
    if isinstance(value, dict):
        return ", ".join(f"{token} {name}" for name, token in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
