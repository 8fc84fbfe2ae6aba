"""What can be compared, and how each becomes a side: models, runs, dumps, other programs' models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from byhand import inputs as made
from byhand.checkpoints import llmc_state
from byhand.checkpoints.files.places import place_of
from byhand.compare.dump import Dump, read_npz
from byhand.compare.hugging_face import HuggingFace, is_one, loaded
from byhand.compare.side import Side, of_run
from byhand.engines.reference import precision
from byhand.errors import InputError
from byhand.families import gpt2
from byhand.loading import load
from byhand.model import Model
from byhand.program import Program
from byhand.run import Progress, Run, execute, silent

Array = np.ndarray[Any, Any]
Inputs = Mapping[str, Array]


class Source(Protocol):
    """One of the two things to compare, before it is run. program: its steps, None for what has none."""

    @property
    def name(self) -> str: ...

    @property
    def program(self) -> Program | None: ...

    def fixed(self, program: Program) -> dict[str, Array]:
        """The inputs it was made from and cannot be had for others, {} where it can be run on any."""
        ...

    def side(self, name: str, inputs: Inputs, program: Program) -> Side:
        """Its values for these inputs."""
        ...


@dataclass(frozen=True, eq=False)
class FromModel:
    """A model, to be run in a precision by an engine."""

    model: Model
    dtype: str
    engine: str
    progress: Progress = silent

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def program(self) -> Program:
        return self.model.program

    def fixed(self, program: Program) -> dict[str, Array]:
        return {}

    def side(self, name: str, inputs: Inputs, program: Program) -> Side:
        more: dict[str, Any] = {k: array for k, array in inputs.items() if k in self.model.program_with(True).inputs}
        text, source = more.pop("tokens"), more.pop("source.tokens", None)
        run = self.model.run(text, dtype=self.dtype, engine=self.engine, source=source, progress=self.progress, **more)
        return of_run(name, run, right=self.engine == "reference")


@dataclass(frozen=True, eq=False)
class FromRun:
    """A run as it is; for other tokens its model is run again in the same precision, without its edits of values."""

    run: Run
    name: str = "run"

    @property
    def program(self) -> Program:
        return self.run.program

    def fixed(self, program: Program) -> dict[str, Array]:
        """Its tokens, and of the other inputs those that do not follow from them."""
        given = {key: self.run.inputs[key] for key in ("tokens", "source.tokens") if key in self.run.inputs}
        usual = made.prepare(self.run.program, given)
        more = {key: array for key, array in self.run.inputs.items() if not same(array, usual[key])}
        return given | more

    def side(self, name: str, inputs: Inputs, program: Program) -> Side:
        # another mask, or other segments, are a difference between the two and are shown as one
        read = [key for key in ("tokens", "source.tokens", "targets") if key in inputs and key in self.program.inputs]
        if all(same(inputs[key], self.run.inputs.get(key)) for key in read):
            return of_run(name, self.run)
        prepared = made.prepare(self.program, {k: array for k, array in inputs.items() if k in self.program.inputs})
        of = self.run.setting
        run = execute(self.program, of.weights, prepared, of.precision, "all", of.tokens, engine=of.engine)
        return of_run(name, run)


def same(one: Array, other: Array | None) -> bool:
    return other is not None and one.shape == other.shape and bool((one == other).all())


def source(given: Any, dtype: str | None, engine: str, progress: Progress = silent) -> Source:
    """What was given as a source. Raises InputError.

    dtype: of a model's run, float32 if None; of a dump, or None to see it from its numbers.
    """
    if dtype is not None:
        precision(dtype)
    if isinstance(given, Run):
        if dtype is not None and dtype != given.dtype:
            raise InputError(
                f"the run was made in {given.dtype}; leave dtype out, or give the model instead of the run"
            )
        return FromRun(given, f"run of {given.program.name}")
    if isinstance(given, Model):
        return FromModel(given, dtype or "float32", engine, progress)
    if is_one(given):
        return HuggingFace(given)
    if isinstance(given, Mapping):
        return Dump("the arrays", {str(key): plain_array(array, str(key)) for key, array in given.items()}, dtype)
    if isinstance(given, str | Path):
        return named(given, dtype, engine, progress)
    raise InputError(
        f"cannot compare a {type(given).__name__}; give a model, its name, a run, a path or arrays by name"
    )


def plain_array(given: Any, name: str) -> Array:
    """Raises InputError for rows of different lengths and other things that make no array."""
    try:
        return np.asarray(given)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{name:.60} makes no array: {error!s:.100}") from None


def named(given: str | Path, dtype: str | None, engine: str, progress: Progress) -> Source:
    """What a name or path means: a dump, llm.c's debug state, else a model."""
    path = place_of(given)
    if path.suffix == ".npz":
        return Dump(path.name, read_npz(path), dtype)
    if path.is_file() and llmc_state.recognise(path):
        return State(path)
    return FromModel(load(given), dtype or "float32", engine, progress)


@dataclass(frozen=True, eq=False)
class State:
    """llm.c's debug state: its logits, loss and gradients, on its own tokens and targets."""

    path: Path
    model: Model | None = None

    program: None = None

    @property
    def name(self) -> str:
        return self.path.name

    def dump(self, program: Program) -> Dump:
        """The state as arrays, read with the sizes of the program it is compared with. Raises InputError."""
        if program.name != "gpt2":
            raise InputError(
                f"{self.path.name} is a debug state of llm.c's GPT-2; compare it with a gpt2, not {program.name}"
            )
        config = self.model.config if self.model and isinstance(self.model.config, gpt2.Config) else None
        state = llmc_state.read_state(self.path, config)
        arrays: dict[str, Array] = {"tokens": state.tokens, "targets": state.targets, "logits": state.logits}
        arrays["loss"] = np.asarray(state.loss, np.float32)
        gradients = {f"d:{address}": each() if callable(each) else each for address, each in state.gradients.items()}
        return Dump(self.name, {**arrays, **gradients}, "float32")

    def fixed(self, program: Program) -> dict[str, Array]:
        return self.dump(program).fixed(program)

    def side(self, name: str, inputs: Inputs, program: Program) -> Side:
        return self.dump(program).side(name, inputs, program)


def with_transformers(folder: str | Path, dtype: str | None) -> HuggingFace:
    """A folder's model, loaded and run by transformers. Raises InputError."""
    return loaded(folder, dtype or "float32")
