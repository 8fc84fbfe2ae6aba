"""S0: a layer of any family as vector pseudocode, with every operator opened, and with the numbers of one element."""

import math
import re
from typing import Any

import numpy as np
import pytest

import byhand
from byhand.pseudocode import pseudocode, worked

FUNCTIONS = {name: getattr(math, name) for name in ("exp", "sqrt", "tanh", "erf", "sin", "cos")} | {"max": max}
OPENED = {*FUNCTIONS, "sum", "where", "inf", "pi", "and", "or"}
FAMILIES = [
    "original-encoder-tiny",
    "original-tiny",
    "gpt2-tiny",
    "llama-tiny",
    "llama-tiny-halves",
    "bert-tiny",
    "aab",
]
TEXTS = {"aab": "aab"}


def made(name: str) -> byhand.Run:
    model = byhand.load(name)
    given: dict[str, Any] = {"source": "Oui"} if name == "original-tiny" else {}
    targets = [[1] * 4] if "encoder-tiny" in name or name == "bert-tiny" else None
    return model.run(TEXTS.get(name, "Yes."), targets=targets, dtype="float64", **given)


@pytest.fixture(scope="module")
def runs():
    found = {name: made(name) for name in FAMILIES}
    for run in found.values():
        run.backward()
    return found


def lines(listing):
    return [line for step in listing.to_dict()["steps"] for line in step["lines"]]


def called(formula):
    """Every function that a formula calls."""
    return set(re.findall(r"([A-Za-z_]\w*)(?:\[[a-z0-9,]*\])?\(", formula))


# --- (a) vectors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_vectors_have_a_line_with_shapes_for_every_operator_of_a_layer(runs, name, direction):
    program = runs[name].program
    listing = pseudocode(program, "blocks.0", direction=direction)
    said = {line["address"]: line["shape"] for line in lines(listing)}
    own = [step for step in program if step.address.startswith("blocks.0.")]
    if direction == "forward":
        assert [address for address in said if address in program.producer] == [step.address for step in own]
        assert all(said[step.address] == f"[{','.join(step.axes)}]" for step in own)
    else:
        weights = {address for step in own for address in step.reads if address in program.weights}
        assert {f"d:{address}" for address in weights} <= set(said)
        assert all(shape.startswith("[") for shape in said.values())


def test_the_paper_s_layer_reads_as_in_the_paper():
    listing = pseudocode(byhand.load("original-encoder-tiny").program, "blocks.0", heads=True)
    said = {
        line["address"].removeprefix("blocks.0."): line["formula"].replace("blocks.0.", "") for line in lines(listing)
    }
    assert said["attn.q"] == 'einsum("BTD,DK->BTK", embed.out, attn.q.weight[:,i,:])'
    assert said["attn.scores"] == 'einsum("BTK,BSK->BTS", attn.q[:,:,i,:], attn.k[:,:,i,:]) / sqrt(K)'
    assert "softmax" in said["attn.weights"]
    assert said["attn.heads"] == 'einsum("BTS,BSK->BTK", attn.weights[:,i,:,:], attn.v[:,:,i,:])'
    assert said["mid"] == "embed.out + attn.out"
    assert said["mlp.pre"] == 'einsum("BTD,DF->BTF", norm1.out, mlp.up.weight) + mlp.up.bias'
    assert said["mlp.act"] == "max(mlp.pre, 0)"
    assert said["mlp.out"] == 'einsum("BTF,FD->BTD", mlp.act, mlp.down.weight) + mlp.down.bias'
    assert said["sum"] == "norm1.out + mlp.out"


def test_the_8b_shape_prints_without_weights():
    model = byhand.load("llama3-8b")
    text = pseudocode(model.program, "blocks.31", B=1, T=17).text(200)
    assert "blocks.31.attn.q [1,17,32,128]" in text and "blocks.31.attn.k [1,17,8,128]" in text
    assert "blocks.31.attn.scores [1,32,17,17]" in text and "blocks.31.attn.heads [1,17,32,128]" in text
    opened = pseudocode(model.program, "blocks.31", depth="operators").text(200)
    assert "cos(rotary.angle[b,t,j])" in opened
    assert all(model.weights.pending(address) for address in model.weights)


# --- (b) every operator opened ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_no_operator_is_left_as_a_name(runs, name, direction):
    program = runs[name].program
    listing = pseudocode(program, "blocks.0", depth="operators", direction=direction)
    said = lines(listing)
    own = [step.address for step in program if step.address.startswith("blocks.0.")]
    assert len(said) >= len(own)
    for line in said:
        assert called(line["formula"]) <= OPENED, line
    if direction == "forward":
        assert set(own) <= {line["address"] for line in said}


def test_a_name_that_is_left_would_be_noticed(runs):
    left = {
        name for line in lines(pseudocode(runs["bert-tiny"].program, "blocks.0")) for name in called(line["formula"])
    }
    assert {"einsum", "softmax", "mean", "variance"} <= left - OPENED


def test_softmax_and_layer_norm_are_opened_as_the_system_asks():
    listing = pseudocode(byhand.load("original-encoder-tiny").program, "blocks.0", depth="operators")
    words = " ".join(line["left"] + " " + line["formula"] for line in lines(listing))
    for word in ("peak", "exp(", "total", "mean", "variance", "+ 1e-05", "sqrt(", "gain", "shift", "sum[d]"):
        assert word in words, word


# --- (c) the numbers of one element -------------------------------------------------------------------------------


def hold(listing, run):
    """Every line of numbers is true: Python works out its formula and gets its value; it is the one the run holds."""
    said = lines(listing)
    defined = [line for line in said if line["formula"]]
    assert defined
    for line in defined:
        assert called(line["formula"]) <= set(FUNCTIONS), line
        value = eval(line["formula"], {**FUNCTIONS, "inf": math.inf, "pi": math.pi})
        assert value == line["value"] or math.isclose(value, line["value"], rel_tol=1e-11, abs_tol=1e-13), line
        if line["stored"] is not None:
            stored = run.look(line["address"])[tuple(line["index"])]
            assert stored == line["stored"]
            assert stored == value or math.isclose(stored, value, rel_tol=1e-9, abs_tol=1e-12), line
    return said


@pytest.mark.parametrize("name", FAMILIES)
def test_one_element_forward_in_numbers(runs, name):
    run = runs[name]
    listing = worked(run, "blocks.0.out", (0, 2, 5))
    said = hold(listing, run)
    given = {line["address"] for line in said if not line["formula"]}
    inside = {address for address in run.program.producer if address.startswith("blocks.0.")}
    assert not given & inside  # all that the layer makes is made here; only weights and what it reads are given
    assert {step.address for step in run.program if step.address in inside} <= {line["address"] for line in said}
    assert said[-1]["address"] == "blocks.0.out" and said[-1]["index"] == [0, 2, 5]


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "aab"])
def test_one_gradient_in_numbers(runs, name):
    run = runs[name]
    said = hold(worked(run, "d:blocks.0.attn.k.weight", (3, 1, 2), part="blocks.0.attn"), run)
    assert said[-1]["address"] == "d:blocks.0.attn.k.weight"
    nudge = {sign: run.edit("blocks.0.attn.k.weight", (3, 1, 2), add=sign * 1e-5)["loss"].item() for sign in (1, -1)}
    assert math.isclose(said[-1]["value"], (nudge[1] - nudge[-1]) / 2e-5, rel_tol=1e-5, abs_tol=1e-9)


# --- the layer itself ---------------------------------------------------------------------------------------------


def test_the_layer_equals_the_paper_s_equations_head_by_head(runs):
    run = runs["original-encoder-tiny"]
    w = {
        name: run[f"blocks.0.{name}"].array
        for name in ("attn.q.weight", "attn.k.weight", "attn.v.weight", "attn.out.weight")
    }
    x_BTD = run["embed.out"].array
    head_BTK = []
    for i in range(4):
        Q, K, V = (x_BTD @ w[f"attn.{name}.weight"][:, i] for name in "qkv")
        assert w["attn.q.weight"][:, i].shape == (32, 8)
        exp = np.exp(Q @ K.swapaxes(1, 2) / np.sqrt(8))
        head_BTK.append(exp / exp.sum(-1, keepdims=True) @ V)
    mha_BTD = np.concatenate(head_BTK, axis=-1) @ w["attn.out.weight"].reshape(32, 32)

    def layer_norm(x, name):
        unit = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return unit * run[f"blocks.0.{name}.gain"].array + run[f"blocks.0.{name}.shift"].array

    Y = layer_norm(x_BTD + mha_BTD, "norm1")
    Z = np.maximum(Y @ run["blocks.0.mlp.up.weight"].array + run["blocks.0.mlp.up.bias"].array, 0)
    FF = Z @ run["blocks.0.mlp.down.weight"].array + run["blocks.0.mlp.down.bias"].array
    assert np.abs(layer_norm(Y + FF, "norm2") - run["blocks.0.out"]).max() < 1e-13


def test_the_lesson_shows_it_all(example):
    lesson = example("01_layer_arithmetic")
    assert lesson.checked > 100
    for words in ("The layer in vectors", "softmax(", "peak[b,h,t] = max[s]", "in numbers", "all true"):
        assert words in lesson.printed, words
