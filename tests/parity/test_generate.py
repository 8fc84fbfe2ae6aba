"""Generation beside transformers: greedy continuations of one text at a time, and every logits processor.

Only equal logits fall differently, as the last tests show: of several tokens at the border top_k keeps those with the
smaller ids and transformers all; top_p keeps the smaller ids and transformers the larger.
"""

import numpy as np
import pytest
import torch
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from byhand.operators import min_p, top_k, top_p
from byhand.sampling import Chooser, Settings, program
from byhand.setting import Tokens

from .transformers_models import gpt2_twin, llama_twin
from .watch import wide

V = 60
TEXT = [5, 9, 9, 41, 0, 59]
PROCESSORS = {
    "repetition_penalty": RepetitionPenaltyLogitsProcessor,
    "temperature": TemperatureLogitsWarper,
    "top_k": TopKLogitsWarper,
    "top_p": TopPLogitsWarper,
    "min_p": MinPLogitsWarper,
}
SETTINGS = [
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7},
    {"temperature": 0.5},
    {"temperature": 2.5},
    {"top_k": 1},
    {"top_k": 7},
    {"top_k": 500},
    {"top_p": 0.05},
    {"top_p": 0.8},
    {"top_p": 1.0},
    {"min_p": 0.1},
    {"min_p": 1.0},
    {"repetition_penalty": 1.2, "temperature": 0.7, "top_k": 30, "top_p": 0.9, "min_p": 0.05},
    {"repetition_penalty": 1.2, "temperature": 1.5, "top_k": 5, "top_p": 0.99, "min_p": 0.3},
]


def processed(logits_V, given):
    """What transformers leaves of the logits, in the order in which it applies what is given."""
    made = LogitsProcessorList(kind(given[name]) for name, kind in PROCESSORS.items() if name in given)
    return made(torch.tensor([TEXT]), torch.from_numpy(logits_V)[None].clone())[0].numpy()


@pytest.mark.parametrize("given", SETTINGS, ids=str)
def test_settings_leave_the_same_of_the_logits(given):
    of = Settings(**({"temperature": 1.0} | given))
    chooser = Chooser(of, program(of, V), Tokens(), 0)
    for seed in range(20):
        logits_V = np.random.default_rng(seed).normal(0, 3, V)
        choice = chooser.choose(logits_V, TEXT)
        ours_V, theirs_V = choice.run.look(choice.stages[-1])[0, 0], processed(logits_V, given)
        np.testing.assert_array_equal(np.isfinite(ours_V), np.isfinite(theirs_V))
        np.testing.assert_allclose(ours_V, theirs_V, rtol=1e-14)
        np.testing.assert_allclose(
            choice.run.look("probs")[0, 0], torch.from_numpy(theirs_V).softmax(-1).numpy(), rtol=1e-12
        )


TWINS = {
    "gpt2": gpt2_twin,
    "llama": llama_twin,
    "llama with one key head": lambda **sizes: llama_twin("llama grouped", groups=1, **sizes),
}


@pytest.mark.parametrize("penalty", [1.0, 1.3])
@pytest.mark.parametrize("twin", TWINS.values(), ids=TWINS)
def test_greedy_continuations_are_the_same(twin, penalty):
    both = twin(B=1, T=4)
    config = GenerationConfig(
        max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0, repetition_penalty=penalty
    )
    with wide():
        oracle = both.oracle(both.run("float64"))
        oracle.generation_config.eos_token_id = None  # else the end that its config names is taken
        for seed in range(4):
            text = np.random.default_rng(seed).integers(0, 96, 3 + seed).tolist()
            theirs = oracle.generate(torch.tensor([text]), generation_config=config)[0].tolist()
            ours = both.model.generate(text, max_tokens=12, repetition_penalty=penalty, dtype="float64").finish()
            assert text + ours.tokens == theirs
            end = theirs[len(text) + 5]
            stopped = both.model.generate(text, max_tokens=12, repetition_penalty=penalty, dtype="float64", stop=end)
            config.eos_token_id = end
            assert (
                text + stopped.finish().tokens
                == oracle.generate(torch.tensor([text]), generation_config=config)[0].tolist()
            )
            config.eos_token_id = None


def kept(logits_V):
    return np.flatnonzero(np.isfinite(np.asarray(logits_V).ravel())).tolist()


def test_equal_logits_at_the_border_of_top_k():
    logits_V = np.array([1.0, 3, 3, 3, 2])
    assert kept(top_k.forward(logits_V[None, None], most=2)) == [1, 2]
    assert kept(processed(logits_V, {"top_k": 2})) == [1, 2, 3]


def test_equal_logits_at_the_border_of_top_p():
    logits_V = np.log(np.array([0.25, 0.25, 0.25, 0.25]))
    assert kept(top_p.forward(logits_V[None, None], mass=0.6)) == [0, 1, 2]
    assert kept(processed(logits_V, {"top_p": 0.6})) == [1, 2, 3]


def test_the_border_of_min_p_is_kept_by_both():
    logits_V = np.array([0.0, 0, -1, -2])
    assert kept(min_p.forward(logits_V[None, None], share=1.0)) == [0, 1]
    assert kept(processed(logits_V, {"min_p": 1.0})) == [0, 1]
