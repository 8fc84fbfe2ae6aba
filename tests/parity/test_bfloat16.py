"""The rounding of a bfloat16 model: byhand's dtype="bfloat16" beside models in torch.bfloat16.

Both keep every number in bfloat16 between two steps and compute inside a step in float32. At least 99 % of all outputs
of tiny models must be the same bfloat16 number as the oracle's, or its neighbour, near zero as elsewhere.

What is left over has one reason: a float32 sum depends on its order, which differs between NumPy's and PyTorch's
matrix products. About 3 in 100 000 results lie so near the middle between two bfloat16 numbers that the two orders
round to different sides. Everything after it reads that difference of one unit: it reaches all outputs of its position,
and, in a model that looks at both sides, of its text. So most texts agree in every bit, and of the others many outputs
differ. The wider and deeper a model, the more texts; PyTorch then parts as much from itself when another of its
libraries computes its products. `test_wider_models_part` measures both, and docs/precision.md has the numbers.

Where an oracle rounds at other places, the tests here say where, by rounding there too:

- transformers' "gelu_new", the activation of GPT-2's published configuration, rounds after every elementary operation;
  "gelu_pytorch_tanh" is the same function in one step, which is what byhand does.
- In Meta's rotary layout byhand rounds a turned pair once, as Meta's code does; transformers, which has only the other
  layout, rounds the cosine, the sine and both products, and so does byhand in that layout.
- PyTorch's attention scales the query before the product, which is the same only where 1/sqrt(K) is a power of two, and
  keeps scores and weights in bfloat16 only when it is asked for the weights: else they stay in float32 inside one fused
  step. With the batch first it rounds a projection before it adds the bias.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from byhand.operators import Operator, gelu_tanh, mask, scores, softmax

from .harness import Array, Twin, ordinal, ulps, units
from .mutants import exchanged
from .torch_layers import original_twin
from .transformers_models import bert_twin, gpt2_twin, llama_twin, modeling_llama

SHARE = 0.99
SEEDS = range(12)
SMALL = {"B": 2, "T": 8}


def apart(make: Callable[..., Twin]) -> Array:
    """How many bfloat16 numbers the outputs of several models are apart."""
    return np.concatenate([ulps(make(seed=seed, **SMALL)).ravel() for seed in SEEDS])


def meta_rotary(theta: float) -> Callable[..., Any]:
    """Meta's rotation, on features in the order of transformers: complex numbers in float32, rounded once."""

    def turned(x: torch.Tensor) -> torch.Tensor:
        T, K = x.shape[-2:]
        angle = torch.outer(torch.arange(T).float(), theta ** (-torch.arange(0, K, 2).float() / K))
        first, second = x.float().chunk(2, dim=-1)
        z = torch.complex(first, second) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat([z.real, z.imag], dim=-1).type_as(x)

    return lambda q, k, cos, sin: (turned(q), turned(k))


def asking_for_weights() -> Any:
    """PyTorch's attention step by step, which it does when its weights are wanted."""
    forward = nn.MultiheadAttention.forward
    return patch.object(nn.MultiheadAttention, "forward", lambda *a, **k: forward(*a, **k | {"need_weights": True}))


def layers(part: str, **sizes: Any) -> Callable[..., Twin]:
    """A part of the original; head width 16, a power of four."""
    usual = {"heads": 2, "attention_bias": True, "batch_first": False, "padded": False}
    return lambda **more: original_twin(part, **usual | sizes | more)


META = patch.object(modeling_llama, "apply_rotary_pos_emb", meta_rotary(500_000.0))
CASES: dict[str, tuple[Callable[..., Twin], Any]] = {
    "gpt2": (gpt2_twin, nullcontext()),
    "llama": (llama_twin, nullcontext()),
    "llama, multi-query": (lambda **more: llama_twin(groups=1, tied=True, **more), nullcontext()),
    "llama, Meta's layout": (lambda **more: llama_twin("llama, Meta's layout", rotary="pairs", **more), META),
    "bert": (bert_twin, nullcontext()),
    "bert pooler": (lambda **more: bert_twin(of="pooler.out", **more), nullcontext()),
    "original encoder": (layers("encoder"), asking_for_weights()),
    "original decoder": (layers("decoder"), asking_for_weights()),
    "original encoder-decoder": (layers("encoder-decoder"), asking_for_weights()),
}


@pytest.mark.parametrize(("make", "way"), CASES.values(), ids=CASES)
def test_nearly_all_outputs_are_the_same_or_neighbours(make, way):
    with way:
        distance = apart(make)
    make().record("bfloat16 not equal", float((distance > 0).mean()))
    make().record("bfloat16 > 1 ulp", float((distance > 1).mean()))
    assert (distance <= 1).mean() >= SHARE


# --- the reasons, each by rounding where the oracle does ------------------------------------------------------------


def stepwise(x_BTF, *, rounded):
    """gelu_tanh rounded after every elementary operation."""
    cube = rounded(rounded(x_BTF * x_BTF) * x_BTF)
    inner = rounded(x_BTF + rounded(np.float32(0.044715) * cube))
    bend = rounded(np.tanh(rounded(np.float32(np.sqrt(2 / np.pi)) * inner)))
    return rounded(np.float32(0.5) * x_BTF) * rounded(1 + bend)


UNROUNDED = {scores: replace(scores, forward=lambda query, key: scores.forward(query, key))}
IN_FLOAT32 = {each: replace(UNROUNDED.get(each, each), wide=True) for each in (scores, mask, softmax)}
REASONS: dict[str, tuple[Callable[..., Twin], Mapping[Operator, Operator], Any]] = {
    "gelu_new": (
        lambda **more: gpt2_twin("gelu_new", **more),
        {gelu_tanh: replace(gelu_tanh, forward=stepwise)},
        nullcontext(),
    ),
    "fused attention": (layers("decoder", heads=4), IN_FLOAT32, sdpa_kernel(SDPBackend.MATH)),
}


@pytest.mark.parametrize(("make", "operators", "way"), REASONS.values(), ids=REASONS)
def test_another_place_to_round_is_the_whole_reason(make, operators, way):
    with way:
        here, there = apart(make), apart(lambda **more: exchanged(make(**more), operators))
    assert (here <= 1).mean() < 0.9
    assert (there <= 1).mean() >= SHARE


WIDER: dict[str, Any] = {"layers": 4, "width": 128, "hidden": 512, "B": 2, "T": 32}


@pytest.mark.filterwarnings("ignore:TF32")  # of no graphics processor here
@pytest.mark.parametrize("make", [gpt2_twin, llama_twin, bert_twin])
def test_wider_models_part(make):
    """Not the criterion: how often byhand parts from PyTorch, and PyTorch from itself with another library inside."""
    ours, itself = [], []
    for seed in range(3):
        twin = make(seed=seed, **WIDER)
        run = twin.run("bfloat16")
        with torch.no_grad():
            first = units(twin.output(twin.oracle(run), run))
            with torch.backends.mkldnn.flags(enabled=False):
                second = units(twin.output(twin.oracle(run), run))
        ours.append(np.abs(ordinal(run.look(twin.of)) - first))
        itself.append(np.abs(second - first))
    twin.record("bfloat16 > 1 ulp, wider", float((np.array(ours) > 1).mean()))
    twin.record("bfloat16 > 1 ulp, wider, PyTorch from itself", float((np.array(itself) > 1).mean()))
    assert (np.array(ours) <= 1).mean() > 0.6  # with a rounding left out: 0.39 to 0.52


# --- that this can fail -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [gpt2_twin, llama_twin, bert_twin])
def test_a_rounding_left_out_is_caught(make):
    assert (apart(lambda **more: exchanged(make(**more), UNROUNDED)) <= 1).mean() < SHARE


def test_ordinals_are_one_apart_for_neighbours():
    bits = np.concatenate([np.arange(0x8080, 0x10000)[::-1], np.arange(0x0080, 0x7F80)]).astype(np.uint16)
    values = bits.view(ml_dtypes.bfloat16)
    values = values[np.isfinite(values.astype(np.float32))]
    assert (np.diff(values.astype(np.float64)) > 0).all()
    assert (np.diff(ordinal(values)) >= 1).all() and (np.diff(ordinal(values)) == 1).mean() > 0.999
    assert ordinal(np.array([0.0, -0.0], ml_dtypes.bfloat16)).tolist() == [0, 0]
