"""Activations rounded to int8: groups of 32 along K that share a float32 scale, as the products with blocks read them.

The scale is the largest magnitude over 127, and a number becomes the nearest multiple of it. A group whose numbers are
all below TINY becomes zeros; one with an infinity or NaN has the scale NaN, so every product with it is NaN.

Weights are read as bytes without a sign, `offset` too large. What that adds to a product is known before: offset times
the sum of the activations. So next to them lie the numbers that a sum of products has to start from, -offset * sum.
"""

from __future__ import annotations

from numba import float32, int8, int32, uint8

from byhand.engines.cpu.kernel import array, exact, kernel, take, whole
from byhand.engines.cpu.simd import (
    BYTES,
    GROUPS,
    LANES,
    dot,
    highest,
    larger,
    load,
    load_some,
    store,
    store_nearest,
    total,
    zeros,
)

GROUP = 32
TINY = float32(1e-30)


@kernel
def round_rows(job, me):
    """For many rows. x_NK; rounded [rows, more than K], scale and start [rows, K/32]; rows that are not there stay."""
    x_NK, rounded = array(job, 0, float32, 2), array(job, 1, int8, 2)
    scale, start, offset = array(job, 2, float32, 2), array(job, 3, int32, 2), whole(job, 4)
    n = take(job, 1)
    while n < len(x_NK):
        for group in range(scale.shape[1]):
            k = group * GROUP
            scale[n, group] = unit = scale_of(x_NK, n, k)
            for i in range(k, k + GROUP, LANES):
                store_nearest(rounded, (n, i), multiples(x_NK, n, i, unit))
            sums = zeros(int32)
            for i in range(k, k + GROUP, BYTES):
                sums = dot(sums, zeros(uint8) + 1, load_some(rounded, (n, i), GROUP))
            start[n, group] = -offset * total(sums)
        n = take(job, 1)


@kernel
def round_stacks(job, me):
    """For few rows. A stack is GROUPS groups as a register holds them: first their first 16 numbers, then the others.

    x_NK; rounded [stacks, 2, rows*BYTES], scale and start [stacks, rows*LANES], a number for each lane. Numbers and
    rows that are not there are zero.
    """
    x_NK, rounded = array(job, 0, float32, 2), array(job, 1, int8, 3)
    scale, start, offset = array(job, 2, float32, 2), array(job, 3, int32, 2), whole(job, 4)
    s = take(job, 1)
    while s < len(rounded):
        for n in range(scale.shape[1] // LANES):
            for g in range(GROUPS):
                k, lane = (s * GROUPS + g) * GROUP, n * LANES + 4 * g
                there = n < x_NK.shape[0] and k < x_NK.shape[1]
                unit = scale_of(x_NK, n, k) if there else float32(0)
                scale[s, lane : lane + 4] = unit
                for half in range(2):
                    for i in range(0, 16, LANES):
                        numbers = multiples(x_NK, n, k + 16 * half + i, unit) if there else zeros(float32)
                        store_nearest(rounded, (s, half, 4 * lane + i), numbers)
            sums = dot(zeros(int32), zeros(uint8) + 1, load(rounded, (s, 0, n * BYTES)))
            sums = dot(sums, zeros(uint8) + 1, load(rounded, (s, 1, n * BYTES)))
            store(start, (s, n * LANES), sums * -offset)
        s = take(job, 1)


@exact
def multiples(x_NK, n, k, unit):
    """How many units LANES numbers are; none where the unit is 0 or NaN."""
    return load(x_NK, (n, k)) * (float32(1) / unit) if unit > 0 else zeros(float32)


@exact
def scale_of(x_NK, n, k):
    """The scale of one group."""
    high, sick = zeros(float32), zeros(float32)
    for i in range(k, k + GROUP, LANES):
        x = load(x_NK, (n, i))
        high, sick = larger(high, larger(x, zeros(float32) - x)), sick + x * 0.0
    magnitude = highest(high)
    scale = magnitude / float32(127) if magnitude > TINY else float32(0)
    return scale + total(sick)
