"""Products with weights in blocks (q8_0, q4_0) and activations rounded to int8: the choice, and kernels for few rows.

Few rows are bound by reading the weights: every block is read once, straight from the model's own memory, for all rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, int8, int32, uint8
from numba.misc.special import literally

from byhand.engines.cpu.builder import Builder
from byhand.engines.cpu.kernel import array, exact, function, kernel, take, whole
from byhand.engines.cpu.kernels.ending import Ending, finish
from byhand.engines.cpu.kernels.integer_tiles import ROWS, WIDE, tiles_q4_0, tiles_q8_0
from byhand.engines.cpu.kernels.rounding import GROUP, round_rows, round_stacks
from byhand.engines.cpu.matrix import Matrix
from byhand.engines.cpu.simd import (
    BYTES,
    GROUPS,
    LANES,
    LINE,
    as_float,
    dot,
    flipped,
    fma,
    high_nibbles,
    load,
    load_blocks,
    load_scales,
    low_nibbles,
    prefetch,
    store_totals,
    zeros,
)

Array = np.ndarray[Any, Any]

Q8_0, Q4_0 = 34, 18  # bytes of a block: its scale, and 32 numbers
OFFSET = {"q8_0": 128, "q4_0": 8}  # of a weight as a byte without a sign
FEW = 4  # rows, at the most, for which reading the weights takes longer than computing
SLAB = 32  # outputs that a thread takes at a time
AHEAD = 8192  # bytes: what is asked for that much earlier is there when it is needed
OUTS = 4  # outputs that are added up together, at the most


def lower_int8(b: Builder, weight: Matrix, x_NK: Array, x_address: str, ending: Ending) -> None:
    """Append the calls that make the product of x_NK, the value at x_address, with a weight in blocks."""
    lower = lower_few if len(x_NK) <= FEW else lower_many
    lower(b, weight, x_NK, x_address, ending)


def lower_few(b: Builder, weight: Matrix, x_NK: Array, x_address: str, ending: Ending) -> None:
    rows = next(rows for rows in (1, 2, 4) if rows >= len(x_NK))
    stacks = -(-weight.ins // (GROUP * GROUPS))
    name = f"int8 {weight.kind}"
    rounded = b.scratch(name, (stacks, 2, rows * BYTES), np.int8)
    scale = b.scratch(f"{name} scale", (stacks, rows * LANES), np.float32)
    start = b.scratch(f"{name} start", (stacks, rows * LANES), np.int32)
    rests = b.scratch("int8 rests", (b.threads * OUTS, GROUPS * Q8_0), np.uint8)
    if not b.holds(name, x_address):
        b.call(round_stacks, x_NK, rounded, scale, start, OFFSET[weight.kind])
    kernel = few_q8_0 if weight.kind == "q8_0" else few_q4_0
    b.call(kernel, *ending.arguments, weight.array, rounded, scale, start, rests, rows)


def lower_many(b: Builder, weight: Matrix, x_NK: Array, x_address: str, ending: Ending) -> None:
    rows, groups, name = -(-len(x_NK) // ROWS) * ROWS, weight.ins // GROUP, f"int8 rows {weight.kind}"
    rounded = b.scratch(name, (rows, weight.ins + LINE), np.int8)  # rows a power of two apart would share cache lines
    scale = b.scratch(f"{name} scale", (rows, groups), np.float32)
    start = b.scratch(f"{name} start", (rows, groups), np.int32)
    panel = b.scratch("int8 panel", (b.threads, 8 * groups, 4 * WIDE), np.uint8)
    panel_scale = b.scratch("int8 panel scale", (b.threads, groups, WIDE), np.float32)
    if not b.holds(name, x_address):
        b.call(round_rows, x_NK, rounded, scale, start, OFFSET[weight.kind])
    kernel = tiles_q8_0 if weight.kind == "q8_0" else tiles_q4_0
    b.call(kernel, *ending.arguments, weight.array, rounded, scale, start, panel, panel_scale)


@kernel
def few_q8_0(job, me):
    """The ending's arguments, the weight [M, bytes], what `round_stacks` made, and some bytes for each thread."""
    few(job, me, Q8_0)


@kernel
def few_q4_0(job, me):
    """As `few_q8_0`."""
    few(job, me, Q4_0)


@exact  # so that what follows the product rounds as it does elsewhere
def few(job, me, size):
    made_NM, rows = array(job, 4, float32, 2), whole(job, 13)
    outs = made_NM.shape[1]
    m = take(job, SLAB)
    while m < outs:
        until, coming = min(m + SLAB, outs), take(job, SLAB)
        if rows == 1:
            slab(job, me, m, until, coming, size, 1, 4)
        elif rows == 2:
            slab(job, me, m, until, coming, size, 2, 4)
        else:
            slab(job, me, m, until, coming, size, 4, 2)
        finish(job, 0, len(made_NM), m, until)
        m = coming


@function
def slab(job, me, first, until, coming, size, rows, outs):
    """Outputs first … until-1 of all rows, some at a time; those from `coming` on will be asked for next."""
    size, rows, outs = literally(size), literally(rows), literally(outs)
    made_NM, weight_MB = array(job, 4, float32, 2), array(job, 8, uint8, 2)
    blocks = weight_MB.shape[1] // size
    full, rest = blocks // GROUPS, blocks % GROUPS
    ahead = (AHEAD // (outs * weight_MB.shape[1]) + 1) * outs
    for m in range(first, until, outs):
        soon = m + ahead if m + ahead < until else coming + m + ahead - until
        sums, high = zeros(float32, outs, rows), until - m
        for s in range(full):
            at = s * GROUPS * size
            for i in range(outs):  # every line of outputs to come: the processor foresees only one row at a time
                for byte in range(at, at + GROUPS * size, LINE):
                    prefetch(job, 8, soon + i, byte)
            sums = stack(job, sums, 8, (m, at, high), s, size, rows, outs)
        if rest:
            keep_rests(job, me, m, full * GROUPS * size, min(high, outs))
            sums = stack(job, sums, 12, (me * OUTS, 0, high), full, size, rows, outs)
        store_totals(made_NM, (0, m), sums, len(made_NM), high)


@function
def keep_rests(job, me, m, at, high):
    """Copy what comes from byte `at` on in some rows to where there is room for whole stacks; zeros behind it."""
    weight_MB, rests = array(job, 8, uint8, 2), array(job, 12, uint8, 2)
    there = weight_MB.shape[1] - at
    for i in range(high):
        for byte in range(rests.shape[1]):
            rests[me * OUTS + i, byte] = weight_MB[m + i, at + byte] if byte < there else 0


@function
def stack(job, sums, place, index, s, size, rows, outs):
    """Add the products of stack s of x with GROUPS blocks of some outputs, which lie at this index of an argument."""
    place, size, rows, outs = literally(place), literally(size), literally(rows), literally(outs)
    x, scale, start = array(job, 9, int8, 3), array(job, 10, float32, 2), array(job, 11, int32, 2)
    m, at, high = index
    if size == Q8_0:
        first = flipped(load_blocks(array(job, place, int8, 2), (m, at + 2), size, high, GROUPS, outs))
        second = flipped(load_blocks(array(job, place, int8, 2), (m, at + 18), size, high, GROUPS, outs))
    else:
        pairs = load_blocks(array(job, place, uint8, 2), (m, at + 2), size, high, GROUPS, outs)
        first, second = low_nibbles(pairs), high_nibbles(pairs)
    products = dot(load(start, (s, 0), 1, rows), first, load(x, (s, 0, 0), 1, rows))
    products = dot(products, second, load(x, (s, 1, 0), 1, rows))
    scales = load_scales(array(job, place, uint8, 2), (m, at), size, high, GROUPS, outs)
    return fma(as_float(products), scales * load(scale, (s, 0), 1, rows), sums)
