"""What a comparison is made of, how it reads, and the two sides it can have."""

import json

import numpy as np
import pytest

import byhand
from byhand.cli.show import plain
from byhand.compare import compare
from byhand.compare.comparison import AROUND
from byhand.compare.sources import source

from .planted import CONFIGS, lettered, other, reweighted, sound

IDS = [3, 14, 15, 9, 26, 5, 35, 8]


@pytest.fixture(scope="module")
def found():
    return compare(lettered(sound("gpt2")), lettered(other("gpt2", activation="gelu_erf")), "some text")


def test_it_reads_as_a_verdict_a_place_a_cause_and_a_table(found):
    lines = str(found).splitlines()
    assert lines[0] == "differ: blocks.0.mlp.act is the first step that differs beyond rounding"
    assert lines[1].startswith("  blocks.0.mlp.act[0,")
    assert "(position " in lines[1]
    assert " in A, " in lines[1]
    assert "times the rounding allowed" in lines[2]
    assert lines[3].startswith("  before it: ")
    assert lines[4].startswith(
        "  GELU form: with activation='gelu_erf', A's blocks.0.mlp.act agrees (largest difference "
    )
    assert len(found.rows()) == 2 * AROUND + 1
    assert [row[2] for row in found.rows()].count("DIFFERS") == 1
    assert len(found.rows(every=True)) == len(found.steps)


def test_the_numbers_are_those_of_the_runs(found):
    place, tokens = found.first.gap.index, lettered(sound("gpt2")).token_ids("some text")
    for model, number in (
        (sound("gpt2"), found.first.gap.a),
        (other("gpt2", activation="gelu_erf"), found.first.gap.b),
    ):
        run = model.run(tokens, engine="reference")
        assert run.look("blocks.0.mlp.act")[place] == number
        assert f"{number:.9g} in {'A' if number == found.first.gap.a else 'B'}" in str(found)


def test_steps_before_agree_and_those_after_follow(found):
    at = found.steps.index(found.first)
    assert {each.state for each in found.steps[:at]} == {"same"}
    assert {each.state for each in found.steps[at + 1 :]} == {"follows", "differs"}
    assert {each.address for each in found.steps if each.state == "differs"} == set(found.causes[0].explains)


def test_tokens_and_head_of_the_place():
    found = compare(sound("llama"), other("llama", rotary="halves"), IDS)
    b, t, h, _ = found.first.gap.index
    assert f"(position {t} '{IDS[t]}', query head {h})" in str(found)
    assert b == 0


def test_plain_data(found):
    data = json.loads(json.dumps(plain(found.to_dict()), allow_nan=False))
    assert data["verdict"] == "differ"
    assert data["first"]["address"] == "blocks.0.mlp.act"
    assert data["causes"][0]["kind"] == "GELU form"
    assert len(data["steps"]) == len(found.steps)


@pytest.mark.parametrize("family", CONFIGS)
def test_runs(family):
    model = sound(family)
    run = model.run(IDS, engine="reference")
    assert compare(run, model).verdict == "same"
    assert compare(model.run(IDS, engine="cpu"), run).verdict == "same up to rounding"
    assert compare(model.run(IDS, dtype="bfloat16"), run).verdict == "same up to rounding"
    assert compare(run, run.edit("blocks.1.mlp.out", position=3, add=0.01)).first.address == "blocks.1.mlp.out"
    assert compare(run.edit("blocks.1.mlp.out", position=3, add=0.01), run).first.address == "blocks.1.mlp.out"


@pytest.mark.parametrize(("engine", "verdict"), [("reference", "same"), ("cpu", "same up to rounding")])
def test_a_run_that_kept_little(engine, verdict):
    model = sound("gpt2")
    assert compare(model.run(IDS, keep=["logits"], engine=engine), model).verdict == verdict


def test_a_run_is_run_again_by_its_own_engine():
    model = sound("gpt2")
    run = model.run(IDS, engine="cpu")
    again = source(run, None, "reference").side("run", model.run(IDS[::-1]).inputs, model.program)
    assert again.run.engine == "cpu" and not again.right


def test_a_changed_weight_that_this_text_does_not_read():
    """The row of a token that does not occur: the first step that reads the table is named."""
    changed = reweighted("llama", "token.weight", lambda w: np.where(np.arange(60)[:, None] == 59, w + 1e-3, w))
    found = compare(sound("llama"), changed, IDS)
    assert (found.first.address, found.first.weight) == ("embed.out", "token.weight")


def test_tied_or_untied():
    model = sound("gpt2")
    weights = dict(model.weights)
    copied = byhand.make(
        "gpt2",
        other("gpt2", tied=True).config.__class__(**{**vars(model.config), "tied": False}),
        {**weights, "unembed.weight": weights["token.weight"].copy()},
    )
    assert compare(model, copied, IDS).verdict == "same"
    own = byhand.make("gpt2", copied.config, {**weights, "unembed.weight": weights["token.weight"] * 1.5})
    found = compare(model, own, IDS)
    assert found.first.address == "logits"
    assert found.causes[0].kind == "tied or untied"


def test_two_causes_are_both_found():
    weights = dict(sound("gpt2").weights)
    weights["blocks.1.attn.out.weight"] = weights["blocks.1.attn.out.weight"].reshape(24, 24).T.reshape(6, 4, 24)
    both = byhand.make("gpt2", other("gpt2", eps=1e-3).config, weights)
    found = compare(sound("gpt2"), both, IDS)
    assert [cause.kind for cause in found.causes] == ["eps", "transposed matrix"]


UNLIKE = {
    "family": (sound("gpt2"), sound("bert"), "is a gpt2 and bert a bert"),
    "width": (sound("gpt2"), sound("gpt2", width=36), "of different sizes: D is 24 and 36"),
    "blocks": (sound("gpt2"), sound("gpt2", layers=3), "there are 2 and 3 blocks"),
    "no thing": (sound("gpt2"), 3, "cannot compare a int"),
    "no model": (sound("gpt2"), "nosuch", "no model 'nosuch'"),
}


@pytest.mark.parametrize(("a", "b", "message"), UNLIKE.values(), ids=UNLIKE)
def test_what_cannot_be_compared(a, b, message):
    with pytest.raises(byhand.InputError, match=message):
        compare(a, b, IDS)


def test_wrong_settings():
    model = sound("gpt2")
    with pytest.raises(byhand.InputError, match="no dtype 'float8'"):
        compare(model, model, dtype="float8")
    with pytest.raises(byhand.InputError, match="no engine 'warp'"):
        compare(model, model, engine=("reference", "warp"))
    with pytest.raises(byhand.InputError, match="leave dtype out"):
        compare(model.run(IDS), model, dtype="float64")
    with pytest.raises(byhand.InputError, match="neither side has a tokenizer"):
        compare(model, model, "some text")
