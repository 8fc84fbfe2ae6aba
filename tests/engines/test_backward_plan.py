"""The backward as one plan of the cpu engine: of any value, with what is computed again, in memory that is shared."""

import os
import subprocess
import sys
from fnmatch import fnmatchcase

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from byhand import inputs
from byhand.engines import Parameters, engine
from byhand.engines.cpu.backward import Again, Reverse
from byhand.engines.cpu.engine import CPU
from byhand.engines.cpu.reversal import REVERSALS
from byhand.engines.cpu.simd import COMPILED
from byhand.engines.reference import precision
from byhand.engines.tolerances import TOLERANCES
from byhand.operators import REGISTRY
from byhand.program import Program
from byhand.run import execute
from byhand.weights import Weights

from ..small_models import model, same_bits
from .test_decoding_cpu import in_blocks
from .test_learner import FAMILIES, check_gradients, given, prepared
from .test_own_programs import engine_cube, own
from .test_processors import ELSEWHERE

CLOSE = TOLERANCES["cpu", "float32"]
FOUR = ["gpt2-tiny", "llama-tiny", "bert-tiny", "original-tiny"]


def started(name, kind="cpu", dtype="float32", of=None):
    """A run on a batch of texts of mixed lengths."""
    batch = given(name)
    if "source.tokens" in batch:
        batch["source"] = batch.pop("source.tokens")
    return (of or model(name)).run(batch.pop("tokens"), engine=kind, dtype=dtype, **batch)


def check(run, exact, *what, **how):
    """The same gradients at the same addresses."""
    found, expected = run.backward(*what, **how), exact.backward(*what, **how)
    assert set(found) == set(expected)
    assert all(found.look(each).shape == expected.look(each).shape for each in found)
    assert all(found.look(each).dtype == np.float32 for each in found)
    try:
        check_gradients({each: found.look(each) for each in found}, {e: expected.look(e) for e in found}, CLOSE)
    except AssertionError as error:
        raise AssertionError(f"of {what}: {error}") from None


# --- the gradient of any value --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_the_gradient_of_the_loss_and_of_one_logit(name):
    run, exact = started(name), started(name, "reference", "float64")
    check(run, exact)
    if "logits" in run.program:
        check(run, exact, "logits", (1, 2, 3))


@pytest.mark.parametrize("name", FOUR)
def test_the_gradient_of_every_value(name):
    """Also of one whose own step reads it on the way back: weights of attention, what tanh made, probabilities."""
    run, exact = started(name), started(name, "reference", "float64")
    rng = np.random.default_rng(0)
    for step in run.program.steps:
        if run.program.path(step.address):
            check(run, exact, step.address, seed=rng.normal(size=run.shape(step.address)))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_run_has_the_bits_of_a_learner(name):
    program = model(name).program_with(True)
    made = engine("cpu", "float32").learner(program, Parameters(program, model(name).weights))
    loss = made.learn(prepared(program, given(name)))
    run = started(name)
    assert run.look("loss") == np.float32(loss)
    found = run.backward()
    for address, gradient in made.parameters.gradients.items():
        if address in found:
            assert same_bits(found.look(address), gradient), address
        else:
            assert not gradient.any(), address


@pytest.mark.parametrize("what", [(), ("logits", (0, 3, 5))])
@pytest.mark.parametrize(
    "address, how", [("blocks.0.mlp.act", {"scale": 2.0}), ("blocks.1.attn.weights", {"head": 1, "zero": True})]
)
def test_the_gradient_through_an_edit(address, how, what):
    run, exact = (started("gpt2-tiny", *on).edit(address, **how) for on in (("cpu",), ("reference", "float64")))
    check(run, exact, *what)


def test_the_gradient_through_weights_in_blocks():
    of = in_blocks("llama", "q8_0")
    tokens, targets = [[3, 1, 4, 1, 5]], [[1, 4, 1, 5, 9]]
    run, exact = (
        of.run(tokens, targets=targets, engine=kind, dtype=dtype)
        for kind, dtype in (("cpu", "float32"), ("reference", "float64"))
    )
    check(run, exact)
    check(run, exact, "logits", (0, 2, 7))


@pytest.mark.parametrize("others", [(), ("linear", "lookup")])
def test_the_gradient_through_an_operator_without_a_kernel(others, monkeypatch):
    """Written, and added to what is there, also in the gradients of weights that parts of a batch add up.

    others: of this package, whose backward is then NumPy's too.
    """
    for each in others:
        monkeypatch.delitem(REVERSALS, each)
    monkeypatch.setitem(REGISTRY, "engine_cube", engine_cube)

    def build(p, x, allowed):
        h = p("pre BTF", REGISTRY["linear"], x, "up.weight DF")
        p("act BTF", engine_cube, h)
        return p("out BTD", REGISTRY["add"], x, p("down BTD", REGISTRY["linear"], "act", "down.weight FD"))

    made = own(build)
    tokens_BT = np.array([[3, 1, 4, 1, 5, 9, 2]])
    settings = {"targets": np.array([[1, 4, 1, 5, 9, 2, 6]])}
    run, exact = (
        made.run(tokens_BT, engine=kind, dtype=dtype, **settings)
        for kind, dtype in (("cpu", "float32"), ("reference", "float64"))
    )
    check(run, exact)
    program = made.program_with(True)
    learner = CPU.learner(program, Parameters(program, made.weights))
    batch = prepared(program, {"tokens": tokens_BT, **settings})
    for part in range(3):
        learner.learn(batch, 1 / 3, fresh=part == 0)
    expected = {each: exact.grad.look(each) for each in program.weights if each in exact.grad}
    check_gradients(learner.parameters.gradients, expected, CLOSE)


# --- what is computed again -------------------------------------------------------------------------------------------


def learned(program, weights, batch, again=frozenset(), times=1):
    """The learner after a batch, and its plan."""
    made = CPU.learner(program, Parameters(program, weights), frozenset(again))
    for _ in range(times):
        made.learn(batch)
    (plan,) = made.plans.values()  # pyright: ignore[reportAttributeAccessIssue]
    return made.parameters.gradients.flat, plan


PATTERNS = [("*.mlp.*",), ("*.mlp.act",), ("*norm*",), ("*norm*.out",), ("blocks.*",), ("blocks.0.*", "logits"), ("*",)]


@pytest.mark.parametrize("name", FOUR)
def test_what_is_computed_again_has_the_same_bits(name):
    program, weights = model(name).program_with(True), model(name).weights
    batch, saved = prepared(program, given(name)), sorted(CPU.saved(program))
    expected, plan = learned(program, weights, batch)
    for patterns in PATTERNS:
        again = {address for address in saved if any(fnmatchcase(address, each) for each in patterns)}
        found, other = learned(program, weights, batch, again, times=2)
        assert again and same_bits(found, expected), patterns
        assert len(other.groups) > len(plan.groups), patterns


@pytest.mark.parametrize("name", ["gpt2-tiny", "bert-tiny"])
def test_each_value_alone_computed_again(name):
    """Also the lesser outputs of a step, whose main one nobody reads again."""
    program, weights = model(name).program_with(True), model(name).weights
    batch = prepared(program, given(name))
    expected, _ = learned(program, weights, batch)
    for address in sorted(CPU.saved(program)):
        assert same_bits(learned(program, weights, batch, {address})[0], expected), address


@settings(max_examples=8)
@drawn(st.data(), st.sampled_from(FOUR))
def test_any_values_computed_again(data, name):
    program, weights = model(name).program_with(True), model(name).weights
    saved, batch = sorted(CPU.saved(program)), prepared(program, given(name))
    again = data.draw(st.sets(st.sampled_from(saved)))
    assert same_bits(learned(program, weights, batch, again)[0], learned(program, weights, batch)[0]), again


@pytest.mark.parametrize("name", FAMILIES)
def test_saved_is_what_is_held_until_the_backward(name):
    program = model(name).program_with(True)
    saved, batch = CPU.saved(program), prepared(program, given(name))
    assert saved <= program.producer.keys()
    assert not any(each.endswith(("attn.scores", "attn.masked", "attn.weights")) for each in saved)
    for again in (set(), {each for each in saved if ".mlp." in each}):
        _, plan = learned(program, model(name).weights, batch, again)
        first = next(i for i, group in enumerate(plan.groups) if isinstance(group, Reverse | Again))
        made = {address for group in plan.groups[:first] for address in group.writes}
        held = made & {read for group in plan.groups[first:] for read in group.reads}
        assert held == saved - again
        assert saved - again <= plan.arrays.keys() | plan.given.keys()


def test_what_is_computed_again_takes_less_memory():
    program, weights = model("gpt2-tiny").program_with(True), model("gpt2-tiny").weights
    batch = prepared(program, given("gpt2-tiny", B=4, T=40, padded=False))
    saved, size = CPU.saved(program), program.shapes(B=4, T=40)
    _, whole = learned(program, weights, batch)
    _, less = learned(program, weights, batch, {each for each in saved if ".mlp." in each})
    layers = [each for each in saved if each.endswith(".mlp.act")]
    one = 2 * 4 * int(np.prod(size[layers[0]]))  # what goes into the activation and what comes out, of one layer
    assert len(layers) > 1 and whole.nbytes - less.nbytes > 0.9 * one * (len(layers) - 1)


# --- memory that gradients share --------------------------------------------------------------------------------------

ACTIVATIONS = ["gelu_tanh", "gelu_erf", "relu", "silu", "tanh"]
KINDS = [*ACTIVATIONS, "scale", "add", "multiply", "linear", "residual", "rms_norm", "attention", "tied attention"]
GENTLE = 0.4  # so that values stay about as large as they are


class Chain:
    """A program of which each step reads something that is there."""

    def __init__(self):
        self.p = Program("chain", {"D": 8, "V": 11, "P": 20, "H": 2, "G": 2, "K": 4})
        tokens = self.p.input("tokens BT", "tokens")
        self.mask = self.p.input("mask BTS", "causal")
        self.values = [self("lookup", tokens, "token.weight VD")]

    def __call__(self, operator, *reads, axes="BTD", **attributes):
        return self.p(f"v{len(self.p)} {axes}", REGISTRY[operator], *reads, **attributes)

    def weight(self, axes):
        return f"w{len(self.p)} {axes}"

    def step(self, kind, one, other, flag):
        """Add a step, or several, reading the value `one` places back, and perhaps that `other` places back."""
        x, y = (self.values[-1 - places % len(self.values)] for places in (one, other))
        pair = (x, y) if flag else (y, x)
        if kind in ("add", "multiply"):
            made = self(kind, *pair) if x != y else self("scale", x, factor=1.5)
        elif kind == "residual":
            made = self("silu", self("linear", x, self.weight("DD")))
            made = self("add", *((x, made) if flag else (made, x)))
        elif kind.endswith("attention"):
            made = self.attention(x, tied=kind != "attention", masked=flag)
        else:
            more = {"linear": [self.weight("DD")], "rms_norm": [self.weight("D")]}.get(kind, [])
            how = {"scale": {"factor": -0.7}, "rms_norm": {"eps": 1e-5}}.get(kind, {})
            made = self(kind, x, *more, **how)
        self.values.append(made)

    def attention(self, x, tied, masked):
        """tied: what is mixed is what the scores were made with."""
        q = self("to_heads", x, self.weight("DHK"), axes="BTHK")
        k = self("to_heads", x, self.weight("DGK"), axes="BSGK")
        v = k if tied else self("to_heads", x, self.weight("DGK"), axes="BSGK")
        s = self("scores", q, k, axes="BHTS")
        s = self("mask", s, self.mask, axes="BHTS") if masked else s
        z = self("mix", self("softmax", s, axes="BHTS"), v, axes="BTHK")
        return self("from_heads", z, self.weight("HKD"))

    def end(self):
        """The loss, which all that nobody read goes into."""
        x = self.values[-1]
        for value in self.values[:-1]:
            x = x if self.p.readers(value) else self("add", value, x)
        self.p("logits BTV", REGISTRY["unembed"], x, "token.weight VD")
        self.p("losses BT", REGISTRY["cross_entropy"], "logits", self.p.input("targets BT", "targets"))
        self.p("loss ", REGISTRY["mean_loss"], "losses", "targets")
        return self.p


def chain(steps):
    made = Chain()
    for step in steps:
        made.step(*step)
    return made.end()


def check_sharing(program, again=frozenset()):
    """The bits of gradients that each have memory of their own, and the numbers of float64. How many share theirs."""
    rng = np.random.default_rng(len(program))
    shapes = program.shapes()
    weights = {each: (GENTLE * rng.normal(size=shapes[each])).astype(np.float32) for each in program.weights}
    ids_BT = rng.integers(0, 11, (2, 6))
    batch = inputs.prepare(program, {"tokens": ids_BT[:, :-1], "targets": ids_BT[:, 1:]})
    found, plan = learned(program, weights, batch, again, times=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("byhand.engines.cpu.backward.share_homes", lambda made, kept: None)
        apart, other = learned(program, weights, batch)
    assert not other.homes and same_bits(found, apart)
    exact = execute(program, Weights(weights), batch, precision("float64")).backward()
    p = Parameters(program, weights)
    p.gradients.flat[:] = found
    check_gradients(p.gradients, {each: exact.look(each) for each in p.gradients if each in exact}, 1e-3)
    return len(plan.homes)


steps = st.tuples(st.sampled_from(KINDS), st.integers(0, 4), st.integers(0, 4), st.booleans())


@settings(max_examples=150 if COMPILED else 3)
@drawn(st.lists(steps, min_size=1, max_size=9))
def test_gradients_that_share_memory_are_those_that_do_not(of):
    check_sharing(chain(of))


@settings(max_examples=30 if COMPILED else 2)
@drawn(st.lists(steps, min_size=1, max_size=6), st.data())
def test_gradients_share_memory_where_values_are_computed_again(of, data):
    program = chain(of)
    check_sharing(program, frozenset(data.draw(st.sets(st.sampled_from(sorted(CPU.saved(program)))))))


SHARED = {
    "x + f(x)": ([("gelu_tanh", 0, 0, True), ("add", 0, 1, True)], 2),
    "f(x) + x": ([("relu", 0, 0, True), ("add", 0, 1, False)], 2),
    "x + g(x) + h(x)": ([("silu", 0, 0, True), ("tanh", 1, 0, True), ("add", 0, 1, True), ("add", 0, 3, True)], 2),
    "read three times": (
        [("scale", 0, 0, True), ("silu", 1, 0, True), ("add", 0, 1, True), ("multiply", 0, 3, True)],
        2,
    ),
    "handed on twice": ([("add", 0, 1, True), ("relu", 0, 0, True), ("add", 0, 1, True), ("add", 0, 2, True)], 2),
    "a chain": ([("relu", 0, 0, True), ("scale", 0, 0, True), ("silu", 0, 0, True), ("tanh", 0, 0, True)], 5),
    "two blocks": ([("residual", 0, 0, True), ("residual", 0, 0, False)], 3),
}


@pytest.mark.parametrize("of, least", SHARED.values(), ids=SHARED)
def test_where_gradients_share_memory(of, least):
    """Of the gradients that there are, at least so many lie where another one was."""
    assert check_sharing(chain(of)) >= least


def test_keys_that_are_also_the_values():
    check_sharing(chain([("tied attention", 0, 0, True), ("tied attention", 0, 0, False)]))


@pytest.mark.parametrize("name", FOUR)
def test_a_residual_stream_has_one_gradient(name):
    program = model(name).program_with(True)
    _, plan = learned(program, model(name).weights, prepared(program, given(name)))
    streams = [each for each in program.producer if each.endswith((".mid", ".out")) and f"d:{each}" in plan.arrays]
    where = {plan.arrays[f"d:{each}"].ctypes.data for each in streams}
    assert plan.homes and len(where) < len(streams)


# --- elsewhere --------------------------------------------------------------------------------------------------------

LEARNING = """
import numpy as np, byhand
from byhand import inputs
from byhand.engines import Parameters, Update, engine
from byhand.families import gpt2, llama

sizes = dict(layers=1, width=8, heads=2, hidden=11, vocabulary=13, context=12)
for family, c in (("gpt2", gpt2.Config(**sizes)), ("llama", llama.Config(**sizes, groups=1, head_width=4))):
    of = byhand.make(family, c)
    program, losses = of.program_with(True), []
    batch = inputs.prepare(program, {"tokens": np.array([[1, 2, 3, 4]]), "targets": np.array([[2, -1, 4, 5]])})
    made = [engine(kind, "float32").learner(program, Parameters(program, of.weights)) for kind in ("cpu", "reference")]
    assert type(made[0]) is not type(made[1])
    again = engine("cpu", "float32").saved(program)
    made.append(engine("cpu", "float32").learner(program, Parameters(program, of.weights), frozenset(again)))
    for number in (1, 2):
        losses.append([each.learn(batch) for each in made])
        flat, exact, other = (each.parameters.gradients for each in made)
        top = np.abs(exact.flat).max()
        assert np.abs(flat.flat - exact.flat).max() < 1e-4 * top and (flat.flat == other.flat).all()
        assert abs(made[0].length() / made[1].length() - 1) < 1e-4
        for each in made:
            each.update(Update(number, 0.01, decay={"token.weight": 0.1}))
    assert np.allclose([row[0] for row in losses], [row[1] for row in losses], 1e-4) and losses[1][0] < losses[0][0]
print("learned")
"""


@pytest.mark.parametrize("where", ["plain Python", "haswell"])
def test_learning_elsewhere(where, tmp_path):
    environment = os.environ | ELSEWHERE[where] | {"BYHAND_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", LEARNING], env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0 and done.stdout == "learned\n", done.stderr[-2000:]
