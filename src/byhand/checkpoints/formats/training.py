"""The folder of a training: the model is that of its last whole checkpoint, which is a folder of byhand's own."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from byhand.checkpoints.formats import own
from byhand.checkpoints.record import Checkpoint
from byhand.checkpoints.stored import latest, stored_steps
from byhand.errors import ByhandWarning, InputError

NAME = "training"
TITLE = "a training's folder"


def recognise(path: Path) -> bool:
    """Whether this is a folder with checkpoints in it, whole or not."""
    return path.is_dir() and bool(stored_steps(path))


def read(path: Path) -> Checkpoint:
    """Warns of each damaged checkpoint that it passes over. Raises InputError where none is whole."""
    told: list[str] = []
    newest = latest(path, told.append)
    if newest is None:
        raise InputError(f"{path} is a training's folder, but none of its checkpoints is whole: {told[0]}")
    for line in told:
        warnings.warn(line, ByhandWarning, stacklevel=2)
    found = own.read(newest)
    return replace(found, description=f"{TITLE}, {newest.name}, {found.description}")
