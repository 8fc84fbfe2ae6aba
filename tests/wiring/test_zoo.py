"""The programs of the zoo: right on short texts and on long ones, in float32, on both engines; and `verify` itself.

``python -m tests.wiring.exact`` runs all short texts and 100,000 long ones, in transformers too.
"""

import numpy as np
import pytest

from byhand import load
from byhand.errors import InputError
from byhand.wiring import compile, mutants, verify
from byhand.wiring.verifying import longest
from byhand.wiring.zoo import PROGRAMS, induction, kgram
from byhand.wiring.zoo.addition import addition, follows, random_sum, task

from .programs import FAMILIES, doubled

EVERY = [(name, family) for name, program in PROGRAMS.items() for family in program.families]


@pytest.mark.parametrize("name, family", EVERY)
def test_a_program_is_right_on_short_texts_and_on_long_ones(name, family):
    """With the weights that come with the package."""
    program, model = PROGRAMS[name], load(f"wired-{name}-{family}")
    found = verify(program.make(), model, program.follows, texts=program.texts, exhaustive=300, random=60)
    assert found.passed, found
    assert found.texts >= 60 and found.claimed >= 60


def test_whatever_a_program_cannot_be_is_said():
    for name, program in PROGRAMS.items():
        assert {*program.families, *program.impossible} == set(FAMILIES), name
        assert program.families and all(program.impossible.values())


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


def test_an_engine_of_ones_own():
    """Any function from ids to logits can be verified: here one that knows the answer, and one that does not."""
    wired = compile(PROGRAMS["aab"].make())
    right = wired.verify(engines=[lambda ids: wired.model.run(ids).look("logits")], exhaustive=64, random=4)
    wrong = wired.verify(engines=[lambda ids: -wired.model.run(ids).look("logits")], exhaustive=64, random=4)
    assert right.passed and not wrong.passed
    with pytest.raises(InputError, match="no engine 'gpu'"):
        wired.verify(engines=["gpu"])


def test_a_verification_of_nothing_is_refused():
    with pytest.raises(InputError, match="no text was checked"):
        compile(doubled(), "gpt2").verify(exhaustive=0, random=0)


def test_all_short_texts_are_run():
    assert longest(kgram.aab(), 1000) == 9
    assert compile(kgram.aab(), "gpt2").verify(exhaustive=600, random=0, engines=["reference"]).texts == 512
