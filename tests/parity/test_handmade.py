"""The hand-made model inside a stock GPT-2, run by transformers."""

from itertools import product

import numpy as np
import pytest
import torch

import byhand
from byhand.inputs import NO_TARGET

from .harness import LOGITS, Twin, check, close
from .transformers_models import gpt2_oracle, modeling_gpt2

STRINGS = ["".join(letters) for length in range(1, 6) for letters in product("ab", repeat=length)]


def twin(length: int) -> Twin:
    """aab-gpt2 beside GPT2LMHeadModel, on all strings of one length."""
    model = byhand.load("aab-gpt2")
    ids = np.array(list(product((0, 1), repeat=length)))
    targets = np.where(np.arange(length) == 0, NO_TARGET, ids) if length > 1 else ids

    def logits(oracle):
        return oracle(torch.from_numpy(ids)).logits

    given = {"tokens": ids, "targets": targets}
    oracle = lambda: gpt2_oracle(model.config, "gelu_new")  # noqa: E731
    return Twin("aab-gpt2", model, oracle, logits, given, modeling=modeling_gpt2)


@pytest.mark.parametrize("length", range(1, 6))
def test_everything_in_float64(length):
    check(twin(length))


def test_all_62_strings():
    """The same next letter from `aab`, from its twin and from transformers, never by less than 96.69."""
    assert len(STRINGS) == 62
    plain, made = byhand.load("aab"), byhand.load("aab-gpt2")
    each = twin(5)
    oracle = each.oracle(each.run("float64"))
    gaps = []
    for text in STRINGS:
        expected, run = (model.run(text, dtype="float64").look("logits")[0, -1] for model in (plain, made))
        ids = torch.tensor([["ab".index(letter) for letter in text]])
        with torch.no_grad():
            theirs = oracle(ids).logits[0, -1]
        close(run, theirs, LOGITS, f"logits after {text}")
        assert expected.argmax() == run.argmax() == int(theirs.argmax()), text
        gaps.append(float((theirs[0] - theirs[1]).abs()))
    assert round(min(gaps), 2) == 96.69
