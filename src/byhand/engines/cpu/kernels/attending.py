"""Attention from queries, keys and values to what the heads read, without an array of all scores.

The rows of a text and a key/value head are the queries that read it: row n is head n % R of them, at token n // R. Keys
and values are brought into the form of products: keys transposed, in panels, and values as float32. Then either a
thread takes a block of rows and carries it through scores, softmax and mix in its own cache (`attend`); or, where a few
rows look at many keys, threads share the keys by chunks: see attending_chunks.py.

Both ways make the same bits: a score adds its K products in order; a softmax adds lane by lane; a mix adds the keys of
a chunk in order, and then the chunks. A hidden key has weight 0 and so changes nothing, computed or left out.

All kernels of both files read one list of arguments, whose places are named below.
"""

from __future__ import annotations

import math

import numpy as np

from byhand.engines.cpu.kernel import array, exact, given, inlined, kernel, real, take, whole
from byhand.engines.cpu.simd import (
    LANES,
    bf16,
    exp,
    float32,
    fma,
    highest,
    int64,
    larger,
    load,
    load_bf16,
    repeat,
    store,
    total,
    transposed,
    uint8,
    uint16,
    zeros,
)

ROWS = 8 if LANES == 16 else 4  # of a tile of a product; with its columns as many as there are registers for
COLS = 2
WIDE = COLS * LANES  # keys of a panel, and the numbers across every tile
CHUNK = 128  # keys whose values are added up by themselves; they fit the first cache
HIDDEN, ZERO, ONE = np.float32(-math.inf), np.float32(0), np.float32(1)

# Arguments: first arrays of values, absent ones None, but keys and values of the kind they are not held in a stand-in;
# then scratch memory, X for each thread or each pair of text and key/value head; then sizes.
QUERY, KEY, SHORT_KEY, VALUE, SHORT_VALUE, ENDS, ALLOWED, SCORE, MASKED, WEIGHT, OUT = range(11)
STRETCH, PANELS, VALUES, QUERIES, SCORES, SUMS = range(11, 17)
TOKENS, GROUPS, SHARING, KEYS, NUMBERS, TEXTS, KEY_SHORT, VALUE_SHORT, SCALE = range(17, 26)


# --- keys and values as products read them ----------------------------------------------------------------------------


@exact
def fetch(x_BGSK, short_BGSK, short, at, size, out_XSK, to):
    """Copy size = (count, K) keys or values from at = (b, g, s) on to out_XSK[to]."""
    (b, g, s), (count, K), (x, first) = at, size, to
    inside_K = K // LANES * LANES
    for i in range(count):
        for k in range(0, inside_K, LANES):
            if short:
                store(out_XSK, (x, first + i, k), load_bf16(short_BGSK, (b, g, s + i, k)))
            else:
                store(out_XSK, (x, first + i, k), load(x_BGSK, (b, g, s + i, k)))
        for k in range(inside_K, K):
            out_XSK[x, first + i, k] = bf16(short_BGSK[b, g, s + i, k]) if short else x_BGSK[b, g, s + i, k]


@exact
def fetch_values(job, bg, s, count, out_XSK, to):
    """Bring `count` values to where `to` says."""
    G, K, short = whole(job, GROUPS), whole(job, NUMBERS), whole(job, VALUE_SHORT) != 0
    value_BGSK, short_BGSK = array(job, VALUE, float32, 4), array(job, SHORT_VALUE, uint16, 4)
    fetch(value_BGSK, short_BGSK, short, (bg // G, bg % G, s), (count, K), out_XSK, to)


@exact
def make_panel(job, me, bg, s, end, p):
    """Make panel p of the keys s … s + WIDE - 1. Those from `end` on may be anything: they are hidden afterwards."""
    G, K, short = whole(job, GROUPS), whole(job, NUMBERS), whole(job, KEY_SHORT) != 0
    b, g, panel_PKW = bg // G, bg % G, array(job, PANELS, float32, 3)
    key_BGSK, short_BGSK = array(job, KEY, float32, 4), array(job, SHORT_KEY, uint16, 4)
    stretch_XSK = array(job, STRETCH, float32, 3)
    if not short and K % LANES == 0 and s + WIDE <= end:
        transpose(key_BGSK[b], (g, s), panel_PKW, p, K)
    else:
        fetch(key_BGSK, short_BGSK, short, (b, g, s), (min(WIDE, end - s), K), stretch_XSK, (me, 0))
        transpose(stretch_XSK, (me, 0), panel_PKW, p, K)


@exact
def transpose(key_XSK, at, panel_PKW, p, K):
    """The keys from at = (x, s) on as panel p."""
    x, s = at
    for k in range(0, K, LANES):
        for c in range(COLS):
            store(panel_PKW, (p, k, c * LANES), transposed(load(key_XSK, (x, s + c * LANES, k), LANES)))


@exact
def fetch_queries(job, me, bg, first, rows):
    """Bring rows of queries to the thread's own, side by side."""
    G, R = whole(job, GROUPS), whole(job, SHARING)
    query_BTHK, query_XNK = array(job, QUERY, float32, 4), array(job, QUERIES, float32, 3)
    for n in range(rows):
        t, h = (first + n) // R, bg % G * R + (first + n) % R
        copy(query_BTHK[bg // G, t, h], query_XNK[me, n])


# --- how far a row sees -----------------------------------------------------------------------------------------------


@exact
def end_of_rows(job, bg, first, rows):
    """How many keys there are up to the last that one of these rows may see; 1 if there is none, to make a NaN of."""
    R, S = whole(job, SHARING), whole(job, KEYS)
    if not given(job, ENDS):
        return S
    ends_BT, b, end = array(job, ENDS, int64, 2), bg // whole(job, GROUPS), 1
    for t in range(first // R, (first + rows - 1) // R + 1):
        end = max(end, ends_BT[b, t])
    return min(S, end)


@exact
def computed(job, bg, first, rows):
    """Of how many keys these rows need the scores: of all where somebody wants to see them."""
    return whole(job, KEYS) if given(job, SCORE) else end_of_rows(job, bg, first, rows)


# --- products ---------------------------------------------------------------------------------------------------------


@exact
def product(a_XNI, a, b_YIW, b, count):
    """A tile: ROWS rows of a_XNI from index a on times WIDE columns of b_YIW from index b on, over `count` numbers."""
    (x, n, i), (y, j, w) = a, b
    acc = zeros(float32, ROWS, COLS)
    for k in range(count):
        acc = fma(repeat(a_XNI, (x, n, i + k), ROWS), load(b_YIW, (y, j + k, w), 1, COLS), acc)
    return acc


@exact
def product_of_one(a_XNI, a, b_YIW, b, count):
    """The same for a single row."""
    (x, n, i), (y, j, w) = a, b
    acc = zeros(float32, 1, COLS)
    for k in range(count):
        acc = fma(repeat(a_XNI, (x, n, i + k)), load(b_YIW, (y, j + k, w), 1, COLS), acc)
    return acc


@exact
def score(job, me, n, rows, p, to):
    """Scores of the thread's queries from n on and the keys of panel p; to: text and head, row, key."""
    query_XNK, panel_PKW = array(job, QUERIES, float32, 3), array(job, PANELS, float32, 3)
    score_XNS, K, scale = array(job, SCORES, float32, 3), whole(job, NUMBERS), np.float32(real(job, SCALE))
    if rows == 1:
        store(score_XNS, to, product_of_one(query_XNK, (me, n, 0), panel_PKW, (p, 0, 0), K) * scale)
    else:
        store(score_XNS, to, product(query_XNK, (me, n, 0), panel_PKW, (p, 0, 0), K) * scale)


@exact
def mix(weight_XNS, a, value_YSK, b, size, sum_XNK, to):
    """The weighted sum of values of size = (count, rows, more), added to what sum_XNK holds if these are more."""
    count, rows, more = size
    if rows == 1:
        one = product_of_one(weight_XNS, a, value_YSK, b, count)
        store(sum_XNK, to, load(sum_XNK, to, 1, COLS) + one if more else one)
    else:
        made = product(weight_XNS, a, value_YSK, b, count)
        store(sum_XNK, to, load(sum_XNK, to, ROWS, COLS) + made if more else made)


# --- softmax ----------------------------------------------------------------------------------------------------------


@inlined
def softmax(row_S):
    """In place; the row is a whole number of panels long. What a hidden key gets: 0, or NaN where all do."""
    peak = load(row_S, 0, 1, COLS)
    for s in range(0, len(row_S), WIDE):
        peak = larger(load(row_S, s, 1, COLS), peak)
    raise_row(row_S, highest(peak))
    sums = zeros(float32, 1, COLS)
    for s in range(0, len(row_S), WIDE):
        sums = sums + load(row_S, s, 1, COLS)
    share = ONE / total(sums)
    for s in range(0, len(row_S), WIDE):
        store(row_S, s, load(row_S, s, 1, COLS) * share)
    return ZERO * share


@inlined
def raise_row(row_S, peak):
    for s in range(len(row_S)):
        row_S[s] = exp(row_S[s] - peak)


@inlined
def fill(row_S, value):
    for s in range(len(row_S)):
        row_S[s] = value


@exact
def copy(row_S, out_S):
    inside = len(row_S) // LANES * LANES
    for s in range(0, inside, LANES):
        store(out_S, s, load(row_S, s))
    for s in range(inside, len(row_S)):
        out_S[s] = row_S[s]


@inlined
def hide(row_S, allowed_S):
    for s in range(len(row_S)):
        row_S[s] = row_S[s] if allowed_S[s] else HIDDEN


@inlined
def share(job, bg, n, row_S, width):
    """Make weights of the scores of row n, of which `width` are there, and write what is asked for on the way."""
    G, R, S = whole(job, GROUPS), whole(job, SHARING), whole(job, KEYS)
    b, h, t, end = bg // G, bg % G * R + n % R, n // R, end_of_rows(job, bg, n, 1)
    panels = (width + WIDE - 1) // WIDE * WIDE
    if given(job, SCORE):
        copy(row_S[:S], array(job, SCORE, float32, 4)[b, h, t])
    if given(job, ALLOWED):
        hide(row_S[:end], array(job, ALLOWED, uint8, 3)[b, t])
    if given(job, ENDS) and array(job, ENDS, int64, 2)[b, t] < 1:
        end = 0
    fill(row_S[end:panels], HIDDEN)
    if given(job, MASKED):
        copy(row_S[:width], array(job, MASKED, float32, 4)[b, h, t])
        fill(array(job, MASKED, float32, 4)[b, h, t, width:], HIDDEN)
    nothing = softmax(row_S[:panels])
    if given(job, WEIGHT):
        copy(row_S[:width], array(job, WEIGHT, float32, 4)[b, h, t])
        fill(array(job, WEIGHT, float32, 4)[b, h, t, width:], nothing)


# --- blocks of rows, each carried through by one thread ---------------------------------------------------------------


@kernel
def lay_out(job, me):
    """Write the panels of all keys, and all values, as far as anybody looks."""
    BG, N = whole(job, TEXTS) * whole(job, GROUPS), whole(job, TOKENS) * whole(job, SHARING)
    chunks = (whole(job, KEYS) + CHUNK - 1) // CHUNK
    unit = take(job, 1)
    while unit < BG * chunks:
        bg, s = unit // chunks, unit % chunks * CHUNK
        if given(job, QUERY):
            end = min(s + CHUNK, computed(job, bg, 0, N))
            for w in range(s, end, WIDE):
                make_panel(job, me, bg, w, end, (unit * CHUNK + w - s) // WIDE)
        count = min(CHUNK, end_of_rows(job, bg, 0, N) - s)
        if given(job, OUT) and count > 0:
            fetch_values(job, bg, s, count, array(job, VALUES, float32, 3), (bg, s))
        unit = take(job, 1)


@exact
def score_block(job, me, bg, first, rows):
    """Scores of a block of rows, panel by panel."""
    fetch_queries(job, me, bg, first, rows)
    panels = array(job, PANELS, float32, 3).shape[0] // (whole(job, TEXTS) * whole(job, GROUPS))
    for p in range((computed(job, bg, first, rows) + WIDE - 1) // WIDE):
        for n in range(0, rows, ROWS):
            high = min(ROWS, rows - n)
            if p * WIDE < computed(job, bg, first + n, high):
                score(job, me, n, high, bg * panels + p, (me, n, p * WIDE))


@exact
def finish_block(job, me, bg, first, rows):
    """From scores to weights; or the scores are all that is wanted; or the weights are there."""
    G, R, S, score_XNS = whole(job, GROUPS), whole(job, SHARING), whole(job, KEYS), array(job, SCORES, float32, 3)
    for n in range(rows):
        row_S, at = score_XNS[me, n], first + n
        b, h, t = bg // G, bg % G * R + at % R, at // R
        if not given(job, OUT):
            copy(row_S[:S], array(job, SCORE, float32, 4)[b, h, t])
        elif given(job, QUERY):
            tile = n // ROWS * ROWS
            share(job, bg, at, row_S, computed(job, bg, first + tile, min(ROWS, rows - tile)))
        else:
            copy(array(job, WEIGHT, float32, 4)[b, h, t], row_S[:S])


@exact
def mix_block(job, me, bg, first, rows):
    """What a block of rows reads, chunk by chunk."""
    weight_XNS, value_YSK = array(job, SCORES, float32, 3), array(job, VALUES, float32, 3)
    sum_XNK = array(job, SUMS, float32, 3)
    for s in range(0, end_of_rows(job, bg, first, rows), CHUNK):
        for w in range(0, sum_XNK.shape[2], WIDE):
            for n in range(0, rows, ROWS):
                high = min(ROWS, rows - n)
                count = min(CHUNK, end_of_rows(job, bg, first + n, high) - s)
                if count > 0:
                    mix(weight_XNS, (me, n, s), value_YSK, (bg, s, w), (count, high, s > 0), sum_XNK, (me, n, w))
    for n in range(rows):
        put(job, bg, first + n, sum_XNK[me, n])


@exact
def put(job, bg, n, sum_K):
    """What row n reads, as the heads have it."""
    G, R, K = whole(job, GROUPS), whole(job, SHARING), whole(job, NUMBERS)
    copy(sum_K[:K], array(job, OUT, float32, 4)[bg // G, n // R, bg % G * R + n % R])


@kernel
def attend(job, me):
    """From queries to what the heads read; or only to scores, without `out`; or from weights, without queries."""
    BG, N = whole(job, TEXTS) * whole(job, GROUPS), whole(job, TOKENS) * whole(job, SHARING)
    block = array(job, SCORES, float32, 3).shape[1]
    blocks = (N + block - 1) // block
    unit = take(job, 1)
    while unit < BG * blocks:
        bg, first = unit // blocks, (blocks - 1 - unit % blocks) * block  # later rows see more: they come first
        rows = min(block, N - first)
        if given(job, QUERY):
            score_block(job, me, bg, first, rows)
        finish_block(job, me, bg, first, rows)
        if given(job, OUT):
            mix_block(job, me, bg, first, rows)
        unit = take(job, 1)
