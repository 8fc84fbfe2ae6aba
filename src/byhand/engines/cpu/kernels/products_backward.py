"""The backward of products with weights: two more products, each by the same kernel as the forward one.

The gradient of what is read is the gradient of what was made times the weight the other way round. That of the weight
is the sum over all rows (texts and positions) of what was read times the gradient of what was made: for it, what was
read is turned over first, so that its rows go along what is summed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numba import float32

from byhand.engines.cpu.builder import Builder
from byhand.engines.cpu.kernel import array, kernel, take
from byhand.engines.cpu.kernels.ending import Ending
from byhand.engines.cpu.kernels.norms_backward import column_sums
from byhand.engines.cpu.kernels.panels import ROWS, WIDTH, product_by_panels
from byhand.engines.cpu.kernels.products import block_of
from byhand.engines.cpu.kernels.widening import DEPTH, KINDS
from byhand.engines.cpu.matrix import Matrix
from byhand.engines.cpu.reversal import Gradients, reverses
from byhand.engines.cpu.simd import LANES, load, store, transposed
from byhand.program import Step

Array = np.ndarray[Any, Any]

TURNED = 8 * LANES  # rows that a thread turns over at a time


@kernel
def turning(job, me):
    """turned_KN = x_NK with rows and columns exchanged."""
    x_NK, turned_KN = array(job, 0, float32, 2), array(job, 1, float32, 2)
    N, K = x_NK.shape
    pieces = (K + LANES - 1) // LANES
    piece = take(job, 1)
    while piece < pieces * ((N + TURNED - 1) // TURNED):
        k0, first = piece % pieces * LANES, piece // pieces * TURNED
        for n0 in range(first, min(first + TURNED, N), LANES):
            if n0 + LANES <= N and k0 + LANES <= K:
                store(turned_KN, (k0, n0), transposed(load(x_NK, (n0, k0), LANES)))
            else:
                for n in range(n0, min(n0 + LANES, N)):
                    for k in range(k0, min(k0 + LANES, K)):
                        turned_KN[k, n] = x_NK[n, k]
        piece = take(job, 1)


@reverses("linear", "to_heads", "from_heads", "unembed")
def reverse_product(b: Builder, step: Step, d: Gradients) -> None:
    table = step.operator.name == "unembed"
    axes_in = 2 if step.operator.name == "from_heads" else 1
    x, weight = (o.name for o in step.operator.inputs[:2])
    matrix = b.matrix(step.names[weight], axes_in=axes_in, table=table)
    d_out_NM, x_NK = d.output(step).reshape(-1, matrix.outs), b.array(step.names[x]).reshape(-1, matrix.ins)
    to_x, to_weight, to_bias = (d.to(step, name) for name in (x, weight, "bias"))
    if to_bias:
        b.call(column_sums, d_out_NM, to_bias.array.reshape(-1), to_bias.add, meet=False)
    if to_weight and table:
        turned_MN = turned(b, "turned.out", d_out_NM, f"d:{step.address}")
        multiply(b, turned_MN, plain(x_NK), to_weight.array, to_weight.add, meet=not to_x)
    elif to_weight:
        turned_KN = turned(b, "turned.in", x_NK, step.names[x])
        d_weight_KM = to_weight.array.reshape(matrix.ins, matrix.outs)
        multiply(b, turned_KN, plain(d_out_NM), d_weight_KM, to_weight.add, meet=not to_x)
    if to_x:
        back = replace(matrix, ins=matrix.outs, outs=matrix.ins, outs_first=not matrix.outs_first)
        multiply(b, d_out_NM, back, to_x.array.reshape(-1, matrix.ins), to_x.add)


def turned(b: Builder, name: str, x_NK: Array, address: str) -> Array:
    """An array with its rows along its columns; once for all products that read it after each other."""
    N, K = x_NK.shape
    turned_KN = b.scratch(name, (K, N), np.float32)
    if not b.holds(name, address):
        b.call(turning, x_NK, turned_KN)
    return turned_KN


def plain(x_NM: Array) -> Matrix:
    """An array of activations as a product reads a weight: its rows are what is summed."""
    return Matrix("f32", x_NM, x_NM.shape[0], x_NM.shape[1], False)


def multiply(b: Builder, x_NK: Array, matrix: Matrix, out_NM: Array, add: int, meet: bool = True) -> None:
    """The product, written or added. meet: whether the next call needs it."""
    ending = Ending(None, 0, None, None, out_NM, out_NM, out_NM, out_NM)
    wide = b.scratch("widened", (b.threads, max(ROWS, LANES), DEPTH), np.float32)
    panels = b.scratch("panels", (b.threads, DEPTH + ROWS, WIDTH), np.float32)
    common = (*ending.arguments, x_NK, matrix.array, KINDS.index(matrix.kind), wide, matrix.outs_first, panels)
    b.call(product_by_panels, *common, block_of(b, len(x_NK), matrix.outs), add, meet=meet)
