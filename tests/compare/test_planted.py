"""Each planted difference is found at its step and called by its name, between models and in a dump."""

import numpy as np
import pytest

from byhand.compare import compare
from byhand.compare.causes import Cause

from .planted import BEGIN, PLANTED, begins, lettered, sound

IDS = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7]
DTYPES = ("float32", "bfloat16", "float64")


def agrees(cause: Cause) -> bool:
    return cause.kind != "none" and bool(cause.explains)


def written(model, tmp_path, dtype="float32", leave=lambda address: False):
    """A dump of a model's values and tokens, without its weights. Planted operators have no kernels."""
    run = model.run(IDS, dtype=dtype, engine="reference")
    arrays = {a: np.asarray(run.look(a)) for a in [*run.program.producer, "tokens"] if not leave(a)}
    if dtype == "bfloat16":
        arrays = {
            a: array.astype(np.float32) if array.dtype.name == "bfloat16" else array for a, array in arrays.items()
        }
    np.savez(tmp_path / "dump.npz", **arrays)
    return tmp_path / "dump.npz"


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_between_models(planted):
    found = compare(sound(planted.family), planted.model, IDS)
    assert found.verdict == "differ"
    assert found.first.address.startswith(planted.first)
    assert found.causes[0].kind == planted.kind
    assert agrees(found.causes[0])


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_in_a_dump(planted, tmp_path):
    found = compare(sound(planted.family), written(planted.model, tmp_path))
    assert found.verdict == "differ"
    assert found.first.address.startswith(planted.first)
    assert found.causes[0].kind == planted.kind
    assert agrees(found.causes[0])


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_the_order_of_the_two_does_not_matter(planted, tmp_path):
    path = written(planted.model, tmp_path)
    one, turned = compare(sound(planted.family), path), compare(path, sound(planted.family))
    assert turned.first.address == one.first.address
    assert (turned.first.gap.a, turned.first.gap.b) == (one.first.gap.b, one.first.gap.a)
    assert [cause.kind for cause in turned.causes] == [cause.kind for cause in one.causes]


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert"])
def test_a_missing_begin_token(family):
    model = lettered(sound(family))
    found = compare(model, begins(model), "some text")
    assert found.verdict == "differ"
    assert found.first.address == "tokens"
    assert found.causes[0].kind == "missing begin token"
    assert f"token {BEGIN} added to the text of A" in str(found.causes[0])
    assert all(each.state in ("same", "rounding") for each in found.steps[1:])


def test_a_missing_begin_token_and_more():
    """The token is named, and so is what differs beside it."""
    found = compare(lettered(sound("gpt2")), begins(PLANTED["eps, gpt2"].model), "some text")
    assert [cause.kind for cause in found.causes] == ["missing begin token", "eps"]
    assert "the tokens agree, but not all that follows" in str(found)


def test_other_tokens():
    """Two texts that have nothing to do with each other: no cause is named."""
    model = sound("gpt2")
    found = compare(model.run(IDS), model.run(IDS[::-1]))
    assert found.first.address == "tokens"
    assert found.causes[0].kind == "none"
    assert all(each.state in ("same", "rounding") for each in found.steps[1:])


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert"])
def test_a_missing_begin_token_in_a_dump(family, tmp_path):
    model = lettered(sound(family))
    run = begins(model).run("some text")
    np.savez(tmp_path / "d.npz", input_ids=run.look("tokens"), logits=run.look("logits"))
    found = compare(model, tmp_path / "d.npz", "some text")
    assert found.first.address == "tokens"
    assert found.causes[0].kind == "missing begin token"


@pytest.mark.parametrize("name", ["GELU, gpt2", "eps, llama", "grouping", "swapped heads, bert"])
def test_a_cause_that_does_not_help_is_not_named(name):
    """Two changes in one step: none of the usual ones alone makes it agree."""
    planted = PLANTED[name]
    run = planted.model.run(IDS, engine="reference")
    values = {a: np.array(run.look(a)) for a in run.program.producer} | {"tokens": run.look("tokens")}
    at = next(a for a in values if a.startswith(planted.first))
    values[at] = values[at] + np.random.default_rng(0).normal(size=values[at].shape).astype(np.float32)
    found = compare(sound(planted.family), values)
    assert found.first.address == at
    assert found.causes[0].kind == "none"
    assert "none of the usual causes" in str(found.causes[0])
