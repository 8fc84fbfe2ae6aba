"""One step of AdamW, and the length of a gradient. The definition is `learning.adamw`: the same bits number by number.

What changes from step to step stands in small arrays, so that the jobs stay as they are: `factors` for all weights, and
how much of a value is left after decay, one number for each call.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from numba import float32, float64

from byhand.engines.cpu.builder import Array
from byhand.engines.cpu.kernel import array, exact, function, kernel, take
from byhand.engines.cpu.kernels.elementwise import STRETCH

if TYPE_CHECKING:
    from byhand.engines.learning import Update

SCALE, NEW_FIRST, OLD_SECOND, NEW_SECOND, ROOT, EPS, PACE = range(7)  # the places of `factors`
BLOCK = 4 * STRETCH  # numbers whose squares are added up together


def factors(how: Update) -> Array:
    """The numbers of a step as the kernel reads them, float32."""
    share_first, share_second = 1 - how.beta1**how.number, 1 - how.beta2**how.number
    second = how.beta2, 1 - how.beta2, sqrt(share_second)
    return np.array([how.scale, 1 - how.beta1, *second, how.eps, how.rate / share_first], np.float32)


def left(how: Update, decay: float) -> float:
    """How much of a value is left after decay."""
    return 1 - how.rate * decay


@exact
def root_of(second, share, eps):
    return np.sqrt(second) / share + eps


@exact
def moved(value, pace, first, root):
    return value - pace * (first / root)


@kernel
def adamw(job, me):
    """Arguments: value_N, gradient_N, first_N, second_N, factors_7, left_1; value, first and second are changed."""
    value_N, gradient_N = array(job, 0, float32, 1), array(job, 1, float32, 1)
    first_N, second_N = array(job, 2, float32, 1), array(job, 3, float32, 1)
    factor_7, left = array(job, 4, float32, 1), array(job, 5, float32, 1)[0]
    scale, new_first, pace = factor_7[SCALE], factor_7[NEW_FIRST], factor_7[PACE]
    old_second, new_second, share, eps = factor_7[OLD_SECOND], factor_7[NEW_SECOND], factor_7[ROOT], factor_7[EPS]
    start = take(job, STRETCH)
    while start < len(value_N):
        end = start + STRETCH
        v_N, g_N, m_N, s_N = value_N[start:end], gradient_N[start:end], first_N[start:end], second_N[start:end]
        for n in range(len(v_N)):
            gradient = g_N[n] * scale
            first = m_N[n] + new_first * (gradient - m_N[n])
            second = s_N[n] * old_second + new_second * (gradient * gradient)
            m_N[n], s_N[n] = first, second
            v_N[n] = moved(v_N[n] * left, pace, first, root_of(second, share, eps))
        start = take(job, STRETCH)


@function
def square_of(job, start):
    """The sum of the squares of a block, in float64. Its order follows from the block's length alone."""
    x_N, total = array(job, 0, float32, 1)[start : start + BLOCK], float64(0)
    for n in range(len(x_N)):
        total += float64(x_N[n]) * float64(x_N[n])
    return total


@kernel
def squares(job, me):
    """Arguments: x_N, sum_P with a place for each BLOCK of x_N, float64."""
    x_N, sum_P = array(job, 0, float32, 1), array(job, 1, float64, 1)
    start = take(job, BLOCK)
    while start < len(x_N):
        sum_P[start // BLOCK] = square_of(job, start)
        start = take(job, BLOCK)


@kernel
def sum_in_order(job, me):
    """Arguments: sum_P, total_1, float64."""
    sum_P, total_1 = array(job, 0, float64, 1), array(job, 1, float64, 1)
    if take(job, 1) == 0:
        total = float64(0)
        for p in range(len(sum_P)):
            total += sum_P[p]
        total_1[0] = total
