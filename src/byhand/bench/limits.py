"""What the machine itself can do, measured beside everybody else: reading memory, and multiplying, on all cores."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from byhand.bench.work import Work
from byhand.engines.cpu.kernel import Job, array, kernel, take, whole
from byhand.engines.cpu.simd import BYTES, LANES, dot, float32, fma, int8, int32, load, store, uint8, zeros
from byhand.engines.cpu.team import Calls, team

Array = np.ndarray[Any, Any]

STRETCH = 1 << 16  # numbers that a thread reads at a time
FEWEST, MOST = 1 << 26, 1 << 30  # bytes of the memory that is read
ROWS, COLS = (4, 6) if LANES == 16 else (3, 4)  # as many sums as there are registers for
ROUNDS = 1 << 18
TIMES = {True: 3, False: 20}  # how often it reads, or multiplies, of which the best counts


@kernel
def read_memory(job, me):
    """Add up all numbers of an array, so that each has to be read."""
    x_N, sums_CL = array(job, 0, int32, 1), array(job, 1, int32, 2)
    sums = zeros(int32, 1, 8)
    n = take(job, STRETCH)
    while n < len(x_N):
        for i in range(n, n + STRETCH, 8 * LANES):
            sums = sums + load(x_N, i, 1, 8)
        n = take(job, STRETCH)
    store(sums_CL, (me, 0), sums)


@kernel
def multiply_floats(job, me):
    """Multiply and add as often as registers can, without reading anything."""
    left, right, out = array(job, 0, float32, 2), array(job, 1, float32, 2), array(job, 2, float32, 2)
    a, b, sums = load(left, (0, 0), ROWS, 1), load(right, (0, 0), 1, COLS), zeros(float32, ROWS, COLS)
    for _ in range(whole(job, 3)):
        sums = fma(a, b, sums)
    store(out, (me * ROWS, 0), sums)


@kernel
def multiply_bytes(job, me):
    """The same with the dot product of four bytes."""
    left, right, out = array(job, 0, uint8, 2), array(job, 1, int8, 2), array(job, 2, int32, 2)
    a, b, sums = load(left, (0, 0), ROWS, 1), load(right, (0, 0), 1, COLS), zeros(int32, ROWS, COLS)
    for _ in range(whole(job, 3)):
        sums = dot(sums, a, b)
    store(out, (me * ROWS, 0), sums)


def reading(size: int) -> tuple[Calls, Array, int]:
    """Calls that read about so many bytes once, where they leave their sums, and the bytes."""
    count = max(1, min(size, MOST) // 4 // STRETCH) * STRETCH
    sums_CL = np.zeros((team().size, 8 * LANES), np.int32)
    return Calls([Job(read_memory, np.ones(count, np.int32), sums_CL)], [True]), sums_CL, 4 * count


def multiplying(in_bytes: bool, rounds: int = ROUNDS) -> tuple[Calls, Array, int]:
    """Calls that multiply ones, where they leave their sums, and how many operations they are."""
    job, inner = (multiply_bytes, np.int32) if in_bytes else (multiply_floats, np.float32)
    left, right = (np.uint8, np.int8) if in_bytes else (np.float32, np.float32)
    wide = LANES if not in_bytes else BYTES
    out = np.zeros((team().size * ROWS, COLS * LANES), inner)
    given = np.ones((ROWS, wide), left), np.ones((1, COLS * wide), right)
    return Calls([Job(job, *given, out, rounds)], [True]), out, 2 * rounds * ROWS * COLS * wide * team().size


def timed(calls: Calls) -> float:
    start = perf_counter()
    team().run(calls)
    return perf_counter() - start


def best(calls: Calls, reads: bool) -> float:
    """The seconds of the best of some runs."""
    return min(timed(calls) for _ in range(TIMES[reads]))


def measured() -> dict[str, float]:
    """Bytes a second that can be read from memory, and operations a second in float32 and in int8."""
    read, floats, in_bytes = reading(MOST), multiplying(False), multiplying(True)
    return {
        "bytes a second": read[2] / best(read[0], True),
        "float32 operations a second": floats[2] / best(floats[0], False),
        "int8 operations a second": in_bytes[2] / best(in_bytes[0], False),
    }


class Machine:
    """The machine as a contestant: it reads as many bytes as a step of decoding, or multiplies for some time."""

    def __init__(self, work: Work) -> None:
        self.reads = work.what == "decode"
        made = reading(max(work.bytes, FEWEST)) if self.reads else multiplying(work.in_blocks)
        self.calls, self.sums, count = made
        self.facts = {"count": count}

    def answer(self) -> Array:
        timed(self.calls)
        return self.sums.astype(np.float32)

    def run(self) -> float:
        return best(self.calls, self.reads)
