"""Axis letters, binding, and the ways to say where: every refusal names what, where, what was got and what to give."""

from typing import Any

import numpy as np
import pytest

from byhand import shapes
from byhand.errors import AddressError, InputError, ShapeError
from byhand.operators import REGISTRY


def test_names_end_in_their_axes():
    assert shapes.split_name("x_BTD") == ("x", "BTD")
    assert shapes.split_name("score_BHTS") == ("score", "BHTS")
    assert shapes.split_name("first_B1D") == ("first", "B1D")
    assert shapes.split_name("loss") == ("loss", "")
    assert shapes.split_name("d_mean") == ("d_mean", "")  # small letters are no axes
    assert shapes.split_name("_BTD") == ("_BTD", "")


def test_every_letter_of_every_operator_is_in_the_key():
    for record in REGISTRY.values():
        for operand in (*record.inputs, *record.outputs):
            assert set(operand.axes) <= set(shapes.AXES)
    assert {letter for means in shapes.WORDS.values() for letter in means} <= set(shapes.AXES)
    assert set(shapes.LIKELY_CAUSE) <= set(shapes.AXES)


# --- binding ------------------------------------------------------------------------------------------------------


def test_letters_bind_to_sizes():
    operands = [("x", "BTD", (2, 3, 4)), ("w", "DF", (4, 5)), ("first", "B1D", (2, 1, 4)), ("mean", "", ())]
    assert shapes.bind(operands, "here") == {"B": 2, "T": 3, "D": 4, "F": 5}


@pytest.mark.parametrize(
    "operands, message",
    [
        (
            [("x", "BTD", (2, 3, 4)), ("weight", "DF", (6, 5))],
            r"blocks.0.mlp.pre: D \(model width\) is 6 in weight \(6, 5\) but 4 in x; the weight belongs to",
        ),
        (
            [("q", "BTHK", (1, 2, 3, 4)), ("k", "BSGK", (1, 2, 3, 5))],
            r"K \(head width\) is 5 in k .* but 4 in q; the weight",
        ),
        (
            [("x", "BT", (2, 3)), ("y", "BT", (2, 4))],
            r"T \(position that asks\) is 4 in y \(2, 4\) but 3 in x; the sequences",
        ),
        ([("x", "BT", (2, 3)), ("y", "BT", (5, 3))], "the batches do not belong together"),
        (
            [("x", "B1D", (2, 3, 4))],
            r"1 \(a kept axis of size one\) is 3 in x .* but 1 in the operator's declaration; one of",
        ),
        ([("x", "BTD", (3, 4))], r"x has 2 axes \(3, 4\) but its axes are BTD; give an array with 3 axes"),
        ([("x", "", (3,))], r"x has 1 axes \(3,\) but its axes are none \(a number\); give an array with 0 axes"),
    ],
    ids=range(7),
)
def test_sizes_that_disagree_are_named_with_both_sides(operands, message):
    with pytest.raises(ShapeError, match=message) as caught:
        shapes.bind(operands, "blocks.0.mlp.pre")
    assert str(caught.value).startswith("blocks.0.mlp.pre: ") and "\n" not in str(caught.value)


# --- where --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word, axes, place",
    [
        ("head", "BHTS", 1),
        ("head", "BSGK", 2),
        ("group", "BSGK", 2),
        ("query", "BHTS", 2),
        ("position", "BHTS", 2),
        ("position", "BSGK", 1),
        ("key", "BHTS", 3),
        ("dimension", "BTD", 2),
        ("dimension", "BTHK", 3),
        ("neuron", "BTF", 2),
        ("token", "VD", 0),
        ("pair", "BTJ", 2),
        ("layer", "LBT", 0),
        ("batch", "BTV", 0),
        ("P", "PD", 0),
        ("D", "HKD", 2),
    ],
)
def test_words_for_axes(word, axes, place):
    assert shapes.axis_of(word, axes) == place


def test_words_that_are_not_there():
    with pytest.raises(AddressError, match="logits has axes BTV, so no 'head'; it has: batch, position, query, token"):
        shapes.axis_of("head", "BTV", "logits")
    with pytest.raises(AddressError, match="loss has axes none, so no 'batch'; it has: none"):
        shapes.axis_of("batch", "", "loss")
    with pytest.raises(
        AddressError, match="this value has axes DD: 'dimension' could mean either D; give an index instead"
    ):
        shapes.axis_of("dimension", "DD")


SHAPE = (1, 12, 7, 7)
CHOICES = [({"head": 5}, (slice(None), 5, slice(None), slice(None))), ({}, (slice(None),) * 4)]
CHOICES += [({"head": -1, "key": slice(2, 4), "T": np.int64(3)}, (slice(None), 11, 3, slice(2, 4)))]


@pytest.mark.parametrize("choice, index", CHOICES, ids=range(3))
def test_named_choices_become_an_index(choice, index):
    assert shapes.pick("BHTS", SHAPE, choice, "weights") == index
    assert all(type(place) in (int, slice) for place in shapes.pick("BHTS", SHAPE, choice, "weights"))


def test_parts_of_an_array():
    full = slice(None)
    assert shapes.part("BHTS", SHAPE, (0, -1), "weights") == (0, 11, full, full)
    assert shapes.part("DD", (4, 5), (1, 2), "pooler.weight") == (1, 2)  # a letter that is there twice
    found: Any = np.array([0, 1, 2])
    assert shapes.part("BTD", (1, 2, 3), found, "x") == (0, 1, 2)
    assert shapes.part("D", (5,), 3, "gain") == (3,) == shapes.part("D", (5,), [-2], "gain")
    assert shapes.part("DF", (5, 6), slice(1, None, 2), "w") == (slice(1, None, 2), full)
    assert shapes.part("", (), (), "loss") == ()


def test_elements():
    assert shapes.element("BTV", (1, 3, 9), (0, -1, 8), "logits") == (0, 2, 8)
    assert shapes.element("D", (5,), -1, "gain") == (4,)
    assert shapes.element("BTV", (1, 3, 9), np.argwhere(np.ones((1, 3, 9)))[-1], "logits") == (0, 2, 8)
    assert shapes.complete("BHTS", SHAPE, {"head": 5, "query": -1, "key": 0}, "w") == (0, 5, 6, 0)
    assert shapes.complete("", (), {}, "loss") == ()


WRONG: list[tuple[str, tuple[Any, ...], str]] = [
    (
        "pick",
        ("BHTS", SHAPE, {"head": 12}, "w"),
        "w, head: index 12 is out of range; there are 12, so 0 … 11",
    ),
    ("pick", ("BHTS", SHAPE, {"head": -13}, "w"), "w, head: index -13 is out of range"),
    ("pick", ("BHTS", SHAPE, {"head": 1.5}, "w"), "w, head: 1.5 is no index; give a whole number"),
    ("pick", ("BHTS", SHAPE, {"head": None}, "w"), "w, head: None is no index"),
    (
        "pick",
        ("BHTS", SHAPE, {"key": slice(7, None)}, "w"),
        "w, key: 7: chooses nothing; there are 7, so 0 … 6",
    ),
    ("pick", ("BHTS", SHAPE, {"key": slice(4, 2)}, "w"), "w, key: 4:2 chooses nothing"),
    (
        "pick",
        ("BHTS", SHAPE, {"key": slice(0, 4, 0)}, "w"),
        r"slice\(0, 4, 0\) is no slice; give whole numbers",
    ),
    (
        "pick",
        ("BHTS", SHAPE, {"T": 1, "position": 1}, "w"),
        "w: 'T' and 'position' are both its axis T; name it",
    ),
    ("part", ("BT", (1, 2), (0, 1, 2), "x"), r"x has axes BT and shape \(1, 2\), got 3 indices; give fewer"),
    ("part", ("BT", (1, 2), (0, 2), "x"), "x, axis T: index 2 is out of range; there are 2, so 0 … 1"),
    ("part", ("BT", (1, 2), 1.0, "x"), "x: 1.0 is no index; give whole numbers, such as"),
    ("part", ("BT", (1, 2), ("a",), "x"), "x, axis B: 'a' is no index"),
    ("part", ("BT", (1, 2), (..., 1), "x"), "x, axis B: Ellipsis is no index"),
    ("element", ("BT", (1, 2), (0,), "x"), r"x has axes BT and shape \(1, 2\), got 1 indices; give 2"),
    ("element", ("BT", (1, 2), (0, slice(1)), "x"), "x, axis T: .* is no index; give a whole number"),
    ("element", ("", (), (0,), "loss"), r"loss has axes none and shape \(\), got 1 indices; give 0"),
]


@pytest.mark.parametrize("name, arguments, message", WRONG, ids=range(len(WRONG)))
def test_wrong_places(name, arguments, message):
    with pytest.raises(AddressError, match=message) as caught:
        getattr(shapes, name)(*arguments)
    assert "\n" not in str(caught.value)


def test_an_element_needs_every_axis_that_is_longer_than_one():
    with pytest.raises(
        InputError, match=r"w has axes BHTS and shape .*: say which H \(query head\), S \(position that is"
    ):
        shapes.complete("BHTS", SHAPE, {"query": 1}, "w")
    with pytest.raises(InputError, match="say which S"):
        part: Any = slice(1, 2)
        shapes.complete("BHTS", SHAPE, {"head": 1, "query": 1, "key": part}, "w")


def test_places_as_one_types_them():
    for place, text in [
        (3, "3"),
        (slice(None), ":"),
        (slice(1, None), "1:"),
        (slice(-2), ":-2"),
        (slice(0, 9, 3), "0:9:3"),
    ]:
        assert shapes.written(place) == text
