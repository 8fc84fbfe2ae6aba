"""What a reader gives and a writer takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from byhand.layouts import Source
from byhand.program import Program
from byhand.weights import Weights

Progress = Callable[[str, int, int], None]  # what is being written, bytes done, bytes in all


def silent(what: str, done: int, total: int) -> None:
    """The progress nobody watches."""


class Finding(NamedTuple):
    """One thing that was found out about a checkpoint, and how: ("rotary layout", "halves", "model_type llama")."""

    what: str
    value: str
    how: str


class Doubt(NamedTuple):
    """A setting that the files do not settle. name: of the config; choices: the usual one first; why: it is open.

    The model is run both ways and the likelier one taken, see `doctor`.
    """

    name: str
    choices: tuple[Any, ...]
    why: str


@dataclass(frozen=True)
class Checkpoint:
    """A model as it lies on disk. Nothing of its weights has been read.

    format: key in `known`; description: "Hugging Face folder, safetensors in 3 shards"; family: key in
    families.FAMILIES; config: the family's Config; weights: by address; rows: what was done between file and model,
    as (name in the file, addresses, in words); ignored: arrays that are no weights, with the reason.
    """

    path: Path
    format: str
    description: str
    family: str
    config: Any
    weights: Mapping[str, Source]
    tokenizer: Any = None
    findings: tuple[Finding, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    rows: tuple[tuple[str, tuple[str, ...], str], ...] = ()
    ignored: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Parts:
    """What a writer is given: a model in its parts. family: key in families.FAMILIES."""

    name: str
    family: str
    config: Any
    program: Program
    weights: Weights
    tokenizer: Any = None
