"""Products with weights in blocks (q8_0, q4_0) and activations rounded to int8, for many rows.

A thread takes a panel of outputs and unpacks it so that lanes are outputs: four numbers of each side by side, then the
next four. A tile of ROWS x COLS registers goes over all rows. It adds up one group of 32 in whole numbers, exactly, and
then adds that times both scales to its float32 sums.
"""

from __future__ import annotations

from numba import float32, int8, int32, uint8
from numba.misc.special import literally

from byhand.engines.cpu.kernel import array, exact, function, kernel, take
from byhand.engines.cpu.kernels.ending import finish
from byhand.engines.cpu.simd import (
    GROUPS,
    LANES,
    as_bytes,
    as_float,
    as_lanes,
    dot,
    flipped,
    fma,
    high_nibbles,
    load,
    load_blocks,
    load_scales,
    low_nibbles,
    repeat,
    store_fours,
    store_some,
    transposed,
    zeros,
)

ROWS, COLS = 8, 2
WIDE = COLS * LANES  # outputs of a panel
Q8_0, Q4_0 = 34, 18  # bytes of a block: its scale, and 32 numbers


@kernel
def tiles_q8_0(job, me):
    """The ending's arguments, the weight [M, bytes], what `round_rows` made, for each thread a panel and its scales."""
    tiles(job, me, Q8_0)


@kernel
def tiles_q4_0(job, me):
    """As `tiles_q8_0`."""
    tiles(job, me, Q4_0)


@exact  # so that what follows the product rounds as it does elsewhere
def tiles(job, me, size):
    made_NM = array(job, 4, float32, 2)
    rows, outs = made_NM.shape
    m = take(job, WIDE)
    while m < outs:
        for first in range(m, min(m + WIDE, outs), LANES):
            unpack(job, me, first, first - m, size)
        for n in range(0, rows, ROWS):
            store_some(made_NM, (n, m), tile(job, me, n), rows - n, outs - m)
            finish(job, n, min(n + ROWS, rows), m, min(m + WIDE, outs))
        m = take(job, WIDE)


@function
def unpack(job, me, m, column, size):
    """The blocks of LANES outputs from m on into this column of the thread's panel."""
    size = literally(size)
    weight_MB = array(job, 8, uint8, 2)
    panel, scale = array(job, 12, uint8, 3)[me], array(job, 13, float32, 3)[me]
    high, blocks = len(weight_MB) - m, weight_MB.shape[1] // size
    for block in range(0, blocks, GROUPS):
        at, wide = block * size, blocks - block
        scales = transposed(load_scales(weight_MB, (m, at), size, high, wide, LANES))
        store_fours(scale, (block, column), scales, 1, 1, wide)
        if size == Q8_0:
            for half in range(2):
                numbers = load_blocks(array(job, 8, int8, 2), (m, at + 2 + 16 * half), size, high, wide, LANES)
                lanes = transposed(as_lanes(flipped(numbers)))
                store_fours(panel, (8 * block + 4 * half, 4 * column), as_bytes(lanes), 4, 8, wide)
        else:
            pairs = as_bytes(transposed(as_lanes(load_blocks(weight_MB, (m, at + 2), size, high, wide, LANES))))
            store_fours(panel, (8 * block, 4 * column), low_nibbles(pairs), 4, 8, wide)
            store_fours(panel, (8 * block + 4, 4 * column), high_nibbles(pairs), 4, 8, wide)


@function
def tile(job, me, n):
    """The sums for the ROWS rows from n on with the thread's panel."""
    x, x_scale, start = array(job, 9, int8, 2), array(job, 10, float32, 2), array(job, 11, int32, 2)
    panel, scale = array(job, 12, uint8, 3), array(job, 13, float32, 3)
    sums = zeros(float32, ROWS, COLS)
    for group in range(start.shape[1]):
        products = repeat(start, (n, group), ROWS, 1) + zeros(int32, 1, COLS)
        for k in range(8 * group, 8 * group + 8):
            products = dot(products, load(panel, (me, k, 0), 1, COLS), repeat(x, (n, 4 * k), ROWS, 1))
        unit = load(scale, (me, group, 0), 1, COLS) * repeat(x_scale, (n, group), ROWS, 1)
        sums = fma(as_float(products), unit, sums)
    return sums
