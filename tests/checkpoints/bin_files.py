"""Small models for the formats of plain files, and files damaged at random."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from byhand.checkpoints import Parts
from byhand.errors import ByhandError
from byhand.families import FAMILIES, gpt2, llama
from byhand.weights import Weights, random

GPT2 = gpt2.Config(layers=2, width=32, heads=4, hidden=128, vocabulary=300, context=24)
LLAMA = llama.Config(
    layers=2, width=48, heads=6, groups=2, head_width=8, hidden=96, vocabulary=200, context=24, theta=10000.0
)
MUTATIONS = 2000
AROUND = 2**18  # bytes that reading any small model takes, for its program and names
NUMBERS = (0, 1, -1, 2, 3, 255, 2**16, 2**31 - 1, -(2**31))


def parts(config: Any, seed: int = 1, dtype: Any = np.float32) -> Parts:
    """A random model of a config."""
    family = "gpt2" if isinstance(config, gpt2.Config) else "llama"
    program = FAMILIES[family].program(config)
    return Parts("tiny", family, config, program, random(program, seed, dtype))


def same(found: Any, weights: Any) -> bool:
    """Whether a checkpoint has these weights to the bit."""
    read = Weights(found.weights)
    return read.keys() == weights.keys() and all(
        np.array_equal(read[name], weights[name]) and read[name].dtype == weights[name].dtype for name in read
    )


def refusal(action: Callable[[], Any]) -> str:
    """The line with which something is refused."""
    try:
        action()
    except ByhandError as error:
        assert "\n" not in str(error) and 10 < len(str(error)) < 400, str(error)
        return str(error)
    raise AssertionError("nothing was refused")


def mutants(data: bytes, header: int, seed: int, count: int = MUTATIONS) -> Iterator[bytes]:
    """The file with a few numbers, bytes or its length changed; header: how many bytes say what it is."""
    draw = Random(seed)
    for _ in range(count):
        made = bytearray(data)
        for _ in range(draw.choice((1, 1, 2, 4))):
            if draw.random() < 0.5:
                place = 4 * draw.randrange(header // 4)
                old = int.from_bytes(made[place : place + 4], "little", signed=True)
                number = draw.choice((*NUMBERS, old + 1, old - 1, -old, draw.randrange(-(2**31), 2**31)))
                made[place : place + 4] = (number % 2**32).to_bytes(4, "little")
            else:
                made[draw.randrange(header)] = draw.randrange(256)
        yield bytes(made[: draw.randrange(len(made))] if draw.random() < 0.1 else made)


def survives(path: Path, read: Callable[[Path], Any], files: Iterator[bytes]) -> tuple[int, int]:
    """Read every file; returns how many were refused, and the most bytes that were held while every fourth was read.

    Anything but a ByhandError of one line is raised. path: holds a file, read first for what is imported then.
    """
    with suppress(ByhandError):
        read(path)
    refused = most = 0
    for place, data in enumerate(files):
        path.write_bytes(data)
        if watched := place % 4 == 0:
            tracemalloc.start()
        try:
            read(path)
        except ByhandError as error:
            assert "\n" not in str(error), error
            refused += 1
        finally:
            if watched:
                most = max(most, tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
    return refused, most
