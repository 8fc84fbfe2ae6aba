"""The way back through what happens to each number by itself, and to pairs of numbers at the same place."""

from __future__ import annotations

import math

import numpy as np
from numba import float32

from byhand.engines.cpu.builder import Array, Builder
from byhand.engines.cpu.kernel import array, exact, given, inlined, kernel, real, take, whole
from byhand.engines.cpu.kernels.elementwise import (
    ACTIVATIONS,
    CUBIC,
    GELU_ERF,
    GELU_TANH,
    HALF,
    ONE,
    RELU,
    SILU,
    SQRT_2_OVER_PI,
    SQRT_HALF,
    STRETCH,
    TANH,
    ZERO,
)
from byhand.engines.cpu.reversal import Gradients, Place, reverses
from byhand.engines.cpu.simd import erf, exp, logistic
from byhand.program import Step

TWO, TRIPLE_CUBIC = np.float32(2), np.float32(3 * 0.044715)
DENSITY_OF_0 = np.float32(1 / math.sqrt(2 * math.pi))


# How fast the activations rise at one number: at x, but for tanh, which is told its own output as the operator's
# backward is. Float32 throughout and without branches, so that loops over them become vector code.


@exact
def gelu_tanh_slope(x):
    """Of x * share with share = 1 / (1 + e^-2u), which is (1 + tanh(u)) / 2. Of e^2u and e^-2u the small one is made,
    so that nothing cancels.
    """
    u = SQRT_2_OVER_PI * (x + CUBIC * (x * x * x))
    small = exp(-TWO * abs(u))
    large_share = ONE / (ONE + small)
    small_share = small * large_share
    share = small_share if u < ZERO else large_share
    rise_of_u = SQRT_2_OVER_PI * (ONE + TRIPLE_CUBIC * (x * x))
    return share + x * (TWO * large_share * small_share) * rise_of_u


@exact
def gelu_erf_slope(x):
    """The share of a normal distribution below x, and x times its density at x."""
    return HALF * (ONE + erf(x * SQRT_HALF)) + x * (exp(-HALF * (x * x)) * DENSITY_OF_0)


@exact
def relu_slope(x):
    return ONE if x > ZERO else ZERO


@exact
def silu_slope(x):
    share = logistic(x)
    return share * (ONE + x * (ONE - share))


@exact
def tanh_slope(out):
    """1 - out², without the rounding of the square."""
    return (ONE - out) * (ONE + out)


#: By the codes of the activations. A gradient of infinity or NaN does not pass where relu is 0, see `relu_passes`.
SLOPES = {
    GELU_TANH: gelu_tanh_slope,
    GELU_ERF: gelu_erf_slope,
    RELU: relu_slope,
    SILU: silu_slope,
    TANH: tanh_slope,
}


@exact
def relu_passes(d_out, slope):
    """What relu lets through of a gradient."""
    return d_out if slope > ZERO else ZERO


@inlined
def put(before, new, add):
    """What is to be written where `before` is: a number that is added to it, or that takes its place."""
    return before + new if add else new


# A loop in which an array may be another one is compiled twice, and where it is another one runs number by number.
# So gradients that are made in place of others have a loop of their own, in which there is one array fewer.


@kernel
def slopes_times(job, me):
    """d_x = slope of x * d_out, in stretches: their slopes first, in a row of the thread's own.

    Without d_out, what is in d_x takes its place.
    """
    seen_N, code, d_x_N, add = array(job, 0, float32, 1), whole(job, 1), array(job, 3, float32, 1), whole(job, 5) != 0
    row_S = array(job, 4, float32, 2)[me]
    start = take(job, STRETCH)
    while start < len(seen_N):
        part_N, made_N = seen_N[start : start + STRETCH], d_x_N[start : start + STRETCH]
        slope_N = row_S[: len(part_N)]
        if code == GELU_TANH:
            for n in range(len(part_N)):
                slope_N[n] = gelu_tanh_slope(part_N[n])
        elif code == GELU_ERF:
            for n in range(len(part_N)):
                slope_N[n] = gelu_erf_slope(part_N[n])
        elif code == RELU:
            for n in range(len(part_N)):
                slope_N[n] = relu_slope(part_N[n])
        elif code == SILU:
            for n in range(len(part_N)):
                slope_N[n] = silu_slope(part_N[n])
        elif code == TANH:
            for n in range(len(part_N)):
                slope_N[n] = tanh_slope(part_N[n])
        if not given(job, 2):
            for n in range(len(made_N)):
                made_N[n] = relu_passes(made_N[n], slope_N[n]) if code == RELU else made_N[n] * slope_N[n]
        else:
            d_out_N = array(job, 2, float32, 1)[start : start + STRETCH]
            for n in range(len(made_N)):
                new = relu_passes(d_out_N[n], slope_N[n]) if code == RELU else d_out_N[n] * slope_N[n]
                made_N[n] = put(made_N[n], new, add)
        start = take(job, STRETCH)


@kernel
def products_into(job, me):
    """d_x = d_out * y."""
    d_out_N, y_N, d_x_N = array(job, 0, float32, 1), array(job, 1, float32, 1), array(job, 2, float32, 1)
    add, start = whole(job, 3) != 0, take(job, STRETCH)
    while start < len(d_x_N):
        end = start + STRETCH
        one_N, other_N, made_N = d_out_N[start:end], y_N[start:end], d_x_N[start:end]
        for n in range(len(made_N)):
            made_N[n] = put(made_N[n], one_N[n] * other_N[n], add)
        start = take(job, STRETCH)


@kernel
def multiples_into(job, me):
    """d_x = d_out * factor; without d_out, what is in d_x takes its place."""
    d_x_N, factor, add = array(job, 1, float32, 1), float32(real(job, 2)), whole(job, 3) != 0
    start = take(job, STRETCH)
    while start < len(d_x_N):
        made_N = d_x_N[start : start + STRETCH]
        if not given(job, 0):
            for n in range(len(made_N)):
                made_N[n] = made_N[n] * factor
        else:
            d_out_N = array(job, 0, float32, 1)[start : start + STRETCH]
            for n in range(len(made_N)):
                made_N[n] = put(made_N[n], d_out_N[n] * factor, add)
        start = take(job, STRETCH)


@kernel
def pass_on(job, me):
    """d_x = d_out."""
    d_out_N, d_x_N, add = array(job, 0, float32, 1), array(job, 1, float32, 1), whole(job, 2) != 0
    start = take(job, STRETCH)
    while start < len(d_x_N):
        part_N, made_N = d_out_N[start : start + STRETCH], d_x_N[start : start + STRETCH]
        for n in range(len(made_N)):
            made_N[n] = put(made_N[n], part_N[n], add)
        start = take(job, STRETCH)


@kernel
def clear(job, me):
    """Zeros, but where what comes is to be added to what is there. Arguments: d_x_N, whether it is."""
    d_x_N, start = array(job, 0, float32, 1), take(job, STRETCH)
    while start < len(d_x_N) and whole(job, 1) == 0:
        made_N = d_x_N[start : start + STRETCH]
        for n in range(len(made_N)):
            made_N[n] = ZERO
        start = take(job, STRETCH)


def apart(d_out: Array, place: Place) -> Array | None:
    """The gradient of the output as one long row, or None where it lies in the memory that is to be written."""
    same = d_out.ctypes.data == place.array.ctypes.data
    assert not (same and place.add)
    return None if same else d_out.reshape(-1)


@reverses(*ACTIVATIONS)
def reverse_activation(b: Builder, step: Step, d: Gradients) -> None:
    place = d.to(step, "x")
    if place is not None:
        (seen,) = step.saved
        d_out_N, row_XS = apart(d.output(step), place), b.scratch("slopes", (b.threads, STRETCH), np.float32)
        code, seen_N = ACTIVATIONS[step.operator.name], b.array(seen).reshape(-1)
        b.call(slopes_times, seen_N, code, d_out_N, place.array.reshape(-1), row_XS, place.add)


@reverses("multiply")
def reverse_multiply(b: Builder, step: Step, d: Gradients) -> None:
    d_out_N = d.output(step).reshape(-1)
    for name, other in (("x", "y"), ("y", "x")):
        place = d.to(step, name)
        if place is not None:
            b.call(products_into, d_out_N, b.array(step.names[other]).reshape(-1), place.array.reshape(-1), place.add)


@reverses("add")
def reverse_add(b: Builder, step: Step, d: Gradients) -> None:
    for name in ("x", "y"):
        place = d.to(step, name)
        if place is not None and (d_out_N := apart(d.output(step), place)) is not None:
            b.call(pass_on, d_out_N, place.array.reshape(-1), place.add)


@reverses("scale")
def reverse_scale(b: Builder, step: Step, d: Gradients) -> None:
    place = d.to(step, "x")
    if place is not None:
        factor, d_out_N = float(step.attributes["factor"]), apart(d.output(step), place)
        b.call(multiples_into, d_out_N, place.array.reshape(-1), factor, place.add)
