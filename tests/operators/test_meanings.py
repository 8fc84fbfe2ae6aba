"""Single operators against an independent computation of what they mean."""

import pytest

from byhand.operators import find

from . import meanings

MEANINGS = {
    meanings.check_lookup_is_one_hot: ["lookup"],
    meanings.check_product: ["linear", "to_heads", "from_heads", "unembed"],
    meanings.check_sinusoidal: ["sinusoidal_positions"],
    meanings.check_scores_of_repeated_keys: ["scores"],
    meanings.check_mix_of_repeated_values: ["mix"],
    meanings.check_append: ["append"],
    meanings.check_causal_mask: ["mask"],
    meanings.check_softmax: ["softmax", "probabilities"],
    meanings.check_norm: ["layer_norm", "rms_norm"],
    meanings.check_rotary_angles: ["rotary_angles"],
    meanings.check_llama31_angles: ["rotary_angles_llama31"],
    meanings.check_complex_product: ["rotary_pairs"],
    meanings.check_halves_are_reordered_pairs: ["rotary_halves"],
    meanings.check_rotation: ["rotary_pairs", "rotary_halves"],
    meanings.check_activation: ["gelu_tanh", "gelu_erf", "silu"],
    meanings.check_cross_entropy: ["cross_entropy"],
    meanings.check_mean_loss: ["mean_loss"],
    meanings.check_temperature: ["temperature"],
    meanings.check_repetition_penalty: ["repetition_penalty"],
    meanings.check_min_p: ["min_p"],
    meanings.check_running_sum: ["running_sum"],
    meanings.check_draw: ["draw"],
    meanings.check_argmax: ["argmax"],
}
PAIRS = [(check, name) for check, names in MEANINGS.items() for name in names]


@pytest.mark.parametrize(("check", "name"), PAIRS, ids=[f"{name}-{check.__name__}" for check, name in PAIRS])
def test_it_means_what_it_says(check, name):
    check(find(name))
