"""Requests that make no sense: each is answered, or refused in one line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byhand.errors import ByhandError, InputError
from byhand.explorer import Session
from byhand.explorer.operations import OPERATIONS
from byhand.explorer.parameters import Parameters

from .requests import session

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
PLACES = st.lists(st.none() | st.integers(-7, 9) | st.lists(st.none() | st.integers(-3, 9), max_size=3), max_size=5)
ADDRESSES = st.sampled_from(["logits", "tokens", "mask", "loss", "token.weight", "blocks.0.attn.heads", "d:loss", "x"])
CHANGES = st.fixed_dictionaries(
    {"address": ADDRESSES, "index": PLACES, "action": st.sampled_from(["set", "add", "scale", "zero", "patch"])},
    optional={"value": st.floats(allow_nan=False) | ANYTHING},
)
SCENES = st.fixed_dictionaries(
    {},
    optional={
        "text": st.sampled_from(["Hello", "", "a", "\ud800"]) | ANYTHING,
        "tokens": st.lists(st.integers(-1, 99), max_size=3),
        "dtype": st.sampled_from(["float32", "bfloat16", "int8", "int9"]),
        "changes": st.lists(CHANGES, max_size=2),
        "gradient": st.fixed_dictionaries({"of": ADDRESSES}, optional={"index": PLACES | st.none()}) | ANYTHING,
    },
)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "scene": SCENES | ANYTHING,
        "other": SCENES,
        "part": st.sampled_from(["a", "b", "difference", "c"]),
        "address": ADDRESSES | ANYTHING,
        "addresses": st.lists(ADDRESSES, max_size=3) | ANYTHING,
        "index": PLACES | ANYTHING,
        "rows": st.lists(st.integers(-2, 9), max_size=3) | ANYTHING,
        "height": st.integers(-1, 9) | ANYTHING,
        "first": st.integers(-1, 300) | ANYTHING,
        "from": st.integers(-1, 300) | ANYTHING,
        "to": st.integers(-1, 300) | ANYTHING,
        "text": ANYTHING,
        "of": ANYTHING,
        "format": st.sampled_from(["npy", "csv", "exe"]),
        "state": st.fixed_dictionaries({"a": SCENES}, optional={"b": SCENES, "view": ANYTHING}) | ANYTHING,
        "order": ANYTHING,
        "job": st.just("j") | ANYTHING,
    },
)
OWN = ("model", "tokenize", "run", "outline", "stats", "window", "cell", "number", "terms", "progress", "cancel")
SHARED: list[Session] = []


@settings(max_examples=300)
@given(st.sampled_from([*OWN, "export", "python"]), PARAMETERS, st.booleans())
def test_any_request_is_answered_or_refused_in_one_line(op, params, plain):
    own = SHARED[0] if SHARED else SHARED.append(session()) or SHARED[0]
    if plain:
        params = {**params, "scene": {"text": "Hello"}}
    try:
        answer = own.handle(op, params)
        json.dumps(answer.head, allow_nan=False)
    except ByhandError as error:
        assert str(error) and "\n" not in str(error)


def test_a_parameter_of_another_kind_is_named():
    read = Parameters({"a": "x", "b": -1, "c": [1, "2"], "d": 1e999, "e": 1}, "op")
    for call, line in [
        (lambda: read.whole("a", 0, 9), "op: a is 'x'; give a whole number from 0 to 9"),
        (lambda: read.whole("b", 0, 9), "op: b is -1"),
        (lambda: read.wholes("c"), "op: c is"),
        (lambda: read.number("d"), "op: d is inf"),
        (lambda: read.truth("e", False), "op: e is 1; give true or false"),
        (lambda: read.text("f"), "op: f is missing"),
        (lambda: read.names("c"), "op: c is"),
    ]:
        with pytest.raises(InputError, match=line):
            call()
    assert (read.whole("f", 0, 9, 3), read.text("f", None), read.truth("f", True)) == (3, None, True)


def test_an_unknown_operation():
    with pytest.raises(InputError, match="nothing is called 'fly'; there are: .*window"):
        session().handle("fly", {})
    assert set(OWN) <= set(OPERATIONS)
