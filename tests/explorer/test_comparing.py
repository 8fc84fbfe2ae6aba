"""Edits against a forward pass of its own, and what a comparison of two scenes says, against the plain arrays."""

import numpy as np
import pytest

from byhand.errors import ByhandError, InputError
from byhand.explorer import Session
from byhand.explorer.scene import read_scene

from ..small_models import everything, independent, model, same_bits
from .scenes import edit, edited, patched, scene_of

ALL = None
EDITS = {
    "a weight": ("gpt2-tiny", [edit("blocks.0.mlp.up.weight", [3, 5], "set", 0.25)]),
    "a row": ("gpt2-tiny", [edit("token.weight", [41], "scale", 0.5)]),
    "a block": ("gpt2-tiny", [edit("blocks.1.attn.q.weight", [[0, 8], ALL, [2, None]], "add", 0.125)]),
    "a head": ("gpt2-tiny", [edit("blocks.0.attn.heads", [ALL, ALL, 2])]),
    "a key of llama": ("llama-tiny", [edit("blocks.1.attn.k", [0, 2, 1], "scale", -2.0)]),
    "a turned query": ("llama-tiny-halves", [edit("blocks.0.attn.q_rot", [ALL, ALL, 3], "zero")]),
    "a neuron": ("llama-tiny", [edit("blocks.0.mlp.gated", [ALL, ALL, 17])]),
    "a layer": ("original-tiny", [edit("source.blocks.1.mlp.out", [])]),
    "a position": ("bert-tiny", [edit("blocks.0.out", [ALL, 3])]),
    "a token": ("gpt2-tiny", [edit("tokens", [0, 1], "set", 7)]),
    "crossing": ("original-tiny", [edit("blocks.1.cross.weights", [0, 2, -1, 3], "set", 1.0)]),
    "by hand": ("aab", [edit("blocks.0.attn.v", [0, 2, 0, 7], "set", -1)]),
    "several": (
        "gpt2-tiny",
        [
            edit("blocks.1.attn.weights", [0, 1, 3, 1], "add", 0.5),
            edit("blocks.0.mid", [0, 2, 9], "set", 3),
            edit("final_norm.gain", [[1, 4]], "scale", 2),
            edit("blocks.1.attn.weights", [0, 1, 3, 1], "scale", 3),
        ],
    ),
}
CASES = pytest.mark.parametrize("name, changes", EDITS.values(), ids=EDITS)


def run_of(session, scene):
    return session.run(read_scene(scene))


def differing(before, after):
    return [address for address in before if not same_bits(before[address], after[address])]


@CASES
def test_an_edit_equals_a_forward_pass_of_its_own(name, changes):
    session, scene = Session(model(name)), scene_of(name, dtype="float64")
    plain = run_of(session, scene)
    expected = independent(plain.program, plain.setting.weights, plain.inputs, patched(changes))
    got = everything(run_of(session, edited(scene, *changes)))
    for address in plain.program.addresses:
        assert same_bits(got[address], expected[address]), address


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-tiny"])
def test_an_edited_weight_equals_a_model_with_that_weight(name):
    session, scene = Session(model(name)), scene_of(name)
    change = edit("blocks.0.attn.v.weight", [ALL, 1, [0, 4]], "scale", 0.5)
    got = everything(run_of(session, edited(scene, change)))
    rebuilt = model(name).edit("blocks.0.attn.v.weight", [slice(None), 1, slice(0, 4)], scale=0.5)
    expected = everything(rebuilt.run(scene["text"], source=scene.get("source")))
    assert differing(got, expected) == []
    assert differing(got, everything(run_of(session, scene)))


@CASES
def test_what_changes_lies_behind_the_edit_and_all_of_it_is_listed(name, changes):
    session, scene = Session(model(name)), scene_of(name)
    before = everything(run_of(session, scene))
    answer = session.handle("compare", {"scene": scene, "other": edited(scene, *changes)})
    after = everything(run_of(session, edited(scene, *changes)))
    program = run_of(session, scene).program
    behind = set().union(*(program.dependents(each["address"]) for each in changes))
    listed = [each["address"] for each in answer.head["changes"]]
    values = [address for address in program.addresses if address not in program.weights]
    unequal = [address for address in values if (before[address] != after[address]).any()]
    assert listed == unequal
    assert set(listed) <= behind
    assert set(differing(before, after)) <= behind
    assert answer.head["first"]["address"] == unequal[0]
    assert answer.head["complete"] and answer.head["reason"] is None
    for each in answer.head["changes"]:
        one, two = before[each["address"]], after[each["address"]]
        index = tuple(each["index"])
        assert each["count"] == (one != two).sum() and each["size"] == one.size
        assert each["before"] == text(one[index]) and each["after"] == text(two[index])
        with np.errstate(invalid="ignore"):  # both are -inf where the mask hides
            gap = np.where(one == two, 0.0, np.abs(two.astype(float) - one.astype(float)))
        assert gap[index] == gap.max() and each["amount"] == text(one.dtype.type(gap.max()))


def text(value):
    written = str(value.item() if value.dtype.kind in "iub" else value).lower().removesuffix(".0")
    return written


@CASES
def test_undo_leads_back_to_the_same_bits(name, changes):
    session, scene = Session(model(name)), scene_of(name)
    before = everything(run_of(session, scene))
    for count in range(1, len(changes) + 1):
        run_of(session, edited(scene, *changes[:count]))
    assert differing(before, everything(run_of(session, scene))) == []
    again = Session(model(name))
    run_of(again, edited(scene, *changes))
    assert differing(before, everything(run_of(again, scene))) == []
    same = session.handle("compare", {"scene": scene, "other": scene}).head
    assert same["same"] and same["changes"] == [] and same["first"] is None and same["kl"] == "0"


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-tiny", "bert-tiny", "aab"])
def test_patching_a_whole_layer_gives_the_other_prompts_output(name):
    session, scene = Session(model(name)), scene_of(name)
    other = scene | {"text": "abbba" if name == "aab" else "World"}
    expected = run_of(session, other)
    for layer in range(session.model.config.layers):
        got = run_of(session, edited(scene, edit(f"blocks.{layer}.out", [], "patch", other)))
        for address in ("logits", "probs", f"blocks.{layer}.out"):
            assert same_bits(got.look(address), expected.look(address)), (layer, address)
        assert same_bits(got.look("embed.out"), run_of(session, scene).look("embed.out"))


def test_a_patch_takes_one_part_only():
    session, scene = Session(model("gpt2-tiny")), scene_of("gpt2-tiny")
    other = {"text": "World", "changes": [edit("blocks.0.mid", [0, 2], "scale", 3)]}
    got = run_of(session, edited(scene, edit("blocks.1.attn.heads", [ALL, 3, 1], "patch", other)))
    one, two = run_of(session, scene), run_of(session, other)
    expected = one.look("blocks.1.attn.heads").copy()
    expected[:, 3, 1] = two.look("blocks.1.attn.heads")[:, 3, 1]
    assert same_bits(got.look("blocks.1.attn.heads"), expected)
    with pytest.raises(ByhandError, match="run texts of equal length"):
        run_of(session, edited(scene, edit("blocks.1.attn.heads", [], "patch", {"text": "Worlds"})))


# --- what comes next -----------------------------------------------------------------------------------------------


def expected_output(before, after, position, token):
    """From the stored logits, in float64."""
    one, two = (run.look("logits")[0, position].astype(np.float64) for run in (before, after))
    probs, others = (np.exp(each) / np.exp(each).sum() for each in (one, two))
    return {
        "kl": float((probs * np.log(probs / others)).sum()),
        "difference": two[token] - one[token],
        "top": np.argsort(-one, kind="stable")[:10].tolist(),
    }


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-tiny", "bert-tiny"])
@pytest.mark.parametrize("position", [-1, 0, 3])
def test_output_before_and_after(name, position):
    session, scene = Session(model(name)), scene_of(name)
    other = edited(scene, edit("blocks.0.attn.heads", [ALL, ALL, 1]))
    head = session.handle("compare", {"scene": scene, "other": other, "position": position, "token": 7}).head
    before, after = run_of(session, scene), run_of(session, other)
    expected = expected_output(before, after, position, 7)
    np.testing.assert_allclose(float(head["kl"]), expected["kl"], rtol=1e-9, atol=1e-13)
    assert head["logit"]["difference"] == text(np.float32(expected["difference"]))
    assert [each["token"] for each in head["before"]] == expected["top"]
    assert head["position"] == position % 5
    for side, run in (("before", before), ("after", after)):
        assert_stored(head["logit"][side], run)
        for each in head[side]:
            assert each["text"] == run.setting.tokens.text(each["token"])
            assert_stored(each["logit"], run)
            assert_stored(each["probability"], run)
            assert each["logit"]["index"] == [0, position % 5, each["token"]]
        best = [run.look("logits")[0, position, each["token"]] for each in head[side]]
        assert best == sorted(best, reverse=True)
        above = (run.look("logits")[0, position] > run.look("logits")[0, position, 7]).sum()
        assert head["logit"][f"rank_{side}"] == above


def assert_stored(shown, run):
    value = run.look(shown["address"])[tuple(shown["index"])]
    assert shown["bits"] == f"{value.view(np.uint32):08x}" and shown["text"] == text(value)


def test_prompts_of_other_lengths_are_compared_by_their_output_only():
    session = Session(model("gpt2-tiny"))
    head = session.handle("compare", {"scene": {"text": "Hello"}, "other": {"text": "Hell"}}).head
    assert head["changes"] == [] and "run texts of equal length" in head["reason"] and not head["complete"]
    assert head["before"][0]["logit"]["index"][1] == 4 and head["after"][0]["logit"]["index"][1] == 3
    with pytest.raises(InputError, match="no position 4 in a text of 4 tokens"):
        session.handle("compare", {"scene": {"text": "Hello"}, "other": {"text": "Hell"}, "position": 4})


def test_without_a_token_the_most_likely_one_is_followed():
    session, scene = Session(model("gpt2-tiny")), scene_of("gpt2-tiny")
    head = session.handle("compare", {"scene": scene, "other": scene}).head
    assert head["token"] == head["before"][0]["token"] and head["logit"]["rank_before"] == 0
    with pytest.raises(InputError, match="token is 96; give a whole number from 0 to 95"):
        session.handle("compare", {"scene": scene, "other": scene, "token": 96})


def test_a_run_that_keeps_little_says_so():
    session, scene = Session(model("gpt2-tiny")), scene_of("gpt2-tiny")
    session.most_bytes = 1000
    other = edited(scene, edit("blocks.0.attn.heads", [ALL, ALL, 1]))
    head = session.handle("compare", {"scene": scene, "other": other}).head
    assert not head["complete"]
    full = Session(model("gpt2-tiny")).handle("compare", {"scene": scene, "other": other}).head
    assert [each for each in full["changes"] if each in head["changes"]] == head["changes"] != full["changes"]
    assert (head["logit"], head["before"], head["after"]) == (full["logit"], full["before"], full["after"])


def test_two_edits_of_different_places_may_be_swapped():
    session, scene = Session(model("gpt2-tiny")), scene_of("gpt2-tiny")
    one, two = edit("blocks.0.attn.heads", [ALL, ALL, 1]), edit("token.weight", [41], "scale", 2)
    assert differing(*(everything(run_of(session, edited(scene, *each))) for each in ((one, two), (two, one)))) == []
    one, two = edit("embed.out", [0, 1], "add", 1), edit("embed.out", [0, 1], "scale", 2)
    assert differing(*(everything(run_of(session, edited(scene, *each))) for each in ((one, two), (two, one))))
