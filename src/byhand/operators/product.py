"""Products and sums whose bits do not depend on what is computed beside them.

A library for matrix products orders the terms of a sum as suits the shapes it is given, so one and the same element can
end in other last bits when more texts, positions or keys stand beside it. Here it always sees the same shapes: rows
(all that only x has, such as the positions that ask) come in tiles of ROWS, and keys (S) in tiles of KEYS, filled up
with zeros. So a text gives the same bits alone and among others, at once and token by token, and with room for more
keys than there are.

Inside a tile the rows lie last, in the lanes of the processor's vectors, so that one and the same instruction computes
all of them. With rows first, some of OpenBLAS's kernels take the last four of sixteen in another way.
"""

import math

import numpy as np

ROWS = 16
KEYS = 64
LANES = 16


def product(spec, x, y):
    """What ``np.einsum(spec, x, y)`` gives. S is cut into tiles where it alone is summed, or y's own."""
    of_x, of_y, of_out = spec.replace("->", ",").split(",")
    size = dict(zip(of_x + of_y, x.shape + y.shape, strict=True))
    shared = [letter for letter in of_out if letter in of_x and letter in of_y]
    summed = [letter for letter in of_x if letter in of_y and letter not in of_out]
    rows = [letter for letter in of_out if letter not in of_y]
    columns = [letter for letter in of_out if letter not in of_x]
    x_NRA = matrices(x, of_x, shared, rows, summed)
    y_NAC = matrices(y, of_y, shared, summed, columns)
    out_NRC = tiled(x_NRA, y_NAC, KEYS if summed == ["S"] else None, KEYS if columns == ["S"] else None)
    made = [*shared, *rows, *columns]
    return out_NRC.reshape([size[letter] for letter in made]).transpose([made.index(letter) for letter in of_out])


def matrices(array, letters, *groups):
    """The array with its axes in this order, each group of letters made one axis."""
    ordered = array.transpose([letters.index(letter) for group in groups for letter in group])
    return ordered.reshape([math.prod(array.shape[letters.index(letter)] for letter in group) for group in groups])


def tiled(x_NRA, y_NAC, summed, columns):
    """The products of N pairs of matrices in tiles, added over A in order. summed, columns: tile lengths, None whole.

    Small letters count tiles, capitals are what is inside one.
    """
    x_aNrcAR = tiles(x_NRA.swapaxes(1, 2), summed, ROWS).transpose(1, 0, 2, 3, 4)[:, :, :, None]
    y_aNrcCA = tiles(y_NAC.swapaxes(1, 2), columns, summed).transpose(2, 0, 1, 3, 4)[:, :, None]
    out_NrcCR = 0.0  # a sum that starts at zero is never -0, so zeros added later change no bit of it
    with np.errstate(invalid="ignore"):  # rows of filling times infinity are NaN, and cut off below
        for x_NrcAR, y_NrcCA in zip(x_aNrcAR, y_aNrcCA, strict=True):
            out_NrcCR = out_NrcCR + y_NrcCA @ x_NrcAR
    N, r, c, C, R = out_NrcCR.shape
    out_NRC = out_NrcCR.transpose(0, 1, 4, 2, 3).reshape(N, r * R, c * C)
    return out_NRC[:, : x_NRA.shape[1], : y_NAC.shape[2]]


def tiles(array_NPQ, p, q):
    """[N, P/p, Q/q, p, q], filled with zeros and always laid out alike; an axis that is not cut (None) is one tile."""
    N, P, Q = array_NPQ.shape
    if p is None and q is None:
        return array_NPQ[:, None, None]  # a weight: its shape is always the same, and copying it would take long
    p, q = p or P, q or Q
    filled = np.zeros((N, -(-P // p) * p, -(-Q // q) * q), array_NPQ.dtype)
    filled[:, :P, :Q] = array_NPQ
    return np.ascontiguousarray(filled.reshape(N, -1, p, filled.shape[2] // q, q).swapaxes(2, 3))


def total(array):
    """The sum over the last axis, added in lanes, so that zeros at its end change no bit of it."""
    length = array.shape[-1]
    filled = np.zeros((*array.shape[:-1], -(-length // LANES) * LANES), array.dtype)
    filled[..., :length] = array
    return filled.reshape(*array.shape[:-1], -1, LANES).sum(-2).sum(-1)
