"""Products with weights in blocks (q8_0, q4_0) and activations rounded to int8: the choice of kernels, and those for few rows.

Few rows are bound by reading the weights: every block is read once, straight from the model's own memory, for all rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, int8, int32, literally, uint8

from byhand.engines.cpu.builder import Builder
from byhand.engines.cpu.kernel import array, function, kernel, take, whole
from byhand.engines.cpu.kernels.ending import Ending, finish
from byhand.engines.cpu.kernels.integer_tiles import ROWS, WIDE, tiles_q4_0, tiles_q8_0
from byhand.engines.cpu.kernels.rounding import GROUP, round_stacks, round_tiles
from byhand.engines.cpu.matrix import Matrix
from byhand.engines.cpu.simd import BYTES, LANES, as_float, dot, flipped, fma, high_nibbles, load, low_nibbles, zeros
from byhand.engines.cpu.simd.blocks import GROUPS, load_blocks, load_scales, store_totals

Array = np.ndarray[Any, Any]

Q8_0, Q4_0 = 34, 18  # bytes of a block: its scale, and 32 numbers
OFFSET = {"q8_0": 128, "q4_0": 8}  # of a weight as a byte without a sign
SLAB = 32  # outputs that a thread takes at a time


def lower_int8(b: Builder, weight: Matrix, x_NK: Array, x_address: str, ending: Ending) -> None:
    """Append the calls that make the product of x_NK, the value at x_address, with a weight in blocks."""
    lower = lower_few if len(x_NK) < ROWS else lower_many
    lower(b, weight, x_NK, x_address, ending)


def lower_few(b: Builder, weight: Matrix, x_NK: Array, x_address: str, ending: Ending) -> None:
    rows = next(rows for rows in (1, 2, 4, 8) if rows >= len(x_NK))
    stacks = -(-weight.ins // (GROUP * GROUPS))
    name = f"int8 {weight.kind}"
    rounded = b.scratch(name, (stacks, 2, rows, BYTES), np.int8)
    scale = b.scratch(f"{name} scale", (stacks, rows, LANES), np.float32)
    start = b.scratch(f"{name} start", (stacks, rows, LANES), np.int32)
    if not b.holds(name, x_address):
        b.call(round_stacks, x_NK, rounded, scale, start, OFFSET[weight.kind])
    kernel = few_q8_0 if weight.kind == "q8_0" else few_q4_0
    b.call(kernel, *ending.arguments, stored(weight), rounded, scale, start)


def stored(weight: Matrix) -> Array:
    """Its bytes, with a sign where the numbers have one."""
    return weight.array.view(np.int8) if weight.kind == "q8_0" else weight.array


def lower_many(b: Builder, weight: Matrix, x_NK: Array, x_address: str, ending: Ending) -> None:
    tiles, name = -(-len(x_NK) // ROWS), f"int8 tiles {weight.kind}"
    rounded = b.scratch(name, (tiles, weight.ins // 4, ROWS, 4), np.int8)
    scale = b.scratch(f"{name} scale", (tiles, weight.ins // GROUP, ROWS, 1), np.float32)
    start = b.scratch(f"{name} start", (tiles, weight.ins // GROUP, ROWS, 1), np.int32)
    panel = b.scratch("int8 panel", (b.threads, weight.ins // 4, 4 * WIDE), np.uint8)
    panel_scale = b.scratch("int8 panel scale", (b.threads, weight.ins // GROUP, WIDE), np.float32)
    if not b.holds(name, x_address):
        b.call(round_tiles, x_NK, rounded, scale, start, OFFSET[weight.kind])
    kernel = tiles_q8_0 if weight.kind == "q8_0" else tiles_q4_0
    b.call(kernel, *ending.arguments, stored(weight), rounded, scale, start, panel, panel_scale)


@kernel
def few_q8_0(job, me):
    """The ending's arguments, the weight [M, bytes] as int8, then what `round_stacks` made."""
    made_NM, weight = array(job, 4, float32, 2), array(job, 8, int8, 2)
    x, scale, start = array(job, 9, int8, 4), array(job, 10, float32, 3), array(job, 11, int32, 3)
    m = take(job, SLAB)
    while m < len(weight):
        until = min(m + SLAB, len(weight))
        if x.shape[2] == 1:
            slab_q8_0(weight, x, scale, start, end, me, made_NM, m, until, 1)
        elif x.shape[2] == 2:
            slab_q8_0(weight, x, scale, start, end, me, made_NM, m, until, 2)
        elif x.shape[2] == 4:
            slab_q8_0(weight, x, scale, start, end, me, made_NM, m, until, 4)
        else:
            slab_q8_0(weight, x, scale, start, end, me, made_NM, m, until, 8)
        finish(job, 0, len(made_NM), m, until)
        m = take(job, SLAB)


@function
def slab_q8_0(weight, x, scale, start, end, me, made_NM, m, until, rows):
    """Outputs m … until-1 for all rows."""
    rows = literally(rows)
    blocks = weight.shape[1] // Q8_0
    full, rest = blocks // GROUPS, blocks % GROUPS
    for i in range(m, until):
        sums = zeros(float32, rows)
        for s in range(full):
            sums = stack_q8_0(sums, weight, i, s * STACK_Q8_0, s, x, scale, start, rows)
        if rest:
            for at in range(rest * Q8_0):
                end[me, at] = weight[i, full * STACK_Q8_0 + at]
            sums = stack_q8_0(sums, end, me, 0, full, x, scale, start, rows)
        store_totals(made_NM, (0, i), sums, len(made_NM))


@function
def stack_q8_0(sums, weight, m, at, s, x, scale, start, rows):
    rows = literally(rows)
    first = flipped(load_blocks(weight, (m, at + 2), Q8_0, 1, GROUPS))
    second = flipped(load_blocks(weight, (m, at + 18), Q8_0, 1, GROUPS))
    whole = dot(load(start, (s, 0, 0), rows), first, load(x, (s, 0, 0, 0), rows))
    whole = dot(whole, second, load(x, (s, 1, 0, 0), rows))
    unit = load_scales(weight, (m, at), Q8_0, 1, GROUPS) * load(scale, (s, 0, 0), rows)
    return fma(as_float(whole), unit, sums)


@kernel
def few_q4_0(job, me):
    """The ending's arguments, the weight [M, bytes], then what `round_stacks` made."""
    made_NM, weight = array(job, 4, float32, 2), array(job, 8, uint8, 2)
    x, scale, start = array(job, 9, int8, 4), array(job, 10, float32, 3), array(job, 11, int32, 3)
    m = take(job, SLAB)
    while m < len(weight):
        until = min(m + SLAB, len(weight))
        if x.shape[2] == 1:
            slab_q4_0(weight, x, scale, start, end, me, made_NM, m, until, 1)
        elif x.shape[2] == 2:
            slab_q4_0(weight, x, scale, start, end, me, made_NM, m, until, 2)
        elif x.shape[2] == 4:
            slab_q4_0(weight, x, scale, start, end, me, made_NM, m, until, 4)
        else:
            slab_q4_0(weight, x, scale, start, end, me, made_NM, m, until, 8)
        finish(job, 0, len(made_NM), m, until)
        m = take(job, SLAB)


@function
def slab_q4_0(weight, x, scale, start, end, me, made_NM, m, until, rows):
    """Outputs m … until-1 for all rows."""
    rows = literally(rows)
    blocks = weight.shape[1] // Q4_0
    full, rest = blocks // GROUPS, blocks % GROUPS
    for i in range(m, until):
        sums = zeros(float32, rows)
        for s in range(full):
            sums = stack_q4_0(sums, weight, i, s * STACK_Q4_0, s, x, scale, start, rows)
        if rest:
            for at in range(rest * Q4_0):
                end[me, at] = weight[i, full * STACK_Q4_0 + at]
            sums = stack_q4_0(sums, end, me, 0, full, x, scale, start, rows)
        store_totals(made_NM, (0, i), sums, len(made_NM))


@function
def stack_q4_0(sums, weight, m, at, s, x, scale, start, rows):
    rows = literally(rows)
    pairs = load_blocks(weight, (m, at + 2), Q4_0, 1, GROUPS)
    first, second = low_nibbles(pairs), high_nibbles(pairs)
    whole = dot(load(start, (s, 0, 0), rows), first, load(x, (s, 0, 0, 0), rows))
    whole = dot(whole, second, load(x, (s, 1, 0, 0), rows))
    unit = load_scales(weight, (m, at), Q4_0, 1, GROUPS) * load(scale, (s, 0, 0), rows)
    return fma(as_float(whole), unit, sums)
