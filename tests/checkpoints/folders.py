"""Folders of models in the form of other projects, made from our own small ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import byhand
from byhand.checkpoints.files import safetensors
from byhand.model import Model

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]


@cache
def model(name: str) -> Model:
    return byhand.load(name, seed=5)


def write_arrays(folder: Path, arrays: Mapping[str, Array], shard: int = 10**9) -> None:
    plans = [
        safetensors.Planned(name, each.dtype, each.shape, lambda each=each: [each]) for name, each in arrays.items()
    ]
    safetensors.write(folder, plans, shard)


def hugging_face(folder: Path, name: str = "gpt2-tiny", **config: Any) -> Path:
    """A folder of one of our own models. config: values to change in config.json; None takes one away."""
    model(name).save(folder, format="hf")
    if config:
        change_json(folder / "config.json", **config)
    return folder


def change_json(path: Path, **values: Any) -> None:
    changed = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: value for name, value in changed.items() if value is not None}))


def arrays_of(folder: Path) -> Arrays:
    """Copies, so that the file can be written anew."""
    return {name: np.array(each) for name, each in safetensors.read(folder / "model.safetensors").items()}


def rewrite(folder: Path, change: Any, shard: int = 10**9) -> None:
    """Put other arrays into a folder. change: from the old arrays by name to the new ones."""
    arrays = change(arrays_of(folder))
    (folder / "model.safetensors").unlink()
    write_arrays(folder, arrays, shard)


def logits(of: Model, dtype: str = "float64") -> Array:
    return of.run([[3, 14, 15, 92], [6, 53, 58, 9]], dtype=dtype).look("logits")
