"""Products with weights in blocks and activations rounded to int8, against the same arithmetic in whole numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byhand.checkpoints.files.quantized import dequantized, quantized
from byhand.engines.cpu.builder import Builder
from byhand.engines.cpu.kernels.elementwise import RELU
from byhand.engines.cpu.kernels.ending import Ending
from byhand.engines.cpu.kernels.integer import lower_int8
from byhand.engines.cpu.matrix import Matrix
from byhand.engines.cpu.simd import COMPILED
from byhand.engines.cpu.team import Calls, team

CLOSE = 1e-6  # of the sum of the magnitudes of all that is added up
KINDS = ("q8_0", "q4_0")
SIZES = st.tuples(st.integers(1, 20), st.integers(1, 10), st.integers(1, 70), st.integers(0, 999))
PROCESSORS = {
    "haswell": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+f16c"},
    "x86-64": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"},
    "plain Python": {"NUMBA_DISABLE_JIT": "1"},
}


def builder(threads=1):
    values = SimpleNamespace(arrays={}, outer=frozenset())  # all arrays are the test's own
    return Builder(values=values, weights=None, threads=threads, int8=True)


def lower(b, kind, weight_MB, x_NK, out_NM, activation=0):
    matrix = Matrix(kind, weight_MB, x_NK.shape[1], len(weight_MB), True)
    lower_int8(b, matrix, x_NK, "x", Ending(None, activation, None, None, out_NM, out_NM, out_NM, out_NM))


def product(kind, weight_MB, x_NK, threads=1, activation=0):
    """x_NK times the weight, as the kernels make it."""
    out_NM, b = np.full((len(x_NK), len(weight_MB)), 77, np.float32), builder(threads)
    lower(b, kind, weight_MB, x_NK, out_NM, activation)
    team(threads).run(Calls(b.jobs, b.meets))
    return out_NM


def rounded(x_NK):
    """Whole numbers [N, groups, 32] and their scales [N, groups], as float32 rounds them."""
    x_NGI = x_NK.reshape(len(x_NK), -1, 32)
    scale_NG = np.abs(x_NGI).max(-1) / np.float32(127)
    per_unit_NG = np.divide(np.float32(1), scale_NG, out=np.zeros_like(scale_NG), where=scale_NG > 1e-32)
    return np.rint(x_NGI * per_unit_NG[..., None]), scale_NG * (per_unit_NG > 0)


def expected(kind, weight_MB, x_NK):
    """The product of what x rounds to with the weight, and what an error is measured by."""
    whole_NGI, scale_NG = rounded(x_NK)
    near_NK = (whole_NGI * scale_NG.astype(np.float64)[..., None]).reshape(x_NK.shape)
    weight_MK = dequantized(kind.upper(), weight_MB).astype(np.float64)
    return near_NK @ weight_MK.T, abs(near_NK) @ abs(weight_MK).T


def example(kind, n, groups, m, seed=0):
    """A weight in blocks and rows to multiply it with."""
    random = np.random.default_rng(seed)
    weight_MK = random.standard_normal((m, 32 * groups), np.float32)
    x_NK = random.standard_normal((n, 32 * groups), np.float32) * 10.0 ** random.integers(-6, 6, (n, 1))
    return quantized(kind.upper(), weight_MK, "w"), x_NK.astype(np.float32)


def agree(kind, n, groups, m, seed=0):
    weight_MB, x_NK = example(kind, n, groups, m, seed)
    made_NM, (near_NM, size_NM) = product(kind, weight_MB, x_NK), expected(kind, weight_MB, x_NK)
    worst = np.max(np.abs(made_NM - near_NM) / size_NM)
    assert worst < CLOSE, f"{kind} {n} x {32 * groups} x {m}: {worst:.1e}"


@pytest.mark.parametrize("kind", KINDS)
@given(SIZES)
def test_products_are_those_of_the_rounded_numbers(kind, sizes):
    agree(kind, *sizes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 17])
@pytest.mark.parametrize("groups", [1, 7, 20])
def test_the_bits_do_not_depend_on_the_number_of_threads(kind, n, groups):
    weight_MB, x_NK = example(kind, n, groups, 301)
    assert (product(kind, weight_MB, x_NK, 1) == product(kind, weight_MB, x_NK, 3)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 3, 9])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_spoils_its_own_row_and_no_other(kind, n, value):
    weight_MB, x_NK = example(kind, n, 5, 40)
    clean_NM = product(kind, weight_MB, x_NK)
    x_NK[n - 1, 70] = value
    made_NM = product(kind, weight_MB, x_NK)
    assert np.isnan(made_NM[n - 1]).all()
    assert (made_NM[: n - 1] == clean_NM[: n - 1]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 9])
def test_groups_of_zeros_and_of_nearly_nothing_are_zeros(kind, n):
    weight_MB, x_NK = example(kind, n, 2, 40)
    x_NK[:] = 0
    assert (product(kind, weight_MB, x_NK) == 0).all()
    x_NK[:] = 1e-39
    assert (product(kind, weight_MB, x_NK) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 20])
def test_extreme_numbers_are_exact(kind, n):
    """All numbers at the ends of their ranges: nothing overflows or saturates on the way."""
    weight_MB, x_NK = example(kind, n, 9, 33)
    blocks = weight_MB.reshape(33, 9, -1)
    blocks[..., :2], blocks[..., 2:] = np.float16([1]).view(np.uint8), 0x80 if kind == "q8_0" else 0x00
    x_NK[:] = -127
    assert (product(kind, weight_MB, x_NK) == 127 * (128 if kind == "q8_0" else 8) * 32 * 9).all()


@pytest.mark.parametrize("n", [1, 9])
def test_the_ending_follows_and_rounding_is_done_once(n):
    weight_MB, x_NK = example("q8_0", n, 3, 50)
    plain_NM = product("q8_0", weight_MB, x_NK)
    assert (product("q8_0", weight_MB, x_NK, activation=RELU) == np.maximum(plain_NM, 0)).all()
    b, outs = builder(), [np.empty((n, 50), np.float32) for _ in range(2)]
    for out_NM in outs:
        lower(b, "q8_0", weight_MB, x_NK, out_NM)
    team(1).run(Calls(b.jobs, b.meets))
    assert len(b.jobs) == 3
    assert all((out_NM == plain_NM).all() for out_NM in outs)


def sweep():
    """What is run as other processors."""
    for kind in KINDS:
        for n, groups, m in (1, 1, 5), (2, 6, 3), (4, 5, 9), (9, 3, 35 if COMPILED else 5):
            agree(kind, n, groups, m)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_other_processors_agree(processor):
    command = [sys.executable, "-c", f"from {__name__} import sweep; sweep()"]
    there = {"cwd": Path(__file__).parents[2], "env": os.environ | PROCESSORS[processor]}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, **there)
    assert done.returncode == 0, done.stderr
