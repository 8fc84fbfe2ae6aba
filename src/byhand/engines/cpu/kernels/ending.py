"""What follows a product of matrices in the same call, on numbers that are still in the processor's caches.

A bias, an activation, a factor (the gate of a feed-forward) and an addend (the residual stream), each of them optional.
Every stage rounds by itself, so the bits are those of the separate operators. A kernel that makes a product has all
this at places 0 to 7 of its job and its own arguments from `OWN` on; it writes the bare product to `made_NM` and calls
`finish` on that part. Where nobody wants a value in between, it is the same memory as the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import float32

from byhand.engines.cpu.kernel import array, exact, given, whole
from byhand.engines.cpu.kernels.elementwise import (
    GELU_ERF,
    GELU_TANH,
    RELU,
    SILU,
    TANH,
    gelu_erf,
    gelu_tanh,
    relu,
    silu,
    tanh,
)

Array = np.ndarray[Any, Any]

OWN = 8


@dataclass(frozen=True, eq=False)
class Ending:
    """The first arguments of a product's job, in their order. N rows, M columns; M of the bias alone."""

    bias_M: Array | None
    activation: int
    factor_NM: Array | None
    addend_NM: Array | None
    made_NM: Array
    active_NM: Array
    scaled_NM: Array
    out_NM: Array

    @property
    def arguments(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


@exact
def finish(job, n0, n1, m0, m1):
    """Carry rows n0 … n1-1, columns m0 … m1-1 of the bare product in made_NM on to out_NM."""
    for n in range(n0, n1):
        if given(job, 0):
            add_bias(job, n, m0, m1)
        activate(job, n, m0, m1)
        multiply(job, n, m0, m1)
        add(job, n, m0, m1)


# Each stage reads the job by itself: a loop becomes vector code only where the compiler sees that neighbours lie side
# by side. It works in place, for if two arrays turn out to be one, the loop would go number by number.


@exact
def add_bias(job, n, m0, m1):
    made_M, bias_M = array(job, 4, float32, 2)[n, m0:m1], array(job, 0, float32, 1)[m0:m1]
    for m in range(len(made_M)):
        made_M[m] = made_M[m] + bias_M[m]


@exact
def activate(job, n, m0, m1):
    made_M, active_M = array(job, 4, float32, 2)[n, m0:m1], array(job, 5, float32, 2)[n, m0:m1]
    if made_M.ctypes.data != active_M.ctypes.data:
        for m in range(len(made_M)):
            active_M[m] = made_M[m]
    code = whole(job, 1)
    if code == GELU_TANH:
        for m in range(len(active_M)):
            active_M[m] = gelu_tanh(active_M[m])
    elif code == GELU_ERF:
        for m in range(len(active_M)):
            active_M[m] = gelu_erf(active_M[m])
    elif code == RELU:
        for m in range(len(active_M)):
            active_M[m] = relu(active_M[m])
    elif code == SILU:
        for m in range(len(active_M)):
            active_M[m] = silu(active_M[m])
    elif code == TANH:
        for m in range(len(active_M)):
            active_M[m] = tanh(active_M[m])


@exact
def multiply(job, n, m0, m1):
    active_M, scaled_M = array(job, 5, float32, 2)[n, m0:m1], array(job, 6, float32, 2)[n, m0:m1]
    if active_M.ctypes.data != scaled_M.ctypes.data:
        for m in range(len(active_M)):
            scaled_M[m] = active_M[m]
    if given(job, 2):
        factor_M = array(job, 2, float32, 2)[n, m0:m1]
        for m in range(len(scaled_M)):
            scaled_M[m] = scaled_M[m] * factor_M[m]


@exact
def add(job, n, m0, m1):
    scaled_M, out_M = array(job, 6, float32, 2)[n, m0:m1], array(job, 7, float32, 2)[n, m0:m1]
    if scaled_M.ctypes.data != out_M.ctypes.data:
        for m in range(len(scaled_M)):
            out_M[m] = scaled_M[m]
    if given(job, 3):
        addend_M = array(job, 3, float32, 2)[n, m0:m1]
        for m in range(len(out_M)):
            out_M[m] = out_M[m] + addend_M[m]
