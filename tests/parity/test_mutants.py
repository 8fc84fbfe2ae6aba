"""Every comparison can fail: a planted mistake of each kind is caught, and the same twin without it passes."""

from dataclasses import replace

import numpy as np
import pytest

from byhand.operators import gelu_erf, gelu_tanh, layer_norm, mask, mix, rotary_halves, rotary_pairs, scores, softmax

from .harness import check
from .mutants import changed, exchanged
from .torch_layers import original_twin
from .transformers_models import bert_twin, gpt2_twin, llama_twin


def modulo(array_BSGK, heads):
    """An array whose key/value head h is that of head h % G, as a wrong model would read it."""
    return array_BSGK[:, :, np.arange(heads) % array_BSGK.shape[2]]


def later_too(allowed_BTS):
    """One more position than may be seen."""
    return allowed_BTS | np.roll(allowed_BTS, -1, axis=1)


def softmax_without_average(d_weight_BHTS, weight_BHTS):
    return (weight_BHTS * (d_weight_BHTS - d_weight_BHTS.mean(-1, keepdims=True)),)


def layer_norm_without_mean(d_out_BTD, x_BTD, gain_D, mean_BT, rstd_BT):
    _, d_gain_D, d_shift_D = layer_norm.backward(d_out_BTD, x_BTD, gain_D, mean_BT, rstd_BT)
    unit_BTD = (x_BTD - mean_BT[..., None]) * rstd_BT[..., None]
    d_unit_BTD = d_out_BTD * gain_D
    along_unit_BT1 = (d_unit_BTD * unit_BTD).mean(-1, keepdims=True)
    return rstd_BT[..., None] * (d_unit_BTD - unit_BTD * along_unit_BT1), d_gain_D, d_shift_D


SEEN_LATER = replace(
    mask, forward=lambda score, allowed, *, fill=-np.inf: mask.forward(score, later_too(allowed), fill=fill)
)
OPERATORS = {
    "swapped rotary layout": (llama_twin, {rotary_halves: rotary_pairs}),
    "swapped rotary layout, Meta's": (lambda: llama_twin(rotary="pairs"), {rotary_pairs: rotary_halves}),
    "key head h % G": (
        llama_twin,
        {scores: replace(scores, forward=lambda q, k: scores.forward(q, modulo(k, q.shape[2])))},
    ),
    "value head h % G": (llama_twin, {mix: replace(mix, forward=lambda w, v: mix.forward(w, modulo(v, w.shape[1])))}),
    "mask shifted by one, gpt2": (gpt2_twin, {mask: SEEN_LATER}),
    "mask shifted by one, llama": (llama_twin, {mask: SEEN_LATER}),
    "mask shifted by one, decoder": (lambda: original_twin("decoder"), {mask: SEEN_LATER}),
    "gelu_erf for gelu_tanh": (gpt2_twin, {gelu_tanh: gelu_erf}),
    "gelu_tanh for gelu_erf": (bert_twin, {gelu_erf: gelu_tanh}),
}
BACKWARD = {
    "softmax backward": (gpt2_twin, {softmax: replace(softmax, backward=softmax_without_average)}),
    "layer norm backward": (gpt2_twin, {layer_norm: replace(layer_norm, backward=layer_norm_without_mean)}),
}
# not the key bias: it adds the same to all scores of a query, which softmax takes away again
BIASES = {
    "gpt2": (gpt2_twin, ["blocks.1.attn.q", "blocks.0.attn.out", "blocks.1.mlp.pre", "blocks.0.mlp.out"]),
    "bert": (bert_twin, ["blocks.1.attn.v", "head.pre", "logits"]),
    "original": (
        lambda: original_twin("encoder-decoder", attention_bias=True),
        ["blocks.1.cross.v", "source.blocks.0.mlp.out"],
    ),
}


@pytest.mark.parametrize(("make", "operators"), OPERATORS.values(), ids=OPERATORS)
def test_a_wrong_operator_is_caught_by_what_it_computes(make, operators):
    check(make())
    with pytest.raises(AssertionError, match=r"(logits|loss|output of .*) differs by"):
        check(exchanged(make(), operators))


@pytest.mark.parametrize(("make", "operators"), BACKWARD.values(), ids=BACKWARD)
def test_a_wrong_backward_is_caught_by_gradients_alone(make, operators):
    with pytest.raises(AssertionError, match=r"gradient (of|at) .* differs by"):
        check(exchanged(make(), operators))


@pytest.mark.parametrize(("make", "address"), [(make, a) for make, all_ in BIASES.values() for a in all_])
def test_a_dropped_bias_is_caught(make, address):
    def dropped(step):
        return replace(step, reads=(*step.reads[:2], None)) if step.address == address else step

    with pytest.raises(AssertionError, match="logits differs by"):
        check(changed(make(), dropped))


@pytest.mark.parametrize(("make", "address"), [(gpt2_twin, "blocks.1.norm2.out"), (llama_twin, "blocks.0.norm1.out")])
def test_another_eps_is_caught(make, address):
    def other(step):
        return replace(step, attributes={**step.attributes, "eps": 1e-6}) if step.address == address else step

    with pytest.raises(AssertionError, match="logits differs by"):
        check(changed(make(), other))


def test_a_name_that_leads_to_the_wrong_array_is_caught():
    """q and k exchanged inside c_attn, for one layer, for values and weights alike."""
    twin = gpt2_twin()
    views = dict(twin.views)
    for end in ("", ".weight", ".bias"):
        view = views[f"transformer.h.1.attn.c_attn{end}"]
        q, k, v = view.addresses
        views[f"transformer.h.1.attn.c_attn{end}"] = replace(view, addresses=(k, q, v))
    with pytest.raises(AssertionError, match="logits differs by"):
        check(replace(twin, views=views))


def test_a_name_that_is_missing_is_caught():
    twin = gpt2_twin()
    without = {name: view for name, view in twin.views.items() if name != "transformer.h.1.mlp.act"}
    with pytest.raises(AssertionError, match=r"no name for the module transformer\.h\.1\.mlp\.act"):
        check(replace(twin, views=without))


def test_a_value_that_nothing_compares_is_caught():
    with pytest.raises(AssertionError, match=r"not compared: blocks.0.attn.q_rot"):
        check(replace(llama_twin(), modeling=None, unseen=("*.k_rot", "*.scores", "*.masked", "*.weights")))
