"""From a checkpoint back to the parameters of a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from byhand.checkpoints.files import safetensors
from byhand.checkpoints.formats import own
from byhand.checkpoints.stored import checked
from byhand.engines import Parameters
from byhand.errors import InputError

Array = np.ndarray[Any, Any]


def restore(path: Path | str, parameters: Parameters) -> dict[str, Any]:
    """Give parameters the values and moments of a checkpoint, bit for bit; returns its facts, with "step".

    Raises InputError for one that is damaged, or of another model; the parameters are then as they were.
    """
    path = Path(path)
    facts = checked(path)
    pieces = parameters.pieces
    stored = {name: arrays_of(path, name) for name in pieces}
    for name, arrays in stored.items():
        check_alike(arrays, pieces[name], f"{path} ({name})")
    for name, arrays in stored.items():
        for address, array in pieces[name].items():
            array[...] = arrays[address]
    return facts


def arrays_of(path: Path, piece: str) -> dict[str, Array]:
    """Arrays by address, as views of the files; the values are the model's weights."""
    return own.arrays_of(path) if piece == "values" else safetensors.read(path / f"{piece}.safetensors")


def check_alike(stored: Mapping[str, Array], wanted: Mapping[str, Array], where: str) -> None:
    """Raise InputError unless both hold the same arrays by address, shape and type."""
    other = "it is of another model; go on with the settings that it was made with, or name another folder"
    for address in (*wanted, *stored):
        if address not in stored or address not in wanted:
            which = "lacks" if address in wanted else "holds"
            raise InputError(f"{where} {which} {address}, unlike the model to be trained; {other}")
        there, here = stored[address], wanted[address]
        if there.shape != here.shape or there.dtype != here.dtype:
            sizes = f"{there.dtype} {list(there.shape)} there and {here.dtype} {list(here.shape)} here"
            raise InputError(f"{where}: {address} is {sizes}; {other}")
