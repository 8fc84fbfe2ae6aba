"""A model of more than a million parameters that has clearly learned something, trained here in some seconds."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import byhand
from byhand.families import gpt2
from byhand.model import Model
from byhand.tokenizer import PRINTABLE, Characters

Array = np.ndarray[Any, Any]

CONFIG = gpt2.Config(layers=3, width=192, heads=6, hidden=768, vocabulary=len(PRINTABLE), context=64)
STEPS, TEXTS, RATE = 120, 12, 3e-3
FIRST, SECOND, EPS, DECAY = 0.9, 0.99, 1e-8, 0.1

WHO = "the old fox|a small bird|my sister|the tall judge|a tired farmer|our neighbour|the captain|nobody".split("|")
DOES = "sees|counts|paints|forgets|carries|sells|remembers|hides".split("|")
WHAT = "apples|red boats|letters|wooden chairs|stones|clocks|empty jars|songs".split("|")
WHEN = "at night|in spring|before noon|on the hill|without a word|again and again".split("|")


def sentences(seed: int, length: int) -> str:
    """Sentences of few words in one order, with numbers in between that the model cannot foresee."""
    rng, text = np.random.default_rng(seed), ""
    while len(text) < length:
        who, does, what, when = (each[rng.integers(len(each))] for each in (WHO, DOES, WHAT, WHEN))
        text += f"{who} {does} {rng.integers(2, 100)} {what} {when}. "
    return text[:length]


@cache
def trained() -> Model:
    """The model. AdamW as in the example of llm.c's ten losses, with a rate that rises and falls."""
    text = np.array(Characters(PRINTABLE).encode(sentences(1, 60_000)))
    start = byhand.make("gpt2", CONFIG, seed=3).weights
    weights = {address: np.array(array) * (0.5 if array.ndim > 1 else 1) for address, array in start.items()}
    moments = {address: np.zeros((2, *array.shape), np.float32) for address, array in weights.items()}
    rng = np.random.default_rng(4)
    for step in range(1, STEPS + 1):
        places = rng.integers(0, len(text) - CONFIG.context - 1, TEXTS)[:, None] + np.arange(CONFIG.context + 1)
        run = byhand.make("gpt2", CONFIG, weights).run(
            text[places[:, :-1]], targets=text[places[:, 1:]], engine="reference"
        )
        gradients = run.backward()
        rate = RATE * min(step / 10, 1) * (1.02 - step / STEPS)
        for address, weight in weights.items():
            moved(weight, gradients[f"d:{address}"].array, moments[address], rate, step)
    return byhand.make("gpt2", CONFIG, weights, tokenizer=Characters(PRINTABLE), name="trained")


def moved(weight: Array, gradient: Array, moments: Array, rate: float, step: int) -> None:
    """One step of AdamW, in place."""
    first, second = moments
    first += (1 - FIRST) * (gradient - first)
    second += (1 - SECOND) * (gradient**2 - second)
    size = np.sqrt(second / (1 - SECOND**step)) + EPS
    weight -= rate * (first / (1 - FIRST**step) / size + DECAY * weight * (weight.ndim > 1))
