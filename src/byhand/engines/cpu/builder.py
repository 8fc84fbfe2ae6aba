"""What a lowering builds with: the arrays of a plan, its weights, its scratch memory, and its calls.

A lowering is a function that turns a step into calls of kernels. It stands beside its kernels::

    @lowers("relu")
    def lower_relu(b: Builder, step: Step) -> None:
        b.call(relu, flat(b.array(step.names["x"])), flat(b.out(step.address)))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from byhand.engines.cpu.buffers import cut
from byhand.engines.cpu.kernel import Job, Kernel
from byhand.engines.cpu.matrix import Matrix, matrix
from byhand.engines.pool import aligned
from byhand.program import Step
from byhand.weights import Weights

Array = np.ndarray[Any, Any]
Lowering = Callable[["Builder", Step], None]

LOWERINGS: dict[str, Lowering] = {}


def lowers(*operators: str) -> Callable[[Lowering], Lowering]:
    """Say that a function turns a step of these operators into calls of kernels."""

    def enter(lowering: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(operators, lowering))
        return lowering

    return enter


class Resident:
    """The weights of one model as kernels read them, shared by all of its plans."""

    def __init__(self, weights: Weights) -> None:
        self.sources = Weights.__new__(Weights)
        self.sources.sources = weights.sources  # not the object itself, which would then never go
        self.matrices: dict[tuple[str, int, bool], Matrix] = {}
        self.vectors: dict[str, Array] = {}

    def matrix(self, address: str, axes_in: int, table: bool) -> Matrix:
        key = (address, axes_in, table)
        if key not in self.matrices:
            self.matrices[key] = matrix(self.sources, address, axes_in, table)
        return self.matrices[key]

    def vector(self, address: str) -> Array:
        if address not in self.vectors:
            self.vectors[address] = np.ascontiguousarray(self.sources[address], np.float32)
        return self.vectors[address]


@dataclass
class Values:
    """The arrays of a plan by address. outer: those that lie outside the plan's own memory, and may lie elsewhere in
    the next run; ends: for a mask, how many keys each query may see, and the mask if that does not say all; mask: makes
    one that was not given since it only follows its rule.
    """

    arrays: dict[str, Array]
    outer: frozenset[str]
    own: frozenset[str]
    ends: Callable[[str], tuple[Array, Array | None]]
    mask: Callable[[str], Array]


class Adding(int):
    """An argument of a call that says whether it adds to a parameter's gradient: it does from the second batch on."""


@dataclass(frozen=True)
class Patch:
    """An argument that points into memory which another run may have elsewhere: so many bytes behind its beginning."""

    job: Job
    place: int
    address: str
    offset: int


@dataclass
class Builder:
    """What lowerings ask for the arrays they work on, and tell their calls to.

    threads: how many will share the work; int8: whether products with weights in blocks may round what they read.
    """

    values: Values
    weights: Resident
    threads: int
    int8: bool
    jobs: list[Job] = field(default_factory=list)
    meets: list[bool] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    adding: list[tuple[Job, int]] = field(default_factory=list)
    kept: dict[str, Array] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    # --- arrays -------------------------------------------------------------------------------------------------

    def array(self, address: str) -> Array:
        """The array of a value that is there: an input, or what an earlier group made."""
        return self.values.arrays[address] if address in self.values.arrays else self.values.mask(address)

    def out(self, address: str) -> Array | None:
        """Where a value is to be written; None where nobody needs it."""
        return self.values.arrays.get(address)

    def vector(self, address: str) -> Array:
        """A small weight as float32, in its own shape."""
        return self.weights.vector(address)

    def matrix(self, address: str, axes_in: int = 1, table: bool = False) -> Matrix:
        """A weight as a product reads it, see `matrix.matrix`."""
        return self.weights.matrix(address, axes_in, table)

    def ends(self, mask: str) -> tuple[Array, Array | None]:
        """How many keys each query [B,T] may look at, and the mask [B,T,S] where it hides some of these."""
        return self.values.ends(mask)

    def in_place(self, past: str) -> bool:
        """Whether a cache may be written to."""
        return past in self.values.own

    def scratch(self, name: str, shape: Sequence[int], dtype: Any) -> Array:
        """Memory that holds anything, the same for all who ask with this name; 64-byte aligned.

        A larger one takes the place of a smaller one, which its earlier users keep.
        """
        size = prod(shape) * np.dtype(dtype).itemsize
        if name not in self.kept or len(self.kept[name]) < size:
            self.kept[name] = aligned(max(size, 64))
            self.held.pop(name, None)
        return cut(self.kept[name], 0, shape, dtype)

    def holds(self, name: str, address: str) -> bool:
        """Whether scratch memory still holds what was made of a value; it is taken to do so from now on."""
        before = self.held.get(name)
        self.held[name] = address
        return before == address

    def first_use(self, name: str) -> bool:
        """Whether this is asked for the first time since a value was last changed from outside."""
        new = name not in self.used
        self.used.add(name)
        return new

    def changed(self) -> None:
        """A value was changed from outside: nothing made of it before holds."""
        self.held.clear()
        self.used.clear()

    # --- calls --------------------------------------------------------------------------------------------------

    def call(self, kernel: Kernel, *arguments: Any, meet: bool = True) -> None:
        """Add a call. meet: whether the next call needs all of what this one makes."""
        plain = [
            each.view(np.uint8) if isinstance(each, np.ndarray) and each.dtype == bool else each for each in arguments
        ]
        job = Job(kernel, *plain)
        self.jobs.append(job)
        self.meets.append(meet)
        for place, argument in enumerate(plain):
            if isinstance(argument, np.ndarray):
                self.note(job, place, argument)
            elif isinstance(argument, Adding):
                self.adding.append((job, place))

    def note(self, job: Job, place: int, argument: Array) -> None:
        """Remember which arguments lie in memory that is not the plan's own."""
        start = argument.ctypes.data
        for address in self.values.outer:
            whole = self.values.arrays[address]
            if whole is argument or whole is argument.base or (whole.base is not None and whole.base is argument.base):
                first = whole.ctypes.data
                if first <= start < first + max(1, span(whole)):
                    self.patches.append(Patch(job, place, address, start - first))
                    return


def span(array: Array) -> int:
    """Bytes from the first to behind the last number of an array."""
    return sum((n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)) + array.itemsize
