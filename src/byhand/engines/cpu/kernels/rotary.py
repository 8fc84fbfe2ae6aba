"""Rotary positions: every pair of features is turned by an angle, the same in all heads of a token."""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int64

from byhand.engines.cpu.builder import Builder, lowers
from byhand.engines.cpu.kernel import Kernel, array, kernel, take, whole
from byhand.engines.cpu.kernels.elementwise import made
from byhand.engines.cpu.kernels.norms import rows, rows_at_once
from byhand.engines.cpu.simd import cos, sin
from byhand.program import Step

COS, SIN = 0, 1


@kernel
def angles(job, me):
    position_N, frequency_J, out_NJ = array(job, 0, int64, 1), array(job, 1, float64, 1), array(job, 2, float32, 2)
    each = whole(job, 3)
    start = take(job, each)
    while start < len(out_NJ):
        for n in range(start, min(start + each, len(out_NJ))):
            for j in range(len(frequency_J)):
                out_NJ[n, j] = float64(position_N[n]) * frequency_J[j]
        start = take(job, each)


@kernel
def turns(job, me):
    """The cosine and sine of every angle, made once for all heads and layers."""
    angle_NJ, turn_N2J, each = array(job, 0, float32, 2), array(job, 1, float32, 3), whole(job, 2)
    start = take(job, each)
    while start < len(angle_NJ):
        for n in range(start, min(start + each, len(angle_NJ))):
            for j in range(angle_NJ.shape[1]):
                turn_N2J[n, COS, j] = cos(float64(angle_NJ[n, j]))
                turn_N2J[n, SIN, j] = sin(float64(angle_NJ[n, j]))
        start = take(job, each)


@kernel
def turned_pairs(job, me):
    x_NHK, turn_N2J, out_NHK = array(job, 0, float32, 3), array(job, 1, float32, 3), array(job, 2, float32, 3)
    each = whole(job, 3)
    start = take(job, each)
    while start < len(x_NHK):
        for n in range(start, min(start + each, len(x_NHK))):
            for h in range(x_NHK.shape[1]):
                for j in range(turn_N2J.shape[2]):
                    x, y, c, s = x_NHK[n, h, 2 * j], x_NHK[n, h, 2 * j + 1], turn_N2J[n, COS, j], turn_N2J[n, SIN, j]
                    out_NHK[n, h, 2 * j] = x * c - y * s
                    out_NHK[n, h, 2 * j + 1] = x * s + y * c
        start = take(job, each)


@kernel
def turned_halves(job, me):
    x_NHK, turn_N2J, out_NHK = array(job, 0, float32, 3), array(job, 1, float32, 3), array(job, 2, float32, 3)
    each, J = whole(job, 3), turn_N2J.shape[2]
    start = take(job, each)
    while start < len(x_NHK):
        for n in range(start, min(start + each, len(x_NHK))):
            for h in range(x_NHK.shape[1]):
                for j in range(J):
                    x, y, c, s = x_NHK[n, h, j], x_NHK[n, h, J + j], turn_N2J[n, COS, j], turn_N2J[n, SIN, j]
                    out_NHK[n, h, j] = x * c - y * s
                    out_NHK[n, h, J + j] = x * s + y * c
        start = take(job, each)


@lowers("rotary_angles", "rotary_angles_llama31")
def lower_rotary_angles(b: Builder, step: Step) -> None:
    """The operator itself says how far a pair turns in one position."""
    frequency_J = step.operator.forward(np.ones((1, 1)), **step.attributes)[0, 0]
    position_N, out_NJ = b.array(step.names["position"]).reshape(-1), rows(made(b, step))
    b.call(angles, position_N, frequency_J, out_NJ, rows_at_once(out_NJ.shape[1]))


def lower_turn(b: Builder, step: Step, turned: Kernel) -> None:
    """The table of turns is made when it is first needed, and again after angles were changed from outside."""
    angle_NJ, x_BTHK = rows(b.array(step.names["angle"])), b.array(step.names["x"])
    N, J = angle_NJ.shape
    turn_N2J = b.scratch("turns", (N, 2, J), np.float32)
    if not b.holds("turns", step.names["angle"]):
        b.call(turns, angle_NJ, turn_N2J, rows_at_once(J))
    shape = N, *x_BTHK.shape[2:]
    out_NHK = made(b, step).reshape(shape)
    b.call(turned, x_BTHK.reshape(shape), turn_N2J, out_NHK, rows_at_once(shape[1] * shape[2]))


@lowers("rotary_pairs")
def lower_rotary_pairs(b: Builder, step: Step) -> None:
    lower_turn(b, step, turned_pairs)


@lowers("rotary_halves")
def lower_rotary_halves(b: Builder, step: Step) -> None:
    lower_turn(b, step, turned_halves)
