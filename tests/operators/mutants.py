"""Operators that are wrong on purpose, and for each the checks that must notice.

Where a mutant is wrong in the same way in forward, backward and arithmetic, it agrees with itself: only a check of what
the operator means can see it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from byhand.operators import (
    append,
    cross_entropy,
    gelu_erf,
    gelu_tanh,
    layer_norm,
    linear,
    lookup,
    mask,
    mean_loss,
    mix,
    probabilities,
    rms_norm,
    rotary_angles,
    rotary_angles_llama31,
    rotary_halves,
    rotary_pairs,
    scores,
    silu,
    sinusoidal_positions,
    softmax,
    temperature,
    unembed,
)
from byhand.operators.record import Operator

from . import checks, meanings
from .choosing_mutants import CHOOSING
from .record_mutants import RECORDS
from .rewording import reworded

BIAS = " + bias[f]"

# --- softmax and the norms ------------------------------------------------------------------------------------------


def softmax_mean(d_weight_BHTS, weight_BHTS):
    return (weight_BHTS * (d_weight_BHTS - d_weight_BHTS.mean(-1, keepdims=True)),)


def softmax_unshifted(score_BHTS):
    with np.errstate(over="ignore", invalid="ignore"):
        exp_BHTS = np.exp(score_BHTS)
        return exp_BHTS / exp_BHTS.sum(-1, keepdims=True)


def softmax_of_finite(score_BHTS):
    return softmax.forward(np.nan_to_num(score_BHTS, neginf=-5))


def layer_norm_backward(d_out_BTD, x_BTD, gain_D, mean_BT, rstd_BT, *, along_mean, along_unit):
    """layer_norm's backward with either of its two terms switched off."""
    unit_BTD = (x_BTD - mean_BT[..., None]) * rstd_BT[..., None]
    d_unit_BTD = d_out_BTD * gain_D
    mean_BT1 = along_mean * d_unit_BTD.mean(-1, keepdims=True)
    unit_BT1 = along_unit * (d_unit_BTD * unit_BTD).mean(-1, keepdims=True)
    d_x_BTD = rstd_BT[..., None] * (d_unit_BTD - mean_BT1 - unit_BTD * unit_BT1)
    return d_x_BTD, (d_out_BTD * unit_BTD).sum((0, 1)), d_out_BTD.sum((0, 1))


def without_eps(x_BTD, gain_D, *, eps=1e-5, rounded):
    return rms_norm.forward(x_BTD, gain_D, eps=0.0, rounded=rounded)


NORMS = {
    "softmax backward subtracts the plain mean": (
        replace(softmax, backward=softmax_mean),
        [checks.check_gradient, checks.check_arithmetic],
    ),
    "softmax without the row maximum": (replace(softmax, forward=softmax_unshifted), [meanings.check_softmax]),
    "softmax lets hidden keys through": (
        replace(softmax, forward=softmax_of_finite),
        [checks.check_arithmetic, meanings.check_softmax],
    ),
    "layer_norm backward without the mean term": (
        replace(layer_norm, backward=partial(layer_norm_backward, along_mean=0, along_unit=1)),
        [checks.check_gradient, checks.check_arithmetic],
    ),
    "layer_norm backward without the variance term": (
        replace(layer_norm, backward=partial(layer_norm_backward, along_mean=1, along_unit=0)),
        [checks.check_gradient, checks.check_arithmetic],
    ),
    "rms_norm without eps": (replace(rms_norm, forward=without_eps), [checks.check_arithmetic, meanings.check_norm]),
    "rms_norm without eps, in the arithmetic too": (
        replace(rms_norm, forward=without_eps, arithmetic=reworded(rms_norm, (" + eps", ""))),
        [meanings.check_norm],
    ),
}

# --- attention ------------------------------------------------------------------------------------------------------


def modulo(x_BSGK, heads):
    """Keys or values as query heads h would read them from head h % G."""
    return x_BSGK[:, :, np.arange(heads) % x_BSGK.shape[2]]


def modulo_back(d_BSHK, groups):
    B, S, H, K = d_BSHK.shape
    return d_BSHK.reshape(B, S, H // groups, groups, K).sum(2)


def scores_modulo(query_BTHK, key_BSGK):
    return scores.forward(query_BTHK, modulo(key_BSGK, query_BTHK.shape[2]))


def scores_modulo_backward(d_score_BHTS, query_BTHK, key_BSGK):
    key_BSHK = modulo(key_BSGK, query_BTHK.shape[2])
    d_query_BTHK, d_key_BSHK = scores.backward(d_score_BHTS, query_BTHK, key_BSHK)
    return d_query_BTHK, modulo_back(d_key_BSHK, key_BSGK.shape[2])


def mix_modulo(weight_BHTS, value_BSGK):
    return mix.forward(weight_BHTS, modulo(value_BSGK, weight_BHTS.shape[1]))


def mix_modulo_backward(d_out_BTHK, weight_BHTS, value_BSGK):
    value_BSHK = modulo(value_BSGK, weight_BHTS.shape[1])
    d_weight_BHTS, d_value_BSHK = mix.backward(d_out_BTHK, weight_BHTS, value_BSHK)
    return d_weight_BHTS, modulo_back(d_value_BSHK, value_BSGK.shape[2])


MODULO = (("h // R", "h % G"), ("g * R + r", "r * G + g"))


def scores_undivided(query_BTHK, key_BSGK):
    return scores.forward(query_BTHK, key_BSGK) * query_BTHK.shape[-1] ** 0.5


def scores_undivided_backward(d_score_BHTS, query_BTHK, key_BSGK):
    return tuple(d * query_BTHK.shape[-1] ** 0.5 for d in scores.backward(d_score_BHTS, query_BTHK, key_BSGK))


def mask_shifted(score_BHTS, allowed_BTS, *, fill=-np.inf):
    return mask.forward(score_BHTS, np.roll(allowed_BTS, 1, -1), fill=fill)


def mask_shifted_backward(d_masked_BHTS, allowed_BTS):
    return mask.backward(d_masked_BHTS, np.roll(allowed_BTS, 1, -1))


def append_earlier(past_BSGK, new_BTGK, place_BT):
    return append.forward(past_BSGK, new_BTGK, (place_BT - 1) % past_BSGK.shape[1])


def append_earlier_backward(d_out_BSGK, place_BT):
    return append.backward(d_out_BSGK, (place_BT - 1) % d_out_BSGK.shape[1])


def append_first(past_BSGK, new_BTGK, place_BT):
    return append.forward(past_BSGK, new_BTGK[:, ::-1], place_BT[:, ::-1])


EARLIER = (("place[b,t] == s", "place[b,t] == (s + 1) % S"), ("b,place[b,t]", "b,(place[b,t] + S - 1) % S"))
SHIFTED = replace(mask, forward=mask_shifted, backward=mask_shifted_backward)
ATTENTION = {
    "query head h reads key head h % G": (
        replace(scores, forward=scores_modulo, backward=scores_modulo_backward, arithmetic=reworded(scores, *MODULO)),
        [meanings.check_scores_of_repeated_keys],
    ),
    "query head h reads key head h % G, forward only": (
        replace(scores, forward=scores_modulo),
        [checks.check_gradient, checks.check_arithmetic],
    ),
    "query head h reads value head h % G": (
        replace(mix, forward=mix_modulo, backward=mix_modulo_backward, arithmetic=reworded(mix, *MODULO)),
        [meanings.check_mix_of_repeated_values],
    ),
    "scores not divided by sqrt(K)": (
        replace(
            scores,
            forward=scores_undivided,
            backward=scores_undivided_backward,
            arithmetic=reworded(scores, (" / sqrt(K)", "")),
        ),
        [meanings.check_scores_of_repeated_keys],
    ),
    "append puts a token one place too early": (
        replace(
            append,
            forward=append_earlier,
            backward=append_earlier_backward,
            arithmetic=reworded(append, *EARLIER),
        ),
        [meanings.check_append],
    ),
    "append keeps the first of several at one place": (
        replace(append, forward=append_first),
        [checks.check_gradient, checks.check_arithmetic, meanings.check_append],
    ),
    "mask shifted by one": (SHIFTED, [checks.check_arithmetic, meanings.check_causal_mask]),
    "mask shifted by one, in the arithmetic too": (
        replace(SHIFTED, arithmetic=reworded(mask, ("allowed[b,t,s]", "allowed[b,t,(s-1) % S]"))),
        [meanings.check_causal_mask],
    ),
}

# --- rotary positions -----------------------------------------------------------------------------------------------


def other_layout(record: Operator, other: Operator) -> Operator:
    return replace(record, forward=other.forward, backward=other.backward, arithmetic=other.arithmetic)


def backwards(record: Operator) -> Operator:
    """The rotation with its angle negated, everywhere."""

    def backward(d_out_BTHK, angle_BTJ):
        return record.backward(d_out_BTHK, -angle_BTJ)

    def halves(x_BTHK, angle_BTJ, *, rounded):
        return rotary_halves.forward(x_BTHK, -angle_BTJ, rounded=rounded)

    def pairs(x_BTHK, angle_BTJ):
        return rotary_pairs.forward(x_BTHK, -angle_BTJ)

    forward = halves if record is rotary_halves else pairs
    return replace(record, forward=forward, backward=backward, arithmetic=reworded(record, ("sin(", "sin(-")))


def half_as_fast(position_BT, *, J, theta):
    return rotary_angles.forward(position_BT, J=2 * J, theta=theta)[..., :J]


def unblended(position_BT, *, J, theta, factor, low, high, original_context):
    return rotary_angles_llama31.forward(
        position_BT, J=J, theta=theta, factor=factor, low=high - 1e-9, high=high, original_context=original_context
    )


ROTARY = {
    "rotary_pairs turns halves": (other_layout(rotary_pairs, rotary_halves), [meanings.check_complex_product]),
    "rotary_halves turns pairs": (
        other_layout(rotary_halves, rotary_pairs),
        [meanings.check_halves_are_reordered_pairs],
    ),
    "rotary_pairs turns halves, forward only": (
        replace(rotary_pairs, forward=rotary_halves.forward),
        [checks.check_gradient, checks.check_arithmetic],
    ),
    "rotary_pairs turns the wrong way": (
        backwards(rotary_pairs),
        [meanings.check_complex_product, meanings.check_rotation],
    ),
    "rotary_halves turns the wrong way": (
        backwards(rotary_halves),
        [meanings.check_halves_are_reordered_pairs, meanings.check_rotation],
    ),
    "rotary backward turns on instead of back": (
        replace(rotary_pairs, backward=lambda d_out_BTHK, angle_BTJ: rotary_pairs.backward(d_out_BTHK, -angle_BTJ)),
        [checks.check_gradient],
    ),
    "rotary angles as if the head were twice as wide": (
        replace(rotary_angles, forward=half_as_fast, arithmetic=reworded(rotary_angles, ("-j / J", "-j / (2 * J)"))),
        [meanings.check_rotary_angles],
    ),
    "Llama 3.1 scaling without the blend": (
        replace(rotary_angles_llama31, forward=unblended),
        [meanings.check_llama31_angles, checks.check_arithmetic],
    ),
}

# --- weights, tables, activations, losses ---------------------------------------------------------------------------


def unbiased(x_BTD, weight_DF, bias_F=None):
    return linear.forward(x_BTD, weight_DF)


def unbiased_backward(d_out_BTF, x_BTD, weight_DF):
    d_x_BTD, d_weight_DF, d_bias_F = linear.backward(d_out_BTF, x_BTD, weight_DF)
    return d_x_BTD, d_weight_DF, np.zeros_like(d_bias_F)


def overwritten(d_out_BTD, id_BT, table_VD):
    d_table_VD = np.zeros_like(table_VD)
    d_table_VD[id_BT] = d_out_BTD
    return None, d_table_VD


def cosines_first(position_BT, *, D, base=10000.0):
    out_BTD = sinusoidal_positions.forward(position_BT, D=D, base=base)
    return out_BTD.reshape(*position_BT.shape, D // 2, 2)[..., ::-1].reshape(out_BTD.shape)


def every_target(logits_BTV, target_BT):
    return cross_entropy.forward(logits_BTV, np.maximum(target_BT, 0))


def over_positions(logits_BTV):
    return probabilities.forward(logits_BTV.swapaxes(1, 2)).swapaxes(1, 2)


def mean_of_all(loss_BT, target_BT):
    return np.where(target_BT >= 0, loss_BT, 0).mean()


OTHERS = {
    "bias dropped": (replace(linear, forward=unbiased), [checks.check_gradient, checks.check_arithmetic]),
    "gradient of the bias dropped": (
        replace(linear, backward=unbiased_backward),
        [checks.check_gradient, checks.check_arithmetic],
    ),
    "bias dropped, in backward and arithmetic too": (
        replace(linear, forward=unbiased, backward=unbiased_backward, arithmetic=reworded(linear, (BIAS, ""))),
        [meanings.check_product],
    ),
    "unembed without its bias": (
        replace(unembed, forward=lambda x_BTD, table_VD, bias_V=None: unembed.forward(x_BTD, table_VD)),
        [meanings.check_product, checks.check_gradient],
    ),
    "gradient of a repeated token overwritten": (
        replace(lookup, backward=overwritten),
        [checks.check_gradient, checks.check_arithmetic, meanings.check_lookup_is_one_hot],
    ),
    "cosines on even dimensions": (
        replace(sinusoidal_positions, forward=cosines_first),
        [meanings.check_sinusoidal, checks.check_arithmetic],
    ),
    "gelu_tanh by erf": (other_layout(gelu_tanh, gelu_erf), [meanings.check_activation]),
    "gelu_erf by tanh": (other_layout(gelu_erf, gelu_tanh), [meanings.check_activation]),
    "silu by way of 1 + tanh": (
        replace(silu, forward=lambda x_BTF: x_BTF * 0.5 * (1 + np.tanh(0.5 * x_BTF))),
        [meanings.check_activation],
    ),
    "a loss where there is no target": (
        replace(cross_entropy, forward=every_target),
        [meanings.check_cross_entropy, checks.check_gradient],
    ),
    "mean loss over all places": (replace(mean_loss, forward=mean_of_all), [meanings.check_mean_loss]),
    "temperature multiplied": (
        replace(temperature, forward=lambda logits_BTV, *, degree: logits_BTV * degree),
        [meanings.check_temperature],
    ),
    "probabilities over the positions": (
        replace(probabilities, forward=over_positions),
        [meanings.check_softmax],
    ),
}

MUTANTS = NORMS | ATTENTION | ROTARY | OTHERS | CHOOSING | RECORDS
