"""The functions of one number that kernels use, against float64."""

import math
import re

import numba
import numpy as np
import pytest

from byhand.engines.cpu import simd
from byhand.engines.cpu.kernel import array, kernel
from byhand.engines.cpu.simd import COMPILED, LANES, float32, float64

from .test_simd import SPECIAL, normal, run, same


@kernel
def simd_exp(job, me):
    x_N, out_N = array(job, 0, float32, 1), array(job, 1, float32, 1)
    for n in range(len(x_N)):
        out_N[n] = simd.exp(x_N[n])


@kernel
def simd_log(job, me):
    x_N, out_N = array(job, 0, float32, 1), array(job, 1, float32, 1)
    for n in range(len(x_N)):
        out_N[n] = simd.log(x_N[n])


@kernel
def simd_tanh(job, me):
    x_N, out_N = array(job, 0, float32, 1), array(job, 1, float32, 1)
    for n in range(len(x_N)):
        out_N[n] = simd.tanh(x_N[n])


@kernel
def simd_erf(job, me):
    x_N, out_N = array(job, 0, float32, 1), array(job, 1, float32, 1)
    for n in range(len(x_N)):
        out_N[n] = simd.erf(x_N[n])


@kernel
def simd_logistic(job, me):
    x_N, out_N = array(job, 0, float32, 1), array(job, 1, float32, 1)
    for n in range(len(x_N)):
        out_N[n] = simd.logistic(x_N[n])


@kernel
def simd_sin(job, me):
    x_N, out_N = array(job, 0, float64, 1), array(job, 1, float32, 1)
    for n in range(len(x_N)):
        out_N[n] = simd.sin(x_N[n])


@kernel
def simd_cos(job, me):
    x_N, out_N = array(job, 0, float64, 1), array(job, 1, float32, 1)
    for n in range(len(x_N)):
        out_N[n] = simd.cos(x_N[n])


def erf(x_N):
    return np.array([math.erf(x) for x in x_N])


def logistic(x_N):
    return 1 / (1 + np.exp(-x_N))


def everywhere(low, high):
    """Numbers of every size and both signs, a denser row of them, and the special ones."""
    many = 20_011 if COMPILED else 211
    bits_N = np.linspace(0, 2**32 - 1, many).astype(np.uint32)
    return np.hstack([bits_N.view(np.float32), np.linspace(low, high, many, dtype=np.float32), SPECIAL])


@pytest.mark.parametrize(
    "body, wanted, low, high, units",
    [
        (simd_exp, np.exp, -104, 89, 1.1),
        (simd_log, np.log, 1e-3, 4, 1.5),
        (simd_tanh, np.tanh, -10, 10, 3),
        (simd_erf, erf, -5, 5, 4),
        (simd_logistic, logistic, -87, 87, 3),
    ],
)
def test_functions_are_right_to_a_few_units_in_the_last_place(body, wanted, low, high, units):
    x_N = everywhere(low, high)
    if body is simd_logistic:  # below, what it gives has fewer digits than a normal number
        x_N = x_N[~(x_N < -87) | np.isinf(x_N)]
    out_N = np.zeros_like(x_N)
    run(body, x_N, out_N)
    with np.errstate(all="ignore"):
        wanted_N = wanted(x_N.astype(float))
        rounded_N = wanted_N.astype(np.float32)
        finite = np.isfinite(rounded_N)
        unit_N = np.spacing(np.maximum(np.abs(rounded_N), np.finfo(np.float32).tiny))[finite]
    same(out_N[~finite], rounded_N[~finite])
    assert (np.abs(out_N[finite].astype(float) - wanted_N[finite]) / unit_N).max() <= units
    if body in (simd_tanh, simd_erf):
        same(np.signbit(out_N[finite]), np.signbit(rounded_N[finite]))


def test_below_normal_numbers_exp_falls_off_gradually():
    x_N, out_N = np.array([-88, -95, -103, -104, -1e9], np.float32), np.zeros(5, np.float32)
    run(simd_exp, x_N, out_N)
    assert (np.diff(out_N[:4]) < 0).all() and out_N[2] > 0 and (out_N[3:] == 0).all()


@pytest.mark.parametrize("body, wanted", [(simd_sin, np.sin), (simd_cos, np.cos)])
def test_sin_and_cos_are_right_for_long_texts(body, wanted):
    many = 50_001 if COMPILED else 501
    x_N = np.hstack([np.linspace(-1e5, 1e5, many), np.linspace(-7, 7, many), 1e-9, -1e-30, 0.0])
    out_N = np.zeros(len(x_N), np.float32)
    run(body, x_N, out_N)
    assert np.abs(out_N - wanted(x_N)).max() < 3.1e-8  # half a unit in the last place of 1
    small = np.abs(x_N) < 1
    np.testing.assert_allclose(out_N[small], wanted(x_N[small]), rtol=1e-7)
    endless = np.array([np.inf, -np.inf, np.nan])
    run(body, endless, out_N)
    assert np.isnan(out_N[:3]).all()


@pytest.mark.parametrize("body", [simd_exp, simd_log, simd_tanh, simd_erf, simd_logistic])
def test_a_number_has_the_same_bits_alone_and_among_others(body):
    x_N = np.abs(normal(211)) * 3
    out_N, alone_N = np.zeros_like(x_N), np.zeros_like(x_N)
    run(body, x_N, out_N)
    for n in range(len(x_N)):
        run(body, x_N[n : n + 1], alone_N[n : n + 1])
    same(out_N, alone_N)


@pytest.mark.skipif(not COMPILED, reason="there is no machine code")
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "erf", "logistic", "sin", "cos"])
def test_loops_over_functions_are_vector_code(name):
    body = {each.name: each for each in (simd_exp, simd_log, simd_tanh, simd_erf, simd_logistic, simd_sin, simd_cos)}
    code = numba.cfunc("void(intp, intp)")(body[f"simd_{name}"].body).inspect_llvm()  # what is cached shows none
    assert (f"<{LANES // 2} x double>" if name in ("sin", "cos") else f"<{LANES} x float>") in code
    assert not re.findall(r"call [^\n]*(?:float|double)>? @(?!llvm\.)\S*", code)
