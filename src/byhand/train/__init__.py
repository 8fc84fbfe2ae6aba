"""Training: from texts to a model, reproducible to the bit, with every step open to be looked into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from byhand.model import Model
from byhand.train import saving
from byhand.train.beginning import begin, resume
from byhand.train.divergence import Diverged
from byhand.train.loop import Evaluated, Event, Failed, Sampled, Saved, Stepped, Training
from byhand.train.settings import Settings, from_toml, made

__all__ = [
    "Diverged",
    "Evaluated",
    "Event",
    "Failed",
    "Sampled",
    "Saved",
    "Settings",
    "Stepped",
    "Training",
    "begin",
    "from_toml",
    "made",
    "resume",
    "train",
]


def train(
    out: str | Path, *, go_on: bool = False, watch: Callable[[Event], None] = lambda event: None, **settings: Any
) -> Model:
    """Train a model and return it: ``train("small", family="gpt2", data="stories", steps=200)``.

    out: the folder for checkpoints and the log; go_on: with the training in that folder; watch: called with everything
    that happens; settings: see `Settings`. Raises InputError, MemoryRefused, Diverged.
    """
    folder = Path(out)
    with saving.alone(folder):
        training = resume(folder, settings) if go_on else begin(made(settings), folder)
        for event in training.run():
            watch(event)
    return training.now()
