"""What can be declared, what is refused as it is declared, and what the interpreter makes of it."""

import linecache
import warnings
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from byhand.errors import InputError
from byhand.wiring import (
    Wiring,
    WiringError,
    WiringWarning,
    compile,
    equal,
    everywhere,
    having,
    interpret,
    mutants,
    offset,
    predictions,
    scores,
)
from byhand.wiring.placing import possible
from byhand.wiring.zoo.carrying import most_out
from byhand.wiring.zoo.induction import induction
from byhand.wiring.zoo.kgram import aab
from byhand.wiring.zoo.recall import recall
from byhand.wiring.zoo.reverse import variable

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


def test_positions_are_counted_and_alone_in_matching():
    """No pick is needed where no two keys can match: the language sees that counted positions are all different."""
    made = wiring()
    with made.layer():
        place = made.position("place")
        half = made.position("half", lambda at: at // 2)
    with made.layer():
        wanted = made.function("wanted", [place], lambda at: max(at - 2, 1))
    with made.layer():
        made.head("back", equal(wanted, place), made.tokens, default="^")
        with pytest.raises(WiringError, match="head 'any': pick is None; several keys may match"):
            made.head("any", equal(wanted, half), made.tokens, default="^")
    values = interpret(made, "abcabc")
    assert values["place"] == [0, 1, 2, 3, 4, 5, 6]
    assert values["half"] == [0, 0, 1, 1, 2, 2, 3]
    assert values["back"] == ["^", "a", "a", "a", "b", "c", "a"]


def test_what_two_positions_may_both_say_is_not_alone():
    """Of a variable that a text decides, only values that can stand at a single position are."""
    made = wiring()
    with made.layer():
        place = made.position("place")
    with made.layer():
        at_a = [({place: at, made.tokens: "a"}, at) for at in range(1, 5)]
        marked = made.rules("marked", [*at_a, ({place: {5, 6, 7}, made.tokens: "a"}, "late")], default="none")
    with made.layer():
        early = scores(None, marked, lambda says: -says if isinstance(says, int) else None)
        made.head("first a", early, made.tokens, default="^")
        with pytest.raises(WiringError, match="several keys may match"):
            made.head("late a", having(marked, "late"), made.tokens, default="^")


@pytest.mark.parametrize("make", [doubled, histogram, recall, partial(most_out, 2), partial(variable, 4)], ids=range(5))
def test_what_is_possible_at_a_position_is_all_that_ever_stands_there(make):
    made, rng = make(), np.random.default_rng(0)
    found = possible(made)
    for _ in range(200):
        text = "".join(rng.choice(list(made.alphabet), made.context - 1))
        for name, values in interpret(made, text).items():
            assert all(value in some for value, some in zip(values, found[name], strict=True)), name


def test_a_changed_wiring_that_needs_a_pick_is_refused():
    """A head that was allowed to pick nothing is asked again when the wiring is compiled."""
    made = wiring()
    with made.layer():
        place = made.position("place")
    with made.layer():
        made.predict(made.head("third", having(place, 3), made.tokens, default="^"))
    assert compile(made, "gpt2").verify(exhaustive=100, random=50, engines=["reference"]).passed
    without = [mutant for what, mutant in mutants(made) if "'place': without the step" in what]
    assert len(without) == 7
    refused = 0
    for mutant in without:
        try:
            compile(mutant, "gpt2")
        except WiringError as error:
            assert "head 'third': several keys may match" in str(error)
            refused += 1
    assert refused == 1


def test_numbers_that_nobody_foresaw_fall_to_the_nearest_step():
    """As in a model: a mutant counts the begin token once more, and steps stay halfway between the right shares."""
    made = wiring()
    with made.layer():
        made.position("place")
    (mutant,) = [mutant for what, mutant in mutants(made) if "begin counts once more" in what]
    shares = [at / (at + 7) for at in range(8)]
    nearest = [min(range(8), key=lambda to: abs(shares[to] - at / (at + 8))) for at in range(8)]
    assert interpret(mutant, "a" * 7)["place"] == nearest == [0, 1, 2, 3, 4, 4, 5, 6]


def test_predicates_are_scores():
    made = wiring()
    with made.layer():
        larger = scores(made.tokens, made.tokens, lambda asks, says: says > asks)
        made.predict(made.head("larger", larger, made.tokens, pick="latest", default="^"))
    assert predictions(made, "cab") == ["^", "^", "c", "c"]


def test_a_form_keeps_its_numbers_when_it_is_centred():
    """Centred numbers are the same form, with a smaller largest term."""
    tokens = wiring().tokens
    form = 3 * tokens.numbers({"a": 4, "b": 5, "c": 9}) + 1
    centred = form.centred()
    assert centred.possible("form") == form.possible("form") == [1, 13, 16, 28]
    assert max(map(abs, centred.terms[tokens])) < max(map(abs, form.terms[tokens]))


def test_a_wiring_shows_its_parts_with_an_example():
    assert [" ".join(line.split()) for line in str(aab()).splitlines()] == [
        "aab: context 64, predicts next",
        "tokens the text ^ a b a b a b a b",
        "layer 0 1 back tokens 1 back, else '^' ^ ^ a b a b a b a",
        "layer 0 next 1 rule on 1 back, tokens, else 'a' a a a a a a a a a",
    ]
    assert len({line.rfind(" ") for line in str(aab()).splitlines()[1:]}) == 1
    assert aab().on("aa").endswith("  a a b")
    with pytest.raises(InputError, match="letter 'x' at 1"):
        aab().on("ax")
    assert "the text  ^ c a" in str(Wiring("abc", context=8, example="ca"))
    with pytest.raises(InputError, match="letter 'x' at 1"):
        Wiring("abc", context=8, example="ax")


def test_every_kind_of_part_is_put_into_words():
    made = wiring()
    with made.layer():
        made.head("like", equal(made.tokens, made.tokens), made.tokens, pick="first", default="^")
        made.head("some", having(made.tokens, "a", "b"), made.tokens, pick="latest", default="^")
        made.head(
            "larger", scores(made.tokens, made.tokens, lambda a, b: b > a), made.tokens, pick="latest", default="^"
        )
        mean = made.average("mean", everywhere(), made.tokens, {"a": 1}, weight=2)
        made.steps("high", mean, lambda part: part > Fraction(1, 2))
    said = str(made)
    assert "predicts nothing yet" in said
    for what in (
        "first tokens where tokens is this tokens, else '^'",
        "latest tokens where tokens is 'a' or 'b', else '^'",
        "latest tokens by a table of this tokens and that tokens",
        "mean of tokens; begin counts 2 times as 0",
        "steps of mean",
    ):
        assert what in said


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
        "layer 1, table 'y': it reads x, which is written in the same half",
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
        "layer 1, table 'x': its rules say nothing about 15 of 16",
    ),
    "a name twice": (lambda w, t, b: w.head("before", offset(-2), t, default="^"), "a name of its own"),
    "a row too short": (lambda w, t, b: w.table("x", [t, b], {("a",): "b"}, default="a"), "has 1 values for 2 inputs"),
    "predicting no token": (
        lambda w, t, b: w.predict(w.table("x", [t], {"a": 7}, default="a")),
        "predict 'x': tokens is never 7",
    ),
    "an offset with a pick": (
        lambda w, t, b: w.head("x", offset(-1), t, pick="latest", default="^"),
        "layer 1, head 'x': pick is 'latest', and an offset is one position",
    ),
    "inputs that are none": (
        lambda w, t, b: w.table("x", ["a"], {}),
        "table 'x': its inputs are variables, and not 'a'",
    ),
    "rows that are none": (lambda w, t, b: w.table("x", t, {"a", "b"}), "table 'x': its rows are a dictionary"),
    "a number in a table": (
        lambda w, t, b: w.function("x", w.average("n", everywhere()), str),
        "function 'x': it reads the number n; turn it into a variable first",
    ),
    "a rule that is none": (lambda w, t, b: w.rules("x", {"a": "b"}), "rules 'x': a rule is a pair"),
    "a pattern of names": (
        lambda w, t, b: w.rules("x", [({"tokens": "a"}, "b")], default="a"),
        "rules 'x': a pattern gives variables values, and 'tokens' is no variable",
    ),
    "a pattern of a list": (
        lambda w, t, b: w.rules("x", [({t: ["a", "b"]}, "b")], default="a"),
        "rules 'x': a pattern wants .'a', 'b'.; give one value, or a set",
    ),
    "a function that fails": (
        lambda w, t, b: w.function("x", [t], int),
        r"function 'x': its function fails for '\^': ValueError: invalid literal",
    ),
    "a function that is none": (lambda w, t, b: w.function("x", [t], "a"), "function 'x': it needs a function"),
    "a value that is none": (
        lambda w, t, b: w.function("x", [t], lambda letter: [letter]),
        r"function 'x': its function gives \['\^'\] for '\^', which is no value",
    ),
    "a default that is none": (
        lambda w, t, b: w.head("x", offset(-1), t, default=["a"]),
        r"layer 1, 'x': \['a'\] is no value",
    ),
    "numbers of unknown values": (lambda w, t, b: t.numbers({"A": 1}), "numbers of tokens: tokens is never 'A'"),
    "numbers that are none": (
        lambda w, t, b: t.numbers({"a": "x"}),
        "numbers of tokens: it needs a number, and got 'x'",
    ),
    "a form and a variable": (
        lambda w, t, b: t.numbers({"a": 1}) + b,
        r"a form, added to something: it needs a number, .*; a variable has them by .numbers",
    ),
    "a form times a form": (
        lambda w, t, b: t.numbers({"a": 1}) * b.numbers({"a": 1}),
        "a form, multiplied: it needs a number",
    ),
    "looking by a name": (lambda w, t, b: equal("tokens", b), "scores: heads look by variables, and got 'tokens'"),
    "having by a name": (lambda w, t, b: having("tokens", "a"), "having: heads look by variables, and got 'tokens'"),
    "having the begin token": (lambda w, t, b: having(t, "^"), r"having: '\^' is the begin token"),
    "scores of nothing": (lambda w, t, b: scores(t, b, {}), "scores of tokens and before: no key is ever wanted"),
    "scores of unknown values": (
        lambda w, t, b: scores(t, b, {("a", "x"): 1}),
        "scores of tokens and before: tokens and before are never .'a', 'x'.",
    ),
    "scores that are no levels": (
        lambda w, t, b: scores(t, b, lambda *_: "high"),
        "a level is a number, .* not 'high'",
    ),
    "averaging a name": (
        lambda w, t, b: w.average("x", everywhere(), "tokens", {"a": 1}),
        "average 'x': it averages the numbers of a variable, and not 'tokens'",
    ),
    "predicting a name": (lambda w, t, b: w.predict("x"), "it predicts a variable of tokens, and not 'x'"),
    "counting into nothing": (
        lambda w, t, b: w.count("x", everywhere(), most=3, of=lambda count: "abc"[count]),
        "count 'x': its function fails for 3: IndexError",
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
        with pytest.warns(
            WiringWarning, match="tokens = 'x' -> 'b' never applies: tokens is always one of '\\^', 'a', 'b'"
        ):
            made.rules("x", [({made.tokens: "x"}, "b")], default="a")
        with pytest.warns(WiringWarning, match="where tokens is '\\^', before is '\\^'"):
            made.rules("y", [({made.tokens: "^", before: "a"}, "b")], default="a")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made.rules("z", [({made.tokens: "^", before: "^"}, "b")], default="a")
            made.function("all", [made.tokens, before], lambda _, before: before)  # nobody wrote these combinations


@pytest.mark.parametrize("write", ["rules", "table"])
def test_a_warning_is_of_the_line_that_wrote_the_rule(write):
    made = wiring()
    with made.layer(), warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        if write == "rules":
            made.rules("x", [({made.tokens: "x"}, "b")], default="a")
        else:
            made.table("x", made.tokens, {"x": "b"}, default="a")
    (warning,) = found
    assert warning.filename == __file__ and linecache.getline(__file__, warning.lineno).strip().startswith("made.")


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
