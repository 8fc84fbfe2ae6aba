"""Edit: what is changed, what stays to the bit, and that the result is what an independently edited model gives."""

from typing import Any

import numpy as np
import pytest

from byhand.engines import reference

from .edits import ACTIONS, CASES, INPUTS, STEPS, WEIGHTS, chained, depending
from .small_models import TEXTS, everything, fingerprint, fresh, independent, model, run, same_bits


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_edit_gives_what_an_independently_edited_model_gives(case):
    before = run(case.name)
    program, weights = before.program, model(case.name).weights
    held = fingerprint(everything(before)), fingerprint(dict(weights))
    after = case.edit(before)
    expected = independent(program, weights, before.inputs, case.patch)
    assert not same_bits(after.look(case.address), before.look(case.address))
    touched = depending(program, case.address)
    for address in program.addresses:
        assert same_bits(after.look(address), expected[address]), address
        if address not in touched and address in before.kept:
            assert after.kept[address] is before.kept[address]
    case.edit(before)
    assert (fingerprint(everything(before)), fingerprint(dict(weights))) == held
    assert before.edits == () and after.edits[0].address == case.address and after.kept.keys() == before.kept.keys()


@pytest.mark.parametrize("case", WEIGHTS, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_editing_a_weight_in_a_run_or_in_the_model_is_the_same(case, dtype):
    one = everything(case.edit(fresh(case.name, dtype)))
    changed = case.edit(model(case.name))
    other = everything(changed.run(**TEXTS[case.name], dtype=dtype))
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize("case", [case for case in INPUTS if case.where != {"query": 0}], ids=str)
def test_editing_an_input_is_giving_another_one(case):
    before = run(case.name)
    after = case.edit(before)
    given = {name: case.patch(name, array) for name, array in before.inputs.items()}
    text, source = given.pop("tokens"), given.pop("source.tokens", None)
    again = model(case.name).run(text, source=source, dtype="float64", **given)
    assert fingerprint(everything(after)) == fingerprint(everything(again))


# --- several edits ----------------------------------------------------------------------------------------------

CHAINS = [
    [STEPS[0], STEPS[3]],
    [STEPS[3], STEPS[0]],  # the later value first: it must keep its edit when the earlier one changes
    [STEPS[1], STEPS[1], STEPS[1]],
    [STEPS[4], WEIGHTS[0], INPUTS[0], STEPS[6], STEPS[7]],
    [STEPS[7], STEPS[5], INPUTS[1], WEIGHTS[3], WEIGHTS[3]],
]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: " ".join(map(str, chain)))
@pytest.mark.parametrize("keep", ["all", ["blocks.*.out"], []], ids=str)
def test_edits_add_up_whatever_is_kept(chain, keep):
    before = fresh("gpt2-tiny", keep=keep)
    after = before
    for case in chain:
        after = case.edit(after)
    expected = independent(before.program, model("gpt2-tiny").weights, fresh("gpt2-tiny").inputs, chained(chain))
    for address in before.program.addresses:
        assert same_bits(after.look(address), expected[address]), address
    assert after.kept.keys() == before.kept.keys()
    assert [edit.address for edit in after.edits] == [case.address for case in chain]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", STEPS, ids=str)
def test_in_lower_precision_it_does_not_matter_what_is_kept(case, dtype):
    every, none = case.edit(fresh(case.name, dtype)), case.edit(fresh(case.name, dtype, keep=[]))
    assert fingerprint(everything(every)) == fingerprint(everything(none))
    assert every.look(case.address).dtype == fresh(case.name, dtype).look(case.address).dtype
    upstream = set(every.program.producer) - depending(every.program, case.address)
    before = everything(fresh(case.name, dtype))
    assert all(same_bits(every.look(address), before[address]) for address in upstream)


def test_a_value_is_rounded_once_after_an_edit():
    before = fresh("gpt2-tiny", "bfloat16")
    value = before.look("blocks.0.mid")[0, 2, 5]
    changes: list[dict[str, Any]] = [{"scale": 1.1}, {"add": 0.01}, {"set": 0.1}]
    for change in changes:
        after = before.edit("blocks.0.mid", (0, 2, 5), **change)
        ((action, number),) = change.items()
        assert after.look("blocks.0.mid")[0, 2, 5] == value.dtype.type(ACTIONS[action](float(value), number))


# --- from another run -------------------------------------------------------------------------------------------


def test_patching_a_whole_stream_makes_the_rest_the_other_run():
    here, there = run("gpt2-tiny"), model("gpt2-tiny").run("World", dtype="float64")
    after = here.edit("blocks.0.out", from_run=there)
    downstream = depending(here.program, "blocks.0.out") - {"loss", "losses", "losses.logsumexp"}
    assert all(same_bits(after.look(address), there.look(address)) for address in downstream)
    assert same_bits(after.look("losses.logsumexp"), there.look("losses.logsumexp"))
    assert same_bits(after.look("blocks.0.mid"), here.look("blocks.0.mid"))
    assert after.look("loss") != there.look("loss")  # the targets are still those of this run's text
    assert str(after.edits[0]) == "set blocks.0.out to that of another run"


def test_patching_one_position_of_one_head():
    here, there = run("gpt2-tiny"), model("gpt2-tiny").run("World", dtype="float64")
    after = here.edit("blocks.1.attn.heads", head=2, position=3, from_run=there)

    def patch(address, array):
        if address == "blocks.1.attn.heads":
            array = array.copy()
            array[:, 3, 2] = there.look(address)[:, 3, 2]
        return array

    expected = independent(here.program, model("gpt2-tiny").weights, here.inputs, patch)
    assert all(same_bits(after.look(address), expected[address]) for address in here.program.producer)
    same = here.edit("blocks.1.attn.heads", from_run=here)
    assert same_bits(same.look("logits"), here.look("logits"))


def test_patching_weights_and_inputs_too():
    here, there = run("gpt2-tiny"), model("gpt2-tiny").edit("token.weight", scale=2.0).run("World", dtype="float64")
    after = here.edit("token.weight", from_run=there).edit("tokens", from_run=there).edit("targets", from_run=there)
    assert fingerprint(everything(after)) == fingerprint(everything(there))


# --- what is computed again ---------------------------------------------------------------------------------------


@pytest.fixture
def computed(monkeypatch):
    """The addresses of the steps computed since."""
    steps, compute = [], reference.compute

    def counting(step, look, precision):
        steps.append(step.address)
        return compute(step, look, precision)

    monkeypatch.setattr(reference, "compute", counting)
    return steps


@pytest.mark.parametrize("case", CASES, ids=str)
def test_only_what_depends_on_an_edit_is_computed_again(case, computed):
    before = fresh(case.name)
    assert computed == [step.address for step in before.program]
    computed.clear()
    case.edit(before)
    touched = depending(before.program, case.address) - {case.address}
    assert computed == [step.address for step in before.program if step.address in touched]


def test_with_few_values_kept_the_nearest_of_them_is_where_it_starts(computed):
    before = fresh("gpt2-tiny", keep=["blocks.*.out"])
    computed.clear()
    before.edit("blocks.1.mlp.pre", zero=True)
    # kept and above the edit: blocks.1.attn.out, blocks.1.norm2.out ("*" crosses dots), blocks.0.out
    again = ["blocks.1.mid", "blocks.1.mlp.pre", "blocks.1.mlp.act", "blocks.1.mlp.out", "blocks.1.out"]
    assert computed == [*again, "final_norm.out", "logits", "losses", "loss"]


# --- nothing can be changed by the way ----------------------------------------------------------------------------


def test_arrays_of_a_run_and_a_model_cannot_be_written_to():
    for of in (run("gpt2-tiny", "float32"), run("gpt2-tiny", "float64")):
        for address in ("embed.out", "token.weight", "tokens", "mask", "d:embed.out", "d:embed.token"):
            with pytest.raises(ValueError, match="read-only"):
                of.look(address)[...] = 0
    for address in ("token.weight", "final_norm.gain"):
        with pytest.raises(ValueError, match="read-only"):
            model("gpt2-tiny").weights[address][...] = 0
    changed = model("aab").edit("token.weight", zero=True)
    with pytest.raises(ValueError, match="read-only"):
        changed.weights["token.weight"][...] = 1


def test_changing_the_callers_arrays_later_changes_nothing():
    value, tokens, mask = np.ones(32), np.array([[40, 69, 76]]), np.ones((1, 3), bool)
    positions = np.array([[0, 1, 2]])
    of = model("gpt2-tiny").run(tokens, mask=mask, positions=positions, keep=[], dtype="float64")
    after = of.edit("blocks.0.mid", position=1, add=value)
    held = fingerprint(everything(after))
    for array in (value, tokens, mask, positions):
        array[...] = 0
    assert fingerprint(everything(after)) == held
