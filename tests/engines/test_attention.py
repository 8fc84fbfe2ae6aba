"""Attention of the cpu engine against the operators in float64, and against itself: the same bits each way."""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byhand.engines.cpu.builder import LOWERINGS
from byhand.engines.cpu.kernel import Job
from byhand.engines.cpu.kernels import attention
from byhand.engines.cpu.kernels.attention import lower_attention
from byhand.engines.cpu.simd import COMPILED
from byhand.engines.cpu.team import Calls, team
from byhand.operators.attention import append, mask, mix, scores, softmax
from byhand.program import Step

STEPS = {
    "score": Step("score", "BHTS", scores, ("query", "key")),
    "masked": Step("masked", "BHTS", mask, ("score", "allowed")),
    "weight": Step("weight", "BHTS", softmax, ("masked",)),
    "out": Step("out", "BTHK", mix, ("weight", "value")),
}
INNER = ("score", "masked", "weight")


class Builder:
    """As much of the engine's builder as attention asks for."""

    def __init__(self, values, threads=1, own=()):
        self.values, self.threads, self.own, self.jobs, self.meets = values, threads, own, [], []

    def array(self, address):
        array = self.values[address]
        return array.view(np.uint16) if array.dtype == ml_dtypes.bfloat16 else array

    def out(self, address):
        return self.array(address) if address in self.values else None

    def ends(self, address):
        allowed_BTS = self.values[address]
        S = allowed_BTS.shape[-1]
        ends_BT = np.where(allowed_BTS.any(-1), S - allowed_BTS[..., ::-1].argmax(-1), 0)
        return ends_BT, None if (allowed_BTS.sum(-1) == ends_BT).all() else allowed_BTS

    def in_place(self, address):
        return address in self.own

    def scratch(self, name, shape, dtype):
        return np.full(shape, np.nan, dtype)  # nobody may build on what is in it

    def call(self, kernel, *arguments, meet=True):
        plain = [each.view(np.uint8) if getattr(each, "dtype", np.int8) == np.bool_ else each for each in arguments]
        self.jobs.append(Job(kernel, *plain))
        self.meets.append(meet)

    def run(self):
        team(self.threads).run(Calls(self.jobs, self.meets))


def steps_of(values, fill=-math.inf):
    """The chain, without a mask where the values have none."""
    steps = dict(STEPS)
    steps["masked"] = Step("masked", "BHTS", mask, ("score", "allowed"), {"fill": fill})
    if "allowed" not in values:
        del steps["masked"]
        steps["weight"] = Step("weight", "BHTS", softmax, ("score",))
    return steps


def example(sizes, seed=0, allowed=None, kept=np.float32, loud=1.0):
    """Inputs; keys and values as views of longer caches."""
    B, T, S, G, R, K = sizes
    rng = np.random.default_rng(seed)
    values = {"query": rng.standard_normal((B, T, G * R, K)).astype(np.float32) * np.float32(loud)}
    for name in "key", "value":
        values[name] = rng.standard_normal((B, S + 3, G, K)).astype(kept)[:, :S]
    if allowed == "causal":
        values["allowed"] = np.broadcast_to(np.tril(np.ones((T, S), bool), S - T), (B, T, S)).copy()
        values["allowed"][:, :, 0] = True
    elif allowed == "padding":
        long_B = rng.integers(1, S + 1, B)
        values["allowed"] = np.broadcast_to(np.arange(S) < long_B[:, None, None], (B, T, S)).copy()
    elif allowed == "random":
        values["allowed"] = rng.random((B, T, S)) < 0.5
        values["allowed"][:, :, rng.integers(S)] = True
    return values


def fused(values, wanted=(), threads=1, fill=-math.inf):
    """Every value that is wanted, and the output, of the chain in one piece."""
    B, T, H, _ = values["query"].shape
    rows = (B, H, T, values["key"].shape[1])
    made = {name: np.full(rows, 7, np.float32) for name in wanted} | {"out": np.full_like(values["query"], 7)}
    b = Builder(values | made, threads)
    lower_attention(b, list(steps_of(values, fill).values()))
    b.run()
    return made


def single(values, threads=1, fill=-math.inf):
    """The same step by step."""
    B, T, H, _ = values["query"].shape
    made = {}
    for name, step in steps_of(values, fill).items():
        shape = values["query"].shape if name == "out" else (B, H, T, values["key"].shape[1])
        made[name] = np.full(shape, 7, np.float32)
        b = Builder(values | made, threads)
        LOWERINGS[step.operator.name](b, step)
        b.run()
    return made


def reference(values, fill=-math.inf):
    """The same by the operators, in float64."""
    wide = {name: array if array.dtype == bool else array.astype(np.float64) for name, array in values.items()}
    made = {}
    for name, step in steps_of(values, fill).items():
        read = [(wide | made)[address] for address in step.reads]
        made[name] = step.operator.forward(*read, **step.attributes)
    return made


def same(made, expected):
    for name, array in made.items():
        np.testing.assert_array_equal(array.view(np.int32), expected[name].view(np.int32), err_msg=name)


def close(made, expected, tolerance=1e-6):
    for name, array in made.items():
        np.testing.assert_allclose(array, expected[name], rtol=tolerance, atol=3 * tolerance, err_msg=name)


sizes = st.tuples(
    *(st.integers(1, most) for most in (3, 9, 40, 3, 3)),
    st.one_of(st.integers(1, 20), st.just(64)),
)
masks = st.sampled_from([None, "causal", "padding", "random"])
kinds = st.sampled_from([np.float32, ml_dtypes.bfloat16])
few = settings(max_examples=150 if COMPILED else 5, deadline=None)


@few
@given(sizes, st.integers(0, 9), masks, kinds, st.sets(st.sampled_from(INNER)), st.booleans())
def test_every_way_makes_the_same_bits_and_the_reference_agrees(sizes, seed, allowed, kept, wanted, by_rows):
    values = example(sizes, seed, allowed, kept)
    wanted -= {"masked"} if allowed is None else set()
    expected = single(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "FEW", 0 if by_rows else 1000)
        same(fused(values, wanted), expected)
        same(fused(values, threads=3 if COMPILED else 1), expected)
    close(expected, reference(values))


@pytest.mark.skipif(not COMPILED, reason="slow")
@pytest.mark.parametrize("sizes", [(1, 70, 300, 2, 1, 64), (2, 1, 1000, 2, 4, 33), (1, 40, 140, 1, 5, 16)])
@pytest.mark.parametrize("allowed", [None, "causal", "random"])
def test_many_keys(sizes, allowed):
    values = example(sizes, 1, allowed)
    expected = single(values, threads=2)
    same(fused(values), expected)
    same(fused(values, INNER[:: 2 if allowed is None else 1], threads=2), expected)
    close(expected, reference(values))


@pytest.mark.parametrize("fill", [-1e10, -3.0])
@pytest.mark.parametrize("wanted", [(), INNER])
def test_what_a_finite_number_hides_may_have_weight(fill, wanted):
    values = example((2, 3, 7, 1, 2, 4), 2, "random")
    values["allowed"][1, 1] = False  # with a finite fill, nothing seen is everything alike
    made = fused(values, wanted, fill=fill)
    same(made, single(values, fill=fill))
    close(made, reference(values, fill))


@pytest.mark.parametrize("few", [0, 1000])
@pytest.mark.parametrize("allowed", ["causal", "random"])
def test_a_row_that_sees_nothing_is_not_a_number(monkeypatch, few, allowed):
    monkeypatch.setattr(attention, "FEW", few)
    values = example((2, 4, 6, 2, 1, 5), 3, allowed)
    values["allowed"][1, 2] = False
    made = fused(values, ("weight",))
    expected = single(values)
    with np.errstate(invalid="ignore"):
        close(made, reference(values))
    for name, array in made.items():
        np.testing.assert_array_equal(array, expected[name])
    assert np.isnan(made["out"][1, 2]).all() and np.isnan(made["out"]).sum() == made["out"][1, 2].size


@pytest.mark.parametrize("number", [math.inf, math.nan])
@pytest.mark.parametrize("few", [0, 1000])
def test_what_is_no_finite_number_reaches_what_reads_it(monkeypatch, number, few):
    monkeypatch.setattr(attention, "FEW", few)
    values = example((1, 3, 4, 1, 2, 5), 4, "causal")
    values["query"][0, 1, 0, 2] = number
    with np.errstate(invalid="ignore"):
        expected = reference(values)
    np.testing.assert_array_equal(np.isnan(fused(values)["out"]), np.isnan(expected["out"]))


def test_large_scores_share_all_the_attention():
    values = example((1, 5, 9, 1, 1, 8), 5, "causal", loud=1e4)
    close(fused(values, ("weight",)), reference(values), 1e-3)


@pytest.mark.parametrize("kept", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("in_place", [False, True])
def test_append_puts_tokens_at_their_places(kept, in_place):
    rng = np.random.default_rng(6)
    cache_BSGK = rng.standard_normal((2, 9, 3, 5)).astype(kept)
    past_BSGK, new_BTGK = cache_BSGK[:, :6], rng.standard_normal((2, 3, 3, 5)).astype(np.float32)
    place_BT = np.array([[1, 4, 1], [5, 0, 2]])  # of two tokens at one place the last counts
    expected = append.forward(past_BSGK.copy(), new_BTGK.astype(kept), place_BT)
    values = {"past": past_BSGK, "new": new_BTGK, "place": place_BT}
    values["out"] = past_BSGK if in_place else np.zeros_like(expected)
    before = cache_BSGK.copy()
    b = Builder(values, own=["past"] if in_place else [])
    LOWERINGS["append"](b, Step("out", "BSGK", append, ("past", "new", "place")))
    b.run()
    np.testing.assert_array_equal(values["out"], expected)
    np.testing.assert_array_equal(cache_BSGK[:, 6:], before[:, 6:])
    assert in_place or (cache_BSGK == before).all()
