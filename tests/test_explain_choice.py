"""The operators that choose a token belong to no model of their own; here they follow one, and explain themselves."""

from functools import cache
from random import Random

import numpy as np
import pytest

import byhand
from byhand.engines.reference import precision
from byhand.families import gpt2
from byhand.inputs import prepare
from byhand.operators import draw, probabilities, temperature, top_k, top_p
from byhand.program import Program
from byhand.run import Run, execute

from .test_explain import check_links, check_stored, check_terms, made_by


def choosing() -> Program:
    """gpt2-tiny with a choice after its logits."""
    p = gpt2.program(gpt2.SHAPES["gpt2-tiny"])
    x = p("choice.sharpened BTV", temperature, "logits", degree=0.7)
    x = p("choice.best BTV", top_k, x, most=20)
    x = p("choice.likely BTV", top_p, x, mass=0.9)
    p("choice.probs BTV", probabilities, x)
    p("choice.token BT", draw, "choice.probs", p.input("uniform BT", "numbers"))
    return p


@cache
def run(dtype: str) -> Run:
    model = byhand.load("gpt2-tiny", seed=3)
    tokens_BT = model.token_ids("Hello")
    uniform_BT = np.random.default_rng(0).random(tokens_BT.shape)
    inputs = prepare(model.program, {"tokens": tokens_BT}) | {"uniform": uniform_BT}
    return execute(choosing(), model.weights, inputs, precision(dtype))


STEPS = ["choice.sharpened", "choice.best", "choice.likely", "choice.probs", "choice.token"]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("address", STEPS)
def test_twenty_elements_of_every_choosing_operator(address, dtype):
    pick = Random(f"{address} {dtype}")
    for _ in range(20 if dtype == "float64" else 5):
        index = tuple(pick.randrange(size) for size in run(dtype).look(address).shape)
        each = run(dtype).explain(address, index)
        assert each.operands
        check_terms(each)
        check_links(each)
        check_stored(each)


def test_twenty_gradients_through_every_choosing_operator():
    of = run("float64")
    best = int(of.look("choice.probs")[0, 4].argmax())
    of.backward("choice.probs", (0, 4, best))
    pick = Random(0)
    for address in ["choice.likely", "choice.best", "choice.sharpened", "logits"]:
        for _ in range(20):
            each = of.explain(f"d:{address}", (0, 4, pick.randrange(96)))
            check_terms(each)
            check_links(each)
            check_stored(each)
    assert of.grad["logits"].array.any()


def test_every_registered_operator_is_explained_somewhere():
    explained = {key.split()[0] for key in made_by()} | {step.operator.name for step in choosing()}
    assert explained - {"sum"} == set(byhand.operators)
