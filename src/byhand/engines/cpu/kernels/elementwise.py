"""What happens to each number by itself, and to pairs of numbers at the same place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float32

from byhand.engines.cpu import simd
from byhand.engines.cpu.builder import Builder, lowers
from byhand.engines.cpu.kernel import array, exact, kernel, real, take, whole
from byhand.engines.cpu.simd import erf, logistic
from byhand.program import Step

Array = np.ndarray[Any, Any]

STRETCH = 4096  # numbers that a thread takes at a time: enough that sharing the work costs nothing
GELU_TANH, GELU_ERF, RELU, SILU, TANH = range(1, 6)
ACTIVATIONS = {"gelu_tanh": GELU_TANH, "gelu_erf": GELU_ERF, "relu": RELU, "silu": SILU, "tanh": TANH}

ZERO, HALF, ONE, NAN = np.float32(0), np.float32(0.5), np.float32(1), np.float32(math.nan)
SQRT_2_OVER_PI, SQRT_HALF = np.float32(math.sqrt(2 / math.pi)), np.float32(math.sqrt(0.5))
CUBIC = np.float32(0.044715)


# The activations of one number: float32 throughout and without branches, so that loops over them become vector code.


@exact
def gelu_tanh(x):
    return HALF * x * (ONE + simd.tanh(SQRT_2_OVER_PI * (x + CUBIC * (x * x * x))))


@exact
def gelu_erf(x):
    return x * (HALF * (ONE + erf(x * SQRT_HALF)))


@exact
def relu(x):
    return ZERO if x < ZERO else x  # a NaN stays


@exact
def silu(x):
    return x * logistic(x)


@exact
def tanh(x):
    return simd.tanh(x)


@exact
def quotient(x, y):
    """In a kernel itself a division would look for a zero first, as Python does, and not become vector code."""
    return x / y


# A loop goes from 0 to the length of a stretch, in the function that reads the job: only there does the compiler know
# that no index is negative and that neighbours lie side by side, which is what it needs to make vector code.


@kernel
def activation(job, me):
    x_N, code, out_N = array(job, 0, float32, 1), whole(job, 1), array(job, 2, float32, 1)
    start = take(job, STRETCH)
    while start < len(x_N):
        part_N, made_N = x_N[start : start + STRETCH], out_N[start : start + STRETCH]
        if code == GELU_TANH:
            for n in range(len(part_N)):
                made_N[n] = gelu_tanh(part_N[n])
        elif code == GELU_ERF:
            for n in range(len(part_N)):
                made_N[n] = gelu_erf(part_N[n])
        elif code == RELU:
            for n in range(len(part_N)):
                made_N[n] = relu(part_N[n])
        elif code == SILU:
            for n in range(len(part_N)):
                made_N[n] = silu(part_N[n])
        elif code == TANH:
            for n in range(len(part_N)):
                made_N[n] = tanh(part_N[n])
        start = take(job, STRETCH)


@kernel
def multiplication(job, me):
    x_N, y_N, out_N = array(job, 0, float32, 1), array(job, 1, float32, 1), array(job, 2, float32, 1)
    start = take(job, STRETCH)
    while start < len(x_N):
        end = start + STRETCH
        one_N, other_N, made_N = x_N[start:end], y_N[start:end], out_N[start:end]
        for n in range(len(one_N)):
            made_N[n] = one_N[n] * other_N[n]
        start = take(job, STRETCH)


@kernel
def addition(job, me):
    x_N, y_N, out_N = array(job, 0, float32, 1), array(job, 1, float32, 1), array(job, 2, float32, 1)
    start = take(job, STRETCH)
    while start < len(x_N):
        end = start + STRETCH
        one_N, other_N, made_N = x_N[start:end], y_N[start:end], out_N[start:end]
        for n in range(len(one_N)):
            made_N[n] = one_N[n] + other_N[n]
        start = take(job, STRETCH)


@kernel
def scaling(job, me):
    x_N, factor, out_N = array(job, 0, float32, 1), float32(real(job, 1)), array(job, 2, float32, 1)
    start = take(job, STRETCH)
    while start < len(x_N):
        part_N, made_N = x_N[start : start + STRETCH], out_N[start : start + STRETCH]
        for n in range(len(part_N)):
            made_N[n] = part_N[n] * factor
        start = take(job, STRETCH)


def made(b: Builder, step: Step) -> Array:
    """Where the output of a step goes that makes nothing else: somebody wants it."""
    out = b.out(step.address)
    assert out is not None
    return out


def flat(b: Builder, step: Step, *names: str) -> list[Array]:
    """The inputs of these names and the main output, each as one long row."""
    return [*(b.array(step.names[name]).reshape(-1) for name in names), made(b, step).reshape(-1)]


@lowers(*ACTIVATIONS)
def lower_activation(b: Builder, step: Step) -> None:
    x_N, out_N = flat(b, step, "x")
    b.call(activation, x_N, ACTIVATIONS[step.operator.name], out_N)


@lowers("multiply")
def lower_multiply(b: Builder, step: Step) -> None:
    b.call(multiplication, *flat(b, step, "x", "y"))


@lowers("add")
def lower_add(b: Builder, step: Step) -> None:
    b.call(addition, *flat(b, step, "x", "y"))


@lowers("scale")
def lower_scale(b: Builder, step: Step) -> None:
    x_N, out_N = flat(b, step, "x")
    b.call(scaling, x_N, float(step.attributes["factor"]), out_N)
