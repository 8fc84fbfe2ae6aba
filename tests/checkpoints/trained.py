"""A model of more than a million parameters that has clearly learned something, trained here in half a minute.

Run as a program it trains in a process of its own with one thread: beside other tests, threads wait for each other.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import byhand
from byhand.families import llama
from byhand.model import Model
from byhand.tokenizer import PRINTABLE, Characters

Array = np.ndarray[Any, Any]

LETTERS = Characters("".join(sign for sign in PRINTABLE if sign.islower() or sign.isdigit() or sign in " ."))
CONFIG = llama.Config(
    layers=3,
    width=192,
    heads=6,
    groups=3,
    head_width=32,
    hidden=544,
    vocabulary=len(LETTERS.alphabet),
    context=64,
    theta=10000.0,
)
STEPS, TEXTS, RATE = 200, 4, 3e-3
FIRST, SECOND, EPS, DECAY = 0.9, 0.99, 1e-8, 0.1

WHO = ("the old fox", "a small bird", "my sister", "the tall judge", "a tired farmer", "the captain", "nobody")
DOES = ("sees", "counts", "paints", "forgets", "carries", "sells", "remembers", "hides")
WHAT = ("apples", "red boats", "letters", "wooden chairs", "stones", "clocks", "empty jars", "songs")
WHEN = ("at night", "in spring", "before noon", "on the hill", "without a word", "again and again")


def sentences(seed: int, length: int) -> str:
    """Sentences of few words in one order, with numbers in between that the model cannot foresee."""
    rng, text = np.random.default_rng(seed), ""
    while len(text) < length:
        who, does, what, when = (each[rng.integers(len(each))] for each in (WHO, DOES, WHAT, WHEN))
        text += f"{who} {does} {rng.integers(2, 100)} {what} {when}. "
    return text[:length]


def trained(folder: Path) -> Model:
    """The model, trained once for a folder."""
    if not folder.exists():
        words = [sys.executable, "-m", __name__, str(folder)]
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
        subprocess.run(words, env=os.environ | threads, check=True, cwd=Path(__file__).parents[2])
    return byhand.load(folder)


def train() -> Model:
    """AdamW as in the example of llm.c's ten losses, with a rate that rises and falls."""
    text = np.array(LETTERS.encode(sentences(1, 60_000)))
    start = byhand.make("llama", CONFIG, seed=3).weights
    weights = {address: np.array(array) for address, array in start.items()}
    moments = {address: np.zeros((2, *array.shape), np.float32) for address, array in weights.items()}
    rng = np.random.default_rng(4)
    for step in range(1, STEPS + 1):
        places = rng.integers(0, len(text) - CONFIG.context - 1, TEXTS)[:, None] + np.arange(CONFIG.context + 1)
        run = byhand.make("llama", CONFIG, weights).run(
            text[places[:, :-1]], targets=text[places[:, 1:]], engine="reference"
        )
        gradients = run.backward()
        rate = RATE * min(step / 10, 1) * (1.02 - step / STEPS)
        for address, weight in weights.items():
            moved(weight, gradients[f"d:{address}"].array, moments[address], rate, step)
    return byhand.make("llama", CONFIG, weights, tokenizer=LETTERS, name="trained")


def moved(weight: Array, gradient: Array, moments: Array, rate: float, step: int) -> None:
    """One step of AdamW, in place."""
    first, second = moments
    first += (1 - FIRST) * (gradient - first)
    second += (1 - SECOND) * (gradient**2 - second)
    size = np.sqrt(second / (1 - SECOND**step)) + EPS
    weight -= rate * (first / (1 - FIRST**step) / size + DECAY * weight * (weight.ndim > 1))


if __name__ == "__main__":
    train().save(sys.argv[1])
