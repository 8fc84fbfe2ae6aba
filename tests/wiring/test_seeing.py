"""What a wired model shows of itself comes from its weights, in the names of its variables."""

import pytest

from byhand.errors import InputError
from byhand.wiring import WiringError, compile
from byhand.wiring.zoo.addition import addition
from byhand.wiring.zoo.induction import induction
from byhand.wiring.zoo.kgram import aab

from .programs import FAMILIES, histogram


def cells(grid):
    return {row[1]: row for row in grid.rows[1:]}


def test_the_stream():
    rows = cells(compile(aab(), "gpt2").look().stream())
    assert rows["tokens"][0] == "0-2"
    assert rows["1 back"] == ("9-11", "1 back", "a b ^", "layer 0 attention", "layer 0 next")
    assert rows["position"][4] == "layer 0 1 back (query, key)"
    assert rows["next"][4] == "logits"
    counted = cells(compile(histogram(), "llama").look().stream())
    assert counted["count share"][3] == "layer 0 attention, then erased"


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_and_values(family):
    look = compile(induction("abc", context=16), family).look()
    by_distance = {row[0]: float(row[1]) for row in look.scores("before").rows[1:]}
    assert max(by_distance, key=lambda distance: by_distance[distance]) == "1"
    table = look.scores("followed").rows
    for row in table[2:]:
        figures = dict(zip(table[0][1:-2], map(float, row[1:-2]), strict=True))
        assert max(figures, key=lambda value: figures[value]) == row[0]
    assert [row[:2] for row in look.values("before").rows[1:]] == [(x, x) for x in "abc"] + [("begin (^)", "^")]
    with pytest.raises(WiringError, match="it has no head 'x'; its heads are before, followed"):
        look.scores("x")


@pytest.mark.parametrize("family", FAMILIES)
def test_rules_are_recovered(family):
    assert compile(aab(), family).look().rules() == [
        "layer 0 next: 'a', unless",
        "layer 0 next:   1 back = 'a' and tokens = 'a': 'a' -> 'b'",
    ]
    form, base, *steps = compile(addition(2), family).look().rules()
    assert "a [0, 22, 44, 66, 88, 110, 132, 154, 176, 198, 0, 0, 0]" in form
    assert "tokens [9, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 9, 9]" in form
    assert base == "layer 0 digit: '0', unless"
    assert steps[0] == "layer 0 digit:   z > 13.5: '0' -> '1'"
    assert len(steps) == 19


def test_rules_come_from_the_weights():
    wired = compile(aab(), "gpt2")
    down = wired.model.weights["blocks.0.mlp.down.weight"]
    swapped = wired.model.edit("blocks.0.mlp.down.weight", set=-down)
    assert wired.look(swapped).rules()[1].endswith("'b' -> 'a'")


def test_a_number_is_shown():
    rows = compile(histogram(), "gpt2").look().values("count share").rows
    assert [row[:2] for row in rows[1:]] == [("any", "1"), ("begin (^)", "0")]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_shows_what_was_looked_at(family):
    look = compile(induction("abc", context=16), family).look()
    rows = {row[0]: row[1:] for row in look.step("abcab").grid().rows[1:]}
    assert rows["layer 0 before"][:2] == ("4 (a)", "a")
    assert rows["layer 1 followed"][:2] == ("3 (c)", "c")
    assert rows["output"][1] == "c"
    assert float(rows["layer 1 followed"][2]) > 100
    assert look.step("abcab", 0).grid().title == "position 0 (^) of ^abcab"
    counted = {row[0]: row[1:] for row in compile(histogram(), family).look().step("abab").grid().rows[1:]}
    assert counted["layer 0 count share"][:2] == ("3 positions", "2/7")
    assert counted["layer 0 count"][1] == counted["output"][1] == "2"
    with pytest.raises(InputError, match="no position 6; the text has 0 to 5"):
        look.step("abcab", 6)
