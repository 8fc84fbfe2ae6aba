"""``byhand convert``: a model from any format into another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

import byhand
from byhand.cli import show
from byhand.cli.arguments import Output
from byhand.cli.waiting import writing
from byhand.memory import size

EXAMPLES = (
    "convert gpt2_124M.bin gpt2-folder --format hf",
    "convert llama/ llama-q8_0.gguf --format gguf --dtype q8_0",
    "convert aab-gpt2 aab-folder --format hf",
)


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    model: Annotated[
        str, Argument(metavar="MODEL", help="A folder, a file, a built-in or pulled name.", show_default=False)
    ]
    target: Annotated[str, Argument(metavar="TARGET", help="The folder or file to write.", show_default=False)]
    format: Annotated[str, Option(metavar="NAME", help="byhand, hf, llmc, llama2c or gguf.")] = "byhand"
    dtype: Annotated[
        str | None, Option(metavar="NAME", help="f32, f16, bf16; for gguf also q8_0 and q4_0. As it is, if not said.")
    ] = None
    force: Annotated[bool, Option("--force", help="Replace what is there.")] = False
    seed: Annotated[int, Option(metavar="N", help="Seed of a built-in model's random weights.")] = 0


def command(asked: Asked) -> None:
    """Write a model in another format.

    The target appears whole or not at all. A tokenizer goes with its model.
    """
    model = byhand.load(asked.model, seed=asked.seed)
    with writing(f"writing {asked.target}") as tick:
        path = model.save(asked.target, format=asked.format, dtype=asked.dtype, force=asked.force, progress=tick)
    written = bytes_in(path)
    if asked.json:
        return show.document({"path": str(path), "format": asked.format, "bytes": written, "model": model.name})
    show.write(f"{path}: {size(written)}, {asked.format}. Look at it with: byhand inspect {path}")


def bytes_in(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
