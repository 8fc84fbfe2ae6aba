"""original beside PyTorch's own post-norm layers."""

import pytest

from .harness import check, check_float32
from .torch_layers import original_twin

CONFIGS = {
    "usual": {},
    "attention with biases": {"attention_bias": True},
    "no padding": {"padded": False},
    "one layer, one head": {"layers": 1, "heads": 1, "attention_bias": True},
    "narrow": {"width": 12, "heads": 3, "hidden": 7, "S": 5},
    "another eps": {"eps": 0.01},
}
PARTS = pytest.mark.parametrize("part", ["encoder", "decoder", "encoder-decoder"])


@PARTS
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_everything_in_float64(part, config):
    check(original_twin(part, **config))


@PARTS
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_float32(part, config):
    check_float32(original_twin(part, **config))
