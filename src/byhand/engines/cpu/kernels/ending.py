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
from byhand.engines.cpu.simd import LANES, load, load_some, store, store_some

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
    made_NM, active_NM = array(job, 4, float32, 2), array(job, 5, float32, 2)
    if given(job, 0):
        add_bias(job, n0, n1, m0, m1)
    if made_NM.ctypes.data != active_NM.ctypes.data:
        for n in range(n0, n1):
            for m in range(m0, m1, LANES):
                put(active_NM, n, m, m1, get(made_NM, n, m, m1))
    activate(job, n0, n1, m0, m1)
    multiply(job, n0, n1, m0, m1)
    add(job, n0, n1, m0, m1)


@exact
def get(array_NM, n, m, m1):
    """LANES numbers, or those before m1."""
    return load(array_NM, (n, m)) if m + LANES <= m1 else load_some(array_NM, (n, m), m1 - m)


@exact
def put(array_NM, n, m, m1, numbers):
    if m + LANES <= m1:
        store(array_NM, (n, m), numbers)
    else:
        store_some(array_NM, (n, m), numbers, 1, m1 - m)


@exact
def add_bias(job, n0, n1, m0, m1):
    made_NM, bias_M = array(job, 4, float32, 2), array(job, 0, float32, 1)
    for m in range(m0, m1, LANES):
        bias = load(bias_M, m) if m + LANES <= m1 else load_some(bias_M, m, m1 - m)
        for n in range(n0, n1):
            put(made_NM, n, m, m1, get(made_NM, n, m, m1) + bias)


@exact
def activate(job, n0, n1, m0, m1):
    """In place. Every activation has a loop from 0 to a length, for then the compiler makes vector code of it."""
    code, active_NM = whole(job, 1), array(job, 5, float32, 2)
    for n in range(n0, n1 if code else n0):
        active_M = active_NM[n, m0:m1]
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
def multiply(job, n0, n1, m0, m1):
    active_NM, scaled_NM = array(job, 5, float32, 2), array(job, 6, float32, 2)
    if given(job, 2):
        factor_NM = array(job, 2, float32, 2)
        for n in range(n0, n1):
            for m in range(m0, m1, LANES):
                put(scaled_NM, n, m, m1, get(active_NM, n, m, m1) * get(factor_NM, n, m, m1))
    elif active_NM.ctypes.data != scaled_NM.ctypes.data:
        for n in range(n0, n1):
            for m in range(m0, m1, LANES):
                put(scaled_NM, n, m, m1, get(active_NM, n, m, m1))


@exact
def add(job, n0, n1, m0, m1):
    scaled_NM, out_NM = array(job, 6, float32, 2), array(job, 7, float32, 2)
    if given(job, 3):
        addend_NM = array(job, 3, float32, 2)
        for n in range(n0, n1):
            for m in range(m0, m1, LANES):
                put(out_NM, n, m, m1, get(scaled_NM, n, m, m1) + get(addend_NM, n, m, m1))
    elif scaled_NM.ctypes.data != out_NM.ctypes.data:
        for n in range(n0, n1):
            for m in range(m0, m1, LANES):
                put(out_NM, n, m, m1, get(scaled_NM, n, m, m1))
