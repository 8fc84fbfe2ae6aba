"""The programs of the zoo: right on all short texts and on thousands of long ones, in float32, on both engines."""

import numpy as np
import pytest

from byhand.errors import InputError
from byhand.wiring import compile, mutants, verify
from byhand.wiring.verifying import longest
from byhand.wiring.zoo import PROGRAMS, induction, kgram
from byhand.wiring.zoo.addition import addition, follows, random_sum, task

from .programs import FAMILIES, doubled


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", list(PROGRAMS))
def test_a_program_is_right_on_short_texts_and_on_thousands_of_long_ones(name, family):
    program = PROGRAMS[name]
    found = compile(program.make(), family).verify(program.follows, texts=program.texts, exhaustive=6_000)
    assert found.passed, found
    assert found.claimed >= 2_000 * 4 if program.texts else found.claimed == found.checked
    assert found.texts > 3_000


@pytest.mark.parametrize("family", FAMILIES)
def test_addition_of_two_digits_is_right_for_every_pair(family):
    every = [task(a, b, 2) for a in range(100) for b in range(100)]
    found = compile(addition(2), family).verify(follows(2), texts=every, exhaustive=0, engines=["cpu"])
    assert found.passed, found
    assert found.texts == 10_000


def test_a_table_of_longer_contexts():
    rows = {"aba": "b", "bab": "b", "bbb": "a"}
    wired = compile(kgram.kgram(rows, alphabet="ab", default="a", context=16), "llama")
    assert wired.verify(kgram.follows(rows, "a"), random=50, engines=["reference"]).passed


SMALL = {
    "aab": (kgram.aab, kgram.follows(kgram.AAB, "a")),
    "induction": (lambda: induction.induction("ab", context=8), induction.follows("latest")),
}


@pytest.mark.parametrize("name", list(SMALL))
def test_every_mutant_is_found(name):
    """The model of each is compiled as it is, proven to do what it says, and fails against the spec."""
    make, spec = SMALL[name]
    found = list(mutants(make()))
    assert len(found) >= 3
    for what, mutant in found:
        wired = compile(mutant, "gpt2")
        assert not wired.verify(spec, exhaustive=300, random=0, engines=["reference"]).passed, what


def test_every_mutant_of_the_adder_is_found():
    found = list(mutants(addition(2)))
    assert len(found) == 4 + 19
    rng = np.random.default_rng(0)
    some = [task(99, 99, 2), *(random_sum(2)(rng) for _ in range(999))]
    for what, mutant in [("", addition(2)), *found]:
        model = compile(mutant, "llama").model
        right = verify(mutant, model, follows(2), texts=some, exhaustive=0, engines=["reference"])
        assert right.passed == (not what), what


def test_a_model_that_is_not_the_wirings_is_found():
    wiring = kgram.aab()
    model = compile(kgram.kgram({**kgram.AAB, "bb": "b"}, alphabet="ab", default="a"), "gpt2").model
    found = verify(wiring, model, engines=["reference"])
    assert [failure.expected for failure in found.failures] == ["a"]
    assert "expected 'a' (wiring, engine reference), got 'b'" in str(found)


def test_a_verification_of_nothing_is_refused():
    with pytest.raises(InputError, match="no text was checked"):
        compile(doubled(), "gpt2").verify(exhaustive=0, random=0)


def test_all_short_texts_are_run():
    assert longest(kgram.aab(), 1000) == 9
    assert compile(kgram.aab(), "gpt2").verify(exhaustive=600, random=0, engines=["reference"]).texts == 512
