"""Choosing one token: the settings, the program they make, and how a choice explains itself."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byhand.errors import ByhandError, InputError, NotANumber
from byhand.sampling import Chooser, Settings, program, settings
from byhand.setting import Tokens

V = 12
TEXT = [3, 7, 7]
FULL = {"temperature": 0.7, "top_k": 9, "top_p": 0.95, "min_p": 0.02, "repetition_penalty": 1.4}


def logits(seed=0, size=V):
    return np.random.default_rng(seed).normal(0, 2, size).astype(np.float32)


def chooser(index=0, size=V, **of):
    made = Settings(**of)
    return Chooser(made, program(made, size), Tokens(), index)


def direct(logits_V, text, of):
    """The probabilities that a token is drawn with, each setting once more in plain NumPy."""
    x = logits_V.astype(np.float64)
    seen = sorted(set(text))
    x[seen] = [x[v] / of.repetition_penalty if x[v] > 0 else x[v] * of.repetition_penalty for v in seen]
    x = x / of.temperature
    order = np.argsort(-x, kind="stable")
    x[order[of.top_k or len(x) :]] = -np.inf
    p = np.exp(x - x.max()) / np.exp(x - x.max()).sum()
    while p[order].sum() - p[order][-1] >= (of.top_p or 1) > 0 and of.top_p:
        x[order[-1]], order = -np.inf, order[:-1]
    p = np.exp(x - x.max()) / np.exp(x - x.max()).sum()
    p[p < (of.min_p or 0) * p.max()] = 0
    return p / p.sum()


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1; give a number from 0 on"),
        ({"temperature": "1"}, "temperature is '1'; give a number"),
        ({"temperature": float("inf")}, "temperature is inf; give a number"),
        ({"temperature": float("nan")}, "temperature is nan; give a number"),
        ({"temperature": True}, "temperature is True; give a number"),
        ({"top_k": 0}, "top_k is 0; give a whole number, 1 or more"),
        ({"top_k": 2.0}, "top_k is 2.0; give a whole number"),
        ({"top_p": 0.0}, "top_p is 0.0; give a number above 0 and up to 1"),
        ({"top_p": 1.1}, "top_p is 1.1; give a number above 0"),
        ({"min_p": -0.1}, "min_p is -0.1; give a number from 0 to 1"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0; give a number above 0"),
        ({"seed": -1}, "seed is -1; give a whole number, 0 or more"),
        ({"seed": None}, "seed is None; give a whole number"),
        ({"max_tokens": -1}, "max_tokens is -1; give a whole number, 0 or more"),
        ({"max_tokens": 1.5}, "max_tokens is 1.5; give a whole number"),
        ({"probabilities": -1}, "probabilities is -1; give a whole number"),
        ({"stop": ""}, "stop holds ''; give strings that are not empty, or token ids"),
        ({"stop": ["a", None]}, "stop holds None"),
        ({"stop": -3}, "stop holds -3"),
        ({"stop": b"a"}, "stop holds b'a'"),
        ({"stop_at_end": 1}, "stop_at_end is 1; give True or False"),
        ({"explainable": "no"}, "explainable is 'no'; give True or False"),
        ({"top_k": 5, "temperature": 0}, "top_k is 5 but temperature is 0, which always takes the best token"),
        ({"top_p": 0.9, "temperature": 0}, "top_p is 0.9 but temperature is 0"),
        ({"temprature": 1}, "no setting 'temprature'; the nearest is temperature"),
        ({"beams": 1}, "no setting 'beams'; there are max_tokens, temperature"),
    ],
)
def test_a_wrong_setting_is_one_line(given, message):
    with pytest.raises(InputError, match=message) as caught:
        settings({"temperature": 1.0} | given)
    assert isinstance(caught.value, ByhandError) and "\n" not in str(caught.value)


def test_stops_are_one_or_several():
    assert settings({"stop": "ab"}).stops == ("ab",)
    assert settings({"stop": 3}).stops == (3,)
    assert settings({"stop": ["ab", 3]}).stops == ("ab", 3)
    assert settings({}).stops == ()


def test_the_program_holds_what_changes_something_in_order():
    def steps(**of):
        return [step.address for step in program(Settings(**of), V)]

    assert steps() == ["probs", "token"]
    assert steps(repetition_penalty=1.1) == ["penalized", "probs", "token"]
    assert steps(temperature=1) == ["probs", "running", "token"]
    kept = ["kept.top_k", "kept.top_p", "kept.min_p"]
    assert steps(**FULL) == ["penalized", "scaled", *kept, "probs", "running", "token"]


# --- choosing -------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.fixed_dictionaries({}, optional={name: st.just(x) for name, x in FULL.items()}))
def test_the_chances_are_those_of_a_direct_computation(seed, of):
    of = {"temperature": 1.0} | of
    choice = chooser(seed=seed, **of).choose(logits(seed), TEXT)
    expected_V = direct(logits(seed), TEXT, Settings(**of))
    np.testing.assert_allclose(choice.run.look("probs")[0, 0], expected_V, rtol=1e-12, atol=1e-15)
    assert choice.chance == choice.run.look("probs")[0, 0, choice.token] > 0
    assert choice.uniform is not None
    assert choice.token == np.flatnonzero(np.cumsum(expected_V) > choice.uniform - 1e-12)[0]


def test_the_best_token_is_taken_and_the_smaller_id_of_equal_ones():
    choice = chooser(size=4).choose(np.array([1, 3, 3, 2], np.float32), [0])
    assert (choice.token, choice.chance, choice.uniform) == (1, 1.0, None)
    assert choice.probability == pytest.approx(np.exp(3) / np.exp([1, 3, 3, 2]).sum())
    assert chooser(size=4, repetition_penalty=2.0).choose(np.array([1, 3, 3, 2], np.float32), [1, 1]).token == 2


def test_draws_are_as_frequent_as_the_chances():
    """Pearson's chi-square of 4,000 draws; with k tokens it exceeds k - 1 + 5 sqrt(2k) once in thousands of times."""
    for of in ({"temperature": 1.0}, FULL):
        draws, chances_V = chooser(seed=5, **of), direct(logits(1), TEXT, Settings(**of))
        tokens = [draws.choose(logits(1), TEXT).token for _ in range(4000)]
        counts_V, left = np.bincount(tokens, minlength=V), chances_V > 0
        assert not counts_V[~left].any()
        expected = 4000 * chances_V[left]
        assert ((counts_V[left] - expected) ** 2 / expected).sum() < left.sum() - 1 + 5 * np.sqrt(2 * left.sum())


def test_the_numbers_drawn_belong_to_the_seed_and_the_place_of_the_text():
    def numbers(index, seed):
        draws = chooser(index, temperature=1.0, seed=seed)
        return [draws.choose(logits(), TEXT).uniform for _ in range(5)]

    assert numbers(0, 1) == numbers(0, 1)
    streams = [tuple(numbers(index, seed)) for index in range(3) for seed in range(3)]
    assert len(set(streams)) == 9 and len({each for stream in streams for each in stream}) == 45


def test_logits_without_a_meaning_are_refused():
    for bad in ([np.nan, 1.0], [-np.inf, -np.inf]):
        with pytest.raises(NotANumber, match="is the first NaN"):
            chooser(size=2, temperature=1.0).choose(np.array(bad, np.float32), [0])


# --- looking into a choice ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_an_explanation_names_numbers_that_add_up(seed):
    choice = chooser(seed=seed, **FULL).choose(logits(seed), TEXT)
    found = re.findall(r"\d+(?:\.\d+)?(?:e-\d+)?", numbers(choice))
    drawn, low, high, chance, left, own = map(float, found)
    assert low <= drawn < high
    assert high - low == pytest.approx(chance, abs=2e-6)
    assert left == np.count_nonzero(direct(logits(seed), TEXT, Settings(**FULL)))
    assert own == pytest.approx(choice.probability, rel=1e-3)
    assert drawn == pytest.approx(choice.uniform, rel=1e-5) and chance == pytest.approx(choice.chance, rel=1e-3)


def numbers(choice):
    """The explanation without the token's name."""
    return str(choice).replace(f"{choice.text!r} ({choice.token})", "it")


@pytest.mark.parametrize("seed", range(6))
def test_candidates_share_out_all_there_is(seed):
    choice = chooser(seed=seed, **FULL).choose(logits(seed), TEXT)
    every = choice.candidates(V)
    assert [each.logit for each in every] == sorted((each.logit for each in every), reverse=True)
    for stage in choice.stages:
        assert sum(each.stages[stage] for each in every) == pytest.approx(1, abs=1e-12)
    ends = sorted((each.low, each.high) for each in every if each.chance)
    assert [low for low, _ in ends] == [0, *(high for _, high in ends[:-1])]
    for each in every:
        assert each.low is not None and each.high is not None
        assert each.high - each.low == pytest.approx(each.chance, abs=1e-12)
        assert each.stages["kept.min_p"] == pytest.approx(each.chance, abs=1e-15)
    (chosen,) = (each for each in every if each.low <= choice.uniform < each.high)  # type: ignore[operator]
    assert chosen.token == choice.token and chosen.probability == choice.probability
    assert choice.candidates(1)[-1].token == choice.token


def test_a_choice_is_a_run_that_can_be_explained_and_edited():
    choice = chooser(seed=1, **FULL).choose(logits(1), TEXT)
    run = choice.run
    each = run.explain("token")
    assert (each.value, each.ulp, each.operator) == (choice.token, 0, "draw")
    assert {o.address for o in each.operands} == {"running", "uniform"}
    for address in ("running", "probs", *choice.stages[1:]):
        assert run.explain(address, token=choice.token).cancelling < 4
    assert "drawn from the seed" in str(run.explain("uniform"))
    first, *_, last = np.flatnonzero(run.look("probs")[0, 0]).tolist()
    assert [run.edit("uniform", set=number).look("token").item() for number in (0.0, 0.999999)] == [first, last]
    assert run.edit("logits", token=first, set=50.0).look("probs")[0, 0, first] == pytest.approx(1)
    assert run.edit("seen", set=1).look("seen").all() and not run.look("seen").all()
    run.backward("probs", token=choice.token)
    assert run.grad["logits"].array.any()
    with pytest.raises(InputError, match="this run has no loss: name a value"):
        run.backward()


def test_the_explanation_of_the_best_token():
    choice = chooser(size=4, repetition_penalty=2.0).choose(np.array([1, 3, 4, 2], np.float32), [2])
    assert str(choice) == "'1' (1) has the largest of all penalized, 3; the model gives it 0.236883"
    assert choice.run.explain("token").value == 1


def test_what_is_not_kept_cannot_be_looked_into():
    choice = chooser(temperature=1.0, explainable=False, probabilities=3).choose(logits(), TEXT)
    assert [each.token for each in choice.most_likely][:3] == np.argsort(-logits())[:3].tolist()
    assert str(choice).startswith("<choice of")
    assert len(choice.to_dict()["candidates"]) >= 3
    with pytest.raises(InputError, match="not kept; generate with explainable=True"):
        choice.run  # noqa: B018
