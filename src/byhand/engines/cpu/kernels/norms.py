"""Bringing every row to a standard size. A row is read three times at most, and stays in the nearest cache between."""

from __future__ import annotations

import numpy as np
from numba import float32

from byhand.engines.cpu.builder import Array, Builder, lowers
from byhand.engines.cpu.kernel import array, exact, function, given, kernel, real, take, whole
from byhand.engines.cpu.kernels.elementwise import ONE, STRETCH, ZERO
from byhand.program import Step
from byhand.shapes import Shape

# Sums over row n of the job's first array. They may be added up in any order, so the compiler adds many at a time; the
# order follows from the length of the row alone.


@function
def mean_of(job, n):
    x_ND, total = array(job, 0, float32, 2), ZERO
    for d in range(x_ND.shape[1]):
        total += x_ND[n, d]
    return total / float32(x_ND.shape[1])


@function
def mean_square_of(job, n, middle):
    """The mean of (x - middle)²."""
    x_ND, total = array(job, 0, float32, 2), ZERO
    for d in range(x_ND.shape[1]):
        total += (x_ND[n, d] - middle) * (x_ND[n, d] - middle)
    return total / float32(x_ND.shape[1])


@exact
def reciprocal_root(square, eps):
    return ONE / np.sqrt(square + eps)


@kernel
def layer_normalization(job, me):
    x_ND, gain_D, out_ND = array(job, 0, float32, 2), array(job, 1, float32, 1), array(job, 3, float32, 2)
    eps, each, D = float32(real(job, 6)), whole(job, 7), x_ND.shape[1]
    start = take(job, each)
    while start < len(x_ND):
        for n in range(start, min(start + each, len(x_ND))):
            mean = mean_of(job, n)
            rstd = reciprocal_root(mean_square_of(job, n, mean), eps)
            for d in range(D):
                out_ND[n, d] = (x_ND[n, d] - mean) * rstd * gain_D[d]
            if given(job, 2):
                shift_D = array(job, 2, float32, 1)
                for d in range(D):
                    out_ND[n, d] += shift_D[d]
            if given(job, 4):
                array(job, 4, float32, 1)[n] = mean
            if given(job, 5):
                array(job, 5, float32, 1)[n] = rstd
        start = take(job, each)


@kernel
def root_mean_square_normalization(job, me):
    x_ND, gain_D, out_ND = array(job, 0, float32, 2), array(job, 1, float32, 1), array(job, 2, float32, 2)
    eps, each = float32(real(job, 4)), whole(job, 5)
    start = take(job, each)
    while start < len(x_ND):
        for n in range(start, min(start + each, len(x_ND))):
            rstd = reciprocal_root(mean_square_of(job, n, ZERO), eps)
            for d in range(x_ND.shape[1]):
                out_ND[n, d] = x_ND[n, d] * rstd * gain_D[d]
            if given(job, 3):
                array(job, 3, float32, 1)[n] = rstd
        start = take(job, each)


def rows(array: Array) -> Array:
    """[B,T,D] as [N,D]."""
    return array.reshape(-1, array.shape[-1])


def rows_at_once(width: int) -> int:
    """How many rows a thread takes at a time."""
    return max(1, STRETCH // width)


def side(b: Builder, step: Step, name: str) -> Array | None:
    """Where a value for each row is to be written, if anywhere."""
    out = b.out(step.names[name])
    return None if out is None else out.reshape(-1)


def wanted(b: Builder, address: str, shape: Shape) -> Array:
    """Where a value is to be written: where nobody looks if nobody wants it."""
    out = b.out(address)
    return b.scratch("unwanted", shape, np.float32) if out is None else out.reshape(shape)


@lowers("layer_norm")
def lower_layer_norm(b: Builder, step: Step) -> None:
    x_ND = rows(b.array(step.names["x"]))
    out_ND = wanted(b, step.address, x_ND.shape)
    shift_D = b.vector(step.names["shift"]) if "shift" in step.names else None
    sides = side(b, step, "mean"), side(b, step, "rstd")
    eps, each = setting(step, "eps"), rows_at_once(x_ND.shape[1])
    b.call(layer_normalization, x_ND, b.vector(step.names["gain"]), shift_D, out_ND, *sides, eps, each)


@lowers("rms_norm")
def lower_rms_norm(b: Builder, step: Step) -> None:
    x_ND = rows(b.array(step.names["x"]))
    out_ND = wanted(b, step.address, x_ND.shape)
    eps, each = setting(step, "eps"), rows_at_once(x_ND.shape[1])
    gain_D, rstd_N = b.vector(step.names["gain"]), side(b, step, "rstd")
    b.call(root_mean_square_normalization, x_ND, gain_D, out_ND, rstd_N, eps, each)


def setting(step: Step, name: str) -> float:
    """A setting of a step, or what the operator takes where the step says nothing."""
    return float(step.attributes.get(name, step.operator.settings[name]))
