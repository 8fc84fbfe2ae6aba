"""exp, log, tanh, erf, logistic, sin and cos of one number, without branches: loops that call them become vector code.

All take and give float32, but for sin and cos, which take a float64. Each follows the definition to within a few units
in the last place; what is infinite or not a number comes out as mathematics has it. Where a formula is in pieces, all
pieces are computed and the right one is selected. The constants were fitted for this file, each by least squares with
weights that make the largest relative error as small as it gets, and rounded one after the other.

Every step rounds by itself, and where it is worth it a product and a sum round together (`product_of`), so the same
bits come out in a vector and alone.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from byhand.engines.cpu.simd.scalars import bits_of, float_of, product_of

__all__ = ["cos", "erf", "exp", "log", "logistic", "sin", "tanh"]


def number(body: Any) -> Any:
    return numba.njit(body, error_model="numpy", forceinline=True)


def numbers(*values):
    return tuple(np.float32(value) for value in values)


ZERO, HALF, ONE, TWO = numbers(0, 0.5, 1, 2)
LN2, LN2_REST = numbers(0.693145751953125, 1.42860677e-6)  # the first has few bits, so that its products are exact
PER_LN2 = np.float32(1 / math.log(2))
ROUND = np.float32(1.5 * 2**23)  # added and taken away again, it rounds to a whole number
ROUND_BITS = int(ROUND.view(np.int32))
SIGN, EXPONENT, BIAS = -(2**31), 23, 127

EXP = numbers(0.00138204196, 0.00836868025, 0.0416682698, 0.166665211, 0.49999994)
LOG = numbers(
    *(0.0674926937, -0.116700985, 0.118835486, -0.124062337, 0.142203584),
    *(-0.166679889, 0.200020716, -0.250000089, 0.333333135),
)
ERF = numbers(
    *(3.714169e-05, -0.000356938806, 0.00119040394, 0.000280133565),
    *(-0.0193661693, 0.102826595, 0.636615276, 1.12837923),
)
SIN = (
    *(1.5409449459074893e-10, -2.5030191552806786e-08, 2.7556952977653666e-06),
    *(-0.00019841266728213582, 0.0083333333210801157, -0.16666666666504495),
)


@number
def polynomial(x, factors):
    """The factors' polynomial at x; the first factor is that of the highest power."""
    total = factors[0]
    for factor in factors[1:]:
        total = product_of(total, x, factor)
    return total


@number
def between(x, low, high):
    x = low if x < low else x  # a NaN stays one
    return high if x > high else x


@number
def power_of_two(k):
    return float_of((k + BIAS) << EXPONENT)


@number
def parts(x):
    """The whole k and the m for which e^x = 2^k (1 + m), with m between -0.3 and 0.42. x is between -104 and 89."""
    near = product_of(x, PER_LN2, ROUND)
    k = near - ROUND
    rest = product_of(k, -LN2_REST, product_of(k, -LN2, x))
    return bits_of(near) - ROUND_BITS, product_of(rest * rest, polynomial(rest, EXP), rest)


@number
def exp(x):
    """e^x to within 1.1 units in the last place; below the smallest normal number gradually down to 0."""
    k, m = parts(between(x, np.float32(-104), np.float32(89)))
    some = k >> 1  # 2^k by itself may be too large or too small for a float32
    return (ONE + m) * power_of_two(some) * power_of_two(k - some)


@number
def expm1(x):
    """e^x - 1, exact also near 0, for x between -87 and 87."""
    k, m = parts(x)
    power = power_of_two(k)
    return product_of(power, m, power - ONE)


@number
def signed(size, x):
    """size, which is not negative, with the sign of x."""
    return float_of(bits_of(size) | (bits_of(x) & SIGN))


@number
def magnitude(x):
    return float_of(bits_of(x) & ~SIGN)


@number
def tanh(x):
    """(e^2x - 1) / (e^2x + 1), to within 3 units in the last place."""
    less = expm1(between(TWO * magnitude(x), ZERO, np.float32(20)))
    return signed(less / (less + TWO), x)


@number
def logistic(x):
    """1 / (1 + e^-x), to within 3 units in the last place down to x = -87."""
    return ONE / (ONE + exp(-x))


@number
def erf(x):
    """1 - e^(-p(x)) with p fitted to -log(1 - erf), to within 4 units in the last place."""
    size = between(magnitude(x), ZERO, np.float32(4))
    return signed(ZERO - expm1(-size * polynomial(size, ERF)), x)


@number
def log(x):
    """The natural logarithm, to within 1.5 units in the last place: -inf of 0, NaN of negative numbers."""
    tiny = x < np.float32(2**-126)
    lifted = x * np.float32(2**23) if tiny else x
    # the exponent that leaves a number between sqrt(1/2) and sqrt(2)
    whole = (bits_of(lifted) - bits_of(np.float32(math.sqrt(0.5)))) >> EXPONENT
    m = float_of(bits_of(lifted) - (whole << EXPONENT)) - ONE
    k = np.float32(whole - 23 if tiny else whole)
    curve = product_of(m * m * m, polynomial(m, LOG), k * LN2_REST)
    found = product_of(k, LN2, m + product_of(-HALF * m, m, curve))
    found = found if x < np.float32(math.inf) else x  # infinity and NaN stay what they are
    below = np.float32(-math.inf) if x == ZERO else np.float32(math.nan)
    return below if x <= ZERO else found


@number
def half_turns(x, shift):
    """sin(x + shift * pi), to within 1e-10 while x is below 1e5: what is left of whole half turns, and their sign."""
    large = 1.5 * 2**52  # as ROUND, for a float64
    turns = x * (1 / math.pi) + shift
    near = turns + large - large
    rest = x - (near - shift) * math.pi
    pairs = near * 0.5 + large - large
    odd = near - 2 * pairs  # -1, 0 or 1
    square, total = rest * rest, SIN[0]
    for factor in SIN[1:]:
        total = total * square + factor
    return np.float32((rest + rest * square * total) * (1 - 2 * odd * odd))


@number
def sin(x):
    """The sine of a float64, as float32, for x up to 1e5."""
    return half_turns(np.float64(x), 0.0)


@number
def cos(x):
    """The cosine of a float64, as float32, for x up to 1e5."""
    return half_turns(np.float64(x), 0.5)
