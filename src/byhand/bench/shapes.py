"""Shapes that people train on a computer without a graphics card, by name, beside those that byhand has anyway."""

from __future__ import annotations

from pathlib import Path

from byhand import loading
from byhand.families import gpt2
from byhand.model import Model

SHAPES = {
    # stories of a few thousand different tokens; and characters, as nanoGPT's recipe for a processor has them
    "gpt2-12m": gpt2.Config(layers=6, width=384, heads=6, hidden=1536, vocabulary=4096, context=256),
    "gpt2-0.8m": gpt2.Config(layers=4, width=128, heads=4, hidden=512, vocabulary=65, context=64),
}


def load(name: str | Path) -> Model:
    """The model of a name or a file. Raises InputError for what is no model."""
    named = SHAPES.get(str(name))
    return loading.make(gpt2, named, name=str(name)) if named else loading.load(name)


def has(name: str) -> bool:
    """Whether this is the name of a shape, whose weights are random, and not of a file."""
    return name in SHAPES or name in loading.names()
