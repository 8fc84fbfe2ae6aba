"""What files leave open is decided by running the model both ways, and said; where that says nothing, so is that."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import byhand
from byhand.checkpoints.record import Checkpoint, Doubt, Finding
from byhand.doctor import SENTENCES, decided
from byhand.families import gpt2, llama
from byhand.tokenizer import PRINTABLE, Characters

ROTARY = Doubt("rotary", ("halves", "pairs"), "there is no config.json")
GELU = Doubt("activation", ("gelu_erf", "gelu_tanh"), "model_args do not say it")


@cache
def trained(rotary):
    """The weights of a Llama that knows the beginnings of the sentences, learned with one rotary layout (Adam)."""
    config = replace(llama.TINY, layers=1, rotary=rotary, theta=100.0)
    tokenizer = Characters(PRINTABLE)
    ids_BT = np.array([tokenizer.encode(text)[:24] for text in SENTENCES])
    weights = {
        address: array.astype(np.float32) for address, array in byhand.make("llama", config, seed=1).weights.items()
    }
    first, second = ({address: np.zeros_like(array) for address, array in weights.items()} for _ in range(2))
    for step in range(1, 61):
        run = byhand.make("llama", config, weights).run(ids_BT)
        gradients = run.backward()
        for address in weights:
            gradient = gradients[f"d:{address}"].array
            first[address] = 0.9 * first[address] + 0.1 * gradient
            second[address] = 0.99 * second[address] + 0.01 * gradient**2
            size = np.sqrt(second[address] / (1 - 0.99**step)) + 1e-8
            weights[address] = weights[address] - 0.01 * first[address] / (1 - 0.9**step) / size
    return config, weights


def checkpoint(rotary, doubt=ROTARY, tokenizer=True):
    config, weights = trained(rotary)
    opened = replace(config, rotary=doubt.choices[0]) if doubt is ROTARY else config
    reader = Characters(PRINTABLE) if tokenizer else None
    found = (Finding("rotary layout", "halves", "what most files have"),)
    return Checkpoint(Path("model"), "hf", "a folder", "llama", opened, weights, reader, found, (doubt,))


@pytest.mark.parametrize("rotary", ["pairs", "halves"])
def test_the_layout_a_model_was_trained_with_is_found(rotary):
    after = decided(checkpoint(rotary))
    assert after.config.rotary == rotary and after.doubts == ()
    (finding,) = after.findings
    assert finding.what == "rotary layout" and finding.value == rotary
    assert "there is no config.json; loss on 8 tokens of ordinary text: halves" in finding.how
    assert f"so {rotary} was taken" in finding.how


def test_a_model_that_knows_nothing_leaves_it_open():
    config = replace(llama.TINY, rotary="halves")
    made = byhand.make("llama", config, seed=2)
    for tokenizer in (None, Characters(PRINTABLE)):
        unknown = Checkpoint(Path("x"), "hf", "", "llama", config, made.weights, tokenizer, (), (ROTARY,))
        after = decided(unknown)
        assert after.config.rotary == "halves"
        assert "no better than guessing, so the usual one, halves was taken" in after.findings[0].how
        assert ("of ordinary text" if tokenizer else "that it continued itself") in after.findings[0].how


def test_a_model_that_reads_both_sides_can_be_asked_too():
    made = byhand.load("bert-tiny")
    opened = Checkpoint(Path("x"), "hf", "", "bert", made.config, made.weights, made.tokenizer, (), (GELU,))
    assert decided(opened).config.activation == "gelu_erf"


def test_nothing_open_changes_nothing():
    config = gpt2.SHAPES["gpt2-tiny"]
    settled = Checkpoint(Path("x"), "hf", "", "gpt2", config, byhand.load("gpt2-tiny").weights)
    assert decided(settled) == settled
