"""What is said of the zoo was measured, of these very weights, and the page says it."""

import pytest

import byhand
from byhand.compare.running import WAYS
from byhand.wiring import compile
from byhand.wiring.verifying import ENGINES
from byhand.wiring.zoo import PROGRAMS

from ..design.tree import ROOT
from .exact import Wrong, claimed, read
from .zoo_page import page

MEASURED = read()
FEWEST = 100_000  # random texts of full length that a model must have been run on
EVERY = [(name, family) for name, program in PROGRAMS.items() for family in program.families]


@pytest.mark.parametrize("name, family", EVERY)
def test_a_program_was_measured_with_these_weights(name, family):
    found = MEASURED[name][family]
    wired = compile(PROGRAMS[name].make(), family)
    assert found["fingerprint"] == wired.report().fingerprint[:16], "measure it again: python -m tests.wiring.exact"
    assert found["random"] >= FEWEST and found["exhaustive"] >= 1 and found["claimed"] > 0
    assert found["engines"] == [*ENGINES, *WAYS]
    assert found["smallest_gap"] >= found["proven_gap"] > 0 and found["slack"] > 1
    assert byhand.load(f"wired-{name}-{family}").parameters == found["parameters"]


def test_ten_digits_are_added_in_one_layer():
    assert all(found["layers"] == 1 for found in MEASURED["addition-10"].values())


def test_models_are_made_and_proven_in_seconds():
    slow = {(name, family) for name, family in EVERY if MEASURED[name][family]["seconds"] >= 10}
    assert not slow


def test_the_page_says_what_was_measured():
    text = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")
    assert text == page(), "write it anew: python -m tests.wiring.zoo_page > docs/zoo.md"
    assert "| not measured |" not in text


def test_a_wiring_that_does_something_else_is_found():
    program = PROGRAMS["aab"]
    assert claimed(program, "aab", ["a", "a", "b", "a"]) == 4
    with pytest.raises(Wrong, match="after 'aa' the wiring says 'a', and it should be 'b'"):
        claimed(program, "aab", ["a", "a", "a", "a"])
