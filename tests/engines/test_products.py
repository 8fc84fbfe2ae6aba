"""Products with weights of every kind: against float64, with endings against the operators, and with any threads."""

from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byhand.checkpoints.files.quantized import dequantized, encoded
from byhand.engines.cpu.builder import Builder
from byhand.engines.cpu.kernels import products
from byhand.engines.cpu.kernels.elementwise import ACTIVATIONS, lower_activation, lower_add, lower_multiply
from byhand.engines.cpu.matrix import Matrix
from byhand.engines.cpu.team import Calls, team
from byhand.operators import add, from_heads, gelu_tanh, linear, multiply, relu, silu, tanh, to_heads, unembed
from byhand.program import Step

STORED = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
KINDS = [(kind, outs_first) for kind in STORED for outs_first in (True, False)] + [("q8_0", True), ("q4_0", True)]


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def stored(kind, K, M, outs_first, apart=0):
    """A weight of a kind, its rows `apart` numbers apart, and what it holds as float64 [K, M]."""
    rows = normal(*((M, K) if outs_first else (K, M)), seed=7)
    if kind in STORED:
        rows = rows.astype(STORED[kind])
        raw = rows if kind == "f32" else rows.view(np.uint16)
        lying = np.pad(raw, ((0, 0), (0, apart)))[:, : raw.shape[1]]
    else:
        blocks = b"".join(bytes(part) for part in encoded(kind.upper(), rows, "weight"))
        lying = np.frombuffer(blocks, np.uint8).reshape(M, -1)
        rows = dequantized(kind.upper(), lying)
    held = rows.astype(np.float64)
    return Matrix(kind, lying, K, M, outs_first), held.T if outs_first else held


def builder(arrays, weights=(), threads=1):
    """A builder that knows these arrays and weights by address."""
    weights = dict(weights)
    matrix = lambda address, axes_in, table: weights[address]  # noqa: E731
    resident = SimpleNamespace(matrix=matrix, vector=weights.__getitem__)
    return Builder(SimpleNamespace(arrays=arrays, outer=frozenset()), resident, threads, False)


def run(b):
    team(b.threads).run(Calls(b.jobs, b.meets))


def multiplied(x_NK, matrix, threads=1):
    arrays = {"x": x_NK[None], "out": np.full((1, len(x_NK), matrix.outs), np.nan, np.float32)}
    b = builder(arrays, {"weight": matrix}, threads)
    products.lower_product(b, [Step("out", "BTF", linear, ("x", "weight", None))])
    run(b)
    return arrays["out"][0]


def bound(x_NK, weight_KM):
    """How far a float32 sum may be from the true one: a rounding for every term, on the sum of all sizes."""
    K = len(weight_KM)
    return 2.0**-24 * (K + 2) * (abs(x_NK).astype(np.float64) @ abs(weight_KM)) + 1e-30


@pytest.mark.parametrize("kind, outs_first", KINDS)
@settings(deadline=None, max_examples=25)
@given(N=st.integers(1, 40), K=st.integers(1, 130), M=st.integers(1, 130), apart=st.integers(0, 3))
def test_every_kind_and_size(kind, outs_first, N, K, M, apart):
    K = K if kind in STORED else -(-K // 32) * 32
    matrix, weight_KM = stored(kind, K, M, outs_first, apart)
    x_NK = normal(N, K)
    error_NM = abs(multiplied(x_NK, matrix) - x_NK.astype(np.float64) @ weight_KM)
    assert (error_NM <= bound(x_NK, weight_KM)).all()


@pytest.mark.parametrize("kind, outs_first", KINDS)
@pytest.mark.parametrize("N", [1, 3, 9, 70])
def test_a_sum_longer_than_a_panel(kind, outs_first, N):
    matrix, weight_KM = stored(kind, 1120, 100, outs_first)
    x_NK = normal(N, 1120)
    got_NM = multiplied(x_NK, matrix)
    assert (abs(got_NM - x_NK.astype(np.float64) @ weight_KM) <= bound(x_NK, weight_KM) / 8).all()
    assert got_NM.tobytes() == multiplied(x_NK, matrix, threads=3).tobytes()


@pytest.mark.parametrize("kind, outs_first", KINDS)
def test_many_rows_give_the_same_bits_each_alone_in_its_tile(kind, outs_first):
    matrix, _ = stored(kind, 544, 50, outs_first)
    x_NK = normal(600, 544)
    assert multiplied(x_NK, matrix)[300:311].tobytes() == multiplied(x_NK[300:311], matrix).tobytes()


def test_infinities_and_nan_stay_in_their_rows():
    matrix, _ = stored("f32", 64, 48, False)
    x_NK = normal(12, 64)
    whole_NM = multiplied(x_NK, matrix)
    x_NK[3, 5], x_NK[4, 6] = np.nan, np.inf
    got_NM = multiplied(x_NK, matrix)
    assert np.isnan(got_NM[3]).all() and np.isinf(got_NM[4]).all()
    assert np.delete(got_NM, [3, 4], 0).tobytes() == np.delete(whole_NM, [3, 4], 0).tobytes()


# Endings.

BEHIND = {
    "bias": [],
    "gelu_tanh": [gelu_tanh],
    "silu, multiply": [silu, multiply],
    "relu, add": [relu, add],
    "tanh, multiply, add": [tanh, multiply, add],
    "add": [add],
}


def chain(operators):
    """A product and these steps behind it, each reading the one before and a value of its own."""
    steps = [Step("s0", "BTF", linear, ("x", "weight", "bias"))]
    for i, operator in enumerate(operators, 1):
        reads = (f"s{i - 1}",) if len(operator.inputs) == 1 else (f"other{i}", f"s{i - 1}")
        steps.append(Step(f"s{i}", "BTF", operator, reads))
    return steps


def results(steps, N, K, M, fused, asked, threads=1):
    """The values of a chain of steps, fused or one at a time; asked: which of them are wanted."""
    arrays = {"x": normal(N, K)[None]} | {f"other{i}": normal(N, M, seed=i)[None] for i in range(1, 4)}
    arrays |= {s.address: np.full((1, N, M), np.nan, np.float32) for s in steps if s.address in asked}
    weights = {"weight": stored("f32", K, M, True)[0], "bias": normal(M)}
    b = builder(arrays, weights, threads)
    if fused:
        products.lower_product(b, steps)
    else:
        products.lower_product(b, steps[:1])
        for step in steps[1:]:
            name = step.operator.name
            lower = lower_activation if name in ACTIVATIONS else {"multiply": lower_multiply, "add": lower_add}[name]
            lower(b, step)
    run(b)
    return {address: arrays[address] for address in asked}


@pytest.mark.parametrize("N, K, M", [(1, 40, 70), (3, 40, 70), (21, 70, 130)])
@pytest.mark.parametrize("behind", BEHIND)
def test_fused_steps_give_the_bits_of_separate_ones(behind, N, K, M):
    steps = chain(BEHIND[behind])
    every, last = [s.address for s in steps], steps[-1].address
    separate = results(steps, N, K, M, False, every)
    kept = results(steps, N, K, M, True, every, threads=3)
    for address in every:
        assert kept[address].tobytes() == separate[address].tobytes(), address
    assert results(steps, N, K, M, True, [last])[last].tobytes() == separate[last].tobytes()


def test_every_product_operator():
    B, T, D, H, K = 2, 5, 24, 3, 8
    x_BTD, x_BTHK, bias = normal(B, T, D), normal(B, T, H, K), normal(D)
    square, _ = stored("f32", D, D, False)
    arrays = {"x": x_BTD, "heads": x_BTHK} | {name: np.empty((B, T, D), np.float32) for name in ("mixed", "logits")}
    arrays["split"] = np.empty((B, T, H, K), np.float32)
    b = builder(arrays, {"w": square, "bias": bias, "bias of heads": bias.reshape(H, K)})
    for step in (
        Step("split", "BTHK", to_heads, ("x", "w", "bias of heads")),
        Step("mixed", "BTD", from_heads, ("heads", "w", "bias")),
        Step("logits", "BTV", unembed, ("x", "w", None)),
    ):
        products.lower_alone(b, step)
    run(b)
    weight_DD = square.array
    close = {"rtol": 0, "atol": 1e-5}
    np.testing.assert_allclose(arrays["split"].reshape(B, T, D), x_BTD @ weight_DD + bias, **close)
    np.testing.assert_allclose(arrays["mixed"], x_BTHK.reshape(B, T, D) @ weight_DD + bias, **close)
    np.testing.assert_allclose(arrays["logits"], x_BTD @ weight_DD, **close)
