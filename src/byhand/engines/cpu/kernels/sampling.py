"""From logits to one chosen token.

No row is sorted: what is kept of it is everything above a threshold, and the threshold is found by halving the range of
the numbers' keys (see loss.key_of) thirty-two times, each time with one fast pass over the row.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, uint8

from byhand.engines.cpu.builder import Builder, lowers
from byhand.engines.cpu.kernel import array, exact, function, kernel, real, take, whole
from byhand.engines.cpu.kernels.elementwise import STRETCH, ZERO, flat, made, quotient
from byhand.engines.cpu.kernels.loss import HIGHEST, LOWEST, find_peaks, key_of, number_of, peak_of, stretch_of
from byhand.engines.cpu.kernels.norms import rows
from byhand.engines.cpu.simd import exp
from byhand.program import Step

HIDDEN = np.float32(-np.inf)


@kernel
def cooling(job, me):
    x_N, degree, out_N = array(job, 0, float32, 1), float32(real(job, 1)), array(job, 2, float32, 1)
    start = take(job, STRETCH)
    while start < len(x_N):
        part_N, made_N = x_N[start : start + STRETCH], out_N[start : start + STRETCH]
        for n in range(len(part_N)):
            made_N[n] = quotient(part_N[n], degree)
        start = take(job, STRETCH)


@kernel
def penalising(job, me):
    x_N, seen_N, out_N = array(job, 0, float32, 1), array(job, 1, uint8, 1), array(job, 2, float32, 1)
    penalty = float32(real(job, 3))
    start = take(job, STRETCH)
    while start < len(x_N):
        end = start + STRETCH
        part_N, again_N, made_N = x_N[start:end], seen_N[start:end], out_N[start:end]
        for n in range(len(part_N)):
            x = part_N[n]
            lowered = quotient(x, penalty) if x > ZERO else x * penalty
            made_N[n] = lowered if again_N[n] else x
        start = take(job, STRETCH)


@kernel
def keeping_likely(job, me):
    """Keep what is at least `share` times as probable as the best."""
    x_NV, peak_NP, out_NV = array(job, 0, float32, 2), array(job, 1, float32, 2), array(job, 2, float32, 2)
    share, each, (N, P) = float32(real(job, 3)), whole(job, 4), peak_NP.shape
    start = take(job, each)
    while start < N * P:
        for piece in range(start, min(start + each, N * P)):
            n, _, first, count = stretch_of(piece, P, x_NV.shape[1])
            x_V, out_V, peak = x_NV[n, first : first + count], out_NV[n, first : first + count], peak_of(peak_NP, n)
            for v in range(len(x_V)):
                out_V[v] = x_V[v] if exp(x_V[v] - peak) >= share else HIDDEN
        start = take(job, each)


# The threshold of a row. The job's arrays are 0: the logits, 1: the output, 2: keys, 3: shares; of the latter two each
# thread has a row to itself.


@exact
def find_keys(job, n, me):
    """Write the keys of row n and return the largest."""
    x_NV, key_V, best = array(job, 0, float32, 2), array(job, 2, int32, 2)[me], LOWEST
    for v in range(len(key_V)):
        key_V[v] = key_of(x_NV[n, v])
        best = max(best, key_V[v])
    return best


@exact
def count_from(job, me, key):
    """How many have this key or a larger one."""
    key_V, count = array(job, 2, int32, 2)[me], 0
    for v in range(len(key_V)):
        count += key_V[v] >= key
    return count


@exact
def kth_key(job, me, most):
    """The largest key that at least `most` of the row have or surpass."""
    low, high = int64(LOWEST), int64(HIGHEST)
    while low < high:
        middle = (low + high + 1) >> 1
        if count_from(job, me, int32(middle)) >= most:
            low = middle
        else:
            high = middle - 1
    return low


@kernel
def keeping_most(job, me):
    """Keep the `most` best; of those at the threshold the first ones."""
    x_NV, out_NV, key_V = array(job, 0, float32, 2), array(job, 1, float32, 2), array(job, 2, int32, 2)[me]
    most = min(whole(job, 3), x_NV.shape[1])
    n = take(job, 1)
    while n < len(x_NV):
        find_keys(job, n, me)
        threshold = kth_key(job, me, most)
        left = most - (0 if threshold == HIGHEST else count_from(job, me, int32(threshold + 1)))
        for v in range(len(key_V)):
            level = key_V[v] == threshold
            out_NV[n, v] = x_NV[n, v] if key_V[v] > threshold or (level and left > 0) else HIDDEN
            left -= level
        n = take(job, 1)


@function
def share_total(job, me):
    share_V, total = array(job, 3, float32, 2)[me], float64(0)
    for v in range(len(share_V)):
        total += share_V[v]
    return float32(total)


@exact
def find_shares(job, n, me, peak):
    """Write the probabilities of row n."""
    x_NV, share_V = array(job, 0, float32, 2), array(job, 3, float32, 2)[me]
    for v in range(len(share_V)):
        share_V[v] = exp(x_NV[n, v] - peak)
    total = share_total(job, me)
    for v in range(len(share_V)):
        share_V[v] = share_V[v] / total


@function
def mass_above(job, me, key):
    """The probability of all with a larger key."""
    key_V, share_V, total = array(job, 2, int32, 2)[me], array(job, 3, float32, 2)[me], float64(0)
    for v in range(len(key_V)):
        total += share_V[v] if key_V[v] > key else ZERO
    return total


@exact
def last_key(job, me, best, mass):
    """The smallest key above which there is less than this mass."""
    low, high = int64(LOWEST), int64(best)
    while low < high:
        middle = (low + high) >> 1
        if mass_above(job, me, int32(middle)) < mass:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def keeping_mass(job, me):
    """Keep the best until they reach `mass`; of those at the threshold the first ones, and always the very first."""
    x_NV, out_NV, mass = array(job, 0, float32, 2), array(job, 1, float32, 2), float32(real(job, 4))
    key_V, share_V = array(job, 2, int32, 2)[me], array(job, 3, float32, 2)[me]
    n = take(job, 1)
    while n < len(x_NV):
        best = find_keys(job, n, me)
        find_shares(job, n, me, number_of(best))
        threshold = last_key(job, me, best, mass)
        before, first = mass_above(job, me, int32(threshold)), True
        for v in range(len(key_V)):
            level = key_V[v] == threshold
            kept = key_V[v] > threshold or mass >= 1 or (level and (first or before < mass))
            out_NV[n, v] = x_NV[n, v] if kept else HIDDEN
            if level:
                before, first = before + share_V[v], False
        n = take(job, 1)


@kernel
def running_sums(job, me):
    """One after the other in float32, as the definition has it: a sum in another order might choose another token."""
    x_NV, out_NV = array(job, 0, float32, 2), array(job, 1, float32, 2)
    n = take(job, 1)
    while n < len(x_NV):
        total = ZERO
        for v in range(x_NV.shape[1]):
            total = total + x_NV[n, v]
            out_NV[n, v] = total
        n = take(job, 1)


@kernel
def drawing(job, me):
    running_NV, uniform_N, token_N = array(job, 0, float32, 2), array(job, 1, float32, 1), array(job, 2, int64, 1)
    n = take(job, 1)
    while n < len(running_NV):
        uniform, last, passed = uniform_N[n], running_NV[n, -1], 0
        for v in range(running_NV.shape[1]):
            passed += (running_NV[n, v] <= uniform) & (running_NV[n, v] < last)
        token_N[n] = passed
        n = take(job, 1)


@kernel
def choosing_best(job, me):
    """The first of the best, which is in the first stretch whose peak is as high."""
    x_NV, peak_NP, token_N = array(job, 0, float32, 2), array(job, 1, float32, 2), array(job, 2, int64, 1)
    n = take(job, 1)
    while n < len(x_NV):
        best, p = key_of(peak_of(peak_NP, n)), 0
        while key_of(peak_NP[n, p]) != best:
            p += 1
        v = p * STRETCH
        while key_of(x_NV[n, v]) != best:
            v += 1
        token_N[n] = v
        n = take(job, 1)


@lowers("temperature")
def lower_temperature(b: Builder, step: Step) -> None:
    x_N, out_N = flat(b, step, "logits")
    b.call(cooling, x_N, float(step.attributes["degree"]), out_N)


@lowers("repetition_penalty")
def lower_repetition_penalty(b: Builder, step: Step) -> None:
    b.call(penalising, *flat(b, step, "logits", "seen"), float(step.attributes["penalty"]))


@lowers("min_p")
def lower_min_p(b: Builder, step: Step) -> None:
    x_NV, out_NV = rows(b.array(step.names["logits"])), rows(made(b, step))
    peak_NP, each = find_peaks(b, x_NV)
    b.call(keeping_likely, x_NV, peak_NP, out_NV, float(step.attributes["share"]), each)


@lowers("top_k")
def lower_top_k(b: Builder, step: Step) -> None:
    x_NV, out_NV = rows(b.array(step.names["logits"])), rows(made(b, step))
    key_MV = b.scratch("keys", (b.threads, x_NV.shape[1]), np.int32)
    b.call(keeping_most, x_NV, out_NV, key_MV, step.attributes["most"])


@lowers("top_p")
def lower_top_p(b: Builder, step: Step) -> None:
    x_NV, out_NV = rows(b.array(step.names["logits"])), rows(made(b, step))
    own = b.threads, x_NV.shape[1]
    key_MV, share_MV = b.scratch("keys", own, np.int32), b.scratch("shares", own, np.float32)
    b.call(keeping_mass, x_NV, out_NV, key_MV, share_MV, float(step.attributes["mass"]))


@lowers("running_sum")
def lower_running_sum(b: Builder, step: Step) -> None:
    b.call(running_sums, rows(b.array(step.names["probs"])), rows(made(b, step)))


@lowers("draw")
def lower_draw(b: Builder, step: Step) -> None:
    running_NV, uniform_N = rows(b.array(step.names["running"])), b.array(step.names["uniform"]).reshape(-1)
    b.call(drawing, running_NV, uniform_N, made(b, step).reshape(-1))


@lowers("argmax")
def lower_argmax(b: Builder, step: Step) -> None:
    x_NV = rows(b.array(step.names["logits"]))
    peak_NP, _ = find_peaks(b, x_NV)
    b.call(choosing_best, x_NV, peak_NP, made(b, step).reshape(-1))
