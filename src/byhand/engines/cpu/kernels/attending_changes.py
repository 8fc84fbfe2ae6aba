"""The first half of the backward of attention: the weights once more, and the gradient of the scores.

See attending_backward.py for the whole. What a tile of rows does not see is not computed, and zero where another tile
of the block sees it.
"""

from __future__ import annotations

from byhand.engines.cpu.kernel import array, exact, given, inlined, real, whole
from byhand.engines.cpu.kernels.attending import (
    ALLOWED,
    COLS,
    ENDS,
    GROUPS,
    HIDDEN,
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
    VALUE,
    WEIGHT,
    WIDE,
    ZERO,
    copy,
    end_of_rows,
    fill,
    hide,
    product,
    raise_row,
    transpose,
)
from byhand.engines.cpu.simd import (
    LANES,
    float32,
    fma,
    highest,
    int64,
    larger,
    load,
    repeat,
    store,
    total,
    uint8,
    zeros,
)

# Arguments behind those of attending.py: gradients; whether they are added to what is there; scratch memory, X for each
# thread, but the sums of keys for each part where there are many; and how many parts there are, of how many rows.
D_OUT, D_QUERY, D_KEY, D_VALUE, D_SCORE, D_MASKED, D_WEIGHT = range(26, 33)
ADD_QUERY, ADD_KEY, ADD_VALUE, ADD_WEIGHT = range(33, 37)
KEY_ROWS, VALUE_PANELS, D_OUTS, D_WEIGHTS, D_KEYS, D_VALUES = range(37, 43)
TILE_ENDS, FACTORS, PARTS, PART = range(43, 47)


# --- what is read, as products read it --------------------------------------------------------------------------------


@exact
def fetch_rows(job, x_BTHK, where, out_XNK, me):
    """Bring rows of queries, or of what belongs to them, side by side."""
    (bg, first, rows), K = where, whole(job, NUMBERS)
    G, R, inside_K = whole(job, GROUPS), whole(job, SHARING), K // LANES * LANES
    b, t, h = bg // G, first // R, bg % G * R + first % R
    for n in range(rows):
        for k in range(0, inside_K, LANES):
            store(out_XNK, (me, n, k), load(x_BTHK, (b, t, h, k)))
        for k in range(inside_K, K):
            out_XNK[me, n, k] = x_BTHK[b, t, h, k]
        t, h = after(t, h, R)


@inlined
def after(t, h, R):
    """The token and the head of the row behind that of this token and head."""
    last = (h + 1) % R == 0 if R > 1 else True
    return (t + 1, h + 1 - R) if last else (t, h + 1)


@exact
def fetch_keys(x_BGSK, bg, first, count, out_XSK, to):
    """Bring keys or values to where `to` says."""
    _, G, _, K = x_BGSK.shape
    (b, g), inside_K, (x, i) = (bg // G, bg % G), K // LANES * LANES, to
    for s in range(first, first + count):
        for k in range(0, inside_K, LANES):
            store(out_XSK, (x, i, k), load(x_BGSK, (b, g, s, k)))
        for k in range(inside_K, K):
            out_XSK[x, i, k] = x_BGSK[b, g, s, k]
        i += 1


@exact
def lay_panels(job, me, rows_XSK, end, panel_PKW):
    """Write the panels of the thread's rows."""
    for s in range(0, end, WIDE):
        transpose(rows_XSK, (me, s), panel_PKW, me * panels(job) + s // WIDE, whole(job, NUMBERS))


@exact
def lay_out_keys(job, me, bg, end, all_values):
    """Values as panels, and keys as panels and as rows, as far as anybody looks."""
    rows_XSK = array(job, KEY_ROWS, float32, 3)
    if given(job, D_OUT):
        fetch_keys(array(job, VALUE, float32, 4), bg, 0, all_values, rows_XSK, (me, 0))
        for s in range(all_values, panels_of(all_values) * WIDE):
            fill(rows_XSK[me, s], ZERO)  # what is no value has no weight, and must not make a NaN of it
        lay_panels(job, me, rows_XSK, all_values, array(job, VALUE_PANELS, float32, 3))
    if given(job, QUERY):
        fetch_keys(array(job, KEY, float32, 4), bg, 0, end, rows_XSK, (me, 0))
        if given(job, D_OUT) and not given(job, WEIGHT):
            lay_panels(job, me, rows_XSK, end, array(job, PANELS, float32, 3))


@inlined
def panels(job):
    """How many panels there are for each thread."""
    return panels_of(whole(job, KEYS))


@exact
def find_ends(job, me, bg, first, rows):
    """How many keys each tile of rows may see; of all of them the most."""
    end_XN, most = array(job, TILE_ENDS, int64, 2), 0
    for n in range(0, rows, ROWS):
        end = end_of_rows(job, bg, first + n, min(ROWS, rows - n))
        end_XN[me, n // ROWS], most = end, max(end, most)
    return most


# --- weights, and the gradient of the scores, in rows for each key ----------------------------------------------------


@exact
def multiply(job, me, a_XNK, panel_PKW, out_XNS, size):
    """The product of a block of rows and of panels, and zeros where half a panel is enough.

    size: how many rows and keys, and a factor; each tile goes as far as its rows see, if not all of them see less.
    """
    (rows, end, factor), end_XN, K = size, array(job, TILE_ENDS, int64, 2), whole(job, NUMBERS)
    first, nothing = me * panels(job), zeros(float32, ROWS)
    for p in range(panels_of(end)):
        for n in range(0, rows, ROWS):
            left = (end if given(job, D_WEIGHT) else end_XN[me, n // ROWS]) - p * WIDE
            if left > LANES:
                store(out_XNS, (me, n, p * WIDE), product(a_XNK, (me, n, 0), panel_PKW, (first + p, 0, 0), K) * factor)
            elif left > 0:
                made = narrow_product(a_XNK, (me, n, 0), panel_PKW, (first + p, 0, 0), K)
                store(out_XNS, (me, n, p * WIDE), made * factor)
                store(out_XNS, (me, n, p * WIDE + LANES), nothing)


@exact
def narrow_product(a_XNI, a, b_YIW, b, count):
    """As `attending.product`, a tile of LANES columns."""
    (x, n, i), (y, j, w) = a, b
    acc = zeros(float32, ROWS)
    for k in range(count):
        acc = fma(repeat(a_XNI, (x, n, i + k), ROWS), load(b_YIW, (y, j + k, w)), acc)
    return acc


@exact
def find_weights(job, me, where, end):
    """The weights of a block of rows: recomputed with the bits of the forward, or read."""
    G, R, S, (bg, first, rows) = whole(job, GROUPS), whole(job, SHARING), whole(job, KEYS), where
    weight_XNS, end_XN = array(job, SCORES, float32, 3), array(job, TILE_ENDS, int64, 2)
    query_XNK, panel_PKW = array(job, QUERIES, float32, 3), array(job, PANELS, float32, 3)
    if given(job, WEIGHT):
        for n in range(first, first + rows):
            row_S = weight_XNS[me, n - first]
            copy(array(job, WEIGHT, float32, 4)[bg // G, bg % G * R + n % R, n // R], row_S[:S])
            fill(row_S[S : panels(job) * WIDE], ZERO)
        return
    multiply(job, me, query_XNK, panel_PKW, weight_XNS, (rows, end, scale_of(job)))
    for n in range(0, rows, ROWS):
        share_tile(job, me, (bg, first + n, min(ROWS, rows - n)), n, panels_of(end_XN[me, n // ROWS]) * WIDE)
    clear_behind(job, me, weight_XNS, rows, end)


@exact
def share_tile(job, me, where, n, width):
    """Make weights of the scores of a tile of rows, as `attending.softmax` does, but no row waits for the one before.

    width: how many numbers there are in each row of scores, which lie from row n on.
    """
    (bg, first, rows), R, S = where, whole(job, SHARING), whole(job, KEYS)
    weight_XNS, factor_XN, b = array(job, SCORES, float32, 3), array(job, FACTORS, float32, 2), bg // whole(job, GROUPS)
    for i in range(rows):
        row_S, t, end = weight_XNS[me, n + i], (first + i) // R, S
        if given(job, ENDS):
            end = min(S, array(job, ENDS, int64, 2)[b, t])
        if given(job, ALLOWED):
            hide(row_S[:end], array(job, ALLOWED, uint8, 3)[b, t])
        fill(row_S[end:width], HIDDEN)
        peak = load(weight_XNS, (me, n + i, 0), 1, COLS)
        for s in range(0, width, WIDE):
            peak = larger(load(weight_XNS, (me, n + i, s), 1, COLS), peak)
        factor_XN[me, i] = highest(peak)
    for i in range(rows):
        raise_row(weight_XNS[me, n + i, :width], factor_XN[me, i])
    for i in range(rows):
        sums = zeros(float32, 1, COLS)
        for s in range(0, width, WIDE):
            sums = sums + load(weight_XNS, (me, n + i, s), 1, COLS)
        factor_XN[me, i] = ONE / total(sums)
    for i in range(rows):
        for s in range(0, width, WIDE):
            at = me, n + i, s
            store(weight_XNS, at, load(weight_XNS, at, 1, COLS) * factor_XN[me, i])


@exact
def clear_behind(job, me, row_XNS, rows, end):
    """Behind the keys of its tile, up to the panel of key end - 1, let every row be zero."""
    end_XN, nothing = array(job, TILE_ENDS, int64, 2), zeros(float32, 1, COLS)
    for n in range(rows):
        for p in range(panels_of(end_XN[me, n // ROWS]), panels_of(end)):
            store(row_XNS, (me, n, p * WIDE), nothing)


@inlined
def panels_of(count):
    """How many panels so many keys fill."""
    return (count + WIDE - 1) // WIDE


@inlined
def scale_of(job):
    return float32(real(job, SCALE))


@exact
def find_changes(job, me, where, end):
    """The gradient of the scores of a block of rows, by way of that of the weights."""
    change_XNS, d_out_XNK = array(job, D_WEIGHTS, float32, 3), array(job, D_OUTS, float32, 3)
    panel_PKW, end_XN, (bg, first, rows) = array(job, VALUE_PANELS, float32, 3), array(job, TILE_ENDS, int64, 2), where
    multiply(job, me, d_out_XNK, panel_PKW, change_XNS, (rows, whole(job, KEYS) if given(job, D_WEIGHT) else end, ONE))
    if given(job, D_WEIGHT):
        for n in range(rows):
            put_row(job, (bg, first + n), change_XNS[me, n, : whole(job, KEYS)], array(job, D_WEIGHT, float32, 4))
    if given(job, QUERY):
        for n in range(0, rows, ROWS):
            soften(job, me, n, min(ROWS, rows - n), panels_of(end_XN[me, n // ROWS]) * WIDE)
        clear_behind(job, me, change_XNS, rows, end)
        for n in range(rows if given(job, D_SCORE) or given(job, D_MASKED) or given(job, WEIGHT) else 0):
            finish_row(job, (bg, first + n), change_XNS[me, n, : min(whole(job, KEYS), panels_of(end) * WIDE)])


@exact
def soften(job, me, first, rows, width):
    """From the gradient of weights to that of scores, for a tile of rows, in place: the weights sum to one."""
    weight_XNS, change_XNS = array(job, SCORES, float32, 3), array(job, D_WEIGHTS, float32, 3)
    factor_XN = array(job, FACTORS, float32, 2)
    for n in range(first, first + rows):
        sums = zeros(float32, 1, COLS)
        for s in range(0, width, WIDE):
            sums = fma(load(weight_XNS, (me, n, s), 1, COLS), load(change_XNS, (me, n, s), 1, COLS), sums)
        factor_XN[me, n - first] = total(sums)
    for n in range(first, first + rows):
        for s in range(0, width, WIDE):
            change = load(change_XNS, (me, n, s), 1, COLS) - factor_XN[me, n - first]
            store(change_XNS, (me, n, s), load(weight_XNS, (me, n, s), 1, COLS) * change)


@exact
def finish_row(job, at, change_S):
    """Write what is asked for of the gradients of a row of scores. What a finite number hides may have weight."""
    G, R, (bg, n) = whole(job, GROUPS), whole(job, SHARING), at
    if given(job, D_MASKED):
        put_row(job, at, change_S, array(job, D_MASKED, float32, 4))
    if given(job, WEIGHT) and given(job, ALLOWED):
        clear_hidden(change_S, array(job, ALLOWED, uint8, 3)[bg // G, n // R])
    if given(job, D_SCORE):
        put_row(job, at, change_S, array(job, D_SCORE, float32, 4))


@exact
def put_row(job, at, row_S, out_BHTS):
    """Write a row, and zeros behind it; that of weights may be added."""
    G, R, (bg, n) = whole(job, GROUPS), whole(job, SHARING), at
    out_S = out_BHTS[bg // G, bg % G * R + n % R, n // R]
    if whole(job, ADD_WEIGHT):
        for s in range(len(row_S)):
            out_S[s] += row_S[s]
    else:
        copy(row_S, out_S[: len(row_S)])
        fill(out_S[len(row_S) :], ZERO)


@inlined
def clear_hidden(row_S, allowed_S):
    for s in range(len(row_S)):
        row_S[s] = row_S[s] if allowed_S[s] else ZERO


@exact
def read_changes(job, me, where):
    """The gradient of the scores of a block of rows, as it is given."""
    G, R, S, (bg, first, rows) = whole(job, GROUPS), whole(job, SHARING), whole(job, KEYS), where
    for n in range(first, first + rows):
        row_S = array(job, D_WEIGHTS, float32, 3)[me, n - first]
        copy(array(job, D_SCORE, float32, 4)[bg // G, bg % G * R + n % R, n // R], row_S[:S])
        fill(row_S[S : panels(job) * WIDE], ZERO)
