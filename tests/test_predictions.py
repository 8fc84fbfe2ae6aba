"""What a run expected, position by position: the table of S4, and what it says where nothing is known."""

import numpy as np
import pytest

import byhand
from byhand.errors import InputError


def test_the_table_of_the_hand_made_model():
    text = "aab" * 10
    right = 0
    for end in range(3, len(text)):
        each = byhand.load("aab").run(text[max(0, end - 5) : end]).predictions()[-1]
        right += "ab"[each.best] == text[end]
        assert each.probs_V.sum() == 1 and abs(each.logits_V[0] - each.logits_V[1]) > 1000
    assert right == 27


def test_a_position_holds_what_the_run_holds():
    run = byhand.load("gpt2-tiny").run("Hello", dtype="float64")
    listed = run.predictions()
    assert [each.position for each in listed] == list(range(5))
    for t, each in enumerate(listed):
        assert each.token == run.look("tokens")[0, t]
        assert np.array_equal(each.probs_V, run.look("probs")[0, t])
        assert each.top(3) == sorted(range(96), key=lambda v: -run.look("logits")[0, t, v])[:3]
        assert each.best == each.top(1)[0]
    assert listed[1].loss == pytest.approx(-np.log(listed[1].probs_V[listed[1].target]))
    assert (listed[-1].target, listed[-1].loss, listed[-1].right) == (None, None, None)


def test_one_text_of_a_batch_is_chosen():
    run = byhand.load("gpt2-tiny").run([[1, 2, 3], [4, 5, 6]])
    assert [each.token for each in run.predictions(1)] == [4, 5, 6]
    with pytest.raises(InputError, match="there is no text 2 in this run; there are 2"):
        run.predictions(2)


def test_a_model_without_logits_predicts_nothing():
    with pytest.raises(InputError, match="has no logits"):
        byhand.load("minilm-l6").run([1, 2], keep=["embed.out"]).predictions()
