"""Writing a file so that there is never half of one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from byhand.checkpoints.files.saving import beside
from byhand.errors import InputError
from byhand.tensor import Array


def check_target(path: Path, force: bool) -> None:
    """Raise InputError, before anything is computed, if the file could not be written."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file, such as {path / 'values.npz'}")
    if path.exists() and not force:
        raise InputError(f"{path} exists; name another file, or overwrite it with --force")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent}; make it first, or name another file")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"the folder {path.parent} cannot be written to; name a file elsewhere")


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> int:
    """Write arrays by name as .npz, and return its bytes. bfloat16, which the format lacks, becomes float32.

    The file appears whole or not at all. Raises InputError when it cannot be written.
    """
    plain = {
        name: array.astype(np.float32) if array.dtype.name == "bfloat16" else array for name, array in arrays.items()
    }
    with beside(path, force=True) as new:
        with new.open("wb") as file:
            np.savez(file, **plain)  # type: ignore[arg-type]
        return new.stat().st_size
