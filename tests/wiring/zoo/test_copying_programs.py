"""Programs that move and look up: small ones are right in weights, and no mutant of their wiring goes unnoticed."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from byhand.wiring import compile, mutants, predictions
from byhand.wiring.verifying import Spec, Texts
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo import (
    automaton,
    caesar,
    carrying,
    comparison,
    copying,
    kgram,
    recall,
    reverse,
    subtraction,
)

from ..programs import FAMILIES


def words(letters: str, length: int) -> list[str]:
    return ["".join(word) for word in product(letters, repeat=length)]


def drawn(texts: Texts, count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [texts(rng) for _ in range(count)]


def pairs(task: Callable[[int, int], str]) -> list[str]:
    """Every eleventh pair of numbers of two digits: each with each in one place, and with most in the other."""
    return [task(*divmod(pair, 100)) for pair in range(0, 10_000, 11)]


def compared(a: int, b: int) -> str:
    return f"{a:02}?{b:02}{'<' if a < b else '>' if a > b else '='}"


# By name: a small wiring, its spec, and texts of its task.
SMALL: dict[str, tuple[Wiring, Spec, list[str]]] = {
    "kgram": (kgram.kgram(kgram.CYCLE, alphabet="ab", default="a", context=12), kgram.follows(kgram.CYCLE, "a"),
              words("ab", 9)),
    "delayed copy": (copying.delayed(3, "abc", context=8), copying.follows(3), words("abc", 7)),
    "recall": (recall.recall(16), recall.follows, drawn(recall.texts(16), 1500)),
    "reverse 4": (reverse.fixed(4), reverse.follows_fixed(4), words("abcd", 4) + words("cd", 8)),
    "reverse": (reverse.variable(3), reverse.follows_variable(3),
                [f"{word}>{word[::-1]}." for size in range(4) for word in words("abcdefgh", size)] + words("a>", 7)),
    "caesar": (caesar.caesar(2), caesar.follows(2),
               [f"{key}{a}x>{caesar.shifted(a + 'x', key)}" for key, a in words(caesar.LETTERS, 2)]),
    "automaton": (automaton.automaton(automaton.REMAINDERS, "A", context=16), automaton.divisible,
                  drawn(automaton.random_bits(16), 200)),
    "comparison": (comparison.comparison(2), comparison.follows(2), pairs(compared)),
    "subtraction": (subtraction.subtraction(2), subtraction.follows(2),
                    pairs(lambda a, b: subtraction.task(max(a, b), min(a, b), 2))),
    "addition, least digit out first": (carrying.least_out(2), carrying.follows(2, True),
        pairs(lambda a, b: carrying.task(a, b, 2, True)) + drawn(carrying.texts(2, True), 400)),
    "addition, most digit out first": (carrying.most_out(2), carrying.follows(2, False),
        pairs(lambda a, b: carrying.task(a, b, 2, False)) + drawn(carrying.texts(2, False), 400)),
}  # fmt: skip

# Mutants that change nothing that is asked. The last position of a text and the one before it may count as one, since
# nothing more is due behind the end.
ALIKE = {
    "reverse": {"layer 0, 'place': without the step at 1/2"},
    "addition, least digit out first": {"layer 0, 'place': without the step at 1/2"},
    "addition, most digit out first": {"layer 0, 'place': without the step at 1/2"},
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", list(SMALL))
def test_a_small_one_is_right_on_the_texts_of_its_task(name, family):
    wiring, spec, texts = SMALL[name]
    wired = compile(wiring, family)
    assert wired.prove().holds
    assert wired.report().worst.slack > 2
    some = texts[:: 1 + len(texts) // 700]
    found = wired.verify(spec, texts=some, exhaustive=0, engines=["reference"])
    assert found.passed, found
    assert found.texts == len(some)
    assert found.claimed >= len(some) / 2


@pytest.mark.parametrize("name", list(SMALL))
def test_every_mutant_is_noticed_or_explained(name):
    wiring, spec, texts = SMALL[name]
    some = [texts[place] for place in np.random.default_rng(1).permutation(len(texts))]
    assert not noticed(wiring, spec, some[:200])
    found = list(mutants(wiring))
    assert {what for what, mutant in found if not noticed(mutant, spec, some)} == ALIKE.get(name, set())


def noticed(wiring: Wiring, spec: Spec, texts: list[str]) -> bool:
    """Whether it says something else than the spec after some beginning of some text."""
    return any(
        said not in (None, got)
        for text in texts
        for end, got in enumerate(predictions(wiring, text))
        for said in [spec(text[:end])]
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_an_automaton_of_a_traffic_light(family):
    moves = {("R", "."): "G", ("G", "."): "Y", ("Y", "."): "R", **{(state, "!"): "R" for state in "RGY"}}
    light = compile(automaton.automaton(moves, "R", context=16), family)
    assert light.verify(random=50, engines=["reference"]).passed
    assert predictions(light.wiring, ".G.Y!R.")[1::2] == ["G", "Y", "R", "G"]


def test_what_they_write_when_asked():
    """A few questions in full, by generation."""
    asked = {
        "abc>": (reverse.variable(4), "cba."),
        "dhello>": (caesar.caesar(5), "khoor"),
        "a3b1a5b?1a?": (recall.recall(), "5"),
        "199+801=": (carrying.most_out(3), "1000"),
        "199+802=": (carrying.least_out(3), "1001"),
    }
    for question, (wiring, answer) in asked.items():
        for family in FAMILIES:
            model = compile(wiring, family).model
            assert model.generate(question, max_tokens=len(answer)).finish().text == answer
