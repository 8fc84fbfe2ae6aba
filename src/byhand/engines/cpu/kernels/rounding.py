"""Activations rounded to int8: groups of 32 along K that share one float32 scale, as the products with blocks read them.

The scale is the largest magnitude over 127, and a number becomes the nearest multiple of it. A group whose numbers are
all below TINY becomes zeros; one with an infinity or NaN has the scale NaN, so every product with it is NaN.

Weights are read as bytes without a sign, `offset` too large. What that adds to a product is known before: offset times
the sum of the activations. So next to them lie the numbers that a sum of products has to start from, -offset * sum.
"""

from __future__ import annotations

from numba import float32, int8, int32

from byhand.engines.cpu.kernel import array, exact, kernel, take, whole
from byhand.engines.cpu.simd import LANES, dot, highest, larger, load, nearest, store, total, zeros
from byhand.engines.cpu.simd.blocks import GROUPS

GROUP = 32
TINY = float32(1e-30)


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


@exact
def steps(scale):
    """How many scales there are in 1; none for a scale of 0 or NaN."""
    return float32(1) / scale if scale > 0 else float32(0)


@kernel
def round_stacks(job, me):
    """For few rows. A stack is GROUPS groups as a register holds them: first their first 16 numbers, then the others.

    x_NK; rounded [stacks, 2, rows, BYTES], scale and start [stacks, rows, LANES], a number for each lane. Numbers and
    rows that are not there are zero.
    """
    x_NK, rounded = array(job, 0, float32, 2), array(job, 1, int8, 4)
    scale, start, offset = array(job, 2, float32, 3), array(job, 3, int32, 3), whole(job, 4)
    s = take(job, 1)
    while s < len(rounded):
        for n in range(rounded.shape[2]):
            for g in range(GROUPS):
                round_into(x_NK, n, (s * GROUPS + g) * GROUP, rounded, scale, s, g)
            sums = dot(dot(zeros(int32), 1, load(rounded, (s, 0, n, 0))), 1, load(rounded, (s, 1, n, 0)))
            store(start, (s, n, 0), sums * -offset)
        s = take(job, 1)


@exact
def round_into(x_NK, n, k, rounded, scale, s, g):
    """One group of one row into its place in a stack."""
    there = n < x_NK.shape[0] and k < x_NK.shape[1]
    unit = scale_of(x_NK, n, k) if there else float32(0)
    per_unit = steps(unit)
    for i in range(4):
        scale[s, n, 4 * g + i] = unit
    for half in range(2):
        for i in range(16):
            x = x_NK[n, k + 16 * half + i] * per_unit if per_unit > 0 else float32(0)
            rounded[s, half, n, 16 * g + i] = nearest(x)


@kernel
def round_tiles(job, me):
    """For many rows. A tile is R rows: four numbers of each side by side, then the next four.

    x_NK; rounded [tiles, K/4, R, 4], scale and start [tiles, K/32, R, 1]. Rows that are not there are zero.
    """
    x_NK, rounded = array(job, 0, float32, 2), array(job, 1, int8, 4)
    scale, start, offset = array(job, 2, float32, 4), array(job, 3, int32, 4), whole(job, 4)
    t = take(job, 1)
    while t < len(rounded):
        high = rounded.shape[2]
        for r in range(high):
            for group in range(scale.shape[1]):
                n = t * high + r
                unit = scale_of(x_NK, n, group * GROUP) if n < len(x_NK) else float32(0)
                scale[t, group, r, 0] = unit
                start[t, group, r, 0] = -offset * round_group(x_NK, n, group, steps(unit), rounded, t, r)
        t = take(job, 1)


@exact
def round_group(x_NK, n, group, per_unit, rounded, t, r):
    """One group into its place in a tile; the sum of what it became."""
    made = 0
    for k in range(GROUP):
        x = x_NK[n, group * GROUP + k] * per_unit if per_unit > 0 else float32(0)
        rounded[t, group * 8 + k // 4, r, k % 4] = nearest(x)
        made += nearest(x)
    return made
