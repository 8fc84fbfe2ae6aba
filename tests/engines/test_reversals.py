"""The backward of every operator as kernels of the cpu engine, against the operator's own in float64."""

from __future__ import annotations

import math
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byhand.engines.cpu import differentiating  # noqa: F401  fills REVERSALS
from byhand.engines.cpu.builder import Builder, Resident, Values
from byhand.engines.cpu.kernels.attention_backward import reverse_attention
from byhand.engines.cpu.reversal import REVERSALS, Place
from byhand.engines.cpu.simd import COMPILED
from byhand.engines.cpu.team import Calls, team
from byhand.operators import REGISTRY
from byhand.program import Step
from byhand.weights import Weights

from ..operators.examples import CONTENT, SETTINGS, Example, hidden, letters, spread, variants
from . import test_attention as attention

OURS = {name for name, each in REGISTRY.items() if each.forward.__module__.startswith("byhand.")}
WITH_GRADIENT = {name for name in OURS if REGISTRY[name].differentiable}
BY_NUMPY = {"append", "repetition_penalty", "temperature", "top_k", "top_p", "min_p", "running_sum"}  # of generation
OPERATORS = sorted(REVERSALS)
CLOSE = 4e-6  # of a number, and of the largest number beside it
BOUNDS = {"B": 3, "T": 5, "G": 3, "H": 3}


class Given:
    """The gradient that a reversal starts from, and the places of those it makes."""

    def __init__(self, d_out, places, inner=()):
        self.d_out, self.places, self.between = d_out, places, dict(inner)

    def output(self, step):
        return self.d_out

    def to(self, step, name):
        return self.places.get(name)

    def inner(self, address):
        return self.between.get(address)


def single(array):
    return np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else array.dtype)


class Case:
    """One call of an operator's backward: float32 numbers that a forward run left, and a gradient to start from."""

    def __init__(self, example: Example, seed=0, d_out=None):
        self.record = record = example.record
        self.inputs = {name: single(array) for name, array in example.inputs.items()}
        rounded = Example(record, example.sizes, self.inputs, example.settings)
        wide = {name: array.astype(np.float64) for name, array in self.inputs.items() if array.dtype.kind == "f"}
        with np.errstate(all="ignore"):
            self.outputs = {name: single(array) for name, array in rounded.forward(**wide).items()}
        rng = np.random.default_rng(seed)
        drawn = rng.normal(size=self.outputs[example.main].shape)
        self.d_out = single(np.asarray(drawn if d_out is None else d_out).reshape(drawn.shape))
        self.old = {name: single(rng.normal(size=self.inputs[name].shape)) for name in example.differentiable}
        self.settings = example.settings

    def expected(self):
        """What the operator's own backward makes of the same numbers in float64."""
        record, known = self.record, self.inputs | self.outputs
        axes = {operand.name: operand.axes for operand in (*record.inputs, *record.outputs)}
        saved = {f"{name}_{axes[name]}".rstrip("_"): known[name] for name in record.saved}
        wide = {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in saved.items()}
        chosen = {name: self.settings[name] for name in record.backward_settings}
        with np.errstate(all="ignore"):
            made = record.backward(self.d_out.astype(np.float64), **wide, **chosen)
        named = zip((operand.name for operand in record.inputs), made, strict=True)
        return {name: gradient for name, gradient in named if name in self.old}

    def terms(self, name):
        """The largest number that a gradient is made of: of narrow norms their difference is next to nothing."""
        if name != "x" or "rstd" not in self.outputs:
            return 0.0
        with np.errstate(all="ignore"):
            term_BTD = self.d_out * self.inputs["gain"] * self.outputs["rstd"][..., None]
        return float(np.abs(term_BTD[np.isfinite(term_BTD)]).max(initial=0))

    def run(self, threads=1, wanted=None, adding=(), shift=0):
        """The gradients by name, as the kernels make them. adding: those that are added to what is there."""
        made = {}
        for name in self.old if wanted is None else wanted:
            memory = np.full(self.old[name].size + 64, np.nan, np.float32)
            made[name] = memory[shift : shift + self.old[name].size].reshape(self.old[name].shape)
            if name in adding:
                made[name][...] = self.old[name]
        self.call(threads, {name: Place(array, int(name in adding)) for name, array in made.items()}, self.d_out)
        return made

    def call(self, threads, places, d_out):
        record = self.record
        weights = {o.name for o in record.inputs if "B" not in o.axes and o.name in self.inputs}
        reads = tuple(o.name if o.name in self.inputs else None for o in record.inputs)
        step = Step("out", "", record, reads, self.settings)
        values = {name: array for name, array in self.inputs.items() if name not in weights}
        values |= {step.writes[name]: array for name, array in self.outputs.items()}
        never = lambda mask: pytest.fail(f"{step} asked for {mask}")  # noqa: E731
        outside = Values(values, frozenset(), frozenset(), never, never)
        held = Resident(Weights({name: self.inputs[name] for name in weights}))
        b = Builder(outside, held, threads, False)
        REVERSALS[record.name](b, step, Given(d_out, places))
        if b.jobs:
            b.meets[-1] = True
            team(threads).run(Calls(b.jobs, b.meets))


def assert_close(made, right, what, terms=0.0):
    assert made.shape == right.shape
    beside = np.abs(right[np.isfinite(right)]).max(initial=terms)
    np.testing.assert_allclose(made, right, rtol=CLOSE, atol=CLOSE * beside, err_msg=what)


def assert_same(made, expected, what):
    for name, array in made.items():
        assert array.tobytes() == expected[name].tobytes(), f"{what}: {name}"


def subsets(names):
    return chain.from_iterable(combinations(names, count) for count in range(len(names) + 1))


def check(case: Case):
    what = f"{case.record.name} {[array.shape for array in case.inputs.values()]}"
    before = [array.tobytes() for array in (*case.inputs.values(), *case.outputs.values(), case.d_out)]
    made, right = case.run(), case.expected()
    assert made.keys() == right.keys()
    for name, array in right.items():
        assert_close(made[name], array, f"{what} {name}", case.terms(name))
    for threads in (2, 3):
        assert_same(case.run(threads), made, f"{what} on {threads} threads")
    assert_same(case.run(2, shift=7), made, f"{what} elsewhere in memory")
    for wanted in subsets(case.old):
        assert_same(case.run(2, wanted), made, f"{what}, only {wanted}")
    for adding in subsets(case.old):
        added = case.run(1, adding=adding)
        for name, array in added.items():
            sure = case.old[name].astype(np.float64) + right[name] if name in adding else right[name]
            assert_close(array, sure, f"{what} {name} added", case.terms(name))
        assert_same(case.run(3, adding=adding), added, f"{what} on 3 threads, added")
    after = [array.tobytes() for array in (*case.inputs.values(), *case.outputs.values(), case.d_out)]
    assert before == after, f"{what} wrote to what it reads"


@st.composite
def cases(draw, record):
    """Any shape, few of which fill vectors evenly; optional inputs present or absent."""
    lengths = st.integers(1, 70 if COMPILED else 9)
    sizes = {
        letter: draw(st.integers(1, BOUNDS[letter]) if letter in BOUNDS else lengths) for letter in letters(record)
    }
    if {"G", "H"} <= sizes.keys():
        sizes["H"] *= sizes["G"]
    if "J" in sizes:
        sizes["K"] = 2 * sizes["J"]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    inputs = {}
    for operand in record.inputs:
        shape = tuple((sizes | {"1": 1})[letter] for letter in operand.axes)
        if not (operand.optional and draw(st.booleans())):
            inputs[operand.name] = CONTENT.get(operand.name, lambda r, s, _: spread(r, s))(rng, shape, sizes)
    chosen = {name: sizes.get(name, SETTINGS.get(name, default)) for name, default in record.settings.items()}
    return Case(Example(record, sizes, inputs, chosen), draw(st.integers(0, 99)))


def test_every_operator_with_a_gradient_has_a_reversal():
    assert REVERSALS.keys() | BY_NUMPY == WITH_GRADIENT and not REVERSALS.keys() & BY_NUMPY


@pytest.mark.parametrize("name", OPERATORS)
def test_the_gradient_is_that_of_the_operator(name):
    for example in variants(REGISTRY[name]):
        check(Case(example))


@pytest.mark.parametrize("name", OPERATORS)
def test_any_shape(name):
    @settings(max_examples=15 if COMPILED else 2)
    @given(cases(REGISTRY[name]))
    def compare(case):
        check(case)

    compare()


# --- numbers that are hard ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATORS)
def test_minus_infinity_is_what_it_is_in_the_operator(name):
    for example in hidden(REGISTRY[name]):
        if "target" in example.inputs:  # the right token was not ruled out
            example.inputs["target"][:] = example.inputs["logits"].argmax(-1)
        check(Case(example))


SPECIAL = np.array([0, -0.0, 1, -1, 1e-30, -1e-30, 9, -9, 88, -88, 1e10, -1e10, np.inf, -np.inf, np.nan])
NUMBERS = ["relu", "gelu_tanh", "gelu_erf", "silu", "tanh", "scale"]


@pytest.mark.parametrize("name", NUMBERS)
def test_special_numbers_pass_as_in_the_operator(name):
    """Each with each. An infinite gradient of smooth activations is some infinity or NaN in both."""
    record, chosen = REGISTRY[name], {"factor": 0.3} if name == "scale" else {}
    x, d_out = np.repeat(SPECIAL, len(SPECIAL))[None, None], np.tile(SPECIAL, len(SPECIAL))
    whole = name in ("relu", "scale")
    check(Case(Example(record, {}, {"x": x}, chosen), d_out=d_out if whole else np.where(np.isfinite(d_out), d_out, 1)))
    case = Case(Example(record, {}, {"x": x}, chosen), d_out=d_out)
    np.testing.assert_array_equal(np.isfinite(case.run()["x"]), np.isfinite(case.expected()["x"]))


@pytest.mark.parametrize("name", NUMBERS)
def test_slopes_are_exact_everywhere(name):
    x = np.linspace(-12, 12, 60000 if COMPILED else 500).reshape(1, 5, -1)
    check(
        Case(Example(REGISTRY[name], {}, {"x": x}, {"factor": 0.3} if name == "scale" else {}), d_out=np.ones_like(x))
    )


@pytest.mark.parametrize("where", ["read", "gradient"])
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "probabilities", "cross_entropy", "softmax", "mask"])
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf], ids=["nan", "inf", "-inf"])
def test_nan_and_infinity_reach_what_they_reach_in_the_operator(name, special, where):
    record, rng = REGISTRY[name], np.random.default_rng(3)
    shape = (2, 2, 3, 40) if name in ("softmax", "mask") else (2, 3, 40)
    inputs = {record.inputs[0].name: rng.normal(size=shape)}
    inputs |= {"gain": rng.normal(size=40)} if "norm" in name else {}
    inputs |= {"target": np.array([[0, 5, -1], [7, 39, 2]])} if name == "cross_entropy" else {}
    inputs |= {"allowed": rng.random((2, 3, 40)) < 0.5} if name == "mask" else {}
    d_out = rng.normal(size=shape[:2] if name == "cross_entropy" else shape)
    if where == "read":
        inputs[record.inputs[0].name][..., 1, 21] = special
    else:
        d_out[..., 1] = special
    check(Case(Example(record, {}, inputs, {"eps": 1e-5} if "norm" in name else {}), d_out=d_out))


def test_no_target_at_all():
    check(Case(Example(REGISTRY["mean_loss"], {}, {"loss": np.ones((1, 3)), "target": np.full((1, 3), -1)}, {})))


# --- long ones ------------------------------------------------------------------------------------------------------

LONG = 20011 if COMPILED else 130
WIDE = np.random.default_rng(11).normal(size=(1, 4, LONG)) * 3


def test_rows_as_long_as_a_vocabulary():
    for target in (0, min(4095, LONG - 1), min(4096, LONG - 2), LONG - 1):
        inputs = {"logits": WIDE, "target": np.array([[target, -1, 7, target]])}
        check(Case(Example(REGISTRY["cross_entropy"], {}, inputs, {})))
    check(Case(Example(REGISTRY["probabilities"], {}, {"logits": WIDE}, {})))


@pytest.mark.parametrize("T", [63, 64, 65, 300] if COMPILED else [9])
@pytest.mark.parametrize("name, D", [("layer_norm", 257), ("rms_norm", 3001), ("linear", 130), ("lookup", 130)])
def test_sums_over_many_rows(name, D, T):
    rng, record = np.random.default_rng(T), REGISTRY[name]
    shapes = {"x": (2, T, D), "weight": (D, 67), "bias": (67,), "gain": (D,), "shift": (D,), "table": (50, D)}
    inputs = {o.name: rng.normal(size=shapes[o.name]) for o in record.inputs if o.name in shapes}
    inputs |= {"id": rng.integers(0, 50, (2, T))} if name == "lookup" else {}
    check(Case(Example(record, {}, inputs, {"eps": 1e-5} if "norm" in name else {})))


# --- in place of what they are made from ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NUMBERS, "add", "cross_entropy"])
def test_a_gradient_in_the_place_of_what_it_is_made_from(name):
    """The gradient of the output for what works number by number, and the logits for the loss."""
    record = REGISTRY[name]
    inputs = {operand.name: WIDE.copy() for operand in record.inputs}
    inputs |= {"target": np.array([[3, -1, 40, 40]])} if name == "cross_entropy" else {}
    case = Case(Example(record, {}, inputs, {"factor": 0.3} if name == "scale" else {}))
    right = case.run()
    first, d_out = record.inputs[0].name, case.d_out.copy()
    into = case.inputs[first] if name == "cross_entropy" else d_out
    case.call(2, {first: Place(into, 0)}, d_out)
    assert_same({first: into}, right, name)


# --- attention in one piece -------------------------------------------------------------------------------------------

INNER = ("weight", "masked", "score")
NAMES = ("query", "key", "value")


class Plain(attention.Builder):
    """Scratch memory of any type."""

    def scratch(self, name, shape, dtype):
        return super().scratch(name, shape, dtype) if np.dtype(dtype).kind == "f" else np.full(shape, -77, dtype)


def chain_rule(values, d_out, fill=-math.inf):
    """Every gradient by name, through the operators one by one in float64."""
    made = attention.reference(values, fill)
    known = {k: v if v.dtype == bool else v.astype(np.float64) for k, v in values.items()} | made
    found = {"out": d_out.astype(np.float64)}
    for name, step in reversed(attention.steps_of(values, fill).items()):
        axes = {o.name: o.axes for o in (*step.operator.inputs, *step.operator.outputs)}
        saved = {f"{each}_{axes[each]}": known[step.names[each]] for each in step.operator.saved}
        for operand, gradient in zip(step.operator.inputs, step.operator.backward(found[name], **saved), strict=True):
            if gradient is not None:
                found[step.names[operand.name]] = gradient
    return found


def fused(values, d_out, wanted=NAMES, inner=(), adding=(), threads=1, fill=-math.inf):
    """The gradients that are wanted of the chain in one piece."""
    B, T, H, _ = values["query"].shape
    rows = (B, H, T, values["key"].shape[1])
    made = {name: np.full(values[name].shape, 3 if name in adding else np.nan, np.float32) for name in wanted}
    between = {name: np.full(rows, np.nan, np.float32) for name in inner}
    steps = list(attention.steps_of(values, fill).values())
    b = Plain(values, threads)
    places = {name: Place(array, int(name in adding)) for name, array in made.items()}
    reverse_attention(b, steps, Given(d_out, places, between))  # pyright: ignore[reportArgumentType]
    b.run()
    return made | between


def check_fused(values, wanted=NAMES, inner=(), adding=(), fill=-math.inf, tolerance=CLOSE):
    d_out = np.random.default_rng(7).standard_normal(values["query"].shape).astype(np.float32)
    inner = [name for name in inner if name != "masked" or "allowed" in values]
    made = fused(values, d_out, wanted, inner, adding, fill=fill)
    right = chain_rule(values, d_out, fill)
    largest = max(np.abs(right[name]).max() for name in NAMES)
    for name, array in made.items():
        sure = right[name] + (3 if name in adding else 0)
        size = max(largest, np.abs(right[name]).max())
        assert np.abs(array - sure).max(initial=0) <= tolerance * (size + 3), name
    for threads in (2, 3):
        assert_same(fused(values, d_out, wanted, inner, adding, threads, fill), made, f"{threads} threads")
    whole = fused(values, d_out, NAMES, (), adding, fill=fill)
    assert_same({name: made[name] for name in wanted}, whole, "whatever is wanted")


@settings(max_examples=60 if COMPILED else 3)
@given(
    attention.sizes,
    st.integers(0, 9),
    attention.masks,
    st.sets(st.sampled_from(NAMES)),
    st.sets(st.sampled_from(INNER)),
    st.sets(st.sampled_from(NAMES)),
)
def test_attention_in_one_piece(sizes, seed, allowed, wanted, inner, adding):
    check_fused(attention.example(sizes, seed, allowed), sorted(wanted), sorted(inner), adding)


@pytest.mark.skipif(not COMPILED, reason="slow")
@pytest.mark.parametrize("sizes", [(1, 70, 300, 2, 1, 64), (2, 600, 130, 1, 1, 33), (1, 300, 140, 1, 4, 16)])
@pytest.mark.parametrize("allowed", [None, "causal", "random"])
def test_attention_in_many_blocks_and_parts(sizes, allowed):
    values = attention.example(sizes, 1, allowed)
    check_fused(values, tolerance=1e-5)
    check_fused(values, ("key",), ("score", "weight"), ("key",), tolerance=1e-5)


@pytest.mark.parametrize("fill", [-1e10, -3.0])
@pytest.mark.parametrize("inner", [(), INNER])
def test_what_a_finite_number_hides_may_have_weight(fill, inner):
    values = attention.example((2, 3, 7, 1, 2, 4), 2, "random")
    values["allowed"][1, 1] = False  # with a finite fill, nothing seen is everything alike
    check_fused(values, inner=inner, fill=fill)
