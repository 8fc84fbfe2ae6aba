"""The programs of the zoo as models: the weights of each, written once, in one small file.

Most weights are 0, so they lie compressed: an .npz with an array for each address and, as text, what makes it a model.
``python -m tests.wiring.weights`` writes them anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
FOLDER = Path(__file__).parent / "programs"
PREFIX, ABOUT = "wired-", "about"


class Wired(NamedTuple):
    """What a file holds: a family's name, the fields of its config, all letters, the begin token first, the arrays."""

    family: str
    config: dict[str, Any]
    tokens: list[str]
    arrays: dict[str, Array]


def names() -> dict[str, str]:
    """wired-PROGRAM-FAMILY for each file, with the name of its family."""
    return {PREFIX + path.stem: path.stem.rpartition("-")[2] for path in sorted(FOLDER.glob("*.npz"))}


def path_of(program: str, family: str) -> Path:
    return FOLDER / f"{program}-{family}.npz"


def read(name: str) -> Wired:
    """One of `names`."""
    with np.load(FOLDER / f"{name.removeprefix(PREFIX)}.npz") as file:
        arrays = dict(file)
    about = json.loads(str(arrays.pop(ABOUT)))
    return Wired(about["family"], about["config"], about["tokens"], arrays)


def write(path: Path, config: Any, tokens: list[str], arrays: Mapping[str, Array]) -> None:
    """The same bytes for the same model. config: of the family's own kind."""
    family = type(config).__module__.rpartition(".")[2]
    about = json.dumps({"family": family, "config": asdict(config), "tokens": tokens})
    np.savez_compressed(path, **{ABOUT: np.array(about)}, **arrays)  # type: ignore[arg-type]
