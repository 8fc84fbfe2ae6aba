"""Edit: what is changed, what stays to the bit, and that the result is what an independently edited model gives."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from .small_models import everything, fingerprint, fresh, independent, model, run, same_bits

from byhand.engines import reference
from byhand.errors import AddressError, ByhandError, InputError, ShapeError
from byhand.program import Program

DRAW = np.random.default_rng(0)
ALL = slice(None)
ACTIONS = {"set": lambda old, new: new, "add": lambda old, new: old + new, "scale": lambda old, new: old * new}


@dataclass(frozen=True)
class Case:
    """An edit as a caller writes it (where and change), and the same as a plain index, an action and a value."""

    name: str
    address: str
    where: dict[str, Any]
    change: dict[str, Any]
    index: tuple[Any, ...]
    given: tuple[Any, ...] | None = None  # an index instead of named axes

    def edit(self, of):
        return of.edit(self.address, self.given, **self.where, **self.change)

    def patch(self, address, array):
        """The independent edit of a plain array."""
        if address != self.address:
            return array
        ((action, value),) = self.change.items()
        copy = np.array(array)
        copy[self.index] = 0 if action == "zero" else ACTIONS[action](copy[self.index], value)
        return copy

    def __str__(self):
        return " ".join([self.name, *self.change, self.address, *self.where])


STEPS = [
    Case("gpt2-tiny", "blocks.0.attn.heads", {"head": 2}, {"set": 0.0}, (ALL, ALL, 2)),
    Case("gpt2-tiny", "blocks.0.attn.weights", {"head": 1, "query": -1, "key": slice(0, 2)}, {"scale": 2.5}, (ALL, 1, -1, slice(0, 2))),
    Case("gpt2-tiny", "blocks.0.attn.masked", {"query": 3, "key": 1}, {"set": -np.inf}, (ALL, ALL, 3, 1)),
    Case("gpt2-tiny", "blocks.1.mlp.act", {}, {"add": DRAW.standard_normal((2, 128))}, (0, slice(1, 3)), (0, slice(1, 3))),
    Case("gpt2-tiny", "embed.out", {"position": 2}, {"zero": True}, (ALL, 2)),
    Case("gpt2-tiny", "blocks.1.mid", {"position": -2, "dimension": slice(None, None, 2)}, {"scale": -1.0}, (ALL, -2, slice(None, None, 2))),
    Case("gpt2-tiny", "blocks.0.norm1.out", {"T": 1, "D": 30}, {"add": 3}, (ALL, 1, 30)),
    Case("gpt2-tiny", "logits", {"token": 5, "position": 1}, {"set": 4.25}, (ALL, 1, 5)),
    Case("gpt2-tiny", "probs", {"token": slice(3, 6)}, {"scale": 0.5}, (ALL, ALL, slice(3, 6))),
    Case("gpt2-tiny", "loss", {}, {"scale": 2.0}, (...,)),
    Case("llama-tiny", "blocks.1.attn.k", {"group": 1, "position": 0}, {"scale": 1.5}, (ALL, 0, 1)),
    Case("llama-tiny", "rotary.angle", {"pair": 1}, {"scale": 0.5}, (..., 1)),
    Case("llama-tiny-halves", "blocks.0.attn.q_rot", {"head": 0, "dimension": -1}, {"set": 1.0}, (ALL, ALL, 0, -1)),
    Case("llama 3.1", "blocks.0.mlp.gated", {"neuron": 17}, {"set": DRAW.standard_normal((1, 5))}, (ALL, ALL, 17)),
    Case("bert-tiny", "pooler.pre", {"dimension": 3}, {"add": -1.0}, (ALL, 0, 3)),
    Case("bert-tiny", "blocks.0.mlp.pre", {"position": 4}, {"zero": True}, (ALL, 4)),
    Case("original-tiny", "source.blocks.1.out", {"position": 6}, {"zero": True}, (ALL, 6)),
    Case("original-tiny", "blocks.0.cross.weights", {"head": 3, "key": 2}, {"set": 1.0}, (ALL, 3, ALL, 2)),
    Case("aab", "blocks.0.attn.scores", {"query": 2}, {"scale": 0.0}, (..., 2, ALL)),
]
WEIGHTS = [
    Case("gpt2-tiny", "token.weight", {"token": 41}, {"scale": 0.3}, (41,)),  # tied: looked up and scored with
    Case("gpt2-tiny", "blocks.0.attn.q.weight", {"head": 3}, {"zero": True}, (ALL, 3)),
    Case("gpt2-tiny", "blocks.1.norm2.gain", {}, {"add": 0.1}, (...,)),
    Case("gpt2-tiny", "blocks.1.attn.out.weight", {}, {"set": DRAW.standard_normal((8, 32))}, (1,), (1,)),
    Case("llama-tiny", "unembed.weight", {"token": 3, "D": slice(4, 9)}, {"set": 0.1}, (3, slice(4, 9))),
    Case("bert-tiny", "pooler.weight", {}, {"set": 5.0}, (1, 2), (1, 2)),  # both axes are D
    Case("bert-tiny", "segment.weight", {}, {"scale": 2}, (1,), (1,)),
    Case("original-tiny", "source.blocks.0.mlp.up.bias", {"neuron": 3}, {"add": 1.0}, (3,)),
    Case("aab", "token.weight", {"token": 1}, {"scale": -1.0}, (1,)),
]
INPUTS = [
    Case("gpt2-tiny", "tokens", {"position": 1}, {"set": 7}, (ALL, 1)),
    Case("gpt2-tiny", "mask", {"query": 3, "key": 1}, {"set": False}, (ALL, 3, 1)),
    Case("gpt2-tiny", "mask", {"query": 0}, {"set": True}, (ALL, 0)),
    Case("gpt2-tiny", "positions", {}, {"add": 3}, (...,)),
    Case("gpt2-tiny", "targets", {"position": 2}, {"set": -1}, (ALL, 2)),
    Case("llama-tiny", "positions", {"position": 4}, {"set": 60}, (ALL, 4)),
    Case("bert-tiny", "segments", {"position": slice(1, 3)}, {"set": [1, 0]}, (ALL, slice(1, 3))),
    Case("original-tiny", "source.tokens", {}, {"set": 9}, (0, -1), (0, -1)),
    Case("original-tiny", "cross.mask", {"key": 0}, {"set": 0}, (..., 0)),
]
CASES = STEPS + WEIGHTS + INPUTS


def depending(program: Program, address: str) -> set[str]:
    """The value and everything computed from it."""
    found = {address}
    for step in program.steps:
        if found & set(step.reads):
            found |= set(step.writes.values())
    return found


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
    other = everything(changed.run(**run_arguments(case.name), dtype=dtype))
    assert fingerprint(one) == fingerprint(other)


def run_arguments(name):
    from .small_models import TEXTS

    return TEXTS[name]


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

    def patch(address, array):
        for case in chain:
            array = case.patch(address, array)
        return array

    expected = independent(before.program, model("gpt2-tiny").weights, fresh("gpt2-tiny").inputs, patch)
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
    for change in ({"scale": 1.1}, {"add": 0.01}, {"set": 0.1}):
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


# --- gradients --------------------------------------------------------------------------------------------------

EVERYWHERE = ["token.weight", "blocks.0.attn.k.weight", "blocks.1.norm1.gain", "embed.out", "blocks.0.attn.q"]
EVERYWHERE += ["blocks.0.attn.scores", "blocks.0.attn.v", "blocks.0.mid", "blocks.1.attn.heads", "blocks.1.mlp.pre"]
# (a stream of zeros, as STEPS[4] makes it, bends too sharply in the next norm to be differentiated by small steps)
MOVED = Case("gpt2-tiny", "embed.out", {"position": 2}, {"set": DRAW.standard_normal((1, 32))}, (ALL, 2))
DIFFERENTIABLE = [
    [STEPS[0]],
    [STEPS[1]],  # softmax looks at its own output going back: the one it made
    [STEPS[1], MOVED, STEPS[5]],
    [STEPS[3]],
    [MOVED],
    [STEPS[6], STEPS[6], STEPS[0]],
    [STEPS[7]],
    [STEPS[9]],
    [Case("gpt2-tiny", "blocks.1.attn.weights", {"query": 4, "key": 0}, {"set": 0.75}, (..., 4, 0))],
    [Case("gpt2-tiny", "blocks.1.attn.weights", {"head": 0}, {"add": 0.1}, (ALL, 0))],
    [WEIGHTS[0], WEIGHTS[2], INPUTS[2]],
]


def chain_of(chain):
    def patch(address, array):
        for case in chain:
            array = case.patch(address, array)
        return array

    return patch


def slope(of, weights, inputs, patch, address, direction, before_edit):
    """The loss's change per step along a direction of one value, by central differences."""

    def loss(step):
        def moved(name, array):
            if name != address:
                return patch(name, array)
            return patch(name, array + step * direction) if before_edit else patch(name, array) + step * direction

        return float(independent(of, weights, inputs, moved)["loss"])

    h = 1e-6
    return (loss(h) - loss(-h)) / (2 * h)


@pytest.mark.parametrize("chain", DIFFERENTIABLE, ids=lambda chain: " ".join(map(str, chain)))
@pytest.mark.parametrize("keep", ["all", []], ids=str)
def test_gradients_are_those_of_the_edited_function(chain, keep):
    after = fresh("gpt2-tiny", keep=keep)
    for case in chain:
        after = case.edit(after)
    gradients = after.backward()
    draw = np.random.default_rng(1)
    plain = {name: array for name, array in fresh("gpt2-tiny").inputs.items()}
    for address in {*EVERYWHERE, *(case.address for case in chain)} - set(plain):
        direction = draw.standard_normal(after.look(address).shape)
        expected = slope(after.program, model("gpt2-tiny").weights, plain, chain_of(chain), address, direction, False)
        assert abs((gradients[address].array * direction).sum() - expected) < 2e-8, address
    for address in {case.address for case in chain} & set(after.program.producer):
        direction = draw.standard_normal(after.look(address).shape)
        expected = slope(after.program, model("gpt2-tiny").weights, plain, chain_of(chain), address, direction, True)
        assert abs((after[f"d:{address}@unedited"].array * direction).sum() - expected) < 2e-8, address


def test_set_stops_a_gradient_and_scale_scales_it():
    before = run("gpt2-tiny")
    stopped = before.edit("blocks.1.out", set=before["blocks.1.out"])
    stopped.backward()
    assert same_bits(stopped.look("d:blocks.1.out"), before.look("d:blocks.1.out"))
    assert not stopped.look("d:blocks.1.out@unedited").any() and not stopped.look("d:embed.out").any()
    assert stopped.look("d:final_norm.gain").any()
    partly = before.edit("blocks.1.out", position=2, set=before["blocks.1.out"].at(position=2))
    partly.backward()
    passed, whole = partly.look("d:blocks.1.out@unedited"), before.look("d:blocks.1.out")
    assert not passed[:, 2].any() and same_bits(np.delete(passed, 2, 1), np.delete(whole, 2, 1))
    scaled = before.edit("loss", scale=3.0)
    scaled.backward()
    assert scaled.look("d:loss") == 1 and scaled.look("d:loss@unedited") == 3
    assert np.allclose(scaled.look("d:embed.out"), 3 * before.look("d:embed.out"), rtol=1e-9, atol=1e-15)
    added = before.edit("blocks.0.mid", add=0.0)
    added.backward()
    assert same_bits(added.look("d:blocks.0.mid@unedited"), before.look("d:blocks.0.mid"))


# --- nothing can be changed by the way ----------------------------------------------------------------------------


def test_arrays_of_a_run_and_a_model_cannot_be_written_to():
    of = fresh("gpt2-tiny", "float32")
    of.backward()
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


# --- words ------------------------------------------------------------------------------------------------------


def test_an_edit_says_what_it_did():
    of = run("gpt2-tiny")
    for change, text in [
        ({"head": 2, "set": 0.0}, "set blocks.0.attn.heads[:,:,2,:] to 0"),
        ({"zero": True}, "set blocks.0.attn.heads to 0"),
        ({"index": (0, slice(1, 4, 2)), "add": 0.5}, "add 0.5 to blocks.0.attn.heads[0,1:4:2,:,:]"),
        ({"index": (0, -1, 1, 2), "scale": -2}, "scale blocks.0.attn.heads[0,4,1,2] by -2"),
        ({"index": (0, 1, 1), "set": np.ones(8)}, "set blocks.0.attn.heads[0,1,1,:] to array (8,)"),
    ]:
        assert str(of.edit("blocks.0.attn.heads", **change).edits[0]) == text
    assert str(of.edit("mask", (0, 0, 0), set=True).edits[0]) == "set mask[0,0,0] to 1"


def test_other_projects_names_can_be_edited_where_they_are_the_same_array():
    of = run("gpt2-tiny")
    after = of.edit("blocks.0.attn.hook_z", head=1, zero=True)
    assert same_bits(after.look("logits"), of.edit("blocks.0.attn.heads", head=1, zero=True).look("logits"))
    with pytest.raises(AddressError, match=r"qkv is a rearrangement of blocks\.0\.attn\.q.*; name the value itself"):
        of.edit("qkv", zero=True)


Z = "blocks.0.attn.heads"
WRONG = [
    ((Z,), {}, InputError, "an edit of blocks.0.attn.heads needs exactly one of set, add, scale, zero, from_run; got none"),
    ((Z,), {"zero": False}, InputError, "exactly one of .*; got none"),
    ((Z,), {"set": 1, "scale": 2}, InputError, "exactly one of .*; got set, scale"),
    ((Z,), {"set": "x"}, InputError, "blocks.0.attn.heads: 'x' is no number; give a number or an array of numbers"),
    ((Z,), {"set": [[1, 2], [3]]}, InputError, "is no number; give a number or an array of numbers"),
    ((Z,), {"set": 1j}, InputError, "is no number"),
    ((Z,), {"set": np.ones(7)}, ShapeError, r"chosen part has shape \(1, 5, 4, 8\), the value has \(7,\); give a number or"),
    ((Z,), {"head": 1, "add": np.ones((9, 9, 8))}, ShapeError, r"chosen part has shape \(1, 5, 8\)"),
    ((Z,), {"head": 4, "set": 0}, AddressError, r"blocks.0.attn.heads, head: index 4 is out of range; there are 4, so 0 … 3"),
    ((Z,), {"head": -5, "set": 0}, AddressError, "index -5 is out of range"),
    ((Z,), {"head": 1.0, "set": 0}, AddressError, "head: 1.0 is no index; give a whole number"),
    ((Z,), {"head": "1", "set": 0}, AddressError, "head: '1' is no index"),
    ((Z,), {"head": [1, 2], "set": 0}, AddressError, r"head: \[1, 2\] is no index"),
    ((Z,), {"position": slice(7, 9), "set": 0}, AddressError, "position: 7:9 chooses nothing; there are 5, so 0 … 4"),
    ((Z,), {"position": slice("a", 2), "set": 0}, AddressError, "is no slice; give whole numbers"),
    ((Z,), {"token": 1, "set": 0}, AddressError, "has axes BTHK, so no 'token'; it has: batch, position, query, head, dim"),
    ((Z,), {"hed": 1, "set": 0}, AddressError, "has axes BTHK, so no 'hed'"),
    ((Z,), {"query": 1, "position": 2, "set": 0}, AddressError, "'query' and 'position' are both its axis T; name it once"),
    ((Z, (0, 1)), {"head": 1, "set": 0}, InputError, "got an index and also head; say where in one of the two ways"),
    ((Z, (0, 5)), {"set": 0}, AddressError, "axis T: index 5 is out of range; there are 5, so 0 … 4"),
    ((Z, (0, 1, 2, 3, 4)), {"set": 0}, AddressError, "has axes BTHK and shape .*, got 5 indices; give fewer"),
    ((Z, (0, None)), {"set": 0}, AddressError, "axis T: None is no index; give a whole number"),
    ((Z, 1.5), {"set": 0}, AddressError, "1.5 is no index; give whole numbers, such as"),
    (("blocks.0.attn.head",), {"zero": True}, AddressError, "gpt2 has no value 'blocks.0.attn.head'; the nearest are blocks.0"),
    (("nonsense",), {"zero": True}, AddressError, "gpt2 has no value 'nonsense'; addresses look like|the nearest are"),
    (("d:embed.out",), {"zero": True}, InputError, "d:embed.out cannot be edited; edit embed.out"),
    (("embed.out@unedited",), {"zero": True}, InputError, "cannot be edited; edit embed.out"),
    (("blocks.0.norm1.mean",), {"zero": True}, InputError, "is only looked at: no later step reads it; edit blocks.0.norm1.out"),
    (("losses.logsumexp",), {"zero": True}, InputError, "is only looked at: .*; edit losses"),
    (("tokens",), {"set": 0.5}, InputError, "tokens holds int64 values, so this cannot be done: set tokens to 0.5"),
    (("tokens",), {"set": 96}, InputError, r"tokens is 96 at \[0, 0\]; the vocabulary has 0 … 95"),
    (("tokens",), {"add": -100}, InputError, r"tokens is -59 at \[0, 0\]; the vocabulary has 0 … 95"),
    (("targets",), {"set": 96}, InputError, r"targets is 96 at \[0, 0\]"),
    (("targets",), {"set": -1}, InputError, "targets: every place says that there is none"),
    (("positions",), {"add": 60}, InputError, r"positions is 64 at \[0, 4\]; the table of positions has 0 … 63"),
    (("positions",), {"add": -1}, InputError, r"positions is -1 at \[0, 0\]"),
    (("mask",), {"set": False}, InputError, "mask leaves position 0 of text 0 with nothing to see; let every position see"),
    (("mask",), {"set": 2}, InputError, "mask holds bool values, so this cannot be done: set mask to 2"),
]


@pytest.mark.parametrize("place, change, kind, message", WRONG, ids=range(len(WRONG)))
def test_wrong_edits_say_so_in_one_line(place, change, kind, message):
    with pytest.raises(kind, match=message) as caught:
        run("gpt2-tiny").edit(*place, **change)
    assert isinstance(caught.value, ByhandError) and "\n" not in str(caught.value)


def test_a_run_of_another_length_cannot_be_taken_from():
    with pytest.raises(ShapeError, match=r"blocks.0.mid has shape \(1, 3, 32\) in the other run and \(1, 5, 32\) here; run"):
        run("gpt2-tiny").edit("blocks.0.mid", position=0, from_run=model("gpt2-tiny").run("abc"))
    with pytest.raises(AddressError, match="llama has no value 'position.weight'"):
        run("gpt2-tiny").edit("position.weight", from_run=run("llama-tiny"))


def test_an_axis_that_is_there_twice_needs_an_index():
    with pytest.raises(AddressError, match="pooler.weight has axes DD: 'dimension' could mean either D; give an index"):
        run("bert-tiny").edit("pooler.weight", dimension=3, zero=True)


def test_wrong_edits_of_a_model():
    with pytest.raises(AddressError, match="gpt2 has no value 'token.wieght'; the nearest are token.weight"):
        model("gpt2-tiny").edit("token.wieght", zero=True)
    with pytest.raises(InputError, match=r"embed.out is no weight; edit it in a run: model.run\(...\).edit\('embed.out'"):
        model("gpt2-tiny").edit("embed.out", zero=True)
    with pytest.raises(InputError, match="exactly one of"):
        model("gpt2-tiny").edit("token.weight")
    with pytest.raises(ShapeError, match=r"the chosen part has shape \(32,\), the value has \(3,\)"):
        model("gpt2-tiny").edit("token.weight", token=1, set=[1, 2, 3])
