"""Programs that cannot be exact: each is refused before any text is run, with its site and its reason."""

import re
from fractions import Fraction
from inspect import getsource

import numpy as np
import pytest

from byhand.wiring import Wiring, WiringError, WiringWarning, compile, equal, everywhere, having, offset


def wiring(alphabet="ab", context=16):
    return Wiring(alphabet, context=context, name="small")


def reads_ahead():
    made = wiring()
    with made.layer():
        made.predict(made.head("next", offset(1), made.tokens, default="a"))
    return made


def reads_its_own_layer():
    made = wiring()
    with made.layer():
        before = made.head("before", offset(-1), made.tokens, default="a")
        made.predict(made.head("followed", equal(made.tokens, before), made.tokens, pick="latest", default="a"))
    return made


def reads_a_table_beside_it():
    made = wiring()
    with made.layer():
        one = made.table("one", [made.tokens], {"a": "b"}, default="a")
        made.predict(made.table("two", [one], {"a": "b"}, default="a"))
    return made


def has_no_default():
    made = wiring()
    with made.layer():
        made.predict(made.head("open", having(made.tokens, "a"), made.tokens, pick="latest"))
    return made


def has_no_pick():
    made = wiring()
    with made.layer():
        made.predict(made.head("any", having(made.tokens, "a", "b"), made.tokens, default="a"))
    return made


def has_rules_that_overlap():
    made = wiring()
    with made.layer():
        before = made.head("before", offset(-1), made.tokens, default="a")
        rules = [({made.tokens: "a"}, "a"), ({before: "b"}, "b")]
        made.predict(made.rules("both", rules, default="a"))
    return made


def leaves_values_open():
    made = wiring("abc")
    with made.layer():
        made.predict(made.rules("partly", [({made.tokens: "a"}, "b")]))
    return made


def reads_a_number_later():
    made = wiring()
    with made.layer():
        share = made.average("share", everywhere(), made.tokens, {"a": 1})
    with made.layer():
        made.predict(made.steps("more", share, lambda each: "a" if each > Fraction(1, 2) else "b"))
    return made


def mixes_two():
    made, other = wiring(), wiring()
    with made.layer():
        made.predict(made.table("next", [other.tokens], {"a": "b"}, default="a"))
    return made


def predicts_no_token():
    made = wiring()
    with made.layer():
        made.predict(made.table("next", [made.tokens], {"a": "c"}, default="a"))
    return made


def predicts_nothing():
    made = wiring()
    with made.layer():
        made.table("next", [made.tokens], {"a": "b"}, default="a")
    return made


def looks_further_than_any_text():
    made = wiring(context=4)
    with made.layer():
        made.predict(made.head("far", offset(-4), made.tokens, default="a"))
    return made


def has_a_code_that_norms_mix_up():
    made = wiring()
    with made.layer():
        code = np.array([[1.0, 0.0], [2.0, 0.0]])
        made.predict(made.table("next", [made.tokens], {"a": "b"}, default="a", code=code))
    return made


def has_a_code_that_cannot_be_read():
    made = wiring("abcdefgh")
    with made.layer():
        binary = made.function("binary", [made.tokens], lambda each: "a" if each == "^" else each, code="signs")
    with made.layer():
        made.predict(made.rules("some", [({binary: {"a", "d", "f"}}, "b")], default="a"))
    return made


def has_a_form_of_too_many_numbers():
    made = wiring("abcdefgh")
    with made.layer():
        digits = [made.head(str(k), offset(-k), made.tokens, default="a") for k in range(1, 8)]
        parts = [each.numbers(lambda letter, k=k: ord(letter) * 1009**k) for k, each in enumerate(digits)]
        made.predict(made.steps("hash", sum(parts, start=0 * parts[0]), lambda z: "a" if z % 2 else "b"))
    return made


def counts_too_far():
    """Its steps, at 1 / 500 and 1 / 501, are closer to each other than rounding moves them."""
    made = wiring(context=600)
    with made.layer():
        count = made.count("count", having(made.tokens, "a"), most=599)
    with made.layer():
        made.predict(made.function("odd", [count], lambda number: "ab"[number % 2]))
    return made


def copies(letters):
    made = Wiring(letters, context=8, name="copying")
    with made.layer():
        made.predict(made.head("before", offset(-1), made.tokens, default=made.begin))
    return made


def long_back(context):
    made = wiring(context=context)
    with made.layer():
        made.predict(made.head("before", offset(-1), made.tokens, default="a"))
    return made


# What is written, the choices of compile, the site and the reason.
REFUSED = {
    "it reads ahead": (reads_ahead, {}, "offset(1)", "a position reads only itself and what stands before it"),
    "it reads its own half": (reads_its_own_layer, {}, "layer 0, head 'followed'", "written in the same half"),
    "tables side by side": (reads_a_table_beside_it, {}, "layer 0, table 'two'", "feed-forwards run side by side"),
    "no default": (has_no_default, {}, "layer 0, head 'open'", "nothing may match, and it has no default"),
    "no pick": (has_no_pick, {}, "layer 0, head 'any'", "several keys may match, so say 'latest' or 'first'"),
    "overlapping rules": (
        has_rules_that_overlap,
        {},
        "layer 0, rules 'both'",
        "two rules fit tokens = 'a', before = 'b'",
    ),
    "rules with holes": (leaves_values_open, {}, "layer 0, rules 'partly'", "its rules say nothing about 3 of 4"),
    "a number outside": (reads_a_number_later, {}, "layer 1, steps 'more'", "the number share lives only in layer 0"),
    "two wirings": (mixes_two, {}, "layer 0, table 'next'", "tokens belongs to another wiring"),
    "no token": (predicts_no_token, {}, "predict 'next'", "tokens is never 'c'; its values are '^', 'a', 'b'"),
    "nothing predicted": (predicts_nothing, {}, "small", "it predicts nothing"),
    "too far": (looks_further_than_any_text, {}, "layer 0, head 'far'", "no text of 4 has a position 4 before another"),
    "an illegal code": (has_a_code_that_norms_mix_up, {}, "code of 'next'", "a norm would mix them up"),
    "an unreadable code": (has_a_code_that_cannot_be_read, {}, "layer 1, 'some'", "cannot tell these values from the"),
    "too many numbers": (has_a_form_of_too_many_numbers, {}, "layer 0, steps 'hash'", "more than 100,000 values"),
    "a count too high": (counts_too_far, {}, "layer 0 count", "rounding in float32 can take"),
    "positions that repeat": (
        lambda: long_back(64),
        {"periods": (8.0,)},
        "positions",
        "circles of periods 8 do not do for a context of 64",
    ),
    "pairs that repeat": (
        lambda: long_back(64),
        {"family": "llama", "head_width": 4, "theta": 10.0},
        "layer 0, head 'before'",
        "do not tell distance 1 from",
    ),
    "too many values": (
        lambda: copies("abcdefgh"),
        {"family": "llama", "head_width": 4},
        "layer 0, head 'before'",
        "and a head of width 4 holds no more",
    ),
    "too narrow": (
        lambda: copies("abcdefgh"),
        {"head_width": 4},
        "head 'before'",
        "it needs 9 features for its table and values, and may have 4",
    ),
}


@pytest.mark.parametrize("make, choices, site, reason", REFUSED.values(), ids=REFUSED)
def test_it_is_refused_with_its_site_and_reason(make, choices, site, reason):
    with pytest.raises(WiringError) as caught:
        compile(make(), **choices)
    line = str(caught.value)
    assert line.startswith(f"{site}: ") and reason in line and "\n" not in line, line


def test_there_are_at_least_twelve_and_no_two_say_the_same():
    assert len({(site, reason) for _, _, site, reason in REFUSED.values()}) == len(REFUSED) >= 12


RIGHT = {
    "a default": (has_no_default, 'pick="latest")', 'pick="latest", default="b")'),
    "a pick": (has_no_pick, 'default="a")', 'default="a", pick="first")'),
    "a layer between": (reads_its_own_layer, "        made.predict", "    with made.layer():\n        made.predict"),
    "rules apart": (has_rules_that_overlap, '({before: "b"}, "b")', '({before: "b", made.tokens: "b"}, "b")'),
    "a table with a rest": (leaves_values_open, '"b")])', '"b")], default="c")'),
    "a number at home": (reads_a_number_later, "    with made.layer():\n        made.predict", "        made.predict"),
    "a token": (predicts_no_token, '"c"', '"b"'),
    "a nearer one": (looks_further_than_any_text, "-4", "-3"),
    "a legal code": (has_a_code_that_norms_mix_up, "[2.0, 0.0]", "[0.0, 1.0]"),
    "fewer counted": (counts_too_far, "context=600", "context=60"),
}


@pytest.mark.parametrize("make, old, new", RIGHT.values(), ids=RIGHT)
def test_what_it_asks_for_makes_it_right(make, old, new):
    """The program is refused for the one reason, and nothing else is wrong with it."""
    source = getsource(make)
    assert source.count(old) == 1
    names = dict(globals())
    exec(source.replace(old, new).replace("most=599", "most=9"), names)
    wired = compile(names[make.__name__]())
    assert wired.prove().holds and wired.verify(exhaustive=500, random=20, engines=["reference"]).passed


@pytest.mark.parametrize("pattern, words", [("tokens", "'z'"), ("before", "'^'")])
def test_rules_that_can_never_apply_are_warned_of(pattern, words):
    made = wiring()
    with made.layer():
        before = made.head("before", offset(-1), made.tokens, default="a")
        what = made.tokens if pattern == "tokens" else before
        with pytest.warns(WiringWarning, match=rf"rules 'next': {pattern} = {re.escape(words)} -> 'b' never applies"):
            out = made.rules("next", [({what: words[1]}, "b"), ({what: "a"}, "b")], default="a")
        made.predict(out)
    assert compile(made).verify(exhaustive=99, random=10, engines=["reference"]).passed


def test_what_was_never_sure_is_never_given():
    """Whatever the number of letters counted, a model that compile gives is proven, and right where it is closest."""
    refused = []
    for context in (40, 160, 640):
        made = wiring(context=context)
        with made.layer():
            count = made.count("count", having(made.tokens, "a"), most=context - 1)
        with made.layer():
            made.predict(made.function("odd", [count], lambda number: "ab"[number % 2]))
        try:
            wired = compile(made)
        except WiringError:
            refused.append(context)
            continue
        every = ["a" * (context - 1), "ab" * (context // 2 - 1)]
        assert wired.verify(texts=every, exhaustive=0, engines=["reference"]).passed
    assert refused == [640]
