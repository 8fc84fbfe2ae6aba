"""The operators that choose: what they keep, how ties fall, and how often each token is drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byhand.operators import argmax, draw, min_p, probabilities, repetition_penalty, running_sum, top_k, top_p

# Halves make ties common; the range makes some probabilities tiny.
LOGITS = st.lists(st.integers(-60, 60).map(lambda n: n / 2), min_size=1, max_size=9)


def kept(out_BTV):
    return np.flatnonzero(np.isfinite(np.asarray(out_BTV).ravel())).tolist()


def row(*numbers):
    return np.array(numbers, float).reshape(1, 1, -1)


def drawn(probs_BTV, uniform_BT):
    return draw.forward(running_sum.forward(probs_BTV), uniform_BT)


def best_first(logits):
    """Token ids from best to worst, equal ones by id."""
    return sorted(range(len(logits)), key=lambda v: (-logits[v], v))


@given(LOGITS, st.integers(1, 12))
def test_top_k_keeps_the_best_and_no_more(logits, most):
    out = top_k.forward(row(*logits), most=most)
    assert kept(out) == sorted(best_first(logits)[:most])
    assert all(out.ravel()[v] == logits[v] for v in kept(out))


def test_top_k_breaks_ties_by_the_smaller_id():
    assert kept(top_k.forward(row(1, 3, 3, 3, 2), most=2)) == [1, 2]


def test_top_k_of_the_whole_vocabulary_or_more_changes_nothing():
    logits_BTV = row(1, 3, 2)
    for most in (3, 4, 50257):
        assert np.array_equal(top_k.forward(logits_BTV, most=most), logits_BTV)


@given(LOGITS, st.sampled_from([0.05, 0.3, 0.5, 0.9, 0.999]))
def test_top_p_keeps_the_smallest_set_that_reaches_the_mass(logits, mass):
    shares = probabilities.forward(row(*logits)).ravel()
    best = kept(top_p.forward(row(*logits), mass=mass))
    assert best == sorted(best_first(logits)[: len(best)])
    assert len(best) == len(logits) or shares[best].sum() >= mass - 1e-12
    last = best_first(logits)[len(best) - 1]
    assert len(best) == 1 or shares[best].sum() - shares[last] < mass + 1e-12


def test_top_p_stops_exactly_where_the_mass_is_reached():
    logits_BTV = np.log(row(0.5, 0.25, 0.25))
    assert [len(kept(top_p.forward(logits_BTV, mass=mass))) for mass in (0.4, 0.6, 0.8)] == [1, 2, 3]


def test_top_p_always_keeps_the_best():
    assert kept(top_p.forward(row(0, 5, 5), mass=0.0)) == [1]


@given(LOGITS)
def test_a_mass_of_one_keeps_everything(logits):
    assert len(kept(top_p.forward(row(*logits), mass=1.0))) == len(logits)


def test_draws_are_as_frequent_as_the_probabilities():
    probs_V, n = np.array([0.0, 0.5, 0.2, 0.0, 0.29, 0.01, 0.0]), 40_000
    uniform_BT = np.random.default_rng(0).random((1, n))
    token_BT = drawn(np.broadcast_to(probs_V, (1, n, 7)), uniform_BT)
    counts_V = np.bincount(token_BT.ravel(), minlength=7)
    assert (abs(counts_V - n * probs_V) <= 4 * np.sqrt(n * probs_V * (1 - probs_V))).all()


EXTREMES = [0.0, np.nextafter(0, 1), 0.5, np.nextafter(1, 0)]


@pytest.mark.parametrize("uniform", EXTREMES)
@given(parts=st.lists(st.sampled_from([0.0, 0.0, 0.1, 1.0, 7.0]), min_size=1, max_size=8).filter(any))
def test_an_impossible_token_is_never_drawn(uniform, parts):
    for dtype in (np.float64, np.float32):
        probs_BTV = (row(*parts) / sum(parts)).astype(dtype)
        token = drawn(probs_BTV, np.array([[uniform]])).item()
        assert probs_BTV[0, 0, token] > 0


@given(LOGITS, st.floats(0, 1, exclude_max=True))
def test_the_drawn_token_is_the_first_whose_running_sum_passes(logits, uniform):
    probs_BTV = probabilities.forward(row(*logits))
    token = drawn(probs_BTV, np.array([[uniform]])).item()
    running = np.cumsum(probs_BTV.ravel())
    assert running[token] > uniform or running[token] == running[-1]
    assert token == 0 or running[token - 1] <= uniform


def test_probabilities_that_fall_short_of_one_end_at_the_last_possible_token():
    probs_BTV = row(0.0, 0.3, 0.699, 0.0, 0.0)
    assert drawn(probs_BTV, np.array([[0.9995]])).item() == 2


@given(LOGITS, st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))
def test_min_p_keeps_what_is_likely_enough_beside_the_best(logits, share):
    shares = probabilities.forward(row(*logits)).ravel()
    sure = np.flatnonzero(shares > share * shares.max() * (1 + 1e-12)).tolist()
    possible = np.flatnonzero(shares >= share * shares.max() * (1 - 1e-12)).tolist()
    best = kept(min_p.forward(row(*logits), share=share))
    assert set(sure) <= set(best) <= set(possible)
    assert set(best) >= {v for v, logit in enumerate(logits) if logit == max(logits)}


def test_min_p_keeps_a_token_exactly_at_the_border():
    assert kept(min_p.forward(row(0, 0, -1), share=1.0)) == [0, 1]
    assert kept(min_p.forward(np.log2(row(1, 2, 4)) * np.log(2), share=0.5)) == [1, 2]


def test_a_repetition_penalty_lowers_what_was_seen_whatever_its_sign():
    logits_BTV, seen_BTV = row(2, 2, -3, -3, 0), np.array([[[True, False, True, False, True]]])
    out_BTV = repetition_penalty.forward(logits_BTV, seen_BTV, penalty=4.0)
    assert out_BTV.ravel().tolist() == [0.5, 2, -12, -3, 0]
    assert np.array_equal(repetition_penalty.forward(logits_BTV, seen_BTV, penalty=1.0), logits_BTV)


@given(LOGITS)
def test_argmax_is_the_first_of_the_best(logits):
    assert argmax.forward(row(*logits)).item() == best_first(logits)[0]


@given(LOGITS)
def test_a_running_sum_ends_at_one(logits):
    probs_BTV = probabilities.forward(row(*logits))
    running = running_sum.forward(probs_BTV).ravel()
    assert abs(running[-1] - 1) < 1e-12 and (np.diff(running) >= 0).all()
    assert np.allclose(np.diff(running, prepend=0), probs_BTV.ravel(), atol=1e-15)
