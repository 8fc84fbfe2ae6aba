"""Kernels, and jobs for them: a kernel is a compiled function that every thread of a team runs on the same job.

A kernel reads its arguments from the job by their place, takes stretches of the work until none is left, and returns::

    @kernel
    def double(job, me):
        x_N, out_N = array(job, 0, float32, 1), array(job, 1, float32, 1)
        start = take(job, 1024)
        while start < len(x_N):
            for n in range(start, min(start + 1024, len(x_N))):
                out_N[n] = 2 * x_N[n]
            start = take(job, 1024)

    Job(double, x_N, out_N)

All kernels have this one signature, so a plan is a table of addresses, and each is compiled and cached by itself. With
NUMBA_DISABLE_JIT=1 they are ordinary Python functions, run by one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numba
import numpy as np

from byhand.engines.cpu.compiling import cache
from byhand.engines.cpu.simd import COMPILED, array, given, real, take, whole

Array = np.ndarray[Any, Any]

__all__ = ["Job", "Kernel", "array", "exact", "function", "given", "inlined", "kernel", "real", "take", "whole"]

WORDS = 8  # of an argument: its address, up to four sizes, up to three strides; the first words are the job's own
MOST_AXES = 4
KERNELS: dict[str, Kernel] = {}


class Kernel:
    """A function that becomes machine code when its address is first asked for, or comes from the cache."""

    def __init__(self, body: Callable[[Any, int], None]) -> None:
        self.body, self.name = body, body.__name__
        self.__doc__ = body.__doc__
        assert self.name not in KERNELS, f"two kernels are called {self.name}"
        KERNELS[self.name] = self

    @cached_property
    def compiled(self) -> Any:
        with cache(self.body):
            return numba.cfunc("void(intp, intp)", cache=True)(self.body)

    def make(self) -> bool:
        """Compile it, or find it in the cache; whether it had to be compiled."""
        return not self.compiled.cache_hits

    @property
    def ready(self) -> bool:
        """Whether asking for the address takes no time any more in this process."""
        return not COMPILED or "compiled" in vars(self)

    @property
    def address(self) -> int:
        return self.compiled.address

    def __repr__(self) -> str:
        return f"<kernel {self.name}>"


def kernel(body: Callable[[Any, int], None]) -> Kernel:
    """Make a kernel of ``body(job, me)``; me is the number of the thread."""
    return Kernel(body)


def function(body: Callable[..., Any]) -> Any:
    """A compiled function for kernels to call. It becomes part of each kernel that calls it."""
    # NaN and infinity do occur (masks are -inf), so the compiler is not told otherwise
    return numba.njit(body, fastmath={"contract", "reassoc", "arcp", "nsz"}, error_model="numpy")


def exact(body: Callable[..., Any]) -> Any:
    """As `function`, but every operation rounds by itself: the same bits wherever it is compiled into."""
    return numba.njit(body, error_model="numpy")


def inlined(body: Callable[..., Any]) -> Any:
    """As `exact`, and made a part of its caller: there the compiler sees that rows lie in one piece."""
    return numba.njit(body, error_model="numpy", forceinline=True)


class Job:
    """A kernel and the arguments of one call: arrays, None for an optional one that is absent, and numbers."""

    def __init__(self, kernel: Kernel, *arguments: Any) -> None:
        self.kernel, self.arguments = kernel, list(arguments)
        self.words = np.zeros((len(arguments) + 1) * WORDS, np.int64)
        for place, argument in enumerate(arguments, start=1):
            words = self.words[place * WORDS : (place + 1) * WORDS]
            if isinstance(argument, np.ndarray):
                words[: 1 + argument.ndim] = argument.ctypes.data, *argument.shape
                words[1 + MOST_AXES : MOST_AXES + max(1, argument.ndim)] = argument.strides[:-1]
                contiguous = argument.ndim == 0 or argument.shape[-1] < 2 or argument.strides[-1] == argument.itemsize
                assert contiguous, f"{kernel.name}: argument {place - 1} is not contiguous in its last axis"
            elif isinstance(argument, float | np.floating):
                words.view(np.float64)[0] = argument
            elif argument is not None:
                words[0] = argument

    def forget(self, place: int) -> None:
        """Do not keep an array among the arguments alive; who calls then says where it lies, see `point`."""
        if COMPILED:
            self.arguments[place] = None

    def point(self, place: int, address: int) -> None:
        """Let an array among the arguments lie at another address of memory."""
        self.words[(place + 1) * WORDS] = address

    def set(self, place: int, number: int) -> None:
        """Give a whole number among the arguments another value."""
        self.arguments[place] = self.words[(place + 1) * WORDS] = number

    @property
    def address(self) -> int:
        return self.words.ctypes.data

    def __repr__(self) -> str:
        return f"<job of {self.kernel.name}>"
