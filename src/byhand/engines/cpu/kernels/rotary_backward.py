"""The way back through rotary positions: every pair is turned back by its angle. Angles have no gradient."""

from __future__ import annotations

import numpy as np
from numba import float32

from byhand.engines.cpu.builder import Builder
from byhand.engines.cpu.kernel import Kernel, array, kernel, take, whole
from byhand.engines.cpu.kernels.elementwise_backward import put
from byhand.engines.cpu.kernels.norms import rows, rows_at_once
from byhand.engines.cpu.kernels.rotary import COS, SIN, turns
from byhand.engines.cpu.reversal import Gradients, reverses
from byhand.program import Step


@kernel
def turned_back_pairs(job, me):
    d_out_NHK, turn_N2J, d_x_NHK = array(job, 0, float32, 3), array(job, 1, float32, 3), array(job, 2, float32, 3)
    add, each, J = whole(job, 3) != 0, whole(job, 4), turn_N2J.shape[2]
    start = take(job, each)
    while start < len(d_x_NHK):
        for n in range(start, min(start + each, len(d_x_NHK))):
            for h in range(d_x_NHK.shape[1]):
                d_out_K, d_x_K, cos_J, sin_J = d_out_NHK[n, h], d_x_NHK[n, h], turn_N2J[n, COS], turn_N2J[n, SIN]
                for j in range(J):
                    x, y, c, s = d_out_K[2 * j], d_out_K[2 * j + 1], cos_J[j], sin_J[j]
                    d_x_K[2 * j] = put(d_x_K[2 * j], x * c + y * s, add)
                    d_x_K[2 * j + 1] = put(d_x_K[2 * j + 1], y * c - x * s, add)
        start = take(job, each)


@kernel
def turned_back_halves(job, me):
    d_out_NHK, turn_N2J, d_x_NHK = array(job, 0, float32, 3), array(job, 1, float32, 3), array(job, 2, float32, 3)
    add, each, J = whole(job, 3) != 0, whole(job, 4), turn_N2J.shape[2]
    start = take(job, each)
    while start < len(d_x_NHK):
        for n in range(start, min(start + each, len(d_x_NHK))):
            for h in range(d_x_NHK.shape[1]):
                d_out_K, d_x_K, cos_J, sin_J = d_out_NHK[n, h], d_x_NHK[n, h], turn_N2J[n, COS], turn_N2J[n, SIN]
                for j in range(J):
                    x, y, c, s = d_out_K[j], d_out_K[J + j], cos_J[j], sin_J[j]
                    d_x_K[j] = put(d_x_K[j], x * c + y * s, add)
                    d_x_K[J + j] = put(d_x_K[J + j], y * c - x * s, add)
        start = take(job, each)


def reverse_turn(b: Builder, step: Step, d: Gradients, turned_back: Kernel) -> None:
    """The table of turns is that of the way forward, if it is still there."""
    place = d.to(step, "x")
    if place is None:
        return
    angle_NJ = rows(b.array(step.names["angle"]))
    N, J = angle_NJ.shape
    turn_N2J = b.scratch("turns", (N, 2, J), np.float32)
    if not b.holds("turns", step.names["angle"]):
        b.call(turns, angle_NJ, turn_N2J, rows_at_once(J))
    d_out_NHK, d_x_NHK = (each.reshape(N, *each.shape[2:]) for each in (d.output(step), place.array))
    each = rows_at_once(d_x_NHK.shape[1] * d_x_NHK.shape[2])
    b.call(turned_back, d_out_NHK, turn_N2J, d_x_NHK, place.add, each)


@reverses("rotary_pairs")
def reverse_rotary_pairs(b: Builder, step: Step, d: Gradients) -> None:
    reverse_turn(b, step, d, turned_back_pairs)


@reverses("rotary_halves")
def reverse_rotary_halves(b: Builder, step: Step, d: Gradients) -> None:
    reverse_turn(b, step, d, turned_back_halves)
