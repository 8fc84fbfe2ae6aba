"""llm.c's debug state: one batch, its logits and loss, and the gradient of every weight, to hold another run against.

The header says only how large the batch is; the sizes of the model must be known. Source: write_state in llm.c's
train_gpt2.py and the reader in its test_gpt2.c. Logits have the plain vocabulary, the gradient of wte the padded one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from byhand.checkpoints.files.mapped import Array, Mapped
from byhand.checkpoints.files.saving import beside, check_room
from byhand.checkpoints.formats.llmc import (
    LLAMA_MODEL,
    START,
    STATE,
    first,
    gpt2_numbers,
    header_bytes,
    laid_out,
    numbers,
    padded_size,
    write_arrays,
)
from byhand.checkpoints.record import Progress, silent
from byhand.errors import InputError
from byhand.families import gpt2
from byhand.layouts import Source, match
from byhand.layouts.layout import layers
from byhand.layouts.llmc import GPT2
from byhand.program import Program
from byhand.weights import Weights

VERSION = 2
FLOAT, WHOLE = np.dtype("<f4"), np.dtype("<i4")


@dataclass(frozen=True)
class State:
    """What a debug state holds, as views of the file.

    tokens, targets: int32 [B,T]; logits: float32 [B,T,V]; loss: the mean over all places; gradients: of every weight by
    its address, in the axes of the weight; config: of the model it belongs to.
    """

    path: Path
    config: gpt2.Config
    tokens: Array
    targets: Array
    logits: Array
    loss: float
    gradients: Mapping[str, Source]


def recognise(path: Path) -> bool:
    """Whether this is a debug state of llm.c's GPT-2."""
    return first(path) == STATE


def read_state(path: Path | str, config: gpt2.Config | None = None) -> State:
    """A debug state. config: of the model it belongs to; without it, the released GPT-2 whose sizes fit the file.

    Raises InputError for any other file, a damaged one, and one that belongs to another model.
    """
    mapped = Mapped(path)
    header = numbers(mapped)
    if header[0] != STATE:
        llama = " (train_llama3.py's states are not read)" * (header[0] == LLAMA_MODEL)
        raise InputError(f"{path} is no debug state of llm.c: it starts with {header[0]}, not {STATE}{llama}")
    if header[1] != VERSION:
        raise InputError(f"{path} is a debug state of version {header[1]}; write it again with llm.c's train_gpt2.py")
    B, T = header[2:4]
    if B < 1 or T < 1:
        raise InputError(f"{path}: its header says {B} texts of {T} tokens, which cannot be; it is damaged")
    config = fitting(mapped, B, T) if config is None else checked(mapped, B, T, config)
    return held(mapped, B, T, config)


def total(B: int, T: int, c: gpt2.Config) -> int:
    """The bytes of a debug state."""
    parameters = gpt2_numbers(c.width, c.layers, c.context, padded_size(c.vocabulary))
    return START + 4 * (2 * B * T + B * T * c.vocabulary + 1 + parameters)


def fitting(mapped: Mapped, B: int, T: int) -> gpt2.Config:
    """The released GPT-2 that the file's length belongs to."""
    found = [config for config in gpt2.SHAPES.values() if total(B, T, config) == mapped.size]
    if len(found) != 1:
        raise InputError(
            f"{mapped.path} has {mapped.size} bytes, which fit none of {', '.join(gpt2.SHAPES)} "
            f"with {B} texts of {T} tokens; give the model it belongs to, or it was cut off"
        )
    return found[0]


def checked(mapped: Mapped, B: int, T: int, config: gpt2.Config) -> gpt2.Config:
    unfit(config, "the model")
    if total(B, T, config) != mapped.size:
        raise InputError(
            f"{mapped.path} has {mapped.size} bytes, but {B} texts of {T} tokens through a GPT-2 of width "
            f"{config.width}, {config.layers} layers, vocabulary {config.vocabulary} and context {config.context} "
            f"need {total(B, T, config)}; it belongs to another model, or was cut off"
        )
    return config


def held(mapped: Mapped, B: int, T: int, c: gpt2.Config) -> State:
    program = gpt2.program(c)
    places, V = B * T, c.vocabulary
    after = START + 8 * places + 4 * places * V
    arrays = laid_out(mapped, GPT2, program, FLOAT, after + 4, padded_size(V))
    arrays["wte"] = arrays["wte"][:V]
    tokens = mapped.array(WHOLE, (B, T), START, "tokens")
    targets = mapped.array(WHOLE, (B, T), START + 4 * places, "targets")
    for name, ids in (("tokens", tokens), ("targets", targets)):
        if ids.min() < 0 or ids.max() >= V:
            raise InputError(f"{mapped.path}: its {name} go from {ids.min()} to {ids.max()}, but there are {V} ids")
    return State(
        path=mapped.path,
        config=c,
        tokens=tokens,
        targets=targets,
        logits=mapped.array(FLOAT, (B, T, V), START + 8 * places, "logits"),
        loss=float(mapped.array(FLOAT, (1,), after, "loss")[0]),
        gradients=match(GPT2, program, arrays, str(mapped.path), {}).weights,
    )


# --- writing -----------------------------------------------------------------------------------------------------


class Ran(Protocol):
    """What is needed of a run (`byhand.run.Run` after `backward`)."""

    @property
    def program(self) -> Program: ...

    @property
    def inputs(self) -> Mapping[str, Array]: ...

    def look(self, address: str) -> Array: ...

    @property
    def grad(self) -> Any: ...


def write_state(run: Ran, path: Path | str, force: bool = False, progress: Progress = silent) -> Path:
    """Write a run of a GPT-2 and the gradients of its loss as llm.c's debug state, and return where.

    run: after run.backward(), with a target at every place, as llm.c has it; numbers are written as float32. The file
    appears whole or not at all. Raises InputError for a model or run that the format cannot hold.
    """
    config = config_of(run.program)
    tokens, targets = run.inputs["tokens"], run.inputs.get("targets")
    if targets is None or (targets < 0).any():
        raise InputError("llm.c has a target at every place, but this run has none at some; give all, with targets=")
    if run.grad.of != "loss":
        raise InputError(f"llm.c's gradients are of the loss, these are of {run.grad.of}; call run.backward()")
    B, T = tokens.shape
    size = total(B, T, config)
    gradients = Weights({address: run.grad.look(address) for address in run.program.weights})
    with beside(path, force) as new:
        check_room(new, size)
        with new.open("wb") as file:
            file.write(header_bytes(STATE, VERSION, B, T))
            for array, dtype in ((tokens, WHOLE), (targets, WHOLE), (run.look("logits"), FLOAT)):
                for text in array:
                    file.write(text.astype(dtype).tobytes())
            file.write(run.look("loss").astype(FLOAT).tobytes())
            for name in write_arrays(file, run.program, gradients, FLOAT, padded_size(config.vocabulary)):
                progress(f"gradient of {name}", file.tell(), size)
    return Path(path)


def config_of(program: Program) -> gpt2.Config:
    """The sizes of a GPT-2's program. Raises InputError for one that llm.c has not."""
    if program.name != "gpt2":
        raise InputError(f"llm.c's debug state is of a GPT-2, but this is a run of {program.name}")
    size = program.sizes
    config = gpt2.Config(
        layers=layers(program),
        width=size["D"],
        heads=size["H"],
        hidden=size["F"],
        vocabulary=size["V"],
        context=size["P"],
        tied="unembed.weight" not in program.weights,
        bias="final_norm.shift" in program.weights,
    )
    unfit(config, "this model")
    return config


def unfit(config: Any, name: str) -> None:
    """Raise InputError unless llm.c has this model: all its 16 arrays and a feed-forward of four times the width."""
    if not isinstance(config, gpt2.Config):
        raise InputError(f"{name} is no GPT-2, so llm.c's debug state does not belong to it")
    if config.hidden != 4 * config.width or not config.tied or not config.bias:
        raise InputError(f"{name} has another feed-forward width, no biases or a logits table, which llm.c has not")
