"""The checks themselves are tested: each must fail on what is wrong, and pass on what is right."""

from dataclasses import replace

import numpy as np
import pytest

from byhand.arithmetic import Evaluation, Node
from byhand.operators import find, mix, scores, softmax

from . import checks
from .examples import example, variants
from .mutants import MUTANTS, softmax_mean
from .test_meanings import MEANINGS

CASES = [(label, mutant, check) for label, (mutant, named) in MUTANTS.items() for check in named]
SOUND = sorted(
    {(check.__name__, check, mutant.name) for _, mutant, check in CASES}, key=lambda case: (case[0], case[2])
)


@pytest.mark.parametrize(("label", "mutant", "check"), CASES, ids=[f"{c[0]}-{c[2].__name__}" for c in CASES])
def test_the_check_catches_the_mutant(label, mutant, check):
    with pytest.raises(AssertionError):
        check(mutant)


@pytest.mark.parametrize(("check", "name"), [case[1:] for case in SOUND], ids=[f"{c[2]}-{c[0]}" for c in SOUND])
def test_the_same_check_passes_the_sound_operator(check, name):
    check(find(name))


def test_every_check_has_a_mutant():
    checked = {check for _, named in MUTANTS.values() for check in named}
    registry = {getattr(checks, name) for name in dir(checks) if name.startswith("check_")}
    inner = {checks.check_terms, checks.check_operands, checks.check_letters, checks.check_signatures}
    inner |= {checks.check_equations, checks.check_gradient_lines}
    assert checked >= (registry - inner) | set(MEANINGS)


def test_an_all_ones_cotangent_would_miss_the_wrong_softmax():
    """The sum of a softmax row is one whatever the scores, so its gradient is zero, and so is the wrong one's."""
    mutant = replace(softmax, backward=softmax_mean)
    checks.check_gradient(mutant, checks.all_ones)
    with pytest.raises(AssertionError, match="backward is off by"):
        checks.check_gradient(mutant)


def test_some_example_can_tell_the_head_groupings_apart():
    for record in (scores, mix):
        assert any(1 < each.sizes["G"] < each.sizes["H"] for each in variants(record))
        assert any(each.sizes["G"] == each.sizes["H"] > 1 for each in variants(record))
        assert any(each.sizes["G"] == 1 < each.sizes["H"] for each in variants(record))


def test_mutants_that_agree_with_themselves_are_seen_by_no_general_check():
    """Which is why meanings.py exists."""
    for label in ("query head h reads key head h % G", "rotary_pairs turns the wrong way", "gelu_tanh by erf"):
        mutant, _ = MUTANTS[label]
        checks.check_gradient(mutant)
        checks.check_arithmetic(mutant)


def test_terms_that_do_not_add_up_are_caught(monkeypatch):
    monkeypatch.setattr(checks, "terms", lambda node: node.parts[1:] or [node])
    with pytest.raises(AssertionError, match="the terms add up to"):
        checks.check_arithmetic(scores)


def test_an_operand_that_is_off_by_one_bit_is_caught():
    each = example(softmax)
    evaluation = Evaluation(softmax.lines(), each.inputs, each.sizes)
    node = evaluation.element("peak", (0, 0, 0))
    checks.check_operands(node, evaluation, "softmax")
    leaf = node.parts[0]
    wrong = replace(leaf, value=float(np.nextafter(leaf.value, 9)))
    with pytest.raises(AssertionError, match="score"):
        checks.check_operands(Node("max", node.value, (wrong,), "s"), evaluation, "softmax")
