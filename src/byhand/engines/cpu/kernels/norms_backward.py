"""The way back through norms: to their inputs by rows, to their gains and shifts by columns.

A column is added up by one thread, in blocks of rows whose sums are added in order.
"""

from __future__ import annotations

from numba import float32

from byhand.engines.cpu.builder import Array, Builder
from byhand.engines.cpu.kernel import array, exact, function, given, kernel, take, whole
from byhand.engines.cpu.kernels.elementwise import ZERO
from byhand.engines.cpu.kernels.elementwise_backward import put
from byhand.engines.cpu.kernels.norms import rows, rows_at_once
from byhand.engines.cpu.reversal import Gradients, reverses
from byhand.engines.cpu.simd import LANES, LINE, load, load_some, prefetch, store_some, zeros
from byhand.program import Step

ACROSS = 8  # vectors of neighbouring columns that a thread adds up at a time
COLUMNS = ACROSS * LANES
BLOCK = 64  # rows: few enough that their sum is exact, many enough that adding the sums costs nothing
AHEAD = 32  # rows, of which a processor sees too late that they will be needed, as they lie far apart

# What a gain lets through of row n, d_unit = d_out * gain, along two directions that the norm takes away. Sums that may
# be added up in any order, which follows from the length of the row alone.


@function
def mean_along(job, n):
    """The mean of d_unit."""
    d_out_ND, gain_D, total = array(job, 0, float32, 2), array(job, 2, float32, 1), ZERO
    for d in range(d_out_ND.shape[1]):
        total += d_out_ND[n, d] * gain_D[d]
    return total / float32(d_out_ND.shape[1])


@function
def mean_along_unit(job, n, middle, rstd):
    """The mean of d_unit * unit."""
    d_out_ND, x_ND = array(job, 0, float32, 2), array(job, 1, float32, 2)
    gain_D, total = array(job, 2, float32, 1), ZERO
    for d in range(d_out_ND.shape[1]):
        total += d_out_ND[n, d] * gain_D[d] * ((x_ND[n, d] - middle) * rstd)
    return total / float32(d_out_ND.shape[1])


@kernel
def rows_of_norm(job, me):
    """d_x = rstd * (d_unit - mean(d_unit) - unit * mean(d_unit * unit)), without the first mean where there is none."""
    d_out_ND, x_ND, gain_D = array(job, 0, float32, 2), array(job, 1, float32, 2), array(job, 2, float32, 1)
    rstd_N, d_x_ND, add, each = array(job, 4, float32, 1), array(job, 5, float32, 2), whole(job, 6) != 0, whole(job, 7)
    N, D = d_x_ND.shape
    start = take(job, each)
    while start < N:
        for n in range(start, min(start + each, N)):
            middle = array(job, 3, float32, 1)[n] if given(job, 3) else ZERO
            along = mean_along(job, n) if given(job, 3) else ZERO
            rstd = rstd_N[n]
            along_unit = mean_along_unit(job, n, middle, rstd)
            for d in range(D):
                passed = d_out_ND[n, d] * gain_D[d] - along - (x_ND[n, d] - middle) * rstd * along_unit
                d_x_ND[n, d] = put(d_x_ND[n, d], rstd * passed, add)
        start = take(job, each)


@exact
def piece(a_NM, n, m, count):
    """The columns m … m + count - 1 of row n."""
    if count == COLUMNS:
        return load(a_NM, (n, m), 1, ACROSS)
    return load_some(a_NM, (n, m), count, 1, ACROSS)


@exact
def settle(out_M, m, sums, count, add):
    """Write the sums of columns, or add them to what is there."""
    if add:
        sums = load_some(out_M, m, count, 1, ACROSS) + sums
    store_some(out_M, m, sums, 1, count)


@kernel
def column_sums(job, me):
    """out_M = the sum of the rows of d_NM. Arguments: d_NM, out_M, whether to add to what is there."""
    d_NM, out_M, add = array(job, 0, float32, 2), array(job, 1, float32, 1), whole(job, 2) != 0
    N, M = d_NM.shape
    m = take(job, COLUMNS)
    while m < M:
        count, sums = min(COLUMNS, M - m), zeros(float32, 1, ACROSS)
        for first in range(0, N, BLOCK):
            part = zeros(float32, 1, ACROSS)
            for n in range(first, min(first + BLOCK, N)):
                for at in range(4 * m, 4 * (m + count), LINE):
                    prefetch(job, 0, n + AHEAD, at)
                part = part + piece(d_NM, n, m, count)
            sums = sums + part
        settle(out_M, m, sums, count, add)
        m = take(job, COLUMNS)


@kernel
def columns_of_gain(job, me):
    """d_gain = the sum of the rows of d_out * unit."""
    d_out_ND, x_ND, rstd_N = array(job, 0, float32, 2), array(job, 1, float32, 2), array(job, 3, float32, 1)
    d_gain_D, add, (N, D) = array(job, 4, float32, 1), whole(job, 5) != 0, d_out_ND.shape
    m = take(job, COLUMNS)
    while m < D:
        count, sums = min(COLUMNS, D - m), zeros(float32, 1, ACROSS)
        for first in range(0, N, BLOCK):
            part = zeros(float32, 1, ACROSS)
            for n in range(first, min(first + BLOCK, N)):
                middle = array(job, 2, float32, 1)[n] if given(job, 2) else ZERO
                unit = (piece(x_ND, n, m, count) - middle) * rstd_N[n]
                part = part + piece(d_out_ND, n, m, count) * unit
            sums = sums + part
        settle(d_gain_D, m, sums, count, add)
        m = take(job, COLUMNS)


def of_rows(b: Builder, step: Step, name: str) -> Array | None:
    """A value that the norm made for each row, if it makes it."""
    return b.array(step.names[name]).reshape(-1) if name in step.names else None


@reverses("layer_norm", "rms_norm")
def reverse_norm(b: Builder, step: Step, d: Gradients) -> None:
    """Nobody waits between the three gradients, which have nothing to do with each other."""
    d_out_ND, x_ND, calls = rows(d.output(step)), rows(b.array(step.names["x"])), []
    mean_N, rstd_N = of_rows(b, step, "mean"), of_rows(b, step, "rstd")
    to_x, to_gain = d.to(step, "x"), d.to(step, "gain")
    to_shift = d.to(step, "shift") if "shift" in step.names else None
    if to_gain is not None:
        calls.append((columns_of_gain, d_out_ND, x_ND, mean_N, rstd_N, *to_gain))
    if to_shift is not None:
        calls.append((column_sums, d_out_ND, *to_shift))
    if to_x is not None:
        gain_D, each = b.vector(step.names["gain"]), rows_at_once(x_ND.shape[1])
        calls.append((rows_of_norm, d_out_ND, x_ND, gain_D, mean_N, rstd_N, rows(to_x.array), to_x.add, each))
    for left, call in zip(reversed(range(len(calls))), calls, strict=True):
        b.call(*call, meet=left == 0)
