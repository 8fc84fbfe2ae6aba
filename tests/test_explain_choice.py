"""The operators that choose a token, and the cache's: they stand in no model's ordinary program."""

from functools import cache
from random import Random

import numpy as np
import pytest

import byhand
from byhand.engines.reference import precision
from byhand.families import gpt2
from byhand.inputs import prepare
from byhand.operators import (
    append,
    argmax,
    draw,
    min_p,
    probabilities,
    repetition_penalty,
    running_sum,
    temperature,
    top_k,
    top_p,
)
from byhand.program import Program
from byhand.run import Run, execute

from .test_explain import check_links, check_stored, check_terms, made_by


def choosing() -> Program:
    """gpt2-tiny with a choice after its logits."""
    p = gpt2.program(gpt2.SHAPES["gpt2-tiny"])
    x = p("choice.penalized BTV", repetition_penalty, "logits", p.input("seen BTV", "seen"), penalty=1.3)
    x = p("choice.sharpened BTV", temperature, x, degree=0.7)
    x = p("choice.best BTV", top_k, x, most=20)
    x = p("choice.likely BTV", top_p, x, mass=0.9)
    x = p("choice.strong BTV", min_p, x, share=0.1)
    p("choice.greedy BT", argmax, x)
    p("choice.probs BTV", probabilities, x)
    p("choice.running BTV", running_sum, "choice.probs")
    p("choice.token BT", draw, "choice.running", p.input("uniform BT", "uniform"))
    return p


@cache
def run(dtype: str) -> Run:
    model = byhand.load("gpt2-tiny", seed=3)
    tokens_BT = model.token_ids("Hello")
    rng = np.random.default_rng(0)
    chosen = {"uniform": rng.random(tokens_BT.shape), "seen": rng.random((*tokens_BT.shape, 96)) < 0.5}
    inputs = prepare(model.program, {"tokens": tokens_BT}) | chosen
    return execute(choosing(), model.weights, inputs, precision(dtype))


STEPS = [step.address for step in choosing() if step.address.startswith("choice.")]


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
    for address in ["choice.strong", "choice.likely", "choice.best", "choice.sharpened", "choice.penalized", "logits"]:
        for _ in range(20):
            each = of.explain(f"d:{address}", (0, 4, pick.randrange(96)))
            check_terms(each)
            check_links(each)
            check_stored(each)
    assert of.grad["logits"].array.any()


@cache
def reading(dtype: str) -> Run:
    """The cached program of gpt2-tiny with numbers in its caches: three tokens at places 2, 4 and 3 of five."""
    model = byhand.load("gpt2-tiny", seed=3)
    steps, rng = gpt2.program(model.config, cached=True), np.random.default_rng(0)
    shapes = steps.shapes(1, 3, 1, 5)
    inputs = {name: rng.standard_normal(shapes[name]) for name in steps.inputs if name.startswith("cache.")}
    inputs |= {"tokens": model.token_ids("abc"), "positions": np.array([[2, 4, 3]]), "mask": np.ones((1, 3, 5), bool)}
    return execute(steps, model.weights, inputs, precision(dtype))


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_what_a_cache_holds_explains_itself(dtype):
    of, pick = reading(dtype), Random(dtype)
    for address in [step.address for step in of.program if step.operator is append]:
        for place in range(5):
            index = (0, place, *(pick.randrange(size) for size in of.shape(address)[2:]))
            each = of.explain(address, index)
            (source,) = {o.address for o in each.terms[0].operands if o.address != "positions" and o.kind != "working"}
            assert source.startswith("cache.") == (place in (0, 1))
            check_terms(each)
            check_links(each)
            check_stored(each)


def test_every_registered_operator_is_explained_somewhere():
    others = {step.operator.name for program in (choosing(), reading("float64").program) for step in program}
    explained = {key.split()[0] for key in made_by()} | others
    assert explained - {"sum"} == set(byhand.operators)
