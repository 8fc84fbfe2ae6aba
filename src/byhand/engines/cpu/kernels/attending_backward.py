"""The backward of attention: from the gradient of what the heads read to those of queries, keys and values.

With the weights P = softmax(S), S = Q Kᵀ / √K and O = P V, the chain rule gives five products:

    S = Q Kᵀ / √K      dP = dO Vᵀ      dV = Pᵀ dO      dQ = dS K / √K      dK = dSᵀ Q / √K

where dS = P (dP - the row's sum of P dP), number by number. As in Dao 2023, "FlashAttention-2", section 3.1, the
weights are not kept from the forward: a thread takes a text and a key/value head and carries one block of rows after
the other through all five products in its own cache, adding up dK and dV on the way. Where there are few texts and
heads, their rows are cut into parts, each with sums of its own, which are added in the end. Blocks and parts follow
from the shapes alone, so the bits do not depend on the number of threads.

Rows, panels and the first arguments are those of attending.py. What is absent tells what is wanted: with weights given
they are read, not computed; without queries, only mix is gone through; without d_out, only scores, from d_score.
"""

from __future__ import annotations

from byhand.engines.cpu.kernel import array, exact, given, inlined, kernel, real, take, whole
from byhand.engines.cpu.kernels.attending import (
    ALLOWED,
    CHUNK,
    COLS,
    GROUPS,
    KEY,
    KEYS,
    NUMBERS,
    ONE,
    PANELS,
    QUERIES,
    QUERY,
    ROWS,
    SCALE,
    SCORES,
    SHARING,
    STRETCH,
    SUMS,
    TEXTS,
    TOKENS,
    VALUE,
    WEIGHT,
    WIDE,
    ZERO,
    copy,
    end_of_rows,
    fill,
    mix,
    product,
    share,
    transpose,
)
from byhand.engines.cpu.simd import LANES, float32, fma, load, repeat, store, total, uint8, zeros

# Arguments behind those of attending.py: gradients; whether they are added to what is there; scratch memory, X for each
# thread, but the sums of keys for each part where there are many; and how many parts there are, of how many rows.
D_OUT, D_QUERY, D_KEY, D_VALUE, D_SCORE, D_MASKED, D_WEIGHT = range(26, 33)
ADD_QUERY, ADD_KEY, ADD_VALUE, ADD_WEIGHT = range(33, 37)
KEY_ROWS, VALUE_PANELS, D_OUTS, D_WEIGHTS, D_KEYS, D_VALUES = range(37, 43)
PARTS, PART = range(43, 45)


# --- what is read, as products read it --------------------------------------------------------------------------------


@exact
def fetch_rows(job, x_BTHK, where, out_XNK, me):
    """Bring rows of queries, or of what belongs to them, side by side."""
    G, R, K = whole(job, GROUPS), whole(job, SHARING), whole(job, NUMBERS)
    bg, first, rows = where
    for n in range(rows):
        copy(x_BTHK[bg // G, (first + n) // R, bg % G * R + (first + n) % R], out_XNK[me, n, :K])


@exact
def lay_panels(job, me, x_XSK, g, end, panel_PKW):
    """Write the panels of the first `end` keys or values of head g; the last one ends with anything."""
    K, stretch_XSK = whole(job, NUMBERS), array(job, STRETCH, float32, 3)
    p = me * panels(job)
    for s in range(0, end, WIDE):
        if K % LANES == 0 and s + WIDE <= end:
            transpose(x_XSK, (g, s), panel_PKW, p, K)
        else:
            for i in range(min(WIDE, end - s)):
                copy(x_XSK[g, s + i], stretch_XSK[me, i, :K])
            transpose(stretch_XSK, (me, 0), panel_PKW, p, K)
        p += 1


@exact
def lay_out_keys(job, me, bg, end, all_values):
    """Keys as panels and as rows, and values as panels, as far as anybody looks."""
    G, K, keys_XSK = whole(job, GROUPS), whole(job, NUMBERS), array(job, KEY_ROWS, float32, 3)
    if given(job, QUERY):
        key_GSK = array(job, KEY, float32, 4)[bg // G]
        for s in range(end):
            copy(key_GSK[bg % G, s], keys_XSK[me, s, :K])
        if given(job, D_OUT) and not given(job, WEIGHT):
            lay_panels(job, me, key_GSK, bg % G, end, array(job, PANELS, float32, 3))
    if given(job, D_OUT):
        value_GSK = array(job, VALUE, float32, 4)[bg // G]
        lay_panels(job, me, value_GSK, bg % G, all_values, array(job, VALUE_PANELS, float32, 3))


@inlined
def panels(job):
    """How many panels there are for each thread."""
    return (whole(job, KEYS) + WIDE - 1) // WIDE


@exact
def values_of_rows(job, bg, first, rows):
    """With how many values these rows are multiplied: all where somebody wants to see the gradient of the weights."""
    return whole(job, KEYS) if given(job, D_WEIGHT) else end_of_rows(job, bg, first, rows)


# --- weights, and the gradient of the scores, in rows for each key ----------------------------------------------------


@exact
def find_weights(job, me, bg, first, rows):
    """The weights of a block of rows: recomputed with the bits of the forward, or read."""
    G, R, S, K = whole(job, GROUPS), whole(job, SHARING), whole(job, KEYS), whole(job, NUMBERS)
    weight_XNS, query_XNK = array(job, SCORES, float32, 3), array(job, QUERIES, float32, 3)
    panel_PKW, scale = array(job, PANELS, float32, 3), float32(real(job, SCALE))
    end = end_of_rows(job, bg, first, rows)
    if not given(job, WEIGHT):
        for p in range((end + WIDE - 1) // WIDE):
            for n in range(0, rows, ROWS):
                if p * WIDE < end_of_rows(job, bg, first + n, min(ROWS, rows - n)):
                    made = product(query_XNK, (me, n, 0), panel_PKW, (me * panels(job) + p, 0, 0), K)
                    store(weight_XNS, (me, n, p * WIDE), made * scale)
    for n in range(rows):
        row_S, at, width = weight_XNS[me, n], first + n, S
        if given(job, WEIGHT):
            copy(array(job, WEIGHT, float32, 4)[bg // G, bg % G * R + at % R, at // R], row_S[:S])
            fill(row_S[S : panels(job) * WIDE], ZERO)
        else:
            tile = n // ROWS * ROWS
            width = end_of_rows(job, bg, first + tile, min(ROWS, rows - tile))
            share(job, bg, at, row_S, width)
            fill(row_S[(width + WIDE - 1) // WIDE * WIDE : (end + WIDE - 1) // WIDE * WIDE], ZERO)


@exact
def find_changes(job, me, bg, first, rows):
    """The gradient of the scores of a block of rows, by way of that of the weights."""
    change_XNS, d_out_XNK = array(job, D_WEIGHTS, float32, 3), array(job, D_OUTS, float32, 3)
    panel_PKW, K = array(job, VALUE_PANELS, float32, 3), whole(job, NUMBERS)
    for p in range((values_of_rows(job, bg, first, rows) + WIDE - 1) // WIDE):
        for n in range(0, rows, ROWS):
            if p * WIDE < values_of_rows(job, bg, first + n, min(ROWS, rows - n)):
                made = product(d_out_XNK, (me, n, 0), panel_PKW, (me * panels(job) + p, 0, 0), K)
                store(change_XNS, (me, n, p * WIDE), made)
    width = (end_of_rows(job, bg, first, rows) + WIDE - 1) // WIDE * WIDE
    for n in range(rows):
        finish_row(job, bg, first + n, array(job, SCORES, float32, 3)[me, n], change_XNS[me, n], width)


@inlined
def finish_row(job, bg, n, weight_S, change_S, width):
    """Make the gradient of row n's scores of that of its weights, and write what is asked for on the way."""
    G, R, S = whole(job, GROUPS), whole(job, SHARING), whole(job, KEYS)
    b, h, t, end = bg // G, bg % G * R + n % R, n // R, end_of_rows(job, bg, n, 1)
    if given(job, D_WEIGHT):
        give(change_S[:S], ONE, array(job, D_WEIGHT, float32, 4)[b, h, t], whole(job, ADD_WEIGHT) != 0)
    if given(job, QUERY):
        fill(change_S[end:width], ZERO)
        soften(weight_S[:width], change_S[:width])
        if given(job, D_MASKED):
            put_row(change_S[:end], array(job, D_MASKED, float32, 4)[b, h, t])
        if given(job, WEIGHT) and given(job, ALLOWED):  # what is hidden by a finite number may have weight
            clear_hidden(change_S[:S], array(job, ALLOWED, uint8, 3)[b, t])
        if given(job, D_SCORE):
            put_row(change_S[:end], array(job, D_SCORE, float32, 4)[b, h, t])


@inlined
def soften(weight_S, change_S):
    """From the gradient of weights to that of scores, in place: the weights sum to one."""
    sums = zeros(float32, 1, COLS)
    for s in range(0, len(weight_S), WIDE):
        sums = fma(load(weight_S, s, 1, COLS), load(change_S, s, 1, COLS), sums)
    average = total(sums)
    for s in range(0, len(weight_S), WIDE):
        store(change_S, s, load(weight_S, s, 1, COLS) * (load(change_S, s, 1, COLS) - average))


@inlined
def put_row(row_S, out_S):
    """Copy a row, and zeros behind it."""
    copy(row_S, out_S[: len(row_S)])
    fill(out_S[len(row_S) :], ZERO)


@inlined
def clear_hidden(row_S, allowed_S):
    for s in range(len(row_S)):
        row_S[s] = row_S[s] if allowed_S[s] else ZERO


@exact
def read_changes(job, me, bg, first, rows):
    """The gradient of the scores of a block of rows, as it is given."""
    G, R, S = whole(job, GROUPS), whole(job, SHARING), whole(job, KEYS)
    for n in range(first, first + rows):
        row_S = array(job, D_WEIGHTS, float32, 3)[me, n - first]
        copy(array(job, D_SCORE, float32, 4)[bg // G, bg % G * R + n % R, n // R], row_S[:S])
        fill(row_S[S : panels(job) * WIDE], ZERO)


# --- gradients of queries, keys and values ----------------------------------------------------------------------------


@exact
def add_queries(job, me, bg, first, rows):
    """dQ = dS K / √K for a block of rows."""
    change_XNS, key_XSK = array(job, D_WEIGHTS, float32, 3), array(job, KEY_ROWS, float32, 3)
    sum_XNK, d_query_BTHK = array(job, SUMS, float32, 3), array(job, D_QUERY, float32, 4)
    G, R, K, scale = whole(job, GROUPS), whole(job, SHARING), whole(job, NUMBERS), float32(real(job, SCALE))
    for s in range(0, end_of_rows(job, bg, first, rows), CHUNK):
        for w in range(0, sum_XNK.shape[2], WIDE):
            for n in range(0, rows, ROWS):
                high = min(ROWS, rows - n)
                count = min(CHUNK, end_of_rows(job, bg, first + n, high) - s)
                if count > 0:
                    mix(change_XNS, (me, n, s), key_XSK, (me, s, w), (count, high, s > 0), sum_XNK, (me, n, w))
    for n in range(rows):
        t, h = (first + n) // R, bg % G * R + (first + n) % R
        give(sum_XNK[me, n, :K], scale, d_query_BTHK[bg // G, t, h], whole(job, ADD_QUERY) != 0)


@exact
def add_columns(job, me, where, a_SN, b_XNK, sum_XSK, to):
    """Add aᵀ b of a block of rows to the sums of its keys; where no row before saw any, there are none yet.

    where: text and head, first row and how many; to: the index of the sums, and of how many keys there are some.
    """
    (bg, first, rows), (x, seen) = where, to
    end = end_of_rows(job, bg, first, rows)
    for w in range(0, sum_XSK.shape[2], WIDE):
        n = 0
        for s in range(0, end, ROWS):
            while end_of_rows(job, bg, first + n, min(ROWS, rows - n)) <= s:  # none of these rows sees key s
                n += ROWS
            made = column_product(a_SN, s, b_XNK, (me, n, w), rows - n)
            store(sum_XSK, (x, s, w), load(sum_XSK, (x, s, w), ROWS, COLS) + made if s < seen else made)


@exact
def column_product(a_SN, s, b_XNW, b, count):
    """A tile of a product over rows: ROWS keys of a_SN from s on times WIDE columns of b_XNW from index b on."""
    x, n, w = b
    acc = zeros(float32, ROWS, COLS)
    for k in range(n, n + count):
        acc = fma(repeat(a_SN, (s, k), ROWS), load(b_XNW, (x, k, w), 1, COLS), acc)
    return acc


@inlined
def give(sum_K, factor, out_K, add):
    if add:
        for k in range(len(sum_K)):
            out_K[k] += sum_K[k] * factor
    else:
        for k in range(len(sum_K)):
            out_K[k] = sum_K[k] * factor


@exact
def put_keys(job, sum_XSK, x, where, factor, d_BGSK, add):
    """Give the gradients of some keys or values: the sum over the parts of their head, x the first."""
    G, K, (bg, s, count) = whole(job, GROUPS), whole(job, NUMBERS), where
    for i in range(s, s + count):
        for y in range(x + 1, x + whole(job, PARTS)):
            for k in range(0, K, LANES):
                store(sum_XSK, (x, i, k), load(sum_XSK, (x, i, k)) + load(sum_XSK, (y, i, k)))
        give(sum_XSK[x, i, :K], factor, d_BGSK[bg // G, bg % G, i], add)


@exact
def put_keys_and_values(job, x, where):
    """Give what is wanted of the gradients of some keys and values."""
    if given(job, D_KEY):
        scale, add = float32(real(job, SCALE)), whole(job, ADD_KEY) != 0
        put_keys(job, array(job, D_KEYS, float32, 3), x, where, scale, array(job, D_KEY, float32, 4), add)
    if given(job, D_VALUE):
        d_value_BGSK, add = array(job, D_VALUE, float32, 4), whole(job, ADD_VALUE) != 0
        put_keys(job, array(job, D_VALUES, float32, 3), x, where, ONE, d_value_BGSK, add)


# --- kernels ----------------------------------------------------------------------------------------------------------


@exact
def reverse_block(job, me, bg, first, rows, to):
    """All products of a block of rows. to: where its keys are added up, and of how many there are sums already."""
    where, query_XNK, d_out_XNK = (bg, first, rows), array(job, QUERIES, float32, 3), array(job, D_OUTS, float32, 3)
    weight_XNS, change_XNS = array(job, SCORES, float32, 3), array(job, D_WEIGHTS, float32, 3)
    if given(job, QUERY):
        fetch_rows(job, array(job, QUERY, float32, 4), where, query_XNK, me)
    if given(job, D_OUT):
        fetch_rows(job, array(job, D_OUT, float32, 4), where, d_out_XNK, me)
        find_weights(job, me, bg, first, rows)
        find_changes(job, me, bg, first, rows)
    else:
        read_changes(job, me, bg, first, rows)
    if given(job, D_QUERY):
        add_queries(job, me, bg, first, rows)
    if given(job, D_KEY):
        add_columns(job, me, where, change_XNS[me].T, query_XNK, array(job, D_KEYS, float32, 3), to)
    if given(job, D_VALUE):
        add_columns(job, me, where, weight_XNS[me].T, d_out_XNK, array(job, D_VALUES, float32, 3), to)


@exact
def clear_unseen(job, x, first):
    """No row of a part saw the keys from the first on."""
    for s in range(first, whole(job, KEYS)):
        if given(job, D_KEY):
            fill(array(job, D_KEYS, float32, 3)[x, s], ZERO)
        if given(job, D_VALUE):
            fill(array(job, D_VALUES, float32, 3)[x, s], ZERO)


@kernel
def attend_backward(job, me):
    """From d_out to d_query, and to d_key and d_value or their sums by parts."""
    BG, N = whole(job, TEXTS) * whole(job, GROUPS), whole(job, TOKENS) * whole(job, SHARING)
    block, parts, part = array(job, SUMS, float32, 3).shape[1], whole(job, PARTS), whole(job, PART)
    unit = take(job, 1)
    while unit < BG * parts:
        bg, start = unit // parts, (parts - 1 - unit % parts) * part  # later rows see more: they come first
        x, end = me if parts == 1 else bg * parts + start // part, min(start + part, N)
        ends = end_of_rows(job, bg, start, end - start), values_of_rows(job, bg, start, end - start)
        lay_out_keys(job, me, bg, ends[0], ends[1])
        seen = 0
        for first in range(start, end, block):
            rows = min(block, end - first)
            reverse_block(job, me, bg, first, rows, (x, seen))
            seen = max(seen, (end_of_rows(job, bg, first, rows) + ROWS - 1) // ROWS * ROWS)
        clear_unseen(job, x, seen)
        if parts == 1:
            put_keys_and_values(job, me, (bg, 0, whole(job, KEYS)))
        unit = take(job, 1)


@kernel
def add_parts(job, me):
    """d_key and d_value, by chunks, of the sums of parts."""
    S, BG = whole(job, KEYS), whole(job, TEXTS) * whole(job, GROUPS)
    chunks = (S + CHUNK - 1) // CHUNK
    unit = take(job, 1)
    while unit < BG * chunks:
        bg, s = unit // chunks, unit % chunks * CHUNK
        put_keys_and_values(job, bg * whole(job, PARTS), (bg, s, min(CHUNK, S - s)))
        unit = take(job, 1)
