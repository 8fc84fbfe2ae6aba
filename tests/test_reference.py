"""The reference engine by itself: order, freeing, precision, and errors that name the step."""

import weakref

import ml_dtypes
import numpy as np
import pytest

from byhand.engines import reference
from byhand.errors import InputError, NotANumber, ShapeError

from .small_models import fresh, independent, model, run, same_bits, untouched

NAMES = ["gpt2-tiny", "llama-tiny", "llama-tiny-halves", "llama 3.1", "bert-tiny", "original-tiny", "aab"]


def looker(name):
    """What the engine is given: inputs and weights, in float64."""
    inputs, weights = run(name).inputs, model(name).weights
    return lambda address: inputs[address] if address in inputs else weights[address].astype(np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_it_computes_what_a_plain_loop_computes(name):
    program = run(name).program
    expected = independent(program, model(name).weights, run(name).inputs, untouched)
    values = reference.forward(program.steps, looker(name), reference.precision("float64"), program.producer)
    assert list(values) == list(program.producer)
    assert all(same_bits(values[address], expected[address]) for address in values)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "keep", [{"logits"}, {"blocks.0.mid", "blocks.0.attn.v"}, set()], ids=lambda keep: str(len(keep))
)
def test_a_value_is_let_go_after_its_last_reader(name, keep):
    program = run(name).program
    made: dict[str, weakref.ref] = {}
    last = {read: n for n, step in enumerate(program.steps) for read in step.reads}
    place = {address: n for n, step in enumerate(program.steps) for address in step.writes.values()}
    checked = []

    def change(address, array):
        made[address] = weakref.ref(array)
        return array

    def progress(step):
        n = program.steps.index(step)
        alive = {address for address, array in made.items() if array() is not None}
        assert alive == {a for a, m in place.items() if m < n and (a in keep or last.get(a, -1) >= n)}
        checked.append(n)

    values = reference.forward(program.steps, looker(name), reference.precision("float64"), keep, change, progress)
    assert checked == list(range(len(program.steps))) and values.keys() == keep & place.keys()
    assert {address for address, array in made.items() if array() is not None} == values.keys()


def test_a_value_may_be_exchanged_as_soon_as_it_is_made():
    program = run("aab").program
    seen = []

    def change(address, array):
        seen.append(address)
        return np.zeros_like(array) if address == "blocks.0.out" else array

    values = reference.forward(program.steps, looker("aab"), reference.precision("float64"), ["logits"], change)
    assert seen == list(program.producer) and not values["logits"].any()


# --- precision ----------------------------------------------------------------------------------------------------


def test_precisions():
    third = np.array([1 / 3])
    for name, kept, computed in [
        ("float64", np.float64, np.float64),
        ("float32", np.float32, np.float32),
        ("bfloat16", ml_dtypes.bfloat16, np.float32),
    ]:
        precision = reference.precision(name)
        assert precision.keep(third).dtype == kept and precision.keep(third, wide=True).dtype == computed
        assert precision.load(precision.keep(third)).dtype == computed == precision.rounded(third).dtype
        assert precision.rounded(third)[0] == float(third.astype(kept)[0])
        for whole in (np.array([3]), np.array([True])):
            assert same_bits(precision.keep(whole), whole) and same_bits(precision.load(whole), whole)
    with pytest.raises(InputError, match="no dtype 'float16'; there are: float64, float32, bfloat16, int8"):
        reference.precision("float16")


def test_a_kept_array_lies_in_order_and_alone():
    precision = reference.precision("float64")
    turned = np.arange(6.0).reshape(2, 3).T
    assert precision.keep(turned).flags.c_contiguous and np.array_equal(precision.keep(turned), turned)
    assert precision.keep(np.float64(2)).shape == ()
    large = np.zeros((1, 50, 4))
    assert reference.alone(large[:, :1]).base is None
    assert reference.alone(large) is large and reference.alone(whole := large.reshape(50, 4)) is whole


def test_bfloat16_rounds_every_output_once():
    """A step in bfloat16 is the same step in float32 on the rounded numbers, and its result rounded."""
    of = run("gpt2-tiny", "bfloat16")
    for step in of.program:
        loaded = [np.asarray(of.look(read)) for read in step.reads if read is not None]
        loaded = [array if array.dtype.kind in "ib" else array.astype(np.float32) for array in loaded]
        inside = {"rounded": reference.precision("bfloat16").rounded} if step.operator.rounds_inside else {}
        with np.errstate(all="ignore"):
            made = step.operator.forward(*loaded, **step.attributes, **inside)
        main = np.asarray(made[0] if isinstance(made, tuple) else made, order="C")
        held = of.look(step.address)
        assert same_bits(held, main.astype(held.dtype)), step.address


# --- errors -------------------------------------------------------------------------------------------------------


def test_a_wrong_shape_names_the_step():
    program = run("gpt2-tiny").program
    right = looker("gpt2-tiny")

    def wrong(address):
        return np.ones((33, 128)) if address == "blocks.1.mlp.up.weight" else right(address)

    message = (
        r"blocks.1.mlp.pre \(linear: .*\): D \(model width\) is 33 in weight = blocks.1.mlp.up.weight .* but 32 in x = "
    )
    with pytest.raises(ShapeError, match=message) as caught:
        reference.forward(program.steps, wrong, reference.precision("float64"), [])
    assert "the weight belongs to a model of another width" in str(caught.value)


def test_the_first_nan_is_named_with_where_it_came_from():
    step = next(step for step in run("gpt2-tiny").program if step.address == "blocks.0.mid")
    x_BTD = np.ones((1, 2, 3))
    broken_BTD = x_BTD.copy()
    broken_BTD[0, 1, 2] = broken_BTD[0, 1, 1] = np.nan
    given = dict(zip(step.reads, (x_BTD, broken_BTD), strict=False))
    with pytest.raises(NotANumber) as caught:
        reference.compute(step, given.__getitem__, reference.precision("float64"))
    assert str(caught.value) == (
        "blocks.0.mid[0,1,1] is the first NaN (step blocks.0.mid, add): blocks.0.attn.out holds 2 NaN, "
        "the first at [0,1,1]; mend that weight or edit"
    )
    huge = dict(zip(step.reads, (x_BTD * np.inf, -x_BTD * np.inf), strict=False))
    with pytest.raises(
        NotANumber, match=r"embed.out, blocks.0.attn.out hold none, so it was made here from infinities \(inf - inf"
    ):
        reference.compute(step, huge.__getitem__, reference.precision("float64"))
    bfloat16 = {read: array.astype(ml_dtypes.bfloat16) for read, array in given.items()}
    with pytest.raises(NotANumber, match=r"blocks.0.mid\[0,1,1\]"):
        reference.compute(step, bfloat16.__getitem__, reference.precision("bfloat16"))


# --- backward -----------------------------------------------------------------------------------------------------


def test_backward_asks_for_a_steps_own_output_as_it_was_made():
    of = run("gpt2-tiny")
    step = next(step for step in of.program if step.address == "blocks.0.attn.weights")
    asked = []

    def look(address):
        asked.append(address)
        return of.look(address)

    parts = reference.reverse(step, of.look("d:blocks.0.attn.weights"), look, reference.precision("float64"))
    assert asked == ["blocks.0.attn.weights@unedited"] and parts.keys() == {"score"}
    assert same_bits(parts["score"], of.look("d:blocks.0.attn.masked"))


def test_backward_adds_up_and_lets_less_pass_where_told():
    of = fresh("aab")
    steps, seed = of.program.reverse("logits"), {"logits": np.ones((1, 5, 2))}
    whole = reference.backward(steps, seed, of.look, reference.precision("float64"))

    def stopped(address, gradient):
        return gradient * 0 if address == "blocks.0.attn.out" else gradient

    part = reference.backward(steps, seed, of.look, reference.precision("float64"), stopped)
    assert same_bits(part["blocks.0.attn.out"], whole["blocks.0.attn.out"]) and part["blocks.0.attn.out"].any()
    assert not part["blocks.0.attn.heads"].any() and not part["blocks.0.attn.out.weight"].any()
    assert same_bits(part["embed.out"], part["blocks.0.out"])  # only the residual connection is left
    table_VD = np.zeros((2, 8))
    np.add.at(table_VD, of.look("tokens"), whole["embed.token"])
    table_VD += np.einsum("BTV,BTD->VD", np.ones((1, 5, 2)), of.look("blocks.0.out"))
    assert np.allclose(whole["token.weight"], table_VD, rtol=1e-14)
