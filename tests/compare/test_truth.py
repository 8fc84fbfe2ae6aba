"""Nothing is said that is not so: no cause that does not explain, no bug where only rounding is, no sameness."""

import ml_dtypes
import numpy as np
import pytest

import byhand
from byhand.compare import compare
from byhand.compare.side import precision_of

from .planted import CONFIGS, computing, rewritten, sound

IDS = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7]


def dump(run, *only):
    return {a: np.asarray(run.look(a)) for a in only or run.program.producer} | {"tokens": run.look("tokens")}


def seeing(make):
    """A mask step that sees what make says of [T,S]."""

    def forward(score_BHTS, allowed_BTS, *, fill=-np.inf):
        return np.where(make(np.ones(allowed_BTS.shape[1:], bool)), score_BHTS, fill)

    return computing("mask", forward)


MASKS = {
    "all": (lambda ones: ones, "no causal mask"),
    "ahead": (lambda ones: np.tril(ones, 1), "every position seeing the next one too"),
    "window": (lambda ones: np.tril(ones) & ~np.tril(ones, -4), "every position seeing the last 4 keys alone"),
    "first hidden": (
        lambda ones: np.tril(ones) & ((np.arange(10) > 0) | (np.arange(10)[:, None] == 0)),
        "the keys hidden that the other hides",
    ),
}


@pytest.mark.parametrize(("make", "said"), MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_mask_that_is_named_is_the_one_there_is(family, make, said):
    planted = rewritten(family, seeing(make))
    for other in (planted, dump(planted.run(IDS, engine="reference"))):  # it has no kernels
        found = compare(sound(family), other, IDS)
        assert found.first.address == "blocks.0.attn.masked"
        assert [(cause.kind, cause.said) for cause in found.causes] == [("mask", said)]


@pytest.mark.parametrize("inputs", [{"segments": [0] * 5 + [1] * 5}, {"mask": [[1] * 8 + [0] * 2]}])
def test_two_runs_on_other_inputs_are_not_the_same(inputs):
    model = sound("bert")
    one, other = model.run(IDS, **inputs), model.run(IDS)
    for found in (compare(one, other), compare(other, one), compare(other, dump(one) | to_arrays(one, inputs))):
        assert found.verdict == "differ"
        assert found.first.address == next(iter(inputs))
        assert all(each.state != "differs" for each in found.steps[1:])


def to_arrays(run, names):
    return {name: np.asarray(run.inputs[name]) for name in names}


def test_segments_that_were_not_read():
    model = sound("bert")
    given = {"segments": np.array([[0] * 5 + [1] * 5])}
    found = compare(model, dump(model.run(IDS)) | given)
    assert [(cause.kind, cause.said) for cause in found.causes] == [("segments", "every token in segment 0")]


@pytest.mark.parametrize("family", ["gpt2", "bert"])
@pytest.mark.parametrize("only", [(), ("embed.out", "blocks.0.out", "logits")])
def test_biases_that_were_left_out(family, only):
    weights = {a: np.array(w) * (not a.endswith(("bias", "shift"))) for a, w in sound(family).weights.items()}
    run = byhand.make(family, CONFIGS[family], weights).run(IDS)
    found = compare(sound(family), dump(run, *only))
    assert {cause.kind for cause in found.causes} == {"bias"}
    assert not any(cause.unlike for cause in found.causes)


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("kind", [ml_dtypes.bfloat16, np.float16])
def test_a_dump_made_with_rounded_weights(family, kind):
    weights = {a: np.array(w).astype(kind).astype(np.float32) for a, w in sound(family).weights.items()}
    run = byhand.make(family, CONFIGS[family], weights).run(IDS)
    for only in ((), ("embed.out", "logits"), ("logits",)):
        found = compare(sound(family), dump(run, *only))
        name = np.dtype(kind).name
        assert [(cause.kind, cause.said) for cause in found.causes] == [
            ("rounded weights", f"weights rounded to {name}")
        ]


def test_a_text_cut_short_lacks_no_begin_token():
    model = sound("gpt2")
    found = compare(model.run(IDS), model.run(IDS[:6]))
    assert found.causes[0].kind == "a shorter text"
    assert "35 in A, nothing in B" in str(found)


def test_numbers_too_large_for_float32_inside_a_step():
    """silu(-90): exp(90) is infinite in float32, so the result is 0 and not 7e-38."""
    model = sound("llama")
    weights = {a: np.array(w) * np.float32(30 if w.ndim > 1 else 1) for a, w in model.weights.items()}
    large = byhand.make("llama", CONFIGS["llama"], weights)
    ids = np.random.default_rng(0).integers(0, 60, (2, 32))
    for found in (compare(large, large, ids, dtype_b="float64"), compare(large, dump(large.run(ids)))):
        assert found.first is None, str(found)


def test_whole_numbers_in_bfloat16_are_bfloat16():
    assert precision_of({"x": np.array([1797764.0, 300.0], ml_dtypes.bfloat16)}) == "bfloat16"
    assert precision_of({"x": np.array([2.0, 3.0])}) == "float64"


def test_what_does_not_depend_on_the_text_may_be_there_once():
    model, ids = sound("gpt2"), [IDS, IDS[::-1]]
    arrays = dump(model.run(ids))
    found = compare(model, arrays | {"embed.position": arrays["embed.position"][:1]})
    assert found.first is None
    with pytest.raises(byhand.InputError, match="embed.token"):
        compare(model, arrays | {"embed.token": arrays["embed.token"][:1]})
