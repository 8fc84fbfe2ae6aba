"""Will it fit? Asked before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import prod

from byhand.addresses import any_match, matches
from byhand.engines.reference import Precision
from byhand.errors import MemoryRefused
from byhand.program import Program, Shape, Step
from byhand.weights import Weights

ALWAYS_KEPT = ("logits", "losses", "loss")
FEW = ("blocks.*.out", "logits")


def available() -> int:
    """Bytes that can be used without swapping, also inside a container."""
    import psutil  # not needed to import byhand

    free = psutil.virtual_memory().available
    limit, used = (read_number(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    return free if limit is None or used is None else min(free, max(limit - used, 0))


def read_number(path: str) -> int | None:
    """The number in a file; None where there is no such file or it says "max"."""
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def fit(need: int, what: str, instead: str) -> None:
    """Raise MemoryRefused when `need` bytes are not there, saying what to ask for instead."""
    free = available()
    if need > free:
        raise MemoryRefused(f"{what} needs {size(need)} but {size(free)} is free; {instead}")


def size(count: float) -> str:
    """Bytes for people: ``size(2_500_000) == "2.5 MB"``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.3g} {unit}" if unit != "B" else f"{int(count)} B"
        count /= 1000
    raise AssertionError


def kept_bytes(program: Program, shapes: Mapping[str, Shape], keep: Collection[str], precision: Precision) -> dict[str, int]:
    """Bytes that each kept value will take, by address."""

    def itemsize(step: Step, address: str) -> int:
        return (precision.computed if step.operator.wide or address != step.address else precision.kept).itemsize

    return {a: prod(shapes[a]) * itemsize(program.producer[a], a) for a in keep if a in program.producer}


def refuse_too_large(
    program: Program, shapes: Mapping[str, Shape], keep: Collection[str], precision: Precision, weights: Weights
) -> None:
    """Raise MemoryRefused if the kept values, the largest step and the weights still to be made do not fit."""
    kept = kept_bytes(program, shapes, keep, precision)
    item = precision.computed.itemsize
    working = max(sum(prod(shapes[name]) * item for name in step.names.values()) for step in program)
    pending = sum(prod(shapes[address]) * 4 for address in program.weights if weights.pending(address))
    few = matches(program, [pattern for pattern in FEW if any_match(program, pattern)])
    smaller = sum(kept_bytes(program, shapes, few, precision).values())
    largest = max(kept, key=lambda address: kept[address])
    fit(
        sum(kept.values()) + working + pending,
        f"running {program.name} (weights still to make {size(pending)}, largest step {size(working)}) and keeping "
        f"{len(kept)} values ({size(sum(kept.values()))}, the largest {largest} with {size(kept[largest])})",
        f"keep={list(FEW)} keeps {size(smaller)}; keep less, or run a shorter text or a smaller model",
    )
