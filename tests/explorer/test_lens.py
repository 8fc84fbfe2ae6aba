"""The lens and the split of a logit against plain NumPy: a last row of the real bits, bars that sum to the logit."""

import math

import numpy as np
import pytest

import byhand
from byhand.errors import InputError
from byhand.explorer import Session
from byhand.explorer.digits import bits
from byhand.explorer.lens import PRE_NORM
from byhand.explorer.scene import read_scene
from byhand.explorer.wire import decoded, encoded
from byhand.families import bert
from byhand.weights import random

from ..small_models import TEXTS, model, run
from .scenes import edit, edited, scene_of

WITH_LOGITS = [name for name in TEXTS if "logits" in run(name).program]
DTYPES = ("float32", "float64", "bfloat16")


def asked(name, op, **params):
    answer = Session(model(name)).handle(op, params)
    return decoded(encoded(answer))


def layer_norm(x_TD, gain_D, shift_D, eps=1e-5):
    centred_TD = x_TD - x_TD.mean(-1, keepdims=True)
    return centred_TD / np.sqrt((centred_TD**2).mean(-1, keepdims=True) + eps) * gain_D + shift_D


def rms_norm(x_TD, gain_D, eps=1e-5):
    return x_TD / np.sqrt((x_TD**2).mean(-1, keepdims=True) + eps) * gain_D


# How each family reads its stream, written out once more.
ENDS = {
    "gpt2-tiny": lambda x, w: layer_norm(x, w("final_norm.gain"), w("final_norm.shift")) @ w("token.weight").T,
    "llama-tiny": lambda x, w: rms_norm(x, w("final_norm.gain")) @ w("unembed.weight").T,
    "original-decoder-tiny": lambda x, w: x @ w("token.weight").T,
    "original-tiny": lambda x, w: x @ w("token.weight").T,
    "aab": lambda x, w: x @ w("token.weight").T,
}


@pytest.mark.parametrize("name", ENDS)
def test_every_row_is_the_models_end_on_that_layers_stream(name):
    scene, token = scene_of(name, dtype="float64"), 1
    of = run(name)
    answer = asked(name, "lens", scene=scene, token=token, most=2)
    for row, address in enumerate(answer.head["layers"]):
        logits_TV = ENDS[name](of.look(address)[0], of.look)
        exp_TV = np.exp(logits_TV - logits_TV.max(-1, keepdims=True))
        probs_TV = exp_TV / exp_TV.sum(-1, keepdims=True)
        assert [each[0]["id"] for each in answer.head["top"][row]] == logits_TV.argmax(-1).tolist()
        assert np.allclose(answer.arrays["probability"][row], probs_TV.max(-1), rtol=1e-6)
        for t, each in enumerate(answer.head["chosen"][row]):
            assert np.isclose(float(each["logit"]), logits_TV[t, token], atol=1e-9)
            assert np.isclose(float(each["probability"]), probs_TV[t, token], atol=1e-9)
            assert each["rank"] == (logits_TV[t] > logits_TV[t, token]).sum()
        assert np.allclose(answer.arrays["norms"][row], np.sqrt((of.look(address)[0] ** 2).sum(-1)), rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WITH_LOGITS)
def test_the_last_row_is_the_real_logits_bit_for_bit(name, dtype):
    session, scene = Session(model(name)), scene_of(name, dtype=dtype)
    of = session.run(read_scene(scene))
    for token in (0, 1):
        head = session.handle("lens", {"scene": scene, "token": token}).head
        assert [each["bits"] for each in head["chosen"][-1]] == bits(of.look("logits")[0, :, token])
        best = [of.look("logits")[0, t, each[0]["id"]] for t, each in enumerate(head["top"][-1])]
        assert [each[0]["bits"] for each in head["top"][-1]] == [bits(each) for each in best]
        assert best == of.look("logits")[0].max(-1).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "bert-tiny"])
def test_a_window_of_positions_has_the_bits_of_the_whole(name, dtype):
    scene = scene_of(name, dtype=dtype)
    whole = asked(name, "lens", scene=scene, token=5)
    part = asked(name, "lens", scene=scene, token=5, **{"from": 2, "to": 4})
    assert part.head["chosen"] == [row[2:4] for row in whole.head["chosen"]]
    assert part.head["top"] == [row[2:4] for row in whole.head["top"]]
    assert part.head["tokens"] == whole.head["tokens"][2:4]


@pytest.mark.parametrize(
    "change",
    [
        edit("blocks.0.out", [0, 3, 2], "set", 5.0),
        edit("final_norm.out", [0, 3], "scale", 2.0),
        edit("logits", [0, 3, 1], "set", 9.0),
    ],
)
def test_edits_are_in_it(change):
    session, scene = Session(model("gpt2-tiny")), edited(scene_of("gpt2-tiny"), change)
    of = session.run(read_scene(scene))
    for place in ({}, {"from": 3, "to": 5}):
        chosen = session.handle("lens", {"scene": scene, "token": 1, **place}).head["chosen"]
        assert [each["bits"] for each in chosen[-1]] == bits(of.look("logits")[0, place.get("from", 0) :, 1])


def test_a_rank_counts_equal_logits_before_it():
    scene = edited(scene_of("gpt2-tiny"), edit("logits", [None, None, [3, 6]], "set", 100.0))
    ranks = [asked("gpt2-tiny", "lens", scene=scene, token=t).head["chosen"][-1][0]["rank"] for t in (3, 4, 5)]
    assert ranks == [0, 1, 2]


def test_the_expected_token_is_followed_where_none_is_named():
    of = run("gpt2-tiny")
    for position in (1, 4):
        head = asked("gpt2-tiny", "lens", scene=scene_of("gpt2-tiny", dtype="float64"), position=position, most=5).head
        logits_V = of.look("logits")[0, position]
        assert head["token"]["id"] == logits_V.argmax() and head["chosen"][-1][position]["rank"] == 0
        assert [each["id"] for each in head["top"][-1][position]] == np.argsort(-logits_V, kind="stable")[:5].tolist()
    assert asked("gpt2-tiny", "lens", scene=scene_of("gpt2-tiny")).head["chosen"] is None


def test_it_says_what_a_row_means_of_a_model_that_norms_after_each_block():
    for name in ("gpt2-tiny", "llama-tiny", "aab"):
        assert asked(name, "lens", scene=scene_of(name)).head["note"] == PRE_NORM
    for name in ("original-tiny", "bert-tiny"):
        assert "norm of its own" in asked(name, "lens", scene=scene_of(name)).head["note"]
    assert asked("bert-tiny", "lens", scene=scene_of("bert-tiny")).head["readout"][0] == "head.pre"


# --- the split --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WITH_LOGITS)
def test_the_bars_sum_to_the_logit_and_it_is_that_of_the_run(name, dtype):
    session, scene = Session(model(name)), scene_of(name, dtype=dtype)
    logits_TV = session.run(read_scene(scene)).look("logits")[0]
    near = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 0.05}[dtype]
    for position in (0, 2, len(logits_TV) - 1):
        head = session.handle("split", {"scene": scene, "position": position, "token": 1}).head
        stored, values = logits_TV[position, 1], [float(each["value"]) for each in head["parts"]]
        assert head["stored"]["bits"] == bits(stored) and float(head["stored"]["text"]) == pytest.approx(
            float(stored), rel=5e-3 if dtype == "bfloat16" else 1e-7
        )
        assert math.fsum(values) == float(head["total"])
        assert math.isclose(
            math.fsum(float(each["value"]) for each in head["blocks"]), float(head["total"]), abs_tol=1e-12
        )
        error = abs(float(head["total"]) - float(stored))
        assert math.isclose(error, float(head["error"]), rel_tol=1e-4, abs_tol=1e-300)
        assert error <= near * max(1, sum(map(abs, values)))
        assert math.isclose(math.fsum(abs(each["share"]) for each in head["parts"]), 1 if any(values) else 0)
        assert math.isclose(float(head["parts"][-1]["running"]), float(head["total"]), rel_tol=1e-5)


def test_a_part_leads_to_what_it_is_the_sum_of():
    of = run("gpt2-tiny")
    parts = asked("gpt2-tiny", "split", scene=scene_of("gpt2-tiny", dtype="float64"), token=5).head["parts"]
    heads = [each["head"] for each in parts if each["address"] == "blocks.1.attn.out"]
    assert heads == [0, 1, 2, 3]
    assert all(each["address"] in of.program for each in parts)
    # the embedding's part, by hand: what is left of the direction after the final norm, times what was embedded
    x_D, gain_D = of.look("blocks.1.out")[0, 4], of.look("final_norm.gain")
    direction_D = of.look("token.weight")[5] * gain_D / np.sqrt(x_D.var() + 1e-5)
    direction_D -= direction_D.mean()
    found = next(float(each["value"]) for each in parts if each["name"] == "embed.token")
    assert math.isclose(found, direction_D @ of.look("embed.token")[0, 4], rel_tol=1e-9)


def test_the_scales_that_are_held_are_named():
    head = asked("gpt2-tiny", "split", scene=scene_of("gpt2-tiny", dtype="float64"), token=5, position=2).head
    (held,) = head["held"]
    assert held["address"] == "final_norm.rstd" and held["index"] == [0, 2]
    assert float(held["text"]) == run("gpt2-tiny").look("final_norm.rstd")[0, 2]
    assert (
        len(asked("original-decoder-tiny", "split", scene=scene_of("original-decoder-tiny"), token=5).head["held"]) == 4
    )
    assert "no sum" in asked("bert-tiny", "split", scene=scene_of("bert-tiny"), token=5).head["note"]
    assert head["note"] == ""


@pytest.mark.parametrize(
    "op, more, word",
    [
        ("lens", {"token": 96}, "token"),
        ("lens", {"from": 5}, "from"),
        ("lens", {"from": 3, "to": 2}, "to"),
        ("lens", {"tokens": 1}, "no parameter 'tokens'"),
        ("lens", {"most": 0}, "most"),
        ("split", {}, "token is missing"),
        ("split", {"token": 1, "position": 5}, "position"),
    ],
)
def test_what_cannot_be_asked(op, more, word):
    with pytest.raises(InputError, match=word):
        asked("gpt2-tiny", op, scene=scene_of("gpt2-tiny"), **more)


def test_a_model_without_logits_has_no_lens():
    config = bert.Config(layers=1, width=8, heads=2, hidden=8, vocabulary=9, context=8, masked_lm=False)
    plain = byhand.Model("plain", bert, config, random(bert.program(config), 0))
    for op, more in (("lens", {}), ("split", {"token": 1}), ("next", {})):
        with pytest.raises(InputError, match="no logits"):
            Session(plain).handle(op, {"scene": {"tokens": [1, 2, 3]}, **more})
