"""Feeding a model piece by piece gives the bits of a run of the whole text, with and without a cache."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from byhand import inputs
from byhand.decoding import Decoding
from byhand.engines.reference import precision
from byhand.run import execute
from byhand.weights import random

from .small_models import Array, model, same_bits

NAMES = ["aab", "aab-gpt2", "gpt2-tiny", "llama-tiny", "llama-tiny-halves", "llama 3.1", "original-decoder-tiny"]
NAMES += ["original-tiny", "original with biases"]
DTYPES = ["float64", "float32", "bfloat16"]
LONG = 200


def lengthened(name: str):
    """The model with a context that several tiles of keys fit into."""
    of = model(name)
    if name.startswith("aab"):
        return of  # its positions are its weights
    config = replace(of.config, context=LONG)
    return replace(of, config=config, weights=random(of.family.program(config), 3), programs={})


def source_of(of, B: int, seed: int = 5) -> dict[str, Array]:
    """A source text for a translating model, shorter for every second text."""
    if "source.tokens" not in of.program.inputs:
        return {}
    tokens_BS = np.random.default_rng(seed).integers(0, of.program.sizes["V"], (B, 7))
    real_BS = np.ones((B, 7), bool)
    real_BS[1::2, 5:] = False
    return {"source.tokens": tokens_BS, "source.mask": real_BS}


def decoding(of, B: int = 1, dtype: str = "float64", **setting) -> Decoding:
    given = source_of(of, B)
    return Decoding(of.family, of.config, of.weights, precision(dtype), given=given, **setting)


def run_of(of, tokens: list[int], b: int = 0, B: int = 1, dtype: str = "float64", edits=()):
    """A run of one whole text by itself, without any of the others."""
    given = {name: array[b : b + 1] for name, array in source_of(of, B).items()}
    arrays = inputs.prepare(of.program, {"tokens": np.array([tokens]), **given})
    run = execute(of.program, of.weights, arrays, precision(dtype), tokens=of.tokens)
    for edit in edits:
        run = run.edited(edit)
    return run


def pieces(of, B: int, most: int, seed: int = 0) -> list[list[list[int]]]:
    """What is fed: prompts of unequal lengths, then none to three tokens at a time, until the longest has so many."""
    rng, fed = np.random.default_rng(seed), [0] * B
    made = []
    while max(fed) < most:
        counts = rng.integers(0, 4, B) if made else rng.integers(1, min(most, 9), B)
        counts = np.minimum(counts, most - np.array(fed))
        made.append([rng.integers(0, of.program.sizes["V"], n).tolist() for n in counts])
        fed = [before + int(n) for before, n in zip(fed, counts, strict=True)]
    return made


# --- logits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_every_step_has_the_bits_of_a_run_of_each_text_alone(name, dtype):
    of = lengthened(name)
    steps = pieces(of, 3, 5 if name.startswith("aab") else 21)
    cached, again = (decoding(of, 3, dtype, cached=kept) for kept in (True, False))
    for new in steps:
        logits_BV = cached.feed(new)
        assert same_bits(logits_BV, again.feed(new))
    for b, text in enumerate(cached.texts):
        assert same_bits(logits_BV[b], run_of(of, text, b, 3, dtype).look("logits")[0, -1])


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-tiny"])
def test_token_by_token_every_position_has_its_bits(name):
    """Over the borders of tiles and of what the cache has room for."""
    of = lengthened(name)
    text = np.random.default_rng(1).integers(0, 96, 131).tolist()
    for dtype in ("float32", "bfloat16"):
        run, one_by_one = run_of(of, text, dtype=dtype), decoding(of, dtype=dtype)
        for t, token in enumerate(text):
            assert same_bits(one_by_one.feed([[token]])[0], run.look("logits")[0, t]), f"position {t} in {dtype}"


def test_pieces_of_any_length_give_the_same_bits():
    of = lengthened("llama-tiny")
    text = np.random.default_rng(1).integers(0, 96, 140).tolist()
    logits_V = run_of(of, text, dtype="float32").look("logits")[0, -1]
    for cuts in ([1, 2, 63], [64], [63, 65, 127, 128, 129], [15, 16, 17, 100], [139]):
        fed = decoding(of, dtype="float32")
        for start, end in zip([0, *cuts], [*cuts, 140], strict=True):
            last = fed.feed([text[start:end]])
        assert same_bits(last[0], logits_V), f"cut at {cuts}"


@pytest.mark.parametrize("name", ["aab", "gpt2-tiny", "llama-tiny", "original-decoder-tiny"])
def test_a_text_longer_than_the_context_is_seen_from_its_end(name):
    of = model(name)
    context = of.config.context
    steps = [
        [[0] * (context - 2), [1] * (context + 3)],
        *[[[1], [0, 1]], [[1], []], [[0, 0, 1], [1]], [[], [1]], [[1], [0]]],
    ]
    cached, again = (decoding(of, 2, "float32", cached=kept) for kept in (True, False))
    for new in steps:
        logits_BV = cached.feed(new)
        assert same_bits(logits_BV, again.feed(new))
        for b, text in enumerate(cached.texts):
            assert same_bits(logits_BV[b], run_of(of, text[-context:], b, 2, "float32").look("logits")[0, -1])


def test_a_finished_text_keeps_its_logits():
    of = model("gpt2-tiny")
    fed = decoding(of, 2)
    first = fed.feed([[1, 2, 3], [4]])
    for new in ([[5], []], [[6, 7], []], [[], []]):
        assert same_bits(fed.feed(new)[1], first[1])
    assert fed.texts == [[1, 2, 3, 5, 6, 7], [4]]


def test_the_logits_may_be_written_to():
    fed = decoding(model("gpt2-tiny"))
    fed.feed([[1]])[:] = 0
    assert fed.feed([[]]).any()


def test_another_order_of_sums_is_caught(monkeypatch):
    """With ordinary products the two ways part in their last bits."""

    def einsum(spec, x, y):
        return np.einsum(spec, x, y, optimize=True)

    for module in ("linear", "attention", "embedding"):
        monkeypatch.setattr(import_module(f"byhand.operators.{module}"), "product", einsum)
    with pytest.raises(AssertionError):
        test_every_step_has_the_bits_of_a_run_of_each_text_alone("gpt2-tiny", "float32")
