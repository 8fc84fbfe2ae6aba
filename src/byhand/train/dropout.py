"""Dropout: numbers of the stream that are left out at random while a model learns, as steps of the program.

Where Vaswani et al. 2017, section 5.4, have it: what an embedding gives, and what each part of a block gives before it
is added to the stream. Each becomes a `multiply` by an input of zeros and 1 / (1 - rate), so that what was left out in
any step of a training can be looked at and made again: Srivastava et al. 2014, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np

from byhand.errors import InputError
from byhand.operators import multiply
from byhand.program import Program, Step
from byhand.shapes import Shape

Array = np.ndarray[Any, Any]
DROPPING = 4  # keeps the draws of dropout apart from all others of the same seed
NOISE, DROPPED = ".noise", ".dropped"


def dropped(program: Program, rate: float) -> Program:
    """The program with inputs `<address>.noise` [B,T,D], which `noise` makes, and steps `<address>.dropped`.

    At a rate of 0 it is the program itself. Raises InputError for a rate that is not from 0 on and below 1.
    """
    if not 0 <= rate < 1:
        raise InputError(f"dropout is {rate!r:.40}; give the share of numbers to leave out, from 0 on and below 1")
    if rate == 0:
        return program
    made = Program(program.name, program.sizes)
    made.inputs, made.weights = dict(program.inputs), dict(program.weights)
    now: dict[str, str] = {}  # what is read instead of an address
    thinned = places(program)
    for step in program:
        reads = [None if read is None else now.get(read, read) for read in step.reads]
        made(f"{step.address} {step.axes}", step.operator, *reads, **step.attributes)
        if step.address in thinned:
            now[step.address] = drop(made, step)
    return made


def places(program: Program) -> set[str]:
    """The addresses whose values are thinned: what goes into the blocks, and what they add to the stream."""
    added = {step.reads[1] for step in program if step.operator.name == "add" and "blocks." in step.address}
    return {step.address for step in program if step.address in added or step.address.endswith("embed.out")}


def drop(made: Program, step: Step) -> str:
    """Add the step that thins what this one gives. The encoder's values are as long as the source text."""
    extent = step.axes.replace("T", "S") if step.address.startswith("source.") else step.axes
    noise = made.input(f"{step.address}{NOISE} {step.axes}", "noise", extent)
    return made(f"{step.address}{DROPPED} {step.axes}", multiply, step.address, noise)


def noise(
    program: Program, shapes: Mapping[str, Shape], rate: float, seed: int, step: int, part: int = 0
) -> dict[str, Array]:
    """The noise of a program with dropout, by address: 0 with probability `rate`, else 1 / (1 - rate).

    shapes: of its values, as `program.shapes` says; step, part: of the training. It depends on these numbers and the
    address alone. The arrays go to the engine beside those of `inputs.prepare`.
    """
    return {
        address: drawn(shapes[address], rate, (seed, step, part, crc32(address.encode())))
        for address, each in program.inputs.items()
        if each.rule == "noise"
    }


def drawn(shape: Shape, rate: float, seeds: tuple[int, ...]) -> Array:
    rng = np.random.default_rng([DROPPING, *seeds])
    kept = rng.random(shape, np.float32) >= np.float32(rate)
    return kept * np.float32(1 / (1 - rate))
