"""A plan: the steps of a program, for shapes and values to keep, as calls of kernels on memory laid out once."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from time import perf_counter
from typing import Any, NoReturn

import numpy as np

from byhand.engines import reference
from byhand.engines.cpu.buffers import cut, laid_out
from byhand.engines.cpu.builder import LOWERINGS, Builder, Patch, Resident, Values
from byhand.engines.cpu.fusion import PRODUCTS, Group, grouped, named, stages
from byhand.engines.cpu.kernels.attention import lower_attention
from byhand.engines.cpu.kernels.checking import find_nan
from byhand.engines.cpu.kernels.products import lower_product
from byhand.engines.cpu.team import TICKS, Calls, Team
from byhand.engines.pool import Pool, aligned
from byhand.engines.task import Task, silent
from byhand.errors import NotANumber
from byhand.shapes import Shape

Array = np.ndarray[Any, Any]

WHOLE = {"draw", "argmax"}  # operators whose output is token ids
LOGITS = "logits"  # which a loss reads only in part
WORK_AT_ONCE = 5e9  # operations between two looks at Ctrl-C
MASKS = {"causal", "everything", "reached", "source"}


@dataclass
class Part:
    """Groups that run without a look back at Python: calls first … last-1, or one foreign group; then changes."""

    groups: list[Group] = field(default_factory=list)
    first: int = 0
    last: int = 0
    work: float = 0.0
    changed: tuple[str, ...] = ()
    began: int = 0  # the processor's clock at the start of the last run
    seconds: float = 0.0


class Plan:
    """Made for the steps, shapes and kept values of a task; run it for any task that differs in numbers only."""

    def __init__(self, task: Task, given: Mapping[str, Array | None], weights: Resident, team: Team) -> None:
        self.team, self.lock, self.steps = team, threading.RLock(), tuple(task.steps)
        self.homes: Mapping[str, str] = {}
        self.group(task)
        self.given = {address: prepared(array) for address, array in given.items() if array is not None}
        self.rules = [address for address, array in given.items() if array is None]
        self.masks: dict[str, Array] = {}
        self.made_masks: dict[str, Array] = {}
        self.aliases = aliases(self.groups, task.own)
        self.lay_out(task)
        values = Values(self.arrays, frozenset(self.bound), task.own, self.ends, self.mask)
        self.builder = Builder(values, weights, team.size, task.precision.name == "int8")
        self.parts: list[Part] = [Part()]
        self.ranges: list[tuple[int, int]] = []
        for group, *pair in zip(self.groups, self.stages, [*self.stages, -1][1:], strict=True):
            self.lower(group, task, meet=pair[0] != pair[1])
        self.flag = np.zeros(1, np.int64)
        self.check()
        self.parts[-1].last = len(self.builder.jobs)
        self.calls = Calls(self.builder.jobs, self.builder.meets)
        self.patches: dict[str, list[Patch]] = {}
        for patch in self.builder.patches:
            patch.job.forget(patch.place)
            self.patches.setdefault(patch.address, []).append(patch)

    def group(self, task: Task) -> None:
        """What is computed together, and which of it without waiting for each other; and all shapes."""
        self.groups: list[Any] = [*grouped(task.steps, task.edited)]
        self.stages = stages(self.groups, task.edited)
        self.shapes: dict[str, Shape] = dict(task.shapes())

    # --- memory -------------------------------------------------------------------------------------------------

    def lay_out(self, task: Task) -> None:
        """Give every value that is read by another group, kept or edited its memory."""
        last: dict[str, int] = {}
        born: dict[str, int] = {}
        for stage, group in zip(self.stages, self.groups, strict=True):
            for address in group.writes:
                born.setdefault(self.homes.get(address, address), stage)
            last |= dict.fromkeys((self.homes.get(address, address) for address in group.reads), stage)
        needed = [each for each in born if each in last or each in task.keep or each in task.edited]
        needed = [address for address in needed if address not in self.aliases]
        types = {address: np.int64 if self.whole(address) else np.float32 for address in needed}
        sizes = {each: prod(self.shapes[each]) * np.dtype(types[each]).itemsize for each in needed}
        self.kept = [each for each in needed if each in task.keep]
        inner = {each: size for each, size in sizes.items() if each not in task.keep}
        self.kept_sizes = {each: sizes[each] for each in self.kept}
        ends = {each: max(last.get(each, 0), born[each]) for each in inner}
        places, size = laid_out(inner, born, ends)
        self.types, self.pool, self.work = types, Pool(sum(self.kept_sizes.values())), aligned(max(size, 1))
        self.arrays: dict[str, Array] = dict(self.given)
        for address, place in places.items():
            self.arrays[address] = cut(self.work, place, self.shapes[address], types[address])
        self.first_kept = self.lease()
        self.arrays |= self.first_kept
        self.arrays |= {address: self.given[past] for address, past in self.aliases.items()}
        self.arrays |= {
            address: self.arrays[home].reshape(self.shapes[address]) for address, home in self.homes.items()
        }
        self.bound = {address: weakref.ref(self.arrays[address]) for address in (*self.given, *self.kept)}

    def lease(self) -> dict[str, Array]:
        """Memory for what one run keeps."""
        return {
            address: self.pool.lease(size).view(self.types[address]).reshape(self.shapes[address])
            for address, size in self.kept_sizes.items()
        }

    def whole(self, address: str) -> bool:
        return any(named(step) in WHOLE for step in self.steps if step.address == address)

    @property
    def nbytes(self) -> int:
        """Bytes of the plan's own memory: values on their way and scratch, without what a run keeps."""
        return len(self.work) + sum(map(len, self.builder.kept.values()))

    # --- masks --------------------------------------------------------------------------------------------------

    def ends(self, mask: str) -> tuple[Array, Array | None]:
        """See `Builder.ends`."""
        if mask not in self.masks:
            shape = self.given[mask].shape[:2] if mask in self.given else self.given["positions"].shape
            self.masks[mask] = np.zeros(shape, np.int64)
        full = None if mask in self.rules or contiguous(self.given[mask]) else self.given[mask]
        return self.masks[mask], full

    def mask(self, address: str) -> Array:
        """A mask that was not given, as an array: what each query may see up to its end."""
        self.ends(address)
        if address not in self.made_masks:
            self.made_masks[address] = np.zeros(self.shapes[address], bool)
        self.arrays[address] = self.made_masks[address]
        return self.arrays[address]

    def set_ends(self) -> None:
        """Count how many keys each query may see."""
        for mask, ends_BT in self.masks.items():
            if mask in self.rules:
                np.add(self.given["positions"], 1, out=ends_BT)
            else:
                ends_BT[:] = seen(self.given[mask])
        for mask, allowed_BTS in self.made_masks.items():
            np.less(np.arange(allowed_BTS.shape[-1]), self.masks[mask][:, :, None], out=allowed_BTS)

    # --- building -----------------------------------------------------------------------------------------------

    def lower(self, group: Group, task: Task, meet: bool) -> None:
        """Add the calls of a group, in a part of their own where something has to happen in Python around them.

        meet: whether the next group has to wait for it.
        """
        first = len(self.builder.jobs)
        if group.foreign:
            self.end_part()
            self.parts[-1].groups.append(group)
            self.end_part()
        else:
            self.parts[-1].groups.append(group)
            self.lower_group(group)
            self.builder.meets[-1] = meet
        self.ranges.append((first, len(self.builder.jobs)))
        self.parts[-1].work += work(group, self.shapes)
        changed = tuple(address for address in group.writes if address in task.edited)
        if changed:
            self.parts[-1].changed = changed
        if changed or (meet and self.parts[-1].work > WORK_AT_ONCE):
            self.end_part()
        if changed or group.foreign:
            self.builder.changed()

    def lower_group(self, group: Any) -> None:
        first = group.steps[0]
        if named(first) in PRODUCTS:
            lower_product(self.builder, list(group.steps))
        elif len(group.steps) > 1:
            lower_attention(self.builder, list(group.steps))
        else:
            LOWERINGS[first.operator.name](self.builder, first)

    def end_part(self) -> None:
        part, here = self.parts[-1], len(self.builder.jobs)
        part.last = here
        if part.groups:
            self.parts.append(Part(first=here, last=here))

    def check(self) -> None:
        """Look for NaN in what nobody reads on, where any that was made on the way arrives, and in the logits."""
        read = {read for group in self.groups for read in group.reads}
        for address in self.kept:
            if (address not in read or address == LOGITS) and self.types[address] == np.float32:
                self.builder.call(find_nan, self.arrays[address].reshape(-1), self.flag)

    # --- running ------------------------------------------------------------------------------------------------

    def run(self, task: Task, given: Mapping[str, Array | None]) -> dict[str, Array]:
        """The values to keep. Raises NotANumber, naming the step."""
        with self.lock:
            try:
                kept = self.bind(given)
                self.set_ends()
                self.flag[0] = 0
                for part in self.parts:
                    self.perform(part, task)
                if self.flag[0]:
                    self.refuse_nan(task, kept)
                grown = {a: given[past] for a, past in self.aliases.items() if a in task.keep}
                return kept | {address: array for address, array in grown.items() if array is not None}
            finally:
                self.let_go()

    def perform(self, part: Part, task: Task) -> None:
        """Run one part: its calls, or the one step that has no kernel, and what edits change then."""
        if task.progress is not silent:
            for step in (step for group in part.groups for step in group.steps):
                task.progress(step)
        start = perf_counter()
        part.began = self.team.run(self.calls, part.first, part.last)
        part.seconds = perf_counter() - start
        if part.groups and part.groups[0].foreign:
            self.compute(part.groups[0], task)
        for address in part.changed:
            self.arrays[address][...] = task.change(address, self.arrays[address].copy())

    def bind(self, given: Mapping[str, Array | None]) -> dict[str, Array]:
        """Point the calls at the arrays of this run; those that it will keep."""
        self.given = {}
        for address, array in given.items():
            if array is not None:
                self.given[address] = array if self.bound[address]() is array else prepared(array)
        kept, self.first_kept = self.first_kept or self.lease(), {}
        outer = self.given | kept
        moved = {address: array for address, array in outer.items() if self.bound[address]() is not array}
        self.arrays.update(outer)
        for address, past in self.aliases.items():
            self.arrays[address] = self.given[past]
        if moved:
            self.bound |= dict.fromkeys(moved, lambda: None)  # who is interrupted here points them anew
            for address, array in moved.items():
                start = array.ctypes.data
                for patch in self.patches.get(address, ()):
                    patch.job.point(patch.place, start + patch.offset)
            self.bound |= {address: weakref.ref(array) for address, array in moved.items()}
        return kept

    def let_go(self) -> None:
        """Hold nothing of a run when it is over: its values are its owner's."""
        self.pool.collect()
        self.given = {}
        for address in (*self.bound, *self.aliases):
            self.arrays.pop(address, None)

    def compute(self, group: Group, task: Task) -> None:
        """A step without kernels, by its operator's own NumPy code."""

        def look(address: str) -> Array:
            return self.arrays[address] if address in self.arrays else task.look(address)

        try:
            made = reference.compute(group.steps[0], look, task.precision)
        except NotANumber:
            self.refuse_nan(task, {})
        for address in made.keys() & self.arrays.keys():
            self.arrays[address][...] = made[address]

    def refuse_nan(self, task: Task, kept: Mapping[str, Array]) -> NoReturn:
        """Raise NotANumber, naming the first step that made one, which the reference engine finds."""

        def look(address: str) -> Array:
            return self.mask(address) if address in self.rules else task.look(address)

        for address in self.rules:
            look(address)
        self.set_ends()
        reference.forward(task.steps, look, task.precision, task.keep, task.change, stored=task.stored)
        found = (a for a, array in kept.items() if array.dtype.kind == "f" and np.isnan(array).any())
        address = next(found, "a value")
        raise NotANumber(f"{address} holds NaN, which the reference engine computes nowhere: try engine reference")

    def seconds(self) -> list[float]:
        """How long each group took in the last run."""
        ticks, found = self.calls.table[:, TICKS], []
        starts = {part.first: part for part in self.parts if part.last > part.first}
        before, rate = 0, 0.0
        for first, last in self.ranges:
            if first in starts and last > first:
                part = starts[first]
                before, rate = part.began, part.seconds / max(1, int(ticks[part.last - 1]) - part.began)
            now = int(ticks[last - 1]) if last > first else before
            found.append((now - before) * rate)
            before = now
        return found


def aliases(groups: Sequence[Group], own: frozenset[str]) -> dict[str, str]:
    """The values that are what they are made from, written to: caches that grow in place."""
    steps = [step for group in groups for step in group.steps if named(step) == "append"]
    return {step.address: str(step.reads[0]) for step in steps if step.reads[0] in own}


def work(group: Any, shapes: Mapping[str, Shape]) -> float:
    """Operations of a group."""
    return sum(step.operator.operations(step.sizes(shapes), group.direction, step.absent) for step in group.steps)


def prepared(array: Array) -> Array:
    """An array as kernels read it: float32, whole numbers of 64 bits, or bytes for truth; bfloat16 as its bits.

    A cache may be a piece of a larger array; everything else lies in one piece.
    """
    if array.dtype == bool or array.dtype.name == "bfloat16":
        return np.ascontiguousarray(array) if array.dtype == bool else array.view(np.uint16)
    wanted = np.int64 if array.dtype.kind in "iu" and array.dtype != np.uint16 else np.float32
    if array.dtype == np.uint16:
        return array
    whole_rows = array.ndim == 0 or array.shape[-1] < 2 or array.strides[-1] == array.itemsize
    return (
        array
        if array.dtype == wanted and (array.flags.c_contiguous or (array.ndim == 4 and whole_rows))
        else (np.ascontiguousarray(array, wanted))
    )


def seen(mask_BTS: Array) -> Array:
    """How many keys there are up to the last that may be seen."""
    S = mask_BTS.shape[-1]
    return np.where(mask_BTS.any(-1), S - mask_BTS[..., ::-1].argmax(-1), 0)


def contiguous(mask_BTS: Array) -> bool:
    """Whether every key before the last visible one may be seen too."""
    return bool((np.count_nonzero(mask_BTS, axis=-1) == seen(mask_BTS)).all())
