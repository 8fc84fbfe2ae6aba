"""All operators. Importing this package fills the registry."""

from byhand.operators.activation import add, gelu_erf, gelu_tanh, multiply, relu, scale, silu, tanh
from byhand.operators.attention import append, mask, mix, scores, softmax
from byhand.operators.embedding import first_position, lookup, sinusoidal_positions, unembed
from byhand.operators.linear import from_heads, linear, to_heads
from byhand.operators.loss import cross_entropy, mean_loss, probabilities
from byhand.operators.normalization import layer_norm, rms_norm
from byhand.operators.record import REGISTRY, Operator, find
from byhand.operators.rotary import rotary_angles, rotary_angles_llama31, rotary_halves, rotary_pairs
from byhand.operators.sampling import argmax, draw, min_p, repetition_penalty, running_sum, temperature, top_k, top_p

__all__ = [
    "REGISTRY",
    "Operator",
    "add",
    "append",
    "argmax",
    "cross_entropy",
    "draw",
    "find",
    "first_position",
    "from_heads",
    "gelu_erf",
    "gelu_tanh",
    "layer_norm",
    "linear",
    "lookup",
    "mask",
    "mean_loss",
    "min_p",
    "mix",
    "multiply",
    "probabilities",
    "relu",
    "repetition_penalty",
    "rms_norm",
    "rotary_angles",
    "rotary_angles_llama31",
    "rotary_halves",
    "rotary_pairs",
    "running_sum",
    "scale",
    "scores",
    "silu",
    "sinusoidal_positions",
    "softmax",
    "tanh",
    "temperature",
    "to_heads",
    "top_k",
    "top_p",
    "unembed",
]
