"""Probabilities, and how surprised the model was. Long rows of logits are shared among the threads in fixed stretches.

What a stretch gives (its largest number, its sum) is combined in the order of the stretches, so that the bits do not
depend on who worked on which.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64

from byhand.engines.cpu.builder import Array, Builder, lowers
from byhand.engines.cpu.kernel import array, exact, function, kernel, take, whole
from byhand.engines.cpu.kernels.elementwise import NAN, STRETCH, ZERO, made, quotient
from byhand.engines.cpu.kernels.norms import rows, rows_at_once, wanted
from byhand.engines.cpu.simd import bits_of, exp, float_of, log
from byhand.program import Step

LOWEST, HIGHEST = np.int32(-(2**31)), np.int32(2**31 - 1)


@exact
def key_of(x):
    """A whole number that grows with x and is the same for 0 and -0; the largest for NaN.

    The largest of whole numbers is found by vector code, and it does not overlook a NaN.
    """
    bits = bits_of(x + ZERO)
    key = int32(bits ^ HIGHEST) if bits < 0 else bits
    return HIGHEST if x != x else key


@exact
def number_of(key):
    """The number that has this key."""
    return float_of(int32(key ^ HIGHEST) if key < 0 else key)


@exact
def stretch_of(piece, parts, width):
    """The row, the stretch, and where the stretch begins and how long it is, when rows are cut into so many parts."""
    n = piece // parts
    p = piece - n * parts
    return n, p, p * STRETCH, min(STRETCH, width - p * STRETCH)


@kernel
def peaks(job, me):
    """The largest number of every stretch."""
    x_NV, peak_NP, each = array(job, 0, float32, 2), array(job, 1, float32, 2), whole(job, 2)
    N, P = peak_NP.shape
    start = take(job, each)
    while start < N * P:
        for piece in range(start, min(start + each, N * P)):
            n, p, first, count = stretch_of(piece, P, x_NV.shape[1])
            x_V, best = x_NV[n, first : first + count], LOWEST
            for v in range(len(x_V)):
                best = max(best, key_of(x_V[v]))
            peak_NP[n, p] = number_of(best)
        start = take(job, each)


@exact
def peak_of(peak_NP, n):
    """The largest number of row n; NaN if there is one."""
    best = LOWEST
    for p in range(peak_NP.shape[1]):
        best = max(best, key_of(peak_NP[n, p]))
    return number_of(best)


@exact
def sum_of(sum_NP, n):
    total = float64(0)
    for p in range(sum_NP.shape[1]):
        total += sum_NP[n, p]
    return float32(total)


# What writes does not add up, and what adds up does not write: a loop that does both is compiled twice, for arrays
# that overlap and for others, and the two add in different orders.


@function
def raised_total(job, n, first, count):
    """The sum of a stretch of what was raised."""
    raised_V, total = array(job, 3, float32, 2)[n, first : first + count], ZERO
    for v in range(len(raised_V)):
        total += raised_V[v]
    return total


@function
def raised_sum(job, n, first, count, peak):
    """The sum of e^(x - peak) over a stretch."""
    x_V, total = array(job, 0, float32, 2)[n, first : first + count], ZERO
    for v in range(len(x_V)):
        total += exp(x_V[v] - peak)
    return total


@kernel
def raising(job, me):
    """e^(x - peak), which is 1 at most, and the sum of every stretch."""
    x_NV, peak_NP, sum_NP = array(job, 0, float32, 2), array(job, 1, float32, 2), array(job, 2, float32, 2)
    raised_NV, each, (N, P) = array(job, 3, float32, 2), whole(job, 4), peak_NP.shape
    start = take(job, each)
    while start < N * P:
        for piece in range(start, min(start + each, N * P)):
            n, p, first, count = stretch_of(piece, P, x_NV.shape[1])
            x_V, raised_V = x_NV[n, first : first + count], raised_NV[n, first : first + count]
            peak = peak_of(peak_NP, n)
            for v in range(len(x_V)):
                raised_V[v] = exp(x_V[v] - peak)
            sum_NP[n, p] = raised_total(job, n, first, count)
        start = take(job, each)


@kernel
def summing(job, me):
    x_NV, peak_NP, sum_NP = array(job, 0, float32, 2), array(job, 1, float32, 2), array(job, 2, float32, 2)
    each, (N, P) = whole(job, 3), peak_NP.shape
    start = take(job, each)
    while start < N * P:
        for piece in range(start, min(start + each, N * P)):
            n, p, first, count = stretch_of(piece, P, x_NV.shape[1])
            sum_NP[n, p] = raised_sum(job, n, first, count, peak_of(peak_NP, n))
        start = take(job, each)


@kernel
def sharing(job, me):
    """Divide every row by its sum."""
    raised_NV, sum_NP, each = array(job, 0, float32, 2), array(job, 1, float32, 2), whole(job, 2)
    N, P = sum_NP.shape
    start = take(job, each)
    while start < N * P:
        for piece in range(start, min(start + each, N * P)):
            n, _, first, count = stretch_of(piece, P, raised_NV.shape[1])
            share_V, total = raised_NV[n, first : first + count], sum_of(sum_NP, n)
            for v in range(len(share_V)):
                share_V[v] = quotient(share_V[v], total)
        start = take(job, each)


@kernel
def surprises(job, me):
    """logsumexp, and the loss: how far the right token's logit is below it."""
    x_NV, target_N = array(job, 0, float32, 2), array(job, 1, int64, 1)
    peak_NP, sum_NP = array(job, 2, float32, 2), array(job, 3, float32, 2)
    loss_N, logsumexp_N = array(job, 4, float32, 1), array(job, 5, float32, 1)
    if take(job, 1) == 0:
        for n in range(len(x_NV)):
            logsumexp_N[n] = peak_of(peak_NP, n) + log(sum_of(sum_NP, n))
            if target_N[n] < 0:
                loss_N[n] = ZERO
            else:
                right = x_NV[n, target_N[n]] if target_N[n] < x_NV.shape[1] else NAN
                loss_N[n] = logsumexp_N[n] - right


@kernel
def averaging(job, me):
    loss_N, target_N, mean_1 = array(job, 0, float32, 1), array(job, 1, int64, 1), array(job, 2, float32, 1)
    if take(job, 1) == 0:
        total, count = float64(0), float64(0)
        for n in range(len(loss_N)):
            if target_N[n] >= 0:
                total += loss_N[n]
                count += 1
        mean_1[0] = quotient(total, count)


def find_peaks(b: Builder, x_NV: Array) -> tuple[Array, int]:
    """The largest number of every stretch of rows, and how many stretches a thread takes at a time."""
    N, V = x_NV.shape
    peak_NP, each = b.scratch("peaks", (N, -(-V // STRETCH)), np.float32), rows_at_once(V)
    b.call(peaks, x_NV, peak_NP, each)
    return peak_NP, each


@lowers("probabilities")
def lower_probabilities(b: Builder, step: Step) -> None:
    x_NV, out_NV = rows(b.array(step.names["logits"])), rows(made(b, step))
    peak_NP, each = find_peaks(b, x_NV)
    sum_NP = b.scratch("sums", peak_NP.shape, np.float32)
    b.call(raising, x_NV, peak_NP, sum_NP, out_NV, each)
    b.call(sharing, out_NV, sum_NP, each)


@lowers("cross_entropy")
def lower_cross_entropy(b: Builder, step: Step) -> None:
    x_NV, target_N = rows(b.array(step.names["logits"])), b.array(step.names["target"]).reshape(-1)
    peak_NP, each = find_peaks(b, x_NV)
    sum_NP = b.scratch("sums", peak_NP.shape, np.float32)
    loss_N, logsumexp_N = (wanted(b, address, target_N.shape) for address in step.writes.values())
    b.call(summing, x_NV, peak_NP, sum_NP, each)
    b.call(surprises, x_NV, target_N, peak_NP, sum_NP, loss_N, logsumexp_N)


@lowers("mean_loss")
def lower_mean_loss(b: Builder, step: Step) -> None:
    loss_N, target_N = b.array(step.names["loss"]).reshape(-1), b.array(step.names["target"]).reshape(-1)
    b.call(averaging, loss_N, target_N, made(b, step).reshape(-1))
