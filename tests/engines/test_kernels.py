"""The kernels of the cpu engine, one operator at a time, against the definitions."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import byhand.engines.cpu.kernels  # noqa: F401  fills LOWERINGS
from byhand.checkpoints.files.quantized import Quantized, dequantized, quantized
from byhand.engines.cpu.builder import LOWERINGS, Builder, Resident, Values
from byhand.engines.cpu.simd import COMPILED
from byhand.engines.cpu.team import Calls, team
from byhand.operators import REGISTRY
from byhand.operators.attention import shares
from byhand.program import Step
from byhand.weights import Weights

from ..operators.examples import CONTENT, SETTINGS, Example, hidden, letters, spread

ELSEWHERE = "append from_heads linear mask mix scores softmax to_heads unembed"  # with the products and attention
OURS = {name for name, each in REGISTRY.items() if each.forward.__module__.startswith("byhand.")}
OPERATORS = sorted(OURS - set(ELSEWHERE.split()))
WEIGHTS = {"gain", "shift", "table"}
WHOLE = {"draw", "argmax"}
CLOSE = 2e-6  # of a number, and of the largest number beside it


def run(example, threads=1, beside=True, weights=None):
    """The outputs by name, as the kernels make them. beside: whether side values are asked for."""
    record, given = example.record, single(example.inputs)
    step = Step("out", "", record, tuple(o.name if o.name in given else None for o in record.inputs), example.settings)
    held = Weights({name: given[name] for name in WEIGHTS & set(given)} if weights is None else weights)
    outs = {name: np.full_like(array, 77) for name, array in expected(example).items()}
    if not beside:
        outs = {record.outputs[0].name: outs[record.outputs[0].name]}
    values = {name: array for name, array in given.items() if name not in WEIGHTS}
    values |= {step.writes[name]: array for name, array in outs.items()}
    execute(step, values, threads, held)
    return outs


def execute(step, values, threads, weights=None):
    """Run one step on arrays by address."""
    never = lambda mask: pytest.fail(f"{step} asked for {mask}")  # noqa: E731
    outside = Values(values, frozenset(), frozenset(), never, never)
    builder = Builder(outside, Resident(weights or Weights({})), threads, False)
    LOWERINGS[step.operator.name](builder, step)
    team(threads).run(Calls(builder.jobs, builder.meets))


def single(arrays):
    """In the types that the engine holds values in."""
    return {k: np.ascontiguousarray(v, np.float32 if v.dtype.kind == "f" else v.dtype) for k, v in arrays.items()}


def expected(example):
    """What the operator's own forward makes of the same float32 numbers."""
    with np.errstate(all="ignore"):
        made = Example(example.record, example.sizes, single(example.inputs), example.settings).forward()
    return {name: np.asarray(a, np.int64 if example.record.name in WHOLE else np.float32) for name, a in made.items()}


def assert_close(made, right, name=""):
    assert made.dtype == right.dtype and made.shape == right.shape
    beside = np.abs(right[np.isfinite(right)]).max(initial=0)
    np.testing.assert_allclose(made, right, rtol=CLOSE, atol=CLOSE * beside, err_msg=name)


def check(example, weights=None):
    made, right = run(example, weights=weights), expected(example)
    assert made.keys() == right.keys()
    for name, array in right.items():
        assert_close(made[name], array, f"{example.record.name} {name} {example.sizes}")
    assert_same_bits(made, run(example, threads=3, weights=weights))
    main = run(example, beside=False, weights=weights)
    assert_same_bits(main, {name: made[name] for name in main})


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].tobytes() == other[name].tobytes(), name


@st.composite
def examples(draw, record):
    """Any shape, few of which fill vectors evenly; optional inputs present or absent."""
    sizes = {letter: draw(st.integers(1, 70)) for letter in letters(record)} | {"1": 1}
    sizes |= {letter: draw(st.integers(1, most)) for letter, most in (("B", 3), ("T", 5), ("H", 3)) if letter in sizes}
    if "J" in sizes:
        sizes["K"] = 2 * sizes["J"]
    if record.name == "sinusoidal_positions":
        sizes["D"] *= 2
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    inputs = {}
    for operand in record.inputs:
        shape = tuple(sizes[letter] for letter in operand.axes)
        if not (operand.optional and draw(st.booleans())):
            inputs[operand.name] = CONTENT.get(operand.name, lambda r, s, _: spread(r, s))(rng, shape, sizes)
    chosen = {name: sizes.get(name, SETTINGS.get(name, default)) for name, default in record.settings.items()}
    return Example(record, sizes, inputs, chosen)


def likely(logits, **settings):
    return Example(REGISTRY[settings.pop("operator")], {}, {"logits": np.asarray(logits, float)}, settings)


def near_the_edge(example):
    """Whether rounding decides what is kept."""
    logits, edge = example.inputs["logits"], example.settings
    ratio = np.exp(logits - logits.max(-1, keepdims=True))
    before = np.cumsum(-np.sort(-shares(logits)), -1) if "mass" in edge else ratio
    return bool((np.abs(before - edge.get("mass", edge.get("share"))) < 1e-5).any())


def test_every_operator_has_a_lowering():
    assert LOWERINGS.keys() == OURS


@pytest.mark.parametrize("name", OPERATORS)
def test_kernels_do_what_the_operator_does(name):
    @settings(max_examples=25)
    @given(examples(REGISTRY[name]))
    def compare(example):
        assume(name not in ("top_p", "min_p") or not near_the_edge(example))
        check(example)

    compare()


@pytest.mark.parametrize("name", OPERATORS)
def test_minus_infinity_is_what_it_is_in_the_operator(name):
    for example in hidden(REGISTRY[name]):
        if "target" in example.inputs:  # the right token was not ruled out
            example.inputs["target"][:] = example.inputs["logits"].argmax(-1)
        check(example)


SPECIAL = np.array([0, -0.0, 1, -1, 1e-30, -1e-30, 9, -9, 88, -88, 1e10, -1e10, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("name", ["relu", "gelu_tanh", "gelu_erf", "silu", "tanh", "scale", "temperature"])
def test_special_numbers_pass_as_in_the_operator(name):
    record = REGISTRY[name]
    chosen = {each: SETTINGS[each] for each in record.settings}
    check(Example(record, {}, {record.inputs[0].name: np.tile(SPECIAL, 3)[None, None]}, chosen))


@pytest.mark.parametrize(
    "name", ["layer_norm", "rms_norm", "probabilities", "cross_entropy", "add", "multiply", "argmax"]
)
@pytest.mark.parametrize("special", [np.nan, -np.nan, np.inf], ids=["nan", "-nan", "inf"])
def test_nan_and_infinity_reach_what_they_reach_in_the_operator(name, special):
    record = REGISTRY[name]
    rng = np.random.default_rng(3)
    inputs = {o.name: rng.normal(size=[2, 3, 40][3 - len(o.axes) :]) for o in record.inputs if o.name != "target"}
    inputs |= {"target": np.array([[0, 5, -1], [7, 39, 2]])} if name == "cross_entropy" else {}
    inputs[record.inputs[0].name][0, 1, 21] = special
    check(Example(record, {}, inputs, {"eps": 1e-5} if "norm" in name else {}))


WIDE = np.random.default_rng(11).normal(size=(1, 2, 20011)) * 3


LONG = [("probabilities", {}), ("argmax", {}), ("running_sum", {}), ("temperature", {"degree": 0.7})]
LONG += [("min_p", {"share": 0.01})]
LONG += [("top_k", {"most": most}) for most in (1, 50, 5000, 20010, 30000)]
LONG += [("top_p", {"mass": mass}) for mass in (1e-9, 0.5, 0.9, 1.0)]


@pytest.mark.parametrize("name, chosen", LONG)
def test_rows_as_long_as_a_vocabulary(name, chosen):
    """Longer than a stretch, so that several threads work on one row."""
    record = REGISTRY[name]
    inputs = shares(WIDE) if name == "running_sum" else WIDE
    check(Example(record, {}, {record.inputs[0].name: inputs}, chosen))
    check(Example(record, {}, {record.inputs[0].name: inputs[:, :1]}, chosen))


def test_the_loss_of_long_rows():
    for target in (0, 4095, 4096, 20010):
        check(Example(REGISTRY["cross_entropy"], {}, {"logits": WIDE, "target": np.array([[target, -1]])}, {}))


PLACES = [("probabilities", {}), ("min_p", {"share": 0.1}), ("gelu_tanh", {}), ("silu", {})]


@pytest.mark.parametrize("name, chosen", PLACES)
@pytest.mark.parametrize("width", [5, 37, 70, 5000])
def test_bits_do_not_depend_on_where_arrays_lie(name, chosen, width):
    """At any distance from each other, and the output in the place of the input."""
    x = single({"x": WIDE[:, :, :width]})["x"]
    made = set()
    for gap in (0, 1, 16, 37, -x.size):
        memory = np.zeros(2 * x.size + 64, np.float32)
        read, written = (memory[at : at + x.size].reshape(x.shape) for at in (7, 7 + x.size + gap))
        read[:] = x
        step = Step("out", "", REGISTRY[name], ("x",), chosen)
        execute(step, {"x": read, "out": written}, threads=2)
        made.add(written.tobytes())
    assert len(made) == 1


@pytest.mark.skipif(not COMPILED, reason="plain Python adds one number after the other, and loses more")
def test_norms_of_wide_rows_are_exact():
    """Of rows far from zero, against float64."""
    x = np.float64(np.float32(np.random.default_rng(5).normal(size=(1, 2, 8192)) + 30))
    for name in ("layer_norm", "rms_norm"):
        example = Example(REGISTRY[name], {}, {"x": x, "gain": np.ones(8192)}, {"eps": 1e-5})
        made = run(example)
        for key, array in example.forward().items():
            np.testing.assert_allclose(made[key], array, rtol=3e-6, atol=3e-6)


def test_ties_go_to_the_smaller_id():
    logits = np.array([[[2, 5, 5, 1, 5, 2, -0.0, 0.0]]])
    for most in range(1, 10):
        check(likely(logits, operator="top_k", most=most))
    check(likely(logits, operator="argmax"))
    check(likely([[[1, np.nextafter(np.float32(2), 0), 2, 2]]], operator="argmax"))
    for mass in (0.3, 0.5, 0.6, 0.75):  # an eighth for each of eight: these are between
        check(likely(np.zeros((1, 2, 8)), operator="top_p", mass=mass))


def test_a_mass_of_one_keeps_all_and_of_none_the_best():
    """Also where the best token's probability alone rounds to one."""
    for mass in (0.0, 1.0):
        check(likely([[[-30, 5, -40, 5, -np.inf], [9, -30, -40, -50, 3]]], operator="top_p", mass=mass))


def test_a_draw_passes_over_what_has_no_probability():
    running = np.array([[[0, 0.25, 0.25, 0.75, 0.9999, 0.9999]]])
    for uniform in (0.0, 0.24, 0.25, 0.5, 0.75, 0.99995):
        check(Example(REGISTRY["draw"], {}, {"running": running, "uniform": np.array([[uniform]])}, {}))


def test_no_target_at_all_has_no_mean():
    check(Example(REGISTRY["mean_loss"], {}, {"loss": np.ones((1, 3)), "target": np.full((1, 3), -1)}, {}))


@pytest.mark.parametrize("name", ["rotary_pairs", "rotary_halves"])
def test_turns_far_into_a_text(name):
    position = np.array([[0, 1, 4095, 99_999, 131_071]])
    angle = REGISTRY["rotary_angles"].forward(position, J=32, theta=10000.0)
    x = np.random.default_rng(2).normal(size=(1, 5, 3, 64))
    check(Example(REGISTRY[name], {}, {"x": x, "angle": angle}, {}))


@pytest.mark.parametrize("name", ["rotary_angles", "rotary_angles_llama31"])
def test_angles_far_into_a_text_are_not_rounded_twice(name):
    chosen = {each: SETTINGS[each] for each in REGISTRY[name].settings if each != "J"}
    position = np.array([[0, 1, 4095, 99_999, 131_071]])
    example = Example(REGISTRY[name], {}, {"position": position}, chosen | {"J": 32, "theta": 500000.0})
    assert_same_bits(run(example), expected(example))


# Tables in every form a model holds them in.

TABLE = np.random.default_rng(4).normal(size=(9, 96)).astype(np.float32)


def in_blocks(kind):
    blocks = quantized(kind, TABLE, "table")
    return Quantized(TABLE.shape, np.dtype(np.float32), lambda: dequantized(kind, blocks), kind, blocks)


@pytest.mark.parametrize("kind", [np.float32, np.float16, ml_dtypes.bfloat16, "Q8_0", "Q4_0"], ids=str)
def test_rows_of_a_table_in_every_form(kind):
    ids = np.array([[3, 0, 8, 3], [7, 7, 1, -1]])
    forms = [in_blocks(kind)] if isinstance(kind, str) else [TABLE.astype(kind), np.asfortranarray(TABLE.astype(kind))]
    for form in forms:
        table = form() if isinstance(form, Quantized) else form.astype(np.float32)
        example = Example(REGISTRY["lookup"], {}, {"id": ids, "table": table}, {})
        assert_same_bits(run(example, weights={"table": form}), expected(example))


def test_an_id_that_the_table_does_not_have_gives_nan():
    example = Example(REGISTRY["lookup"], {}, {"id": np.array([[0, 1]]), "table": TABLE}, {})
    shorter = run(example, weights={"table": TABLE[:1]})["out"]
    assert (shorter[0, 0] == TABLE[0]).all() and np.isnan(shorter[0, 1]).all()
