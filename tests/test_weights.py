"""Weights: random ones that depend on seed and address alone, given ones that are checked, changed ones that share."""

import ml_dtypes
import numpy as np
import pytest

import byhand
from byhand.changes import Edit
from byhand.errors import AddressError, InputError, ShapeError
from byhand.families import gpt2, handmade
from byhand.weights import Weights, fan_in, given, random

from .small_models import fingerprint, same_bits

PROGRAM = byhand.load("gpt2-tiny").program


def test_random_weights_do_not_depend_on_what_was_asked_first():
    one, other, alone = (random(PROGRAM, 7) for _ in range(3))
    forward = {address: one[address] for address in PROGRAM.weights}
    backward = {address: other[address] for address in reversed(PROGRAM.weights)}
    assert fingerprint(forward) == fingerprint(backward)
    assert same_bits(alone["blocks.1.mlp.up.weight"], one["blocks.1.mlp.up.weight"])
    smaller = random(gpt2.program(gpt2.Config(layers=1, width=32, heads=4, hidden=128, vocabulary=96, context=64)), 7)
    assert all(same_bits(smaller[address], one[address]) for address in smaller)  # nor on what else there is


def test_seeds_and_addresses_differ():
    one, other = random(PROGRAM, 0), random(PROGRAM, 1)
    assert all(not np.array_equal(one[address], other[address]) for address in PROGRAM.weights)
    hashes = fingerprint(dict(one))
    assert len(set(hashes.values())) == len(hashes)
    assert not np.array_equal(
        byhand.load("gpt2-tiny").weights["token.weight"], byhand.load("gpt2-tiny", seed=1).weights["token.weight"]
    )


@pytest.mark.parametrize("seed", [-1, 0.5, "1", None])
def test_wrong_seeds(seed):
    with pytest.raises(InputError, match=r"seed is .*; give a whole number, 0 or more"):
        byhand.load("gpt2-tiny", seed=seed)


def test_random_weights_keep_the_size_of_numbers_and_leave_nothing_without_effect():
    weights = random(byhand.load("bert-base").program, 3)
    for address, spread in [("blocks.0.attn.q.weight", 768**-0.5), ("blocks.0.attn.out.weight", 768**-0.5)]:
        assert abs(weights[address].std() / spread - 1) < 0.01 and weights[address].dtype == np.float32
    assert abs(weights["blocks.0.mlp.down.weight"].std() * 3072**0.5 - 1) < 0.01
    gain, shift = weights["blocks.0.norm1.gain"], weights["blocks.0.norm1.shift"]
    assert abs(gain.mean() - 1) < 0.02 and 0.05 < gain.std() < 0.15 and 0.05 < shift.std() < 0.15
    assert fan_in("HKD", (12, 64, 768)) == 768 and fan_in("VD", (10, 8)) == 8 and fan_in("DF", (8, 32)) == 8
    run = byhand.load("gpt2-tiny").run("Hello", dtype="float64")
    for address in PROGRAM.weights:
        if not address.endswith("k.bias"):  # the same for every key, so softmax does not see it
            assert not same_bits(run.edit(address, zero=True).look("logits"), run.look("logits")), address


def test_weights_are_made_when_they_are_first_read():
    weights = byhand.load("llama3.1-405b").weights
    assert all(weights.pending(address) for address in weights)
    assert weights["final_norm.gain"].shape == (16384,) and not weights.pending("final_norm.gain")
    assert weights["final_norm.gain"] is weights["final_norm.gain"]
    assert sum(map(weights.pending, weights)) == len(weights) - 1


def test_given_weights_are_used_as_they_lie():
    stored = handmade.weights()
    weights = given(handmade.program(handmade.Config()), stored)
    assert all(np.shares_memory(weights[address], stored[address]) for address in stored)
    q, k = weights["blocks.0.attn.q.weight"], weights["blocks.0.attn.k.weight"]
    assert q.base is not None and stored["blocks.0.attn.q.weight"].base is stored["blocks.0.attn.k.weight"].base
    assert not q.flags.writeable and not k.flags.writeable and stored["token.weight"].flags.writeable


@pytest.mark.parametrize(
    "change, kind, message",
    [
        (
            lambda w: w.pop("token.weight"),
            InputError,
            "handmade misses 1 weights: token.weight; give exactly those of its",
        ),
        (
            lambda w: w.update(extra=np.ones(3)),
            InputError,
            "handmade does not read 1 weights: extra; give exactly those",
        ),
        (
            lambda w: w.update({"token.weight": np.ones((2, 9))}),
            ShapeError,
            r"token.weight \(VD\) has shape \(2, 9\), but handmade needs \(2, 8\)",
        ),
        (
            lambda w: w.update({"token.weight": np.ones((2, 8), int)}),
            InputError,
            "token.weight holds int64; give real numbers",
        ),
        (lambda w: w.update({"token.weight": np.ones((2, 8), complex)}), InputError, "token.weight holds complex128"),
        (lambda w: w.update({"token.weight": np.full((2, 8), "a")}), InputError, "token.weight holds <U1"),
        (lambda w: w.update({"token.weight": np.full((2, 8), None)}), InputError, "token.weight holds object"),
    ],
    ids=range(7),
)
def test_given_weights_are_checked(change, kind, message):
    arrays = handmade.weights()
    change(arrays)
    with pytest.raises(kind, match=message) as caught:
        given(handmade.program(handmade.Config()), arrays)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_weights_may_be_stored_in_any_precision(dtype):
    arrays = {address: array.astype(dtype) for address, array in handmade.weights().items()}
    model = byhand.Model("aab", handmade, handmade.Config(), given(handmade.program(handmade.Config()), arrays))
    assert same_bits(
        model.run([0, 0, 1], dtype="float64").look("logits"),
        byhand.load("aab").run("aab", dtype="float64").look("logits"),
    )


def test_a_change_shares_everything_else_and_loses_no_digit():
    weights = random(PROGRAM, 0)
    held = fingerprint(dict(weights))
    changed = weights.edited(Edit("final_norm.gain", (3,), "scale", np.float64(1.1)))
    assert fingerprint(dict(weights)) == held
    assert changed["final_norm.gain"].dtype == np.float64
    assert changed["final_norm.gain"][3] == float(weights["final_norm.gain"][3]) * 1.1
    assert all(changed[address] is weights[address] for address in weights if address != "final_norm.gain")
    assert len(changed) == len(weights) and list(changed) == list(weights)
    early, late = random(PROGRAM, 0), Edit("token.weight", (3,), "scale", np.float64(2))
    assert early.edited(late)["final_norm.gain"] is early["final_norm.gain"]  # also those that nobody had read yet


def test_an_unknown_weight():
    with pytest.raises(AddressError, match=r"no weight 'token.wieght'; the nearest are token.weight"):
        random(PROGRAM, 0)["token.wieght"]
    assert random(PROGRAM, 0).get("token.wieght") is None and "token.wieght" not in random(PROGRAM, 0)
    assert isinstance(Weights({}), Weights) and len(Weights({})) == 0
