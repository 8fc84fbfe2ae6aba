"""Small models of every family and their runs, made once for all tests; and a second, independent engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np

import byhand
from byhand.families import llama, original
from byhand.model import Model
from byhand.program import Program
from byhand.run import Run
from byhand.weights import random

Array = np.ndarray[Any, Any]
Patch = Callable[[str, Array], Array]

# Rotary pairs of all three regimes: kept, blended and slowed.
SCALED = replace(llama.TINY, theta=50.0, scaling=llama.Scaling(original_context=64), tied=True, groups=1)
BIASED = replace(original.TINY, attention_bias=True)

TEXTS: dict[str, dict[str, Any]] = {
    "aab": {"text": "abaab"},
    "aab-gpt2": {"text": "abaab"},
    "gpt2-tiny": {"text": "Hello"},
    "llama-tiny": {"text": "Hello"},
    "llama-tiny-halves": {"text": "Hello"},
    "llama 3.1": {"text": [40, 69, 76, 76, 79]},
    "bert-tiny": {"text": "Hello", "segments": [0, 0, 1, 1, 0], "targets": [-1, 3, -1, 7, -1]},
    "original-tiny": {"text": "Hello", "source": "Bonjour"},
    "original with biases": {"text": [40, 69, 76, 76, 79], "source": [34, 79, 78]},
    "original-encoder-tiny": {"text": "Hello", "targets": [-1, 3, -1, 7, 5]},
    "original-decoder-tiny": {"text": "Hello"},
}


@cache
def model(name: str) -> Model:
    made = {"llama 3.1": (llama, SCALED), "original with biases": (original, BIASED)}
    if name not in made:
        return byhand.load(name, seed=3)
    family, config = made[name]
    return Model(name, family, config, random(family.program(config), 3))


def fresh(name: str, dtype: str = "float64", **setting: Any) -> Run:
    """A new run of a model on its text."""
    return model(name).run(**TEXTS[name], dtype=dtype, **setting)


@cache
def run(name: str, dtype: str = "float64") -> Run:
    """A run with everything kept and its loss's gradients."""
    made = fresh(name, dtype)
    made.backward()
    return made


def independent(
    program: Program, weights: Mapping[str, Array], inputs: Mapping[str, Array], patch: Patch
) -> dict[str, Array]:
    """All values of a program in float64, by a loop of its own; patch may replace each array as it comes.

    Arrays lie in C order, as in the reference engine: sums over other orders end in other last bits.
    """
    values: dict[str, Array] = {}
    for given in (inputs, weights):
        for address, array in given.items():
            values[address] = patch(
                address, array if array.dtype.kind in "iub" else array.astype(np.float64, order="C")
            )
    for step in program.steps:
        arrays = [None if read is None else values[read] for read in step.reads]
        inside = {"rounded": lambda array: array} if step.operator.rounds_inside else {}
        with np.errstate(all="ignore"):
            made = step.operator.forward(*arrays, **step.attributes, **inside)
        for address, array in zip(step.writes.values(), made if isinstance(made, tuple) else (made,), strict=True):
            values[address] = patch(address, np.asarray(array, order="C"))
    return values


def untouched(address: str, array: Array) -> Array:
    return array


def fingerprint(arrays: Mapping[str, Array]) -> dict[str, str]:
    """A hash of the bits, shape and type of every array."""
    return {
        address: sha256(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes()).hexdigest()
        for address, array in arrays.items()
    }


def same_bits(one: Array, other: Array) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def everything(of: Run) -> dict[str, Array]:
    """All values, weights and inputs of a run as it holds them."""
    return {address: of.look(address) for address in of.program.addresses}
