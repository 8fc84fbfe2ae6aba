"""Products with weights in blocks (q8_0, q4_0) and activations rounded to int8, for many rows.

A thread takes a panel of outputs and unpacks it so that lanes are outputs: four numbers of
each side by side, then the next four. Over all rows goes a tile of ROWS x COLS registers that adds up one group of 32 in
whole numbers, exactly, and then adds that times both scales to its float32 sums.
"""

from __future__ import annotations

from numba import float32, int8, int32, uint8

from byhand.engines.cpu.kernel import array, function, kernel, take
from byhand.engines.cpu.kernels.ending import finish
from byhand.engines.cpu.kernels.rounding import GROUP
from byhand.engines.cpu.simd import (
    LANES,
    as_float,
    dot,
    flipped,
    fma,
    high_nibbles,
    load,
    low_nibbles,
    repeat,
    store_some,
    transposed,
    zeros,
)
from byhand.engines.cpu.simd.blocks import GROUPS, as_bytes, as_lanes, load_blocks, load_scales, store_fours

ROWS, COLS = 8, 2
WIDE = COLS * LANES  # outputs of a panel
Q8_0, Q4_0 = 34, 18  # bytes of a block: its scale, and 32 numbers


@kernel
def tiles_q8_0(job, me):
    """The ending's arguments, the weight [M, bytes] as int8, what `round_tiles` made, and for each thread a panel and its scales."""
    made_NM, weight = array(job, 4, float32, 2), array(job, 8, int8, 2)
    panel, scale = array(job, 12, uint8, 3)[me], array(job, 13, float32, 3)[me]
    m = take(job, WIDE)
    while m < len(weight):
        unpack_scales(weight, m, Q8_0, scale)
        unpack_q8_0(weight, m, panel)
        all_rows(job, made_NM, m, panel, scale)
        finish(job, 0, len(made_NM), m, min(m + WIDE, len(weight)))
        m = take(job, WIDE)


@kernel
def tiles_q4_0(job, me):
    """As `tiles_q8_0`."""
    made_NM, weight = array(job, 4, float32, 2), array(job, 8, uint8, 2)
    panel, scale = array(job, 12, uint8, 3)[me], array(job, 13, float32, 3)[me]
    m = take(job, WIDE)
    while m < len(weight):
        unpack_scales(weight, m, Q4_0, scale)
        unpack_q4_0(weight, m, panel)
        all_rows(job, made_NM, m, panel, scale)
        finish(job, 0, len(made_NM), m, min(m + WIDE, len(weight)))
        m = take(job, WIDE)


@function
def unpack_scales(weight, m, size, scale):
    """The scales of the blocks of a panel's outputs, a row for each block."""
    blocks = weight.shape[1] // size
    for first in range(m, m + WIDE, LANES):
        high = max(1, min(LANES, len(weight) - first))
        row = min(first, len(weight) - 1)
        for at in range(0, blocks, GROUPS):
            wide = min(GROUPS, blocks - at)
            scales = transposed(load_scales(weight, (row, at * size), size, high, wide, LANES))
            store_fours(scale, (at, first - m), scales, 1, 1, wide)


@function
def unpack_q8_0(weight, m, panel):
    """The numbers of the blocks, 128 larger."""
    blocks = weight.shape[1] // Q8_0
    for first in range(m, m + WIDE, LANES):
        high = max(1, min(LANES, len(weight) - first))
        row = min(first, len(weight) - 1)
        for at in range(0, blocks, GROUPS):
            wide = min(GROUPS, blocks - at)
            for half in range(2):
                numbers = flipped(load_blocks(weight, (row, at * Q8_0 + 2 + 16 * half), Q8_0, high, wide, LANES))
                lanes = as_bytes(transposed(as_lanes(numbers)))
                store_fours(panel, (8 * at + 4 * half, 4 * (first - m)), lanes, 4, 8, wide)


@function
def unpack_q4_0(weight, m, panel):
    """The numbers of the blocks, 8 larger."""
    blocks = weight.shape[1] // Q4_0
    for first in range(m, m + WIDE, LANES):
        high = max(1, min(LANES, len(weight) - first))
        row = min(first, len(weight) - 1)
        for at in range(0, blocks, GROUPS):
            wide = min(GROUPS, blocks - at)
            pairs = load_blocks(weight, (row, at * Q4_0 + 2), Q4_0, high, wide, LANES)
            lanes = as_bytes(transposed(as_lanes(pairs)))
            store_fours(panel, (8 * at, 4 * (first - m)), low_nibbles(lanes), 4, 8, wide)
            store_fours(panel, (8 * at + 4, 4 * (first - m)), high_nibbles(lanes), 4, 8, wide)


@function
def all_rows(job, made_NM, m, panel, scale):
    """A panel's outputs for all rows."""
    x, x_scale = array(job, 9, int8, 4), array(job, 10, float32, 4)
    start = array(job, 11, int32, 4)
    for t in range(len(x)):
        sums = zeros(float32, ROWS, COLS)
        for b in range(start.shape[1]):
            whole = repeat(start, (t, b, 0, 0), ROWS, 1) + zeros(int32, 1, COLS)
            for k in range(8 * b, 8 * b + 8):
                whole = dot(whole, load(panel, (k, 0), 1, COLS), repeat(x, (t, k, 0, 0), ROWS, 1))
            unit = load(scale, (b, 0), 1, COLS) * repeat(x_scale, (t, b, 0, 0), ROWS, 1)
            sums = fma(as_float(whole), unit, sums)
        store_some(made_NM, (t * ROWS, m), sums, len(made_NM) - t * ROWS, made_NM.shape[1] - m)
