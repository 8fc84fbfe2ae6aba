"""Attention of a few rows over many keys, as in the generation of a text: threads share the keys by chunks.

See attending.py for what a row is, for the arguments, and for why the bits are the same as there.
"""

from __future__ import annotations

from byhand.engines.cpu.kernel import array, exact, kernel, take, whole
from byhand.engines.cpu.kernels.attending import (
    CHUNK,
    GROUPS,
    KEY,
    KEY_SHORT,
    KEYS,
    NUMBERS,
    ROWS,
    SCORES,
    SHARING,
    SHORT_KEY,
    SHORT_VALUE,
    STRETCH,
    SUMS,
    TEXTS,
    TOKENS,
    VALUE,
    VALUE_SHORT,
    WIDE,
    computed,
    end_of_rows,
    fetch_queries,
    fetch_values,
    make_panel,
    mix,
    put,
    score,
    share,
)
from byhand.engines.cpu.simd import LANES, float32, load, load_bf16, store, uint16, zeros


@exact
def place_of(job, unit):
    """The text and head, and the first key, of a piece of work: the heads of a chunk follow each other, as they lie."""
    G, chunks = whole(job, GROUPS), (whole(job, KEYS) + CHUNK - 1) // CHUNK
    return unit // (G * chunks) * G + unit % G, unit // G % chunks * CHUNK


@exact
def read_ahead(x_BGSK, short_BGSK, short, at, count, stretch_XSK, me):
    """With the first head of a chunk, read a little of every 64 bytes of all heads, in the order in which they lie.

    The processor foresees that; one head's keys are pieces far apart, which otherwise come at half the speed.
    """
    _, G, _, K = short_BGSK.shape if short else x_BGSK.shape
    (bg, s), step = at, 32 if short else 16
    if bg % G == 0:
        some = zeros(float32)
        for i in range(s, s + count):
            for g in range(G):
                for k in range(0, K - LANES + 1, step):
                    if short:
                        some = some + load_bf16(short_BGSK, (bg // G, g, i, k))
                    else:
                        some = some + load(x_BGSK, (bg // G, g, i, k))
        store(stretch_XSK, (me, 0, 0), some)  # without a use of it nothing would be read


@kernel
def score_chunks(job, me):
    """The scores of all rows, by chunks of keys."""
    key_BGSK, short_BGSK = array(job, KEY, float32, 4), array(job, SHORT_KEY, uint16, 4)
    stretch_XSK = array(job, STRETCH, float32, 3)
    BG, N = whole(job, TEXTS) * whole(job, GROUPS), whole(job, TOKENS) * whole(job, SHARING)
    chunks = (whole(job, KEYS) + CHUNK - 1) // CHUNK
    unit = take(job, 1)
    while unit < BG * chunks:
        bg, s = place_of(job, unit)
        end = min(s + CHUNK, computed(job, bg, 0, N))
        if s < end:
            fetch_queries(job, me, bg, 0, N)
            read_ahead(key_BGSK, short_BGSK, whole(job, KEY_SHORT) != 0, (bg, s), end - s, stretch_XSK, me)
        for w in range(s, end, WIDE):
            make_panel(job, me, bg, w, end, me)
            for n in range(0, N, ROWS):
                score(job, me, n, min(ROWS, N - n), me, (bg, n, w))
        unit = take(job, 1)


@kernel
def share_rows(job, me):
    """Weights of the scores, row by row."""
    BG, N = whole(job, TEXTS) * whole(job, GROUPS), whole(job, TOKENS) * whole(job, SHARING)
    score_XNS = array(job, SCORES, float32, 3)
    unit = take(job, 1)
    while unit < BG * N:
        bg, n = unit // N, unit % N
        share(job, bg, n, score_XNS[bg, n], computed(job, bg, 0, N))
        unit = take(job, 1)


@kernel
def mix_chunks(job, me):
    """The weighted sum of every chunk of values."""
    G, N = whole(job, GROUPS), whole(job, TOKENS) * whole(job, SHARING)
    chunks, stretch_XSK = (whole(job, KEYS) + CHUNK - 1) // CHUNK, array(job, STRETCH, float32, 3)
    value_BGSK, short_BGSK = array(job, VALUE, float32, 4), array(job, SHORT_VALUE, uint16, 4)
    short = whole(job, VALUE_SHORT) != 0
    unit = take(job, 1)
    while unit < whole(job, TEXTS) * G * chunks:
        bg, s = place_of(job, unit)
        count = min(CHUNK, end_of_rows(job, bg, 0, N) - s)
        if count > 0:
            read_ahead(value_BGSK, short_BGSK, short, (bg, s), count, stretch_XSK, me)
            if not short and whole(job, NUMBERS) % WIDE == 0:
                mix_chunk(job, value_BGSK[bg // G], (bg % G, s), (bg, s), count)
            else:
                fetch_values(job, bg, s, count, stretch_XSK, (me, 0))
                mix_chunk(job, stretch_XSK, (me, 0), (bg, s), count)
        unit = take(job, 1)


@exact
def mix_chunk(job, value_XSK, at, weights_at, count):
    """The weighted sum of `count` values from at = (x, s) on; weights_at: their text and head, and first key."""
    weight_XNS, sum_XNK = array(job, SCORES, float32, 3), array(job, SUMS, float32, 3)
    N, (x, j), (bg, s) = whole(job, TOKENS) * whole(job, SHARING), at, weights_at
    chunks = (whole(job, KEYS) + CHUNK - 1) // CHUNK
    for w in range(0, sum_XNK.shape[2], WIDE):
        for n in range(0, N, ROWS):
            size, to = (count, min(ROWS, N - n), False), (bg * chunks + s // CHUNK, n, w)
            mix(weight_XNS, (bg, n, s), value_XSK, (x, j, w), size, sum_XNK, to)


@kernel
def add_chunks(job, me):
    """What every row reads: the sum over its chunks."""
    BG, N = whole(job, TEXTS) * whole(job, GROUPS), whole(job, TOKENS) * whole(job, SHARING)
    chunks, sum_XNK = (whole(job, KEYS) + CHUNK - 1) // CHUNK, array(job, SUMS, float32, 3)
    unit = take(job, 1)
    while unit < BG * N:
        bg, n = unit // N, unit % N
        first = bg * chunks
        for x in range(first + 1, first + (end_of_rows(job, bg, 0, N) + CHUNK - 1) // CHUNK):
            for k in range(0, sum_XNK.shape[2], LANES):
                store(sum_XNK, (first, n, k), load(sum_XNK, (first, n, k)) + load(sum_XNK, (x, n, k)))
        put(job, bg, n, sum_XNK[first, n])
        unit = take(job, 1)
