"""The models that come out: exact, small, ordinary; and what cannot be compiled exactly is refused by name."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from byhand.families import gpt2, llama
from byhand.wiring import Wiring, WiringError, compile, equal, everywhere, offset, predictions
from byhand.wiring.zoo.addition import addition
from byhand.wiring.zoo.induction import induction
from byhand.wiring.zoo.kgram import aab

from .programs import FAMILIES, doubled, histogram


def agrees(wired, length):
    """Whether the model and the wiring predict the same on every text of this length, at every position."""
    texts = ["".join(letters) for letters in product(wired.wiring.alphabet, repeat=length)]
    ids = np.array([wired.model.tokenizer.prepared(text) for text in texts])
    logits = wired.model.run(ids, engine="reference", keep=["logits"]).look("logits")
    tokens = wired.wiring.tokens.domain
    return [[tokens[i] for i in row] for row in logits.argmax(-1)] == [predictions(wired.wiring, t) for t in texts]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("make", [aab, doubled, lambda: induction("ab", context=12)])
def test_a_model_does_what_its_wiring_says(family, tied, make):
    assert agrees(compile(make(), family, tied=tied), 7)


@pytest.mark.parametrize("family", FAMILIES)
def test_counting(family):
    assert agrees(compile(histogram(), family), 3)


def test_the_exact_gelu_needs_more_room_and_gets_it():
    wired = compile(aab(), "gpt2", activation="gelu_erf")
    assert wired.model.config.activation == "gelu_erf"
    assert agrees(wired, 6)


def test_models_are_ordinary_ones_of_their_family():
    for family, module in (("gpt2", gpt2), ("llama", llama)):
        model = compile(aab(), family).model
        assert model.family is module
        assert {str(model.weights[address].dtype) for address in model.program.weights} == {"float32"}
        assert model.generate("aab", max_tokens=5).finish().text == "aabaa"


def test_they_are_as_small_as_they_can_be():
    small = compile(aab(), "gpt2").model.config
    assert (small.layers, small.width, small.heads, small.hidden) == (1, 12, 1, 2)
    assert compile(aab(), "llama").model.config.width == 8
    added = compile(addition(10), "gpt2").model.config
    assert (added.layers, added.heads, added.hidden, added.context) == (1, 4, 38, 34)


def test_slopes_are_powers_of_two():
    for family, name, row in (("gpt2", "up", 9), ("llama", "gate", 3)):  # the row that reads "the letter before is a"
        slopes = compile(aab(), family).model.weights[f"blocks.0.mlp.{name}.weight"][row]
        assert slopes[0] == slopes[1] == {"gpt2": 64, "llama": 1024}[family]


def test_sign_codes_take_fewer_dimensions():
    def made(code):
        wiring = Wiring("abcdefgh", context=8)
        with wiring.layer():
            before = wiring.head("before", offset(-1), wiring.tokens, default="a", code=code)
            wiring.predict(wiring.table("out", [before], {x: x for x in "bcdefgh"}, default="a"))
        return wiring

    signs, plain = (compile(made(code), "llama") for code in ("signs", "one-hot"))
    assert signs.model.config.width == plain.model.config.width - 2
    assert agrees(signs, 3)


def sign_head(wiring):
    """Codes of two variables that no product tells apart as wanted."""
    with wiring.layer():
        before = wiring.head("before", offset(-1), wiring.tokens, default="^", code="signs")
    with wiring.layer():
        wiring.predict(wiring.head("same", equal(wiring.tokens, before), before, pick="latest", default="^"))


def summed(wiring, of):
    """A decision on the sum of many numbers."""
    with wiring.layer():
        mean = wiring.average("mean", everywhere(), wiring.tokens, {"a": 1, "b": -1})
        wiring.predict(wiring.steps("sign", mean, of))


def count_all(wiring):
    with wiring.layer():
        count = wiring.count("count", equal(wiring.tokens, wiring.tokens), most=400)
    with wiring.layer():
        wiring.predict(wiring.function("odd", [count], lambda n: "a" if n % 2 else "b"))


def before(wiring, **settings):
    with wiring.layer():
        wiring.predict(wiring.head("before", offset(-1), wiring.tokens, default="a", **settings))


REFUSED = {
    "aliasing positions": (8, {"periods": (8.0,)}, lambda w: before(w), None),
    "a period that repeats": (
        16,
        {"periods": (8.0,)},
        lambda w: before(w),
        "positions: .*distances 8 apart look alike",
    ),
    "a context too long for its circle": (4096, {"periods": (4096.0,)}, lambda w: before(w), "positions: "),
    "a head too narrow": (8, {"head_width": 2}, lambda w: before(w), "head 'before': it needs 3 features"),
    "a count beyond its margin": (1000, {}, count_all, "layer 0,? '?count"),
    "no prediction": (8, {}, lambda w: None, "wired: it predicts nothing"),
    "a code that is not legal": (8, {}, lambda w: before(w, code=[[1, 0], [1, 1]]), "code of 'before': its rows have"),
    "a code with a row twice": (
        8,
        {},
        lambda w: before(w, code=[[1, 0], [1, 0]]),
        "code of 'before': two of its values",
    ),
    "an unknown code": (8, {}, lambda w: before(w, code="binary"), "code of 'before': 'binary' is unknown"),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_is_refused_by_gpt2(what):
    context, settings, build, message = REFUSED[what]
    wiring = Wiring("ab", context=context)
    build(wiring)
    if message is None:
        assert compile(wiring, "gpt2", **settings).prove().holds
        return
    with pytest.raises(WiringError, match=message) as caught:
        compile(wiring, "gpt2", **settings)
    assert "\n" not in str(caught.value)


def test_rotary_pairs_that_do_not_do_are_refused():
    wiring = Wiring("ab", context=512)
    before(wiring)
    with pytest.raises(WiringError, match="head 'before': rotary pairs of theta 10 and head width 4 do not tell"):
        compile(wiring, "llama", head_width=4, theta=10.0)
    values = Wiring("abcdefgh", context=8)
    with values.layer():
        values.predict(values.head("back", offset(-1), values.tokens, default="a"))
    with pytest.raises(WiringError, match="it copies 8 values, and a head of width 4 holds no more"):
        compile(values, "llama", head_width=4)


def test_codes_that_no_head_can_compare_are_refused():
    wiring = Wiring("abcde", context=8)
    sign_head(wiring)
    with pytest.raises(WiringError, match="layer 1, head 'same'"):
        compile(wiring, "gpt2")


def test_an_unknown_family_is_refused():
    with pytest.raises(WiringError, match="no family 'bert' to wire"):
        compile(aab(), "bert")


def test_nothing_is_changed_by_compiling():
    wiring = aab()
    one, other = compile(wiring, "gpt2"), compile(wiring, "gpt2")
    assert one.report() == other.report()
    assert replace(one.model.config) == other.model.config
