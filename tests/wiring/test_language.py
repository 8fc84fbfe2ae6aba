"""What can be declared, what is refused as it is declared, and what the interpreter makes of it."""

import warnings
from fractions import Fraction

import pytest

from byhand.errors import InputError
from byhand.wiring import (
    Wiring,
    WiringError,
    WiringWarning,
    equal,
    everywhere,
    having,
    interpret,
    offset,
    predictions,
    scores,
)
from byhand.wiring.zoo.induction import induction
from byhand.wiring.zoo.kgram import aab

from .programs import doubled, histogram


def wiring():
    return Wiring("abc", context=8)


def test_aab_follows_its_rule():
    assert predictions(aab(), "aabaab") == ["a", "a", "b", "a", "a", "b", "a"]


def test_induction_reads_behind_the_latest_and_the_first_copy():
    assert predictions(induction("abc", context=16), "abcabb") == ["^", "^", "^", "^", "b", "c", "b"]
    assert predictions(induction("abc", context=16, pick="first"), "abcabb") == ["^", "^", "^", "^", "b", "c", "c"]


def test_a_head_reads_its_default_before_the_text_begins():
    values = interpret(doubled(), "ba")
    assert values["one"] == ["a", "a", "b"]
    assert values["two"] == ["a", "a", "a"]


def test_a_count_saturates():
    assert predictions(histogram(most=2), "aaaa") == ["0", "1", "2", "2", "2"]


def test_an_average_counts_the_begin_token():
    made = wiring()
    with made.layer():
        mean = made.average("mean", everywhere(), made.tokens, {"a": 1, "b": -1}, begin=Fraction(1, 2), weight=2)
        made.predict(made.steps("sign", mean, lambda part: "a" if part > 0 else "b"))
    assert interpret(made, "abb")["mean"] == [Fraction(1, 2), Fraction(2, 3), Fraction(1, 4), 0]
    assert predictions(made, "abb") == ["a", "a", "a", "b"]


def test_scores_prefer_the_highest_level_and_then_the_latest():
    made = wiring()
    with made.layer():
        larger = scores(made.tokens, made.tokens, lambda asks, says: -ord(says) if says > asks else None)
        made.predict(made.head("next larger", larger, made.tokens, pick="latest", default="^"))
    assert predictions(made, "cba") == ["^", "^", "c", "b"]


def test_automatic_layers_are_as_early_as_they_can_be():
    made = wiring()
    with made.automatic():
        before = made.head("before", offset(-1), made.tokens, default="^")
        same = made.head("same", equal(made.tokens, before), made.tokens, pick="latest", default="^")
        both = made.function("both", [before, made.tokens], lambda one, two: one == two)
        made.predict(made.rules("out", [({both: True}, "a")], default="b"))
    assert (before.layer, same.layer, both.layer, made.predicted.layer) == (0, 1, 0, 1)


def declare(part):
    """Declare something inside a second layer of a wiring whose first has the head `before`."""
    made = wiring()
    with made.layer():
        before = made.head("before", offset(-1), made.tokens, default="^")
    with made.layer():
        part(made, made.tokens, before)


REFUSED = {
    "looks ahead": (lambda w, t, b: w.head("x", offset(1), t, default="^"), r"offset\(1\): .*before it"),
    "same half": (
        lambda w, t, b: w.head("y", offset(-1), w.head("x", offset(-1), t, default="^"), default="^"),
        "layer 1, head 'y': it reads x, which is written in the same half",
    ),
    "feed-forwards side by side": (
        lambda w, t, b: w.table("y", [w.table("x", [t], {"a": "b"}, default="a")], {"a": "b"}, default="a"),
        "layer 1, rules 'y': it reads x, which is written in the same half",
    ),
    "no default": (lambda w, t, b: w.head("x", offset(-1), t), "layer 1, head 'x': nothing may match"),
    "no default for equality": (
        lambda w, t, b: w.head("x", equal(t, b), t, pick="latest"),
        "layer 1, head 'x': nothing may match",
    ),
    "no pick": (lambda w, t, b: w.head("x", equal(t, b), t, default="^"), "layer 1, head 'x': pick is None"),
    "too far": (lambda w, t, b: w.head("x", offset(-8), t, default="^"), "no text of 8 has a position 8 before"),
    "overlapping rules": (
        lambda w, t, b: w.rules("x", [({t: "a"}, "b"), ({b: "a"}, "c")], default="a"),
        "layer 1, rules 'x': two rules fit tokens = 'a', before = 'a'",
    ),
    "rules that leave something open": (
        lambda w, t, b: w.table("x", [t, b], {("a", "a"): "b"}),
        "layer 1, rules 'x': its rules say nothing about 15 of 16",
    ),
    "a name twice": (lambda w, t, b: w.head("before", offset(-2), t, default="^"), "a name of its own"),
    "a row too short": (lambda w, t, b: w.table("x", [t, b], {("a",): "b"}, default="a"), "has 1 values for 2 inputs"),
    "predicting no token": (
        lambda w, t, b: w.predict(w.table("x", [t], {"a": 7}, default="a")),
        "predict 'x': tokens is never 7",
    ),
    "steps of something else": (lambda w, t, b: w.steps("x", t, str), "layer 1, steps 'x': it needs a form"),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_is_refused(what):
    part, message = REFUSED[what]
    with pytest.raises(WiringError, match=message) as caught:
        declare(part)
    assert "\n" not in str(caught.value)


def test_a_variable_of_another_wiring_is_refused():
    with pytest.raises(WiringError, match="tokens belongs to another wiring"):
        declare(lambda w, t, b: w.head("x", offset(-1), wiring().tokens, default="^"))


def test_a_number_does_not_leave_its_layer():
    made = wiring()
    with made.layer():
        mean = made.average("mean", everywhere(), made.tokens, {"a": 1})
    with made.layer(), pytest.raises(WiringError, match="the number mean lives only in layer 0"):
        made.steps("x", mean, str)


def test_outside_of_a_layer_is_refused():
    made = wiring()
    with pytest.raises(WiringError, match="outside of a layer"):
        made.head("x", offset(-1), made.tokens, default="^")


def test_rules_that_never_apply_are_warned_of():
    made = wiring()
    with made.layer():
        before = made.head("before", offset(-1), made.tokens, default="^")
        with pytest.warns(WiringWarning, match="tokens = 'x' -> 'b' never applies"):
            made.rules("x", [({made.tokens: "x"}, "b")], default="a")
        with pytest.warns(WiringWarning, match="tokens = '\\^' and before = 'a' -> 'b' never applies"):
            made.rules("y", [({made.tokens: "^", before: "a"}, "b")], default="a")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made.rules("z", [({made.tokens: "^", before: "^"}, "b")], default="a")


def test_texts_that_are_none_are_refused():
    with pytest.raises(InputError, match="letter 'x' at 1 is not in the alphabet"):
        interpret(wiring(), "ax")
    with pytest.raises(InputError, match="at most 7 fit"):
        interpret(wiring(), "a" * 8)


def test_a_wiring_needs_letters_a_begin_and_a_context():
    for arguments in (("aa", {}), ("ab", {"begin": "a"}), ("", {}), ("ab", {"context": 1})):
        with pytest.raises(WiringError):
            Wiring(arguments[0], **({"context": 8} | arguments[1]))


def test_keys_are_named_by_their_values():
    with pytest.raises(WiringError, match="tokens is never 'x'"):
        having(wiring().tokens, "x")
