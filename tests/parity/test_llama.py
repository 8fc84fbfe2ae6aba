"""llama beside transformers' LlamaForCausalLM."""

import numpy as np
import pytest

from byhand.aliases.recipe import paired_last
from byhand.families.llama import Scaling
from byhand.model import Model
from byhand.weights import Weights

from .harness import LOGITS, check, check_float32
from .transformers_models import llama_twin

LONG = Scaling(original_context=48)
LONGER = Scaling(original_context=48, factor=32.0)
CONFIGS = {
    "grouped": {},
    "multi-head": {"groups": 4},
    "multi-query": {"groups": 1},
    "heads wider than the model": {"head_width": 20},
    "tied": {"tied": True},
    "scaled": {"scaling": LONG, "theta": 100.0, "head_width": 16, "T": 40},
    "scaled by 32, tied": {"scaling": LONGER, "theta": 100.0, "head_width": 16, "tied": True},
    "Meta's layout": {"rotary": "pairs"},
    "Meta's layout, multi-query, scaled": {"rotary": "pairs", "groups": 1, "scaling": LONG, "theta": 100.0},
    "one token": {"T": 1},
    "another eps": {"eps": 0.01},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_everything_in_float64(config):
    check(llama_twin(**config))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_float32(config):
    check_float32(llama_twin(**config))


def test_all_three_regimes_of_scaling_act():
    """Pairs that are kept, blended and slowed: otherwise the tests above say nothing about some of them."""
    J, theta = 8, 100.0
    turns_J = LONG.original_context * theta ** (-np.arange(J) / J) / (2 * np.pi)
    assert (turns_J > LONG.high).any() and (turns_J < LONG.low).any()
    assert ((turns_J > LONG.low) & (turns_J < LONG.high)).any()


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_layouts_are_one_function_of_reordered_weights(groups):
    """Reordering the features of every query and key head turns a model of one layout into one of the other."""
    pairs, halves = (llama_twin(rotary=rotary, groups=groups).model for rotary in ("pairs", "halves"))
    reordered = {a: paired_last(w) if a.endswith((".q.weight", ".k.weight")) else w for a, w in pairs.weights.items()}
    given = llama_twin().given
    same = Model("reordered", halves.family, halves.config, Weights(reordered))
    expected, got, without = (
        model.run(given["tokens"], dtype="float64").look("logits") for model in (pairs, same, halves)
    )
    assert np.abs(expected - got).max() < LOGITS
    assert np.abs(expected - without).max() > 0.01
