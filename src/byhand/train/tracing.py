"""One step of a training, kept whole: the weights before it, and all inputs, values and gradients of its parts.

It is a folder that loads as a model like any other, with a file for each part beside the weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from byhand.checkpoints.files import safetensors
from byhand.checkpoints.files.jsons import Fields, read_object
from byhand.checkpoints.formats import own
from byhand.checkpoints.stored import name_of
from byhand.engines import engine
from byhand.engines.reference import precision
from byhand.errors import InputError
from byhand.gradients import Gradients
from byhand.loading import load
from byhand.model import Model
from byhand.program import Program
from byhand.run import Run, execute
from byhand.setting import Setting
from byhand.train import dropout
from byhand.train.saving import parts_of, taking_the_place_of
from byhand.weights import frozen, slices

Array = np.ndarray[Any, Any]
FILE, FOLDER = "trace.json", "traces"
FLOAT32 = precision("float32")


def write(
    folder: Path, step: int, model: Model, program: Program, parts: Sequence[Mapping[str, Array]], about: dict[str, Any]
) -> Path:
    """Run the parts of a step and keep everything; returns the folder, which appears whole or not at all.

    model: with the weights before the step; program: with its loss, and dropout if there is any; about: dropout, engine
    and shares, how much of the loss each part is. Raises InputError and MemoryRefused.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    path = folder / FOLDER / name_of(step)
    with taking_the_place_of(path) as made:
        own.write(parts_of(model, model.weights), made)
        for i, (inputs, share) in enumerate(zip(parts, about["shares"], strict=True)):
            run = ran(model, program, inputs, share, about["engine"])
            arrays = {**inputs, **run.kept, **{f"d:{name}": run.grad.look(name) for name in run.grad}}
            planned = [
                safetensors.Planned(name, array.dtype, array.shape, partial(slices, np.atleast_1d(array)))
                for name, array in arrays.items()
            ]
            with (made / f"part-{i}.safetensors").open("wb") as file:
                for _ in safetensors.write_file(file, planned):
                    pass
        (made / FILE).write_text(json.dumps(about | {"step": step}, indent=2) + "\n", encoding="utf-8")
    return path


def ran(model: Model, program: Program, inputs: Mapping[str, Array], share: float, computing: str | None) -> Run:
    """One part run forward and backward, with everything kept."""
    run = execute(
        program, model.weights, dict(inputs), FLOAT32, "all", model.tokens, engine=engine(computing, "float32")
    )
    run.backward(seed=np.float32(share))
    return run


def is_trace(path: Path) -> bool:
    """Whether this folder is what `write` left."""
    return (path / FILE).is_file()


def read(path: Path, part: int = 0) -> tuple[Model, Run]:
    """The model before the step, and its run of one part, gradients too: explain, edit and compare it as any other.

    Raises InputError for a part that there is not, and for files that are damaged.
    """
    said = Fields(read_object(path / FILE), str(path / FILE))
    model, rate, shares = load(path), float(said["dropout"]), list(said["shares"])
    if not 0 <= part < len(shares):
        raise InputError(f"{path} has the parts 0 … {len(shares) - 1} of its step, not {part}")
    program = model.program_with(targets=True)
    program = dropout.dropped(program, rate) if rate else program
    arrays = safetensors.read(path / f"part-{part}.safetensors")
    inputs = {name: frozen(arrays[name]) for name in program.inputs}
    kept = {name: frozen(arrays[name]) for name in program.producer if name in arrays}
    setting = Setting(program, model.weights, inputs, FLOAT32, frozenset(kept), model.tokens)
    run = Run(replace(setting, engine=engine(said["engine"], "float32")), kept)
    gradients = {name.removeprefix("d:"): array for name, array in arrays.items() if name.startswith("d:")}
    run.gradients = Gradients(run, "loss", program.reverse("loss"), gradients)
    return model, run
