"""Products with many rows: x_NK times a weight, as float32.

A thread takes WIDTH outputs and a block of rows at a time. Of the weight it copies DEPTH x WIDTH numbers into a panel
of its own, widened to float32 and with the outputs side by side, small enough to stay in the cache next to its core.
Then it multiplies the panel by ROWS rows of x after each other, a tile of the product that stays in registers, and
meanwhile asks the memory for what the next panel is made of. Rows of x are read where they are, without a copy.

Every number is the sum over k in steps of DEPTH, each added up from its first k to its last, whatever stands beside it.
Source of the scheme: Goto and van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication".
"""

from __future__ import annotations

from numba import float32, literally, uint16

from byhand.engines.cpu.kernel import array, function, kernel, take, whole
from byhand.engines.cpu.kernels.ending import finish
from byhand.engines.cpu.kernels.widening import BF16, BLOCK, BLOCK_BYTES, DEPTH, F16, F32, ITEMSIZE, number, widen
from byhand.engines.cpu.simd import (
    LANES,
    LINE,
    fma,
    load,
    load_bf16,
    load_f16,
    load_some,
    prefetch,
    repeat,
    store,
    store_some,
    transposed,
    zeros,
)

ROWS, COLS = (8, 3) if LANES == 16 else (6, 2)  # vectors of a tile, as many as there are registers for
WIDTH, NARROW = COLS * LANES, COLS - 1  # the last panel has fewer columns where so many are enough
HOT = 4 * ROWS  # rows of a finished product that are still in the nearest cache
CHUNK = 8  # steps between two requests to the memory


@kernel
def product_by_panels(job, me):
    """12 whether the weight's rows are outputs, 13 panels [threads, DEPTH + ROWS, WIDTH], 14 rows of x in a block, 15
    whether the product is added to what is there."""
    made_NM, block = array(job, 4, float32, 2), whole(job, 14)
    N, M = made_NM.shape
    K = array(job, 8, float32, 2).shape[1]
    blocks = (N + block - 1) // block
    pieces = blocks * ((M + WIDTH - 1) // WIDTH)
    piece = take(job, 1)
    while piece < pieces:
        coming = take(job, 1)
        n0, m0 = piece % blocks * block, piece // blocks * WIDTH
        n1 = min(n0 + block, N)
        for k0 in range(0, K, DEPTH):
            unpack(job, me, m0, k0, min(k0 + DEPTH, K))
            if k0 + DEPTH < K:
                multiply_panel(job, me, n0, n1, m0, k0, (m0, k0 + DEPTH))
                continue
            for n in range(n0, n1, HOT):
                soon = coming // blocks * WIDTH if n == n0 else M
                multiply_panel(job, me, n, min(n + HOT, n1), m0, k0, (soon, 0))
                finish(job, n, min(n + HOT, n1), m0, min(m0 + WIDTH, M))
        piece = coming


@function
def unpack(job, me, m0, k0, k1):
    """Write what the weight has at these k for WIDTH outputs from m0 on to the thread's panel."""
    if whole(job, 12):
        for c in range(0, min(WIDTH, array(job, 4, float32, 2).shape[1] - m0), LANES):
            turn(job, me, m0 + c, c, k0, k1)
        return
    left = array(job, 4, float32, 2).shape[1] - m0
    if left >= WIDTH:
        lay(job, me, m0, k0, k1, COLS)
    elif left == NARROW * LANES:
        lay(job, me, m0, k0, k1, NARROW)
    else:
        panel_KC = array(job, 13, float32, 3)[me]
        for k in range(k0, k1):
            for m in range(left):
                panel_KC[k - k0, m] = number(job, k, m0 + m)


@function
def lay(job, me, m0, k0, k1, cols):
    """From rows that go along the outputs."""
    cols = literally(cols)
    kind, panel_IKC = whole(job, 10), array(job, 13, float32, 3)
    if kind == F32:
        for k in range(k0, k1):
            store(panel_IKC, (me, k - k0, 0), load(array(job, 9, float32, 2), (k, m0), 1, cols))
    elif kind == F16:
        for k in range(k0, k1):
            store(panel_IKC, (me, k - k0, 0), load_f16(array(job, 9, uint16, 2), (k, m0), 1, cols))
    elif kind == BF16:
        for k in range(k0, k1):
            store(panel_IKC, (me, k - k0, 0), load_bf16(array(job, 9, uint16, 2), (k, m0), 1, cols))


@function
def turn(job, me, m, c, k0, k1):
    """From rows that make one output each: LANES of them from row m on, to column c of the panel."""
    kind, panel_IKC, wide_IRK = whole(job, 10), array(job, 13, float32, 3), array(job, 11, float32, 3)
    rows = min(LANES, array(job, 4, float32, 2).shape[1] - m)
    if rows < LANES or (k1 - k0) % LANES or kind > BF16:
        for r in range(rows):
            widen(job, me, r, m + r, k0, k1)
        for k in range(0, k1 - k0, LANES):
            store(panel_IKC, (me, k, c), transposed(load(wide_IRK, (me, 0, k), LANES)))
    elif kind == F32:
        for k in range(k0, k1, LANES):
            store(panel_IKC, (me, k - k0, c), transposed(load(array(job, 9, float32, 2), (m, k), LANES)))
    elif kind == F16:
        for k in range(k0, k1, LANES):
            store(panel_IKC, (me, k - k0, c), transposed(load_f16(array(job, 9, uint16, 2), (m, k), LANES)))
    else:
        for k in range(k0, k1, LANES):
            store(panel_IKC, (me, k - k0, c), transposed(load_bf16(array(job, 9, uint16, 2), (m, k), LANES)))


@function
def multiply_panel(job, me, n0, n1, m0, k0, soon):
    """Add the panel times rows n0 … n1-1 of x to the product, and ask for what the next panel is made of, at `soon`."""
    left = array(job, 4, float32, 2).shape[1] - m0
    if left > NARROW * LANES:
        multiply_columns(job, me, n0, n1, m0, k0, soon, COLS)
    elif left > LANES:
        multiply_columns(job, me, n0, n1, m0, k0, soon, NARROW)
    else:
        multiply_columns(job, me, n0, n1, m0, k0, soon, 1)


@function
def multiply_columns(job, me, n0, n1, m0, k0, soon, cols):
    """The same for a panel of so many vectors across."""
    cols = literally(cols)
    K, M = array(job, 8, float32, 2).shape[1], array(job, 4, float32, 2).shape[1]
    depth, panel_IKC, made_NM = min(DEPTH, K - k0), array(job, 13, float32, 3), array(job, 4, float32, 2)
    row, row_end, byte, byte_end = patch(job, *soon)
    first_byte, more = byte, k0 > 0 or whole(job, 15) != 0
    chunks = (n1 - n0 + ROWS - 1) // ROWS * ((depth + CHUNK - 1) // CHUNK)
    lines = (row_end - row) * ((byte_end - byte + LINE - 1) // LINE)
    for n in range(n0, n1, ROWS):
        x_RK = rows_of_x(job, me, n, n1, k0, depth)
        acc = zeros(float32, ROWS, cols)
        for chunk in range(0, depth, CHUNK):
            for _ in range((lines + chunks - 1) // chunks):
                if row < row_end:
                    prefetch(job, 9, row, byte)
                    byte += LINE
                    if byte >= byte_end:
                        row, byte = row + 1, first_byte
            for k in range(chunk, min(chunk + CHUNK, depth)):
                acc = fma(repeat(x_RK, (0 * k, k), ROWS), load(panel_IKC, (me, k, 0), 1, cols), acc)
        if n + ROWS <= n1 and m0 + cols * LANES <= M:
            store(made_NM, (n, m0), acc + load(made_NM, (n, m0), ROWS, cols) if more else acc)
        elif n + ROWS <= n1:
            before = load_some(made_NM, (n, m0), M - m0 if more else 0, ROWS, cols)
            store_some(made_NM, (n, m0), acc + before, ROWS, M - m0)
        else:
            store(panel_IKC, (me, DEPTH, 0), acc)
            add_part(job, me, n, min(n + ROWS, n1), m0, min(m0 + WIDTH, M), more)


@function
def patch(job, m, k):
    """Where the numbers of a panel lie in the weight: its first row and the one behind its last, and so for bytes."""
    K, M = array(job, 8, float32, 2).shape[1], array(job, 4, float32, 2).shape[1]
    kind = whole(job, 10)
    m1, k1 = min(m + WIDTH, M), min(k + DEPTH, K)
    if not whole(job, 12):
        return k, k1 if m < M else k, m * ITEMSIZE[kind], m1 * ITEMSIZE[kind]
    if kind > BF16:
        return m, m1, k // BLOCK * BLOCK_BYTES[kind], k1 // BLOCK * BLOCK_BYTES[kind]
    return m, m1, k * ITEMSIZE[kind], k1 * ITEMSIZE[kind]


@function
def rows_of_x(job, me, n, n1, k0, depth):
    """ROWS rows of x from n on; where there are fewer, a copy of them, filled up with zeros."""
    x_NK = array(job, 8, float32, 2)
    if n + ROWS <= n1:
        return x_NK[n : n + ROWS, k0 : k0 + depth]
    some_RK = array(job, 11, float32, 3)[me]
    for r in range(ROWS):
        for k in range(depth):
            some_RK[r, k] = x_NK[n + r, k0 + k] if n + r < n1 else float32(0)
    return some_RK


@function
def add_part(job, me, n0, n1, m0, m1, more):
    """Add the part that is inside of a tile that is not, from behind the panel."""
    made_NM, tile_RC = array(job, 4, float32, 2), array(job, 13, float32, 3)[me, DEPTH:]
    for n in range(n0, n1):
        for m in range(m0, m1):
            made = tile_RC[n - n0, m - m0]
            made_NM[n, m] = made_NM[n, m] + made if more else made
