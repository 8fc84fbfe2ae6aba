"""Programs that count: small ones are right in weights, no mutant of their wiring goes unnoticed, and all have room."""

from functools import partial

import pytest

from byhand.wiring import compile, mutants, predictions
from byhand.wiring.proof import prove
from byhand.wiring.verifying import Spec
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo import PROGRAMS, counting, dyck, histogram, induction, modulo, most_frequent, sorting

from ..programs import FAMILIES
from .test_copying_programs import drawn, noticed, words

BRACKETS = "()[]"
NUMBERED = [each * 3 for each in histogram.LETTERS + histogram.NUMERALS] + ["a" * 9]
COUNTED = [counting.task(one, one * copies + "abcd" * 2) for one in counting.LETTERS for copies in range(5)]
COUNTED += [counting.task("b", "b" * copies) for copies in range(14)]
SORTED = [sorting.task(one + two + one) for one in sorting.DIGITS for two in sorting.DIGITS]
SORTED += [sorting.task(digits) for digits in ("", "7", "7777", "1111", "0009", "2210")]

# By name: a small wiring, its spec, and texts of its task.
SMALL: dict[str, tuple[Wiring, Spec, list[str]]] = {
    "histogram": (histogram.histogram(10), histogram.follows, NUMBERED + words("abA", 6)),
    "most-frequent": (most_frequent.most_frequent(9), most_frequent.follows,
                      words("ab?", 6) + words("ab", 8) + [one * 2 + "a" for one in most_frequent.LETTERS]),
    "count": (counting.counting(13), counting.follows, COUNTED),
    "parity": (modulo.modulo(2, 12), modulo.follows(2), words("01", 11)),
    "modulo": (modulo.modulo(3, 9), modulo.follows(3), words("012", 6) + words("01", 8)),
    "dyck-1": (dyck.dyck_1(11), dyck.follows(dyck.ONE), words("()", 9) + words("()P", 4)),
    "dyck-2": (dyck.dyck_2(2, 10), dyck.follows(dyck.PAIRS, 2),
               words(BRACKETS, 4) + drawn(dyck.random_brackets(dyck.PAIRS, 9, 2), 300) + words("([T])", 4)),
    "sort": (sorting.sorting(4), sorting.follows, SORTED),
    "induction-all": (induction.most_followed("abc", 10), induction.most_follows, words("abc", 6)),
}  # fmt: skip

# Mutants that change nothing. Of some averages only the sign matters, or whether they are 0: they may be smaller. With
# brackets of two kinds what the begin token counts is far more than enough, and no closing one comes to the last level.
WEIGHT = "begin counts once more"
ALIKE = {
    "dyck-1": {f"layer 0, head 'mean': {WEIGHT}"},
    "dyck-2": {f"layer 0, head 'mean': {WEIGHT}", "layer 0, 'level': without the step at 2/69"},
    "sort": {f"layer 0, head 'answered share': {WEIGHT}", f"layer 1, head 'left': {WEIGHT}"},
    "induction-all": {f"layer 1, head {name!r}: {WEIGHT}"
                      for name in ("copies share", "a before b", "a before c", "b before c")},
}  # fmt: skip

# The least slack in float32 of the program itself, rounded down: gpt2, llama.
SLACK = {
    "histogram": (12, 40),
    "most-frequent": (4, 4),
    "count": (3, 12),
    "parity": (4, 6),
    "modulo": (10, 12),
    "dyck-1": (15, 25),
    "dyck-2": (8, 8),
    "sort": (40, 100),
    "induction-all": (30, 30),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", list(SMALL))
def test_a_small_one_is_right_on_all_texts_of_its_task(name, family):
    wiring, spec, texts = SMALL[name]
    found = compile(wiring, family).verify(spec, texts=texts, exhaustive=0, engines=["reference"])
    assert found.passed, found
    assert found.texts == len(texts)
    assert found.claimed >= 2 * len(texts)


@pytest.mark.parametrize("name", list(SMALL))
def test_every_mutant_is_noticed_or_explained(name):
    wiring, spec, texts = SMALL[name]
    some = drawn(lambda rng: texts[rng.integers(len(texts))], 200)
    assert not noticed(wiring, spec, some)
    left = {what for what, mutant in mutants(wiring) if not noticed(mutant, spec, some + texts)}
    assert left == ALIKE.get(name, set())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", list(SLACK))
def test_the_program_is_right_on_long_texts_with_room_to_spare(name, family):
    program = PROGRAMS[name]
    assert program.texts is None or len(drawn(program.texts, 1)[0]) == program.make().context - 1
    wired = compile(program.make(), family)
    sites = prove(wired.plan, wired.model.weights, wired.model.config, ["float32"]).sites["float32"]
    least = min(site.slack for site in sites if site.margin is not None)
    assert least > SLACK[name][FAMILIES.index(family)]
    found = wired.verify(program.follows, texts=program.texts, exhaustive=0, random=5, engines=["reference"])
    assert found.passed, found


@pytest.mark.parametrize("family", FAMILIES)
def test_every_number_of_two_digits_is_counted(family):
    """From 0 to 99 copies, each at its place in a text of 99 letters."""
    texts = [counting.task("c", "ab" * 50 if not copies else ("c" * copies).rjust(99, "d")) for copies in range(100)]
    found = compile(counting.counting(100), family).verify(
        counting.follows, texts=texts, exhaustive=0, engines=["reference"]
    )
    assert found.passed, found
    assert found.claimed == 200


@pytest.mark.parametrize(
    "make, question, answer",
    [
        (partial(counting.counting, 20), "a?" + "ab" * 9 + "a=", "10"),
        (sorting.sorting, "3141592653>", "1123345569."),
        (most_frequent.most_frequent, "abcbcab?", "b"),
        (partial(modulo.modulo, 3), "1101", "0"),
        (dyck.dyck_2, "([])[", "P"),
        (dyck.dyck_2, "([)]", "F"),
        (dyck.dyck_2, "((((((()))))))", "!"),
    ],
)
def test_what_they_write_when_asked(make, question, answer):
    wiring = make()
    assert predictions(wiring, question)[-1] == answer[0]
    assert compile(wiring, "gpt2").model.generate(question, max_tokens=len(answer)).finish().text == answer
