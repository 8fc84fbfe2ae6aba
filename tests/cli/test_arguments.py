"""How places, ids and edits are written."""

import pytest

from byhand.cli.arguments import Change, Place, change, ids, place, token_id
from byhand.errors import InputError


def letter(text: str) -> int:
    return "ab".index(text)


PLACES = {
    "logits": Place("logits", None, {}),
    "logits[]": Place("logits", (), {}),
    "logits[0]": Place("logits", (0,), {}),
    "logits[0, -1 ,:]": Place("logits", (0, -1, slice(None)), {}),
    "blocks.0.attn.q[1:,:2,1:5:2,-3:-1]": Place(
        "blocks.0.attn.q", (slice(1, None), slice(None, 2), slice(1, 5, 2), slice(-3, -1)), {}
    ),
    "d:logits[0,1,'b']": Place("d:logits", (0, 1, 1), {}),
    "x@step[head=2, query=1:3]": Place("x@step", None, {"head": 2, "query": slice(1, 3)}),
}


@pytest.mark.parametrize(("text", "meant"), PLACES.items(), ids=PLACES)
def test_places(text, meant):
    assert place(text, letter) == meant


@pytest.mark.parametrize("text", ["", "x[", "x]", "x[0]y", "x[[0]]", "x[a]", "x[1.5]", "x[0,]", "x[head=1,2]", "x y"])
def test_a_place_that_cannot_be_read(text):
    with pytest.raises(InputError):
        place(text, letter)


CHANGES = {
    "x=1": Change(Place("x", None, {}), "set", 1.0),
    "x[0,1] *= -2.5": Change(Place("x", (0, 1), {}), "scale", -2.5),
    "x[head=1]+=1e-3": Change(Place("x", None, {"head": 1}), "add", 0.001),
    "tokens[0,1]=b": Change(Place("tokens", (0, 1), {}), "set", 1),
    "source.tokens[0,1]='a'": Change(Place("source.tokens", (0, 1), {}), "set", 0),
}


@pytest.mark.parametrize(("text", "meant"), CHANGES.items(), ids=CHANGES)
def test_edits(text, meant):
    assert change(text, letter) == meant


@pytest.mark.parametrize("text", ["", "x", "x[0]", "=1", "x=", "x[0]=one", "x-=1", "x[0=1", "x[0]==1"])
def test_an_edit_that_cannot_be_read(text):
    with pytest.raises(InputError):
        change(text, letter)


def test_ids():
    assert ids("3, 1,2", "--ids") == [3, 1, 2]
    assert ids("-1", "--ids") == [-1]


@pytest.mark.parametrize("text", ["", "1,", "1 2", "a", "1.5"])
def test_ids_that_cannot_be_read(text):
    with pytest.raises(InputError, match="--ids"):
        ids(text, "--ids")


def test_a_digit_in_quotes_is_text():
    assert token_id("7", "0123456789".index) == 7
    assert token_id("'7'", "9876543210".index) == 2
    assert token_id("b", letter) == 1
