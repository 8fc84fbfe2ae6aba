"""``byhand inspect``: what a file or folder is, how its numbers lie in it, and how that is known."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.text import Text
from typer import Argument, Option

from byhand.checkpoints import Checkpoint, read
from byhand.checkpoints.companions import facts
from byhand.cli import show
from byhand.cli.arguments import Output
from byhand.cli.figures import count
from byhand.cli.waiting import waiting
from byhand.doctor import decided
from byhand.errors import InputError
from byhand.families import FAMILIES
from byhand.hub import find, looks_like_name
from byhand.weights import given

EXAMPLES = ("inspect gpt2/", "inspect gpt2_124M.bin --names", "inspect llama.gguf", "inspect tokenizer.json")


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    path: Annotated[
        str, Argument(metavar="PATH", help="A folder or file, or the name of a pulled model.", show_default=False)
    ]
    names: Annotated[bool, Option("--names", help="Every array of the file, where it goes, and what is done.")] = False


def command(asked: Asked) -> None:
    """Say what a file or folder is: its format, its layout, its settings, and how each is known.

    What the files leave open is decided by running the model both ways on eight tokens, and said. Nothing is written.
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
    path = Path(name).expanduser()
    if name and path.exists():
        return path
    if folder := find(name) if looks_like_name(name) else None:
        return folder
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
    for each in checkpoint.findings:
        show.write(Text.assemble((each.what, "bold"), f"  {each.value}"))
        show.write(show.wrapped(each.how, 2, "dim"))
    if checkpoint.tokenizer is None:
        show.write("")
        show.prose("No tokenizer lies beside it, so it works on token ids (--ids).")
    if checkpoint.ignored:
        show.write("", f"left out: {len(checkpoint.ignored)} arrays that are no weights")
        for name, why in list(checkpoint.ignored.items())[:3]:
            show.write(show.wrapped(f"{name}: {why}", 2, "dim"))


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
        if key != "description":
            show.write(Text.assemble((key, "bold"), f"  {value}"))
