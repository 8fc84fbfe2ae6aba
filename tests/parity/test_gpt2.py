"""gpt2 beside transformers' GPT2LMHeadModel."""

import pytest

from .harness import check, check_float32
from .transformers_models import gpt2_twin

CONFIGS = {
    "usual": {},
    "one layer, one head": {"layers": 1, "heads": 1},
    "four layers": {"layers": 4},
    "narrow": {"width": 12, "heads": 3, "hidden": 7},
    "wide heads": {"width": 48, "heads": 2, "hidden": 100},
    "one token": {"T": 1, "B": 3},
    "whole context": {"T": 48, "B": 1},
    "another eps": {"eps": 0.01},
    "gelu_new": {"activation": "gelu_new"},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_everything_in_float64(config):
    check(gpt2_twin(**config))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_float32(config):
    check_float32(gpt2_twin(**config))
