"""bert beside transformers' BertForMaskedLM, and its pooler beside BertModel's."""

import pytest

from .harness import check, check_float32
from .transformers_models import bert_twin

CONFIGS = {
    "usual": {},
    "one layer, one head": {"layers": 1, "heads": 1},
    "narrow, three segments": {"width": 12, "heads": 3, "hidden": 7, "segments": 3},
    "another eps": {"eps": 0.01},
    "pooler": {"of": "pooler.out"},
    "pooler, four layers": {"of": "pooler.out", "layers": 4},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_everything_in_float64(config):
    check(bert_twin(**config))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_float32(config):
    check_float32(bert_twin(**config))


def test_every_weight_is_covered_by_one_of_the_two():
    """BertForMaskedLM has no pooler and BertModel no head; `check` covers what each can."""
    guessing, pooling = bert_twin(), bert_twin(of="pooler.out")
    views = [twin.views[name] for twin in (guessing, pooling) for name in twin.build().state_dict()]
    assert {address for view in views for address in view.addresses} == set(guessing.model.program.weights)
