"""The files that contestants read, made once and kept: random weights of a named shape, the same for everybody."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from byhand.bench.shapes import has, load
from byhand.bench.work import KINDS, Work
from byhand.checkpoints import Progress
from byhand.checkpoints.blocks import random_blocks
from byhand.errors import InputError
from byhand.model import Model

FAMILIES = ("gpt2", "llama")
Making = Callable[[str], Any]  # a context around the writing of a file, which gives its Progress


def folder() -> Path:
    """Where the files are kept: BYHAND_CACHE, else the system's place for what can be made again."""
    base = os.environ.get("BYHAND_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "byhand"
    )
    return Path(base) / "bench"


def described(work: Work) -> Work:
    """The work with what the model's name says. Raises InputError for a model of another family, and bad sizes."""
    model = load(work.model)
    family = model.family.__name__.rpartition(".")[2]
    if family not in FAMILIES:
        raise InputError(f"{work.model} is a {family}; byhand bench measures {' and '.join(FAMILIES)}")
    found = replace(work, family=family, config=sizes(model))
    found.check()
    return found


def sizes(model: Model) -> dict[str, Any]:
    return asdict(model.config)


def made(work: Work, for_transformers: bool, making: Making) -> Work:
    """The work with its files, which are written where they are not there yet."""
    file = file_of(work, making)
    if not for_transformers:
        return replace(work, file=str(file))
    target = folder() / f"{stem(work)}-{work.kind}-hf"
    if not target.exists():
        dtype = "bf16" if work.kind == "bf16" else "f32"
        write(load(file), target, "hf", dtype, making)
    return replace(work, file=str(file), folder=str(target))


def file_of(work: Work, making: Making) -> Path:
    """A GGUF file with the weights in the kind that is asked for."""
    target = folder() / f"{stem(work)}-{work.kind}.gguf"
    if not target.exists():
        write(source(work), target, "gguf", KINDS[work.kind].lower(), making)
    return target


def source(work: Work) -> Model:
    """The model to write; a named shape in blocks has random blocks, so that no large plain arrays are made first."""
    model = load(work.model)
    if has(work.model) and work.in_blocks:
        return replace(model, weights=random_blocks(model.program, KINDS[work.kind].lower()))
    return model


def stem(work: Work) -> str:
    """The beginning of the files' names: a shape's name, or a file's with a mark of where and when it was written."""
    if has(work.model):
        return work.model
    path = Path(work.model).resolve()
    mark = sha256(f"{path} {path.stat().st_mtime_ns}".encode()).hexdigest()[:8] if path.exists() else "pulled"
    return f"{path.stem}-{mark}"


def write(model: Model, target: Path, format: str, dtype: str, making: Making) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with making(f"writing {target.name}") as progress:
        tick: Progress = progress
        model.save(target, format=format, dtype=dtype, progress=tick)
