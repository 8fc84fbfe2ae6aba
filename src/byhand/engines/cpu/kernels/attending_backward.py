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

from byhand.engines.cpu.kernel import array, exact, given, inlined, kernel, take, whole
from byhand.engines.cpu.kernels.attending import (
    CHUNK,
    COLS,
    GROUPS,
    KEYS,
    ONE,
    QUERIES,
    QUERY,
    ROWS,
    SCORES,
    SHARING,
    SUMS,
    TEXTS,
    TOKENS,
    WIDE,
    ZERO,
    end_of_rows,
    fill,
    mix,
)
from byhand.engines.cpu.kernels.attending_changes import (
    ADD_KEY,
    ADD_QUERY,
    ADD_VALUE,
    D_KEY,
    D_KEYS,
    D_OUT,
    D_OUTS,
    D_QUERY,
    D_VALUE,
    D_VALUES,
    D_WEIGHT,
    D_WEIGHTS,
    KEY_ROWS,
    PART,
    PARTS,
    TILE_ENDS,
    after,
    fetch_rows,
    find_changes,
    find_ends,
    find_weights,
    lay_out_keys,
    read_changes,
    scale_of,
)
from byhand.engines.cpu.simd import LANES, float32, fma, int64, load, repeat, store, zeros

# --- gradients of queries, keys and values ----------------------------------------------------------------------------


@exact
def add_queries(job, me, where, end):
    """dQ = dS K / √K for a block of rows."""
    change_XNS, key_XSK = array(job, D_WEIGHTS, float32, 3), array(job, KEY_ROWS, float32, 3)
    sum_XNK, end_XN, (bg, first, rows) = array(job, SUMS, float32, 3), array(job, TILE_ENDS, int64, 2), where
    for s in range(0, end, CHUNK):
        for w in range(0, sum_XNK.shape[2], WIDE):
            for n in range(0, rows, ROWS):
                count = min(CHUNK, end_XN[me, n // ROWS] - s)
                if count > 0:
                    size = count, min(ROWS, rows - n), s > 0
                    mix(change_XNS, (me, n, s), key_XSK, (me, s, w), size, sum_XNK, (me, n, w))
    G, R, d_query_BTHK = whole(job, GROUPS), whole(job, SHARING), array(job, D_QUERY, float32, 4)
    b, t, h, add = bg // G, first // R, bg % G * R + first % R, whole(job, ADD_QUERY)
    for n in range(rows):
        give(sum_XNK, (me, n), scale_of(job), d_query_BTHK, (b, t, h), add)
        t, h = after(t, h, R)


@exact
def add_columns(job, me, where, a_SN, b_XNK, sum_XSK, to):
    """Add aᵀ b of a block of rows to the sums of its keys; where no row before saw any, there are none yet.

    to: the index of the sums, of how many keys there are some already, and of how many there will be.
    """
    end_XN, (_, _, rows), (x, seen, end) = array(job, TILE_ENDS, int64, 2), where, to
    for w in range(0, sum_XSK.shape[2], WIDE):
        n = 0
        for s in range(0, end, ROWS):
            while end_XN[me, n // ROWS] <= s:  # none of these rows sees key s
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
def give(sum_XNK, index, factor, out_ABCK, to, add):
    """Write a row of sums times a factor, or add it to what is there."""
    (x, n), (a, b, c), K = index, to, out_ABCK.shape[3]
    inside_K = K // LANES * LANES
    for k in range(0, inside_K, LANES):
        made = load(sum_XNK, (x, n, k)) * factor
        store(out_ABCK, (a, b, c, k), load(out_ABCK, (a, b, c, k)) + made if add else made)
    for k in range(inside_K, K):
        made = sum_XNK[x, n, k] * factor
        out_ABCK[a, b, c, k] = out_ABCK[a, b, c, k] + made if add else made


@exact
def put_keys(job, sum_XSK, x, where, factor, d_BGSK, add):
    """Give the gradients of some keys or values: the sum over the parts of their head, x the first."""
    G, (bg, s, count) = whole(job, GROUPS), where
    b, g = bg // G, bg % G
    for i in range(s, s + count):
        for y in range(x + 1, x + whole(job, PARTS)):
            for k in range(0, sum_XSK.shape[2], LANES):
                store(sum_XSK, (x, i, k), load(sum_XSK, (x, i, k)) + load(sum_XSK, (y, i, k)))
        give(sum_XSK, (x, i), factor, d_BGSK, (b, g, i), add)


@exact
def put_keys_and_values(job, x, where):
    """Give what is wanted of the gradients of some keys and values."""
    if given(job, D_KEY):
        scale, add = scale_of(job), whole(job, ADD_KEY)
        put_keys(job, array(job, D_KEYS, float32, 3), x, where, scale, array(job, D_KEY, float32, 4), add)
    if given(job, D_VALUE):
        d_value_BGSK, add = array(job, D_VALUE, float32, 4), whole(job, ADD_VALUE)
        put_keys(job, array(job, D_VALUES, float32, 3), x, where, ONE, d_value_BGSK, add)


# --- kernels ----------------------------------------------------------------------------------------------------------


@exact
def reverse_block(job, me, where, x, seen):
    """All products of a block of rows, whose keys are added up at x; of how many there are sums before and after."""
    (bg, first, rows), query_XNK, d_out_XNK = where, array(job, QUERIES, float32, 3), array(job, D_OUTS, float32, 3)
    weight_XNS, change_XNS = array(job, SCORES, float32, 3), array(job, D_WEIGHTS, float32, 3)
    end = find_ends(job, me, bg, first, rows)
    if given(job, QUERY):
        fetch_rows(job, array(job, QUERY, float32, 4), where, query_XNK, me)
    if given(job, D_OUT):
        fetch_rows(job, array(job, D_OUT, float32, 4), where, d_out_XNK, me)
        find_weights(job, me, where, end)
        find_changes(job, me, where, end)
    else:
        read_changes(job, me, where)
    if given(job, D_QUERY):
        add_queries(job, me, where, end)
    if given(job, D_KEY):
        add_columns(job, me, where, change_XNS[me].T, query_XNK, array(job, D_KEYS, float32, 3), (x, seen, end))
    if given(job, D_VALUE):
        add_columns(job, me, where, weight_XNS[me].T, d_out_XNK, array(job, D_VALUES, float32, 3), (x, seen, end))
    return max(seen, (end + ROWS - 1) // ROWS * ROWS)


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
        keys = end_of_rows(job, bg, start, end - start)
        lay_out_keys(job, me, bg, keys, whole(job, KEYS) if given(job, D_WEIGHT) else keys)
        seen = 0
        for first in range(start, end, block):
            seen = reverse_block(job, me, (bg, first, min(block, end - first)), x, seen)
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
