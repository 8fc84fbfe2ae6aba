"""What a reader gives and a writer takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from byhand.layouts import Source
from byhand.program import Program
from byhand.weights import Weights

Progress = Callable[[str, int, int], None]  # what is being written, bytes done, bytes in all


def silent(what: str, done: int, total: int) -> None:
    """The progress nobody watches."""


WHAT = (
    "format",
    "config",
    "dtype",
    "matrices",
    "tied",
    "padding",
    "copy",
    "activation",
    "eps",
    "biases",
    "heads",
    "hidden",
    "context",
    "rotary layout",
    "theta",
    "scaling",
    "tokenizer",
    "begin token",
    "end token",
    "stop tokens",
    "not used",
)
SEVERAL = ("copy",)


class Finding(NamedTuple):
    """One thing that was found out about a checkpoint, and how: ("rotary layout", "halves", "model_type llama").

    what: one of WHAT, so that the same thing has the same name in every format.
    """

    what: str
    value: str
    how: str


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings as WHAT has them, the first of each kind."""
    kept: dict[object, Finding] = {}
    for each in findings:
        kept.setdefault(each if each.what in SEVERAL else each.what, each)
    return tuple(sorted(kept.values(), key=lambda each: WHAT.index(each.what)))


def heads_of(config: Any) -> str:
    """The heads of a model in words, with those of keys and values where they are fewer."""
    keys = getattr(config, "groups", config.heads)
    shared = f", {keys} of keys" if keys != config.heads else ""
    return f"{config.heads} of width {getattr(config, 'head_width', config.width // config.heads)}{shared}"


def yes(answer: bool) -> str:
    return "yes" if answer else "no"


class Doubt(NamedTuple):
    """A setting that the files do not settle. name: of the config; choices: the usual one first; why: it is open.

    The model is run both ways and the likelier one taken, see `doctor`.
    """

    name: str
    choices: tuple[Any, ...]
    why: str

    @property
    def what(self) -> str:
        """What the finding about it is called."""
        return "rotary layout" if self.name == "rotary" else self.name


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
