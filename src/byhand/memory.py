"""Will it fit? Asked before anything is computed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from math import prod
from typing import Any

from byhand.addresses import any_match, matches
from byhand.engines import REFERENCE, Engine
from byhand.engines.reference import Precision
from byhand.errors import MemoryRefused
from byhand.program import Program, Shape, Step
from byhand.weights import Weights

ALWAYS_KEPT = {"logits", "losses", "loss"}
FEW = ("blocks.*.out", "logits")


# Files with a container's limit, what it uses, and what that is made of, in the second and first version of cgroups.
CONTAINER = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    *[tuple(f"/sys/fs/cgroup/memory/memory.{name}" for name in ("limit_in_bytes", "usage_in_bytes", "stat"))],
)


def available() -> int:
    """Bytes that can be used without swapping, also inside a container."""
    import psutil  # not needed to import byhand

    free = psutil.virtual_memory().available
    for limit, used, made_of in CONTAINER:
        most, now = number_in(limit), number_in(used)
        if most is not None and now is not None:
            # files read lately count as used, but the system takes their space back when it is needed
            free = min(free, max(most - now + number_in(made_of, "inactive_file", default=0), 0))
    return free


def number_in(path: str, name: str = "", default: Any = None) -> Any:
    """The number in a file, or after a name in it; the default where there is none (as when it says "max")."""
    try:
        with open(path) as file:
            words = file.read().split()
        return int(words[words.index(name) + 1 if name else 0])
    except (OSError, ValueError, IndexError):
        return default


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


def value_bytes(program: Program, shapes: Mapping[str, Shape], precision: Precision) -> dict[str, int]:
    """Bytes that each value takes, by address."""
    wide, kept = precision.computed.itemsize, precision.kept.itemsize
    return {
        address: prod(shapes[address]) * (wide if step.operator.wide or address != step.address else kept)
        for address, step in program.producer.items()
    }


def alive_bytes(steps: Sequence[Step], sizes: Mapping[str, int], keep: Collection[str]) -> int:
    """The most bytes that values take at one time, beyond those that are kept: each until its last reader."""
    last = {read: step for step in steps for read in step.reads}
    alive: dict[str, int] = {}
    most = 0
    for step in steps:
        alive |= {address: sizes[address] for address in step.writes.values() if address not in keep}
        most = max(most, sum(alive.values()))
        alive = {address: size for address, size in alive.items() if last.get(address, step) is not step}
    return most


def working_bytes(
    steps: Sequence[Step], shapes: Mapping[str, Shape], precision: Precision, sizes: Mapping[str, int] | None = None
) -> int:
    """Bytes that the largest step takes for what it reads and writes, in the precision it computes in.

    sizes: of values; one of 0 bytes is never in memory.
    """
    there = {} if sizes is None else sizes
    used = (step.writes if step.operator.picks else step.names for step in steps)
    numbers = (sum(prod(shapes[name]) for name in names.values() if there.get(name, 1)) for names in used)
    return max(numbers, default=0) * precision.computed.itemsize


def refuse_too_large(
    program: Program,
    shapes: Mapping[str, Shape],
    keep: Collection[str],
    precision: Precision,
    weights: Weights,
    engine: Engine = REFERENCE,
) -> None:
    """Raise MemoryRefused if the kept values, those that pass, the largest step and the weights to make do not fit."""
    sizes = value_bytes(program, shapes, precision)
    pending = sum(prod(shapes[address]) * 4 for address in program.weights if weights.pending(address))
    sizes |= dict.fromkeys(engine.inner(program.steps, keep), 0)
    kept = {address: size for address, size in sizes.items() if address in keep}
    working = alive_bytes(program.steps, sizes, keep) + working_bytes(program.steps, shapes, precision, sizes)
    to_make = f"weights still to make {size(pending)}, " if pending else ""
    few = [pattern for pattern in FEW if any_match(program, pattern)]
    smaller = sum(sizes[address] for address in matches(program, few))
    largest = max(kept, key=lambda address: kept[address], default="nothing")
    fit(
        sum(kept.values()) + working + pending,
        f"running {program.name} ({to_make}working space {size(working)}) and keeping "
        f"{len(kept)} values ({size(sum(kept.values()))}, the largest {largest} with {size(kept.get(largest, 0))})",
        at_once(program, shapes, keep, precision, available() - pending)
        + (
            f"keep={few} keeps {size(smaller)}; keep less, or run a shorter text or a smaller model"
            if smaller + working + pending <= available()
            else "run a shorter text or a smaller model; tables and pseudocode of this one need no memory"
        ),
    )


def at_once(
    program: Program, shapes: Mapping[str, Shape], keep: Collection[str], precision: Precision, free: int
) -> str:
    """How many of these texts would fit at once, in words; nothing where all do or not even one."""
    lengths = program.lengths(shapes)
    B, T = lengths["B"], lengths["T"]

    def too_large(count: int) -> bool:
        fewer = program.shapes(**lengths | {"B": count})
        sizes = value_bytes(program, fewer, precision)
        kept = sum(sizes[address] for address in sizes if address in keep)
        working = alive_bytes(program.steps, sizes, keep) + working_bytes(program.steps, fewer, precision)
        return kept + working > free

    fitting = 0 if B == 1 else B if not too_large(B) else bisect_left(range(1, B), True, key=too_large)
    return f"run at most {fitting} text{'s'[: fitting > 1]} of {T} tokens at once; " if 0 < fitting < B else ""


def refuse_edit(
    program: Program, shapes: Mapping[str, Shape], again: Collection[str], precision: Precision, changed: str
) -> None:
    """Raise MemoryRefused if what an edit computes again, and the copy of what it changes, do not fit."""
    sizes = value_bytes(program, shapes, precision)
    copy = prod(shapes[changed]) * 8
    need = sum(sizes[address] for address in again) + copy + working_bytes(program.steps, shapes, precision)
    fit(
        need,
        f"computing {len(again)} values again after an edit of {changed}",
        "run with a shorter keep=[...] and edit that",
    )


def refuse_gradients(
    program: Program,
    shapes: Mapping[str, Shape],
    steps: Sequence[Step],
    missing: Collection[str],
    precision: Precision,
) -> None:
    """Raise MemoryRefused if the gradients of all that these steps read, and the values still missing, do not fit."""
    values = value_bytes(program, shapes, precision)
    numbers = {address: prod(shapes[address]) for step in steps for address in step.gradients.values()}
    need = sum(numbers.values()) * precision.kept.itemsize + sum(values[address] for address in missing)
    need += 2 * working_bytes(steps, shapes, precision)
    fit(
        need,
        f"the backward run of {program.name} with {len(numbers)} gradients",
        "run a shorter text or a smaller model",
    )
