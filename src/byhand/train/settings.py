"""What a training is made with: from a TOML file, from options over it, and as a file again, to be repeated."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from byhand.errors import InputError
from byhand.families import FAMILIES
from byhand.sampling import real
from byhand.shapes import whole

TRAINED = ("gpt2", "llama", "original", "bert")
DECAYS = ("cosine", "linear", "none")
OBJECTIVES = ("causal", "masked", "translation")
DECAYED = ("matrices", "all")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is trained, and on what. Raises InputError for a value that has no meaning.

    family: of a new model; start: the model to go on from instead, by name or path; sizes: settings of the family's
    Config, such as layers and width. data: a file, a folder, or the name of a generator; tokenizer: characters,
    bpe:1000 (that many tokens) or the path of one; objective: causal, masked or translation, None for the family's own;
    validation: the share of the data that is held back; examples: how many texts a generator writes; padded: each text
    in a row of its own, filled up, rather than one behind the other.

    A step learns from `accumulate` parts of `batch` texts of `length` tokens (None: as many as the model reads). rate:
    the largest learning rate, reached after `warmup` steps (None: 100, or a tenth of a short training), from where it
    decays (cosine, linear, none) to `last_rate` × rate at the last step. weight_decay: of what `decayed` says, the
    matrices (and tables) or all weights; clip: the most that the gradient's length may be, 0 for any; dropout: the
    share of numbers left out; seed: of the weights, the split, the batches and dropout; engine, threads: what computes;
    recompute: patterns of values that are computed again for the backward run rather than held until then.

    Every so many steps: evaluate, over so many `batches`, sample a text (0: never) that goes on from `prompt`, save,
    of which the last `keep` stay. trace_step: one step of which everything is kept, None for none.
    """

    family: str | None = None
    start: str | None = None
    sizes: Mapping[str, Any] = field(default_factory=dict)
    data: str
    tokenizer: str | None = None
    objective: str | None = None
    validation: float = 0.1
    examples: int = 20_000
    padded: bool = False
    steps: int = 2000
    batch: int = 12
    length: int | None = None
    accumulate: int = 1
    rate: float = 1e-3
    last_rate: float = 0.1
    warmup: int | None = None
    decay: str = "cosine"
    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.1
    decayed: str = "matrices"
    clip: float = 1.0
    dropout: float = 0.0
    seed: int = 0
    engine: str | None = None
    threads: int | None = None
    recompute: Sequence[str] = ()
    evaluate: int = 100
    batches: int = 20
    sample: int = 500
    prompt: str | None = None
    save: int = 500
    keep: int = 3
    trace_step: int | None = None

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if not (value is None and name in OPEN) and ((number := whole(value)) is None or number < least):
                raise InputError(f"{name} is {value!r:.40}; give a whole number, {least} or more")
        for name, (within, words) in RANGES.items():
            value = getattr(self, name)
            if not (real(value) and within(value)):
                raise InputError(f"{name} is {value!r:.40}; give a number {words}")
        for name, there in CHOICES.items():
            value = getattr(self, name)
            if not (value is None and name in OPEN) and value not in there:
                raise InputError(f"{name} is {value!r:.40}; give one of {', '.join(there)}{nearest(value, there)}")
        for name in ("start", "tokenizer", "prompt", "data"):
            value = getattr(self, name)
            if not (value is None and name in OPEN) and not (isinstance(value, str) and value):
                raise InputError(f"{called(name)} is {value!r:.40}; give text between quotes")
        if not isinstance(self.padded, bool):
            raise InputError(f"padded is {self.padded!r:.40}; give true or false")
        if not isinstance(self.recompute, list | tuple) or not all(isinstance(each, str) for each in self.recompute):
            raise InputError(f"recompute is {self.recompute!r:.60}; give a list of patterns, such as blocks.*.mlp.act")
        object.__setattr__(self, "recompute", tuple(self.recompute))
        self.check_model()

    def check_model(self) -> None:
        """Raise InputError unless it is said once, and rightly, what model this is."""
        if (self.family is None) == (self.start is None):
            both = "got both family and from" if self.family else "what is to be trained"
            raise InputError(f"{both}: give family (one of {', '.join(TRAINED)}) or, to go on from a model, from")
        if self.start is not None and self.sizes:
            raise InputError(f"{next(iter(self.sizes))} is fixed by the model that training goes on from; leave it out")
        if self.trace_step is not None and self.trace_step > self.steps:
            raise InputError(f"trace_step is {self.trace_step}, but there are {self.steps} steps; give one of them")
        if self.warmup is not None and self.warmup > self.steps:
            raise InputError(f"warmup is {self.warmup}, but there are {self.steps} steps; give fewer, or train longer")
        for name, value in self.sizes.items():
            if name not in (there := size_names(str(self.family))):
                raise InputError(
                    f"{self.family} has no size {name!r:.40}; it has {', '.join(there)}{nearest(name, there)}"
                )
            if isinstance(value, list | dict):
                raise InputError(f"{name} is {value!r:.40}; give a number, a word, true or false")

    @property
    def warming(self) -> int:
        """The steps in which the rate grows."""
        return min(100, self.steps // 10) if self.warmup is None else self.warmup


OPEN = ("family", "start", "tokenizer", "objective", "length", "warmup", "engine", "threads", "prompt", "trace_step")
LEAST = dict.fromkeys(("examples", "steps", "batch", "length", "accumulate", "threads", "batches", "keep"), 1)
LEAST |= dict.fromkeys(("warmup", "seed", "sample"), 0) | dict.fromkeys(("evaluate", "save", "trace_step"), 1)
Range = tuple[Callable[[float], bool], str]
SHARE: Range = (lambda value: 0 <= value < 1, "from 0 on and below 1")
RANGES: dict[str, Range] = {
    "validation": (lambda value: 0 < value < 1, "between 0 and 1, such as 0.1"),
    "rate": (lambda value: value > 0, "above 0, such as 0.001"),
    "last_rate": (lambda value: 0 <= value <= 1, "from 0 to 1, the share of rate that is left at the end"),
    "beta1": SHARE,
    "beta2": SHARE,
    "eps": (lambda value: value > 0, "above 0, such as 1e-8"),
    "weight_decay": (lambda value: value >= 0, "from 0 on"),
    "clip": (lambda value: value >= 0, "from 0 on; 0 does not clip"),
    "dropout": SHARE,
}
CHOICES = {"family": TRAINED, "objective": OBJECTIVES, "decay": DECAYS, "decayed": DECAYED}
CHOICES |= {"engine": ("cpu", "reference")}

# What may differ when a training goes on: how long it takes and what is said of it, not what it computes.
FREE = ("steps", "recompute", "evaluate", "batches", "sample", "prompt", "save", "keep", "trace_step")

SECTIONS = {
    "model": ("family", "start"),
    "data": ("data", "tokenizer", "objective", "validation", "examples", "padded"),
}
SECTIONS["training"] = tuple(
    each.name for each in fields(Settings) if each.name not in (*SECTIONS["model"], *SECTIONS["data"], "sizes")
)
NAMES = {"start": "from"}  # in files and flags; a word of Python's inside it


def called(name: str) -> str:
    """A setting as files and flags call it."""
    return NAMES.get(name, name)


def nearest(name: object, names: tuple[str, ...]) -> str:
    near = get_close_matches(str(name), names, n=1)
    return f"; the nearest is {near[0]}" if near else ""


def size_names(family: str) -> tuple[str, ...]:
    """The sizes of a family that can be chosen; the vocabulary comes from the tokenizer."""
    return tuple(each.name for each in fields(FAMILIES[family].Config) if each.name != "vocabulary")


# --- files --------------------------------------------------------------------------------------------------------


def from_toml(path: Path) -> dict[str, Any]:
    """The settings that a file gives, sizes among them. Raises InputError, with the nearest name, for what is none."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read the settings in {path}: {why}") from None
    given: dict[str, Any] = {}
    for section, values in document.items():
        if section not in SECTIONS or not isinstance(values, dict):
            there = ", ".join(f"[{name}]" for name in SECTIONS)
            raise InputError(
                f"{path}: {section!r:.40} is no section; there are {there}{nearest(section, (*SECTIONS,))}"
            )
        given |= section_of(path, section, values)
    return given


def section_of(path: Path, section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one section; in [model] what is none of them is a size."""
    given: dict[str, Any] = {}
    names = {called(name): name for name in SECTIONS[section]}
    sizes = {size for family in TRAINED for size in size_names(family)} if section == "model" else set()
    for name, value in values.items():
        if name in names:
            given[names[name]] = value
        elif name in sizes:
            given.setdefault("sizes", {})[name] = value
        else:
            elsewhere = [each for each, there in SECTIONS.items() if name in map(called, there)]
            hint = f"; it belongs under [{elsewhere[0]}]" if elsewhere else nearest(name, (*names, *sorted(sizes)))
            raise InputError(f"{path}: [{section}] has no setting {name!r:.40}{hint}")
    return given


def to_toml(of: Settings) -> str:
    """The settings as such a file; those that are None are left out."""
    lines = []
    for section, names in SECTIONS.items():
        values = {called(name): getattr(of, name) for name in names}
        values |= dict(of.sizes) if section == "model" else {}
        given = {name: value for name, value in values.items() if value is not None}
        lines += [f"[{section}]", *(f"{name} = {written(value)}" for name, value in given.items()), ""]
    return "\n".join(lines)


def written(value: Any) -> str:
    """A value of TOML; its texts are quoted as in JSON."""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | list | tuple) else repr(value)


def to_dict(of: Settings) -> dict[str, Any]:
    """The settings as plain data."""
    return asdict(of) | {"sizes": dict(of.sizes)}


def made(given: Mapping[str, Any]) -> Settings:
    """Settings of these names. Raises InputError, with the nearest, for a name that there is not, and without data."""
    names = tuple(each.name for each in fields(Settings))
    for name in given:
        if name not in names:
            raise InputError(f"training has no setting {name!r:.40}{nearest(name, names)}")
    if given.get("data") is None:
        raise InputError(
            "there is nothing to train on; give data: a text file, a folder, or a generator such as stories"
        )
    return Settings(**given)


def gone_on(before: Settings, given: Mapping[str, Any]) -> Settings:
    """The settings of a training that goes on, with those that may differ. Raises InputError for one that may not."""
    old = to_dict(before)
    fixed = [(called(name), old.get(name), value) for name, value in given.items() if name not in (*FREE, "sizes")]
    fixed += [(name, before.sizes.get(name), value) for name, value in given.get("sizes", {}).items()]
    for name, was, value in fixed:
        if value != was:
            raise InputError(
                f"{name} is {value} now and was {was} when this training began; leave it out to go on, or begin "
                "another training, from the last checkpoint if you like"
            )
    return made(old | {name: value for name, value in given.items() if name in FREE})
