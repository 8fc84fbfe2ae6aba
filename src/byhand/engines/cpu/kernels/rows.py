"""Products with few rows, as float32: the weight is read once, straight from where it lies, for all rows together.

How fast that goes is up to the memory, and memory is fastest when it is read from one end to the other. Where a row of
the weight makes one output, lanes run along the sum (`product_of_rows`); where it holds one term of every output, lanes
run along the outputs (`product_of_columns`). Places 8 to 11 of the jobs are as in `widening`.
"""

from __future__ import annotations

from numba import float32, literally, uint16

from byhand.engines.cpu.kernel import array, function, kernel, take, whole
from byhand.engines.cpu.kernels.ending import finish
from byhand.engines.cpu.kernels.widening import BF16, DEPTH, F16, F32, ITEMSIZE, number, widen
from byhand.engines.cpu.simd import (
    LANES,
    LINE,
    fma,
    load,
    load_bf16,
    load_f16,
    prefetch,
    product_of,
    repeat,
    store,
    store_totals,
    total,
    zeros,
)

OUTS = 4  # outputs at a time, so that what is read of x serves more than one
SLAB = 32  # outputs that a thread takes at a time; whole groups
AHEAD = 8192  # bytes: what is asked for that much earlier is there when it is needed
TERMS = 8  # terms of every output that are added up before they join the others
PAIR, STRIP = 2 * LANES, 4 * LANES  # numbers multiplied at a time, where rows are outputs and where they are terms


# Rows of the weight are outputs.


@kernel
def product_of_rows(job, me):
    """12 scratch memory [threads, ceil(K / LANES), rows * LANES], rows the next power of 2, for x in lanes."""
    made_NM = array(job, 4, float32, 2)
    N, M = made_NM.shape
    if N > 1:
        interleave(job, me)
    m0 = take(job, SLAB)
    ahead = AHEAD // (array(job, 8, float32, 2).shape[1] * ITEMSIZE[whole(job, 10)]) + 1
    while m0 < M:
        m1, coming = min(m0 + SLAB, M), take(job, SLAB)
        if N == 1:
            for m in range(m0, m1):
                made_NM[0, m] = output(job, me, m, m + ahead if m + ahead < m1 else coming + m + ahead - m1)
        else:
            for m in range(m0, m1, OUTS):
                for n in range(0, N, 4):
                    if N == 2:
                        outputs(job, me, n, m, 2)
                    else:
                        outputs(job, me, n, m, 4)
        finish(job, 0, N, m0, m1)
        m0 = coming


@function
def output(job, me, m, soon):
    """Output m of the only row; row `soon` of the weight is asked for meanwhile."""
    kind, x_NK = whole(job, 10), array(job, 8, float32, 2)
    K, made = x_NK.shape[1], float32(0)
    full = K - K % PAIR
    if kind == F32:
        made = total(along(job, load, array(job, 9, float32, 2), (m, soon), x_NK, full))
    elif kind == F16:
        made = total(along(job, load_f16, array(job, 9, uint16, 2), (m, soon), x_NK, full))
    elif kind == BF16:
        made = total(along(job, load_bf16, array(job, 9, uint16, 2), (m, soon), x_NK, full))
    else:
        acc = zeros(float32, 1, 2)
        for k in range(0, K, DEPTH):
            k1 = min(k + DEPTH, K)
            widen(job, me, 0, m, k, k1)
            for i in range(0, k1 - k, PAIR):
                acc = fma(load(array(job, 11, float32, 3), (me, 0, i), 1, 2), load(x_NK, (0, k + i), 1, 2), acc)
        return total(acc)
    for k in range(full, K):
        made = product_of(number(job, m, k), x_NK[0, k], made)
    return made


@function
def along(job, read, weight_MK, rows, x_NK, count):
    """The sum of `count` terms of row m of the weight, rows = (m, soon), while the same of row `soon` is asked for."""
    (m, soon), step, acc = rows, PAIR * ITEMSIZE[whole(job, 10)], zeros(float32, 1, 2)
    for k in range(0, count, PAIR):
        for byte in range(k // PAIR * step, (k // PAIR + 1) * step, LINE):
            prefetch(job, 9, soon, byte)
        acc = fma(read(weight_MK, (m, k), 1, 2), load(x_NK, (0, k), 1, 2), acc)
    return acc


@function
def interleave(job, me):
    """Write x so that what all rows have for the same lanes lies together, filled up with rows of zeros."""
    x_NK, lanes_KR = array(job, 8, float32, 2), array(job, 12, float32, 3)[me]
    N, K = x_NK.shape
    for k in range(K // LANES):
        for n in range(lanes_KR.shape[1] // LANES):
            store(lanes_KR, (k, n * LANES), load(x_NK, (n, k * LANES)) if n < N else zeros(float32))


@function
def outputs(job, me, n, m, rows):
    """OUTS outputs from m on, for as many rows of x from n on."""
    rows = literally(rows)
    made_NM, x_NK, x_KR = (
        array(job, 4, float32, 2),
        array(job, 8, float32, 2),
        array(job, 12, float32, 3)[me, :, n * LANES :],
    )
    kind, (N, M), K = whole(job, 10), made_NM.shape, x_NK.shape[1]
    acc, high, wide, full = zeros(float32, OUTS, rows), min(rows, N - n), min(OUTS, M - m), K - K % LANES
    if kind > BF16 or wide < OUTS:
        for k in range(0, full, DEPTH):
            k1 = min(k + DEPTH, full)
            for i in range(wide):
                widen(job, me, i, m + i, k, k1)
            acc = across(job, load, array(job, 11, float32, 3)[me], 0, x_KR[k // LANES :], k1 - k, acc, rows)
    elif kind == F32:
        acc = across(job, load, array(job, 9, float32, 2), m, x_KR, full, acc, rows)
    elif kind == F16:
        acc = across(job, load_f16, array(job, 9, uint16, 2), m, x_KR, full, acc, rows)
    else:
        acc = across(job, load_bf16, array(job, 9, uint16, 2), m, x_KR, full, acc, rows)
    store_totals(made_NM, (n, m), acc, high, wide)
    for k in range(full, K):
        for i in range(m, m + wide):
            for r in range(n, n + high):
                made_NM[r, i] = product_of(number(job, i, k), x_NK[r, k], made_NM[r, i])


@function
def across(job, read, weight_MK, m, x_KR, count, acc, rows):
    """Add `count` terms of OUTS outputs, and ask for the same of the next outputs, from one end to the other."""
    rows = literally(rows)
    step = LANES * ITEMSIZE[whole(job, 10)] * OUTS
    for k in range(0, count, LANES):
        for byte in range(k // LANES * step, (k // LANES + 1) * step, LINE):
            prefetch(job, 9, m + OUTS, byte)
        acc = fma(read(weight_MK, (m, k), OUTS), load(x_KR, (k // LANES, 0), 1, rows), acc)
    return acc


# Rows of the weight are terms.


@kernel
def product_of_columns(job, me):
    """12 how many outputs a thread takes at a time: many, so that long pieces of the weight's rows are read."""
    made_NM, slab, kind = array(job, 4, float32, 2), whole(job, 12), whole(job, 10)
    N, M = made_NM.shape
    m0 = take(job, slab)
    while m0 < M:
        m1 = min(m0 + slab, M)
        for n in range(N):
            for m in range(m0, m1):
                made_NM[n, m] = float32(0)
        for k in range(0, array(job, 8, float32, 2).shape[1], TERMS):
            if kind == F32:
                add_terms(job, load, array(job, 9, float32, 2), k, m0, m1)
            elif kind == F16:
                add_terms(job, load_f16, array(job, 9, uint16, 2), k, m0, m1)
            else:
                add_terms(job, load_bf16, array(job, 9, uint16, 2), k, m0, m1)
        finish(job, 0, N, m0, m1)
        m0 = take(job, slab)


@function
def add_terms(job, read, weight_KM, k0, m0, m1):
    """Add TERMS terms from k0 on to outputs m0 … m1-1 of all rows, and ask for what the next terms are made of."""
    made_NM, x_NK, size = array(job, 4, float32, 2), array(job, 8, float32, 2), ITEMSIZE[whole(job, 10)]
    N, k1, full = len(x_NK), min(k0 + TERMS, x_NK.shape[1]), m0 + (m1 - m0) // STRIP * STRIP
    for m in range(m0, full, STRIP):
        for k in range(k1, min(k1 + TERMS, x_NK.shape[1])):
            for byte in range(m * size, (m + STRIP) * size, LINE):
                prefetch(job, 9, k, byte)
        for n in range(0, N - 3, 4):
            add_strip(job, read, weight_KM, n, m, k0, k1, 4)
        if N & 2:
            add_strip(job, read, weight_KM, N & 4, m, k0, k1, 2)
        if N & 1:
            add_strip(job, read, weight_KM, N & 6, m, k0, k1, 1)
    for n in range(N):
        for m in range(full, m1):
            made = float32(0)
            for k in range(k0, k1):
                made = product_of(number(job, k, m), x_NK[n, k], made)
            made_NM[n, m] += made


@function
def add_strip(job, read, weight_KM, n, m, k0, k1, rows):
    rows = literally(rows)
    made_NM, x_NK, acc = array(job, 4, float32, 2), array(job, 8, float32, 2), zeros(float32, rows, 4)
    if k1 - k0 == TERMS:
        for k in range(TERMS):
            acc = fma(repeat(x_NK, (n, k0 + k), rows), read(weight_KM, (k0 + k, m), 1, 4), acc)
    else:
        for k in range(k0, k1):
            acc = fma(repeat(x_NK, (n, k), rows), read(weight_KM, (k, m), 1, 4), acc)
    store(made_NM, (n, m), load(made_NM, (n, m), rows, 4) + acc)
