"""Counting: how far it is certain; a mean is never further off than the proof says; what is refused."""

from fractions import Fraction

import numpy as np
import pytest

from byhand.weights import Weights
from byhand.wiring import Wiring, WiringError, compile, equal, everywhere, having, interpret, predictions, scores
from byhand.wiring.proof import prove
from byhand.wiring.proof.certificate import Walk
from byhand.wiring.proof.rounding import ROUNDINGS

from .programs import FAMILIES


def counted(most, context):
    """How many copies of the current letter there are so far, as a digit: the last of the number."""
    wiring = Wiring("ab0123456789", context=context, name="counted")
    with wiring.layer():
        same = equal(wiring.tokens, wiring.tokens)
        wiring.predict(wiring.count("count", same, most=most, of=lambda number: str(number % 10)))
    return wiring


def balance(context, weight=1, begin=0):
    """Whether there are more a's than b's so far."""
    wiring = Wiring("abc", context=context, name="balance")
    with wiring.layer():
        numbers = {"a": 1, "b": -1}
        mean = wiring.average("mean", everywhere(), wiring.tokens, numbers, weight=weight, begin=begin)
        wiring.predict(wiring.steps("more", mean, lambda number: "a" if number > 0 else "b" if number < 0 else "c"))
    return wiring


def least(wired):
    sites = prove(wired.plan, wired.model.weights, wired.model.config, ["float32"]).sites["float32"]
    return min(site.slack for site in sites if site.margin is not None)


@pytest.mark.parametrize("family, slack", [("gpt2", 3), ("llama", 4)])
def test_a_hundred_is_counted_with_room_to_spare(family, slack):
    wired = compile(counted(99, 128), family)
    assert least(wired) > slack
    texts = ["a" * 127, "ab" * 63, "aab" * 42]
    assert wired.verify(texts=texts, exhaustive=0, engines=["reference"]).passed


@pytest.mark.parametrize("family", FAMILIES)
def test_signs_of_long_sums_are_certain(family):
    assert least(compile(balance(144), family)) > 50


@pytest.mark.parametrize("family", FAMILIES)
def test_a_count_that_is_too_long_is_refused(family):
    with pytest.raises(WiringError, match="output: next token from count: its margin is"):
        compile(counted(400, 401), family, **({"strongest": 2.0**12} if family == "llama" else {}))


MEANS = {
    "counted": counted(5, 24),
    "balance": balance(24),
    "balance of many": balance(24, weight=100),
    "balance from one": balance(24, weight=3, begin=Fraction(1, 2)),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", list(MEANS))
@pytest.mark.parametrize("blur", [0.0, 2e-3])
def test_a_mean_is_never_further_off_than_the_proof_says(name, family, blur):
    """Also where the scores of what it counts alike are not alike, because all weights of queries and keys are off."""
    wired = compile(MEANS[name], family)
    wiring, number = wired.wiring, wired.wiring.layers[0].heads[0].out
    rng = np.random.default_rng(0)
    arrays = {address: np.array(wired.model.weights[address]) for address in wired.model.program.weights}
    for part in "qk":
        shape = arrays[f"blocks.0.attn.{part}.weight"].shape
        arrays[f"blocks.0.attn.{part}.weight"] += (blur * rng.standard_normal(shape)).astype(np.float32)
    walk = Walk(wired.plan, Weights(arrays), wired.model.config, ROUNDINGS["float32"])
    walk.attend(0, wiring.layers[0].heads)
    known, slot = walk.stream.parts[number.name], wired.plan.layout.slots[number.name]
    letters = list(wiring.alphabet[:2])
    texts = ["".join(rng.choice(letters, wiring.context - 1)) for _ in range(30)]
    ids = np.array([wired.model.tokenizer.prepared(text) for text in texts])
    model = wired.model
    for part in "qk":
        model = model.edit(f"blocks.0.attn.{part}.weight", None, set=arrays[f"blocks.0.attn.{part}.weight"])
    got = model.run(ids, engine="reference").look("blocks.0.mid")[..., slot.dims]
    places = np.array([[number.places[value] for value in interpret(wiring, text)[number.name]] for text in texts])
    off = np.abs(got - slot.codes[places])
    allowed = (known.error[places] + walk.stream.error)[..., slot.dims]
    assert (off <= allowed).all()
    if blur:
        assert off.max() > allowed.max() / 200  # the bound is not far from what can happen


def test_equal_letters_score_exactly_alike_in_a_llama():
    """However far apart: nothing of their scores is turned, and an RMS norm leaves zeros alone."""
    wired = compile(counted(99, 128), "llama")
    masked = wired.model.run(["ab" * 63], engine="reference").look("blocks.0.attn.masked")[0, 0]
    rows = np.arange(1, 127)
    even = [(row, key) for row in rows for key in range(1, row + 1) if (row - key) % 2 == 0]
    assert {float(masked[row, key]) for row, key in even} == {0.0}


def test_a_count_may_be_written_as_anything():
    wiring = Wiring("ab", context=6)
    with wiring.layer():
        wiring.predict(wiring.count("odd", having(wiring.tokens, "b"), most=5, of=lambda number: "ab"[number % 2]))
    assert predictions(wiring, "abbab") == ["a", "a", "b", "a", "a", "b"]


def test_without_a_variable_an_average_counts_matches():
    wiring = Wiring("ab", context=6)
    with wiring.layer():
        share = wiring.average("share", having(wiring.tokens, "b"), weight=4)
        wiring.predict(wiring.steps("any", share, lambda part: "b" if part else "a"))
    assert interpret(wiring, "abb")["share"] == [0, 0, Fraction(1, 5), Fraction(2, 6)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_needs_no_pick_where_all_that_match_say_the_same(family):
    """The largest letter so far, which several positions may hold."""
    wiring = Wiring("abc", context=32, name="largest")
    with wiring.layer():
        larger = scores(None, wiring.tokens, {"a": 1, "b": 2, "c": 3})
        wiring.predict(wiring.head("largest", larger, wiring.tokens, default="^"))
    wired = compile(wiring, family)
    assert predictions(wiring, "abacb") == ["^", "a", "b", "b", "c", "c"]
    assert wired.verify(lambda text: max(text, default="^"), random=50, engines=["reference"]).passed


@pytest.mark.parametrize("alike", [False, True])
def test_a_head_without_a_pick_is_refused_where_matches_differ(alike):
    """In what is read, or in the value by which they match."""
    wiring = Wiring("abc", context=32)
    with wiring.layer():
        same = wiring.head("same", equal(wiring.tokens, wiring.tokens), wiring.tokens)
    with wiring.layer(), pytest.raises(WiringError, match="head 'which': pick is None; several keys may match"):
        where = equal(wiring.tokens, wiring.tokens) if alike else having(same, "a", "b")
        wiring.head("which", where, same, default="a")


def test_an_average_of_fractions():
    wiring = Wiring("ab", context=6)
    with wiring.layer():
        numbers = {"a": Fraction(1, 3), "b": Fraction(-1, 2)}
        mean = wiring.average("mean", everywhere(), wiring.tokens, numbers, begin=1)
        wiring.predict(wiring.steps("more", mean, lambda number: "a" if number > 0 else "b"))
    assert interpret(wiring, "ab")["mean"] == [1, Fraction(2, 3), Fraction(5, 18)]


def test_numbers_are_written_as_large_as_a_norm_lets_them():
    """Otherwise a small mean would drown in what a layer norm cannot tell."""
    assert least(compile(balance(24, weight=2000), "gpt2")) > 20
