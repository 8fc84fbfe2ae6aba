"""Diff: the first change, the largest ones, and what comes out before and after."""

import json

import numpy as np
import pytest

from byhand.diff import best, compare
from byhand.errors import InputError

from .small_models import fresh, model, run


def test_a_run_does_not_differ_from_itself():
    difference = run("gpt2-tiny").diff(fresh("gpt2-tiny"))
    assert difference.changes == () and difference.first is None and difference.largest() == []
    assert str(difference) == "no kept value differs"


def test_the_first_and_the_largest_change():
    before = run("gpt2-tiny")
    after = before.edit("blocks.0.attn.heads", head=2, position=3, zero=True)
    difference = before.diff(after)
    assert difference.first is difference.changes[0] and difference.changes[0].address == "blocks.0.attn.heads"
    order = list(before.program.producer)
    places = [order.index(change.address) for change in difference.changes]
    assert places == sorted(places)
    for change in difference.changes:
        one, other = before.look(change.address), after.look(change.address)
        gap = np.where(one == other, 0, np.abs(np.nan_to_num(other) - np.nan_to_num(one)))
        assert change.amount == gap.max() == gap[change.index] and change.count == (one != other).sum()
        assert (change.before, change.after, change.size) == (one[change.index], other[change.index], one.size)
    unchanged = set(order) - {change.address for change in difference.changes}
    assert all(np.array_equal(before.look(address), after.look(address)) for address in unchanged)
    largest = difference.largest(3)
    assert [change.amount for change in largest] == sorted((c.amount for c in difference.changes), reverse=True)[:3]
    assert len(difference.largest()) == 5


def test_what_comes_out_before_and_after():
    before = model("aab").run("aab", dtype="float64")
    after = before.edit("blocks.0.attn.out", zero=True)
    difference = before.diff(after)
    assert difference.before is not None and (difference.before == before.look("logits")[0, -1]).all()
    assert difference.after is not None and (difference.after == after.look("logits")[0, -1]).all()
    # of the token alone only the residual connection is left, which repeats it
    assert str(difference).splitlines()[-2:] == [
        "output   before: 'a' 100.0%, 'b' 0.0%",
        "         after:  'b' 73.1%, 'a' 26.9%",
    ]


def test_edited_inputs_come_first_but_ids_are_no_amounts():
    before = run("gpt2-tiny")
    difference = before.diff(before.edit("tokens", position=1, set=90))
    first = difference.changes[0]
    assert (first.address, first.before, first.after) == ("tokens", 70, 90)
    assert str(difference).startswith("first    tokens[0,1]: 70 -> 90   (1 of 5 differ)\nlargest  ")
    assert all(change.address != "tokens" for change in difference.largest(100))
    hidden = before.diff(before.edit("mask", query=4, key=0, set=False))
    assert hidden.changes[0].address == "mask"


def test_only_what_both_runs_kept_is_compared():
    few = fresh("gpt2-tiny", keep=["blocks.?.mid"])
    after = run("gpt2-tiny").edit("embed.out", position=0, scale=1.5)
    for difference in (few.diff(after), after.diff(few)):
        assert [change.address for change in difference.changes] == [
            "blocks.0.mid",
            "blocks.1.mid",
            "logits",
            "losses",
            "loss",
        ]
    assert few.kept.keys() == {"blocks.0.mid", "blocks.1.mid", "logits", "losses", "loss"}


def test_different_precisions_can_be_compared():
    difference = run("gpt2-tiny").diff(run("gpt2-tiny", "bfloat16"))
    first = difference.changes[0]
    assert first.address == "embed.token" and 0 < first.amount < 0.01
    assert "logits" in [change.address for change in difference.changes]


def test_infinities_and_equal_ones():
    one, other = np.array([1.0, -np.inf, -np.inf, 2.0]), np.array([1.0, -np.inf, 3.0, 2.5])
    change = compare("x", one, other)
    assert change is not None and (change.index, change.count, change.amount) == ((2,), 2, np.inf)
    assert compare("x", one, one.copy()) is None
    assert compare("x", np.array([np.nan]), np.array([np.nan])) is None
    number = compare("loss", np.array(1.0), np.array(1.5))
    mask = compare("mask", np.array([True, False]), np.array([True, True]))
    assert number is not None and number.index == () and mask is not None and mask.amount == 1


def test_plain_data():
    before = model("aab").run("aab", dtype="float64")
    data = json.loads(json.dumps(before.diff(before.edit("embed.token", position=1, zero=True)).to_dict()))
    assert data["first"] == data["changes"][0] and data["first"]["address"] == "embed.token"
    assert data["logits_before"] == before.look("logits")[0, -1].tolist()


def test_the_best_tokens():
    assert best(np.array([0.0, np.log(3.0)]), ("a", "b")) == "'b' 75.0%, 'a' 25.0%"
    assert best(np.array([1.0, 1.0, -np.inf, 1.0]), ()) == "0 33.3%, 1 33.3%, 3 33.3%"


def test_runs_that_cannot_be_compared():
    of = run("gpt2-tiny")
    for other, message in [
        (run("llama-tiny"), r"the runs are of different programs \(gpt2, llama\): only one computes blocks.0"),
        (model("gpt2-tiny").run("H"), r"different programs \(gpt2, gpt2\): only one computes loss"),
        (
            model("gpt2-tiny").run("Hi"),
            r"tokens has shape \(1, 5\) in one run and \(1, 2\) in the other; run texts of equal",
        ),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            of.diff(other)
        assert "\n" not in str(caught.value)
