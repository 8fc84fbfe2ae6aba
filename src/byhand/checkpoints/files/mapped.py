"""A file as plain arrays that are not read before they are used."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from byhand.errors import InputError

Array = np.ndarray[Any, Any]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
POINTER = b"version https://git-lfs"
LONGEST_NAME = 200
MOST_AXES = 32  # what every NumPy can have
MOST = 2**62  # elements; NumPy's own limit is a little higher


class Mapped:
    """A whole file, mapped for reading: its pages come from disk when touched, and may be dropped again at any time.

    path: of the file; size: its bytes.
    """

    def __init__(self, path: Path | str) -> None:
        """Raises InputError for what is no file, cannot be opened, or is empty."""
        self.path = Path(path)
        try:
            if self.path.exists() and not self.path.is_file():  # opening a pipe would wait for its other end
                what = "a folder" if self.path.is_dir() else "a pipe or device"
                raise InputError(f"{self.path} is {what}, but a file belongs there")
            with self.path.open("rb") as file:
                self.size = os.fstat(file.fileno()).st_size
                if self.size == 0:
                    raise InputError(f"{self.path} is empty; the download or copy was cut off")
                if self.size < 1024 and file.read(len(POINTER)) == POINTER:
                    raise InputError(
                        f"{self.path} is a git-LFS pointer, not the file itself; fetch it with: git lfs pull"
                    )
                self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"cannot read {self.path}: {getattr(error, 'strerror', None) or error}") from None

    def array(self, dtype: Any, shape: Sequence[int], offset: int, what: str = "an array") -> Array:
        """A read-only view of the file; offset: its first byte. Nothing is read.

        Raises InputError when it does not lie inside the file. what: the name of the array, for that message.
        """
        dtype = np.dtype(dtype)
        self.check(offset, nbytes(dtype, shape, f"{self.path}: {what}"), f"{what} {dtype}{list(shape)}")
        flat = np.frombuffer(self.map, dtype, prod(shape), offset) if prod(shape) else np.empty(0, dtype)
        return flat.reshape(tuple(shape))

    def bytes(self, offset: int, length: int, what: str = "a part") -> bytes:
        """A copy of some bytes. Raises InputError when they do not lie inside the file."""
        self.check(offset, length, what)
        return self.map[offset : offset + length]

    def check(self, offset: int, length: int, what: str) -> None:
        """Raise InputError unless these bytes lie inside the file."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise InputError(
                f"{self.path}: {what} should lie at bytes {offset} to {offset + length}, "
                f"but the file has {self.size}; it is damaged or was cut off"
            )


def beginning(path: Path, length: int) -> bytes:
    """The first bytes of a file; none of what is no file or may not be read, whose reader will say so."""
    try:
        with path.open("rb") if path.is_file() else BytesIO() as file:
            return file.read(length)
    except OSError:
        return b""


def nbytes(dtype: np.dtype[Any], shape: Sequence[int], what: str) -> int:
    """The bytes of an array of this shape. Raises InputError for a shape that no array can have."""
    if not possible(shape):
        raise InputError(f"{what} has shape {list(shape)!s:.80}, which no array has; the file is damaged")
    return prod(shape) * dtype.itemsize


def possible(shape: Sequence[Any]) -> bool:
    """Whether an array can have this shape; NumPy counts a size of zero as one there."""
    whole = all(type(size) is int and size >= 0 for size in shape)
    return whole and len(shape) <= MOST_AXES and prod(max(size, 1) for size in shape) < MOST


def check_name(name: Any, path: Path) -> None:
    """Raise InputError for an array's name that could not be shown in one line."""
    if not isinstance(name, str) or not name.isprintable() or len(name) > LONGEST_NAME:
        raise InputError(f"{path} holds an array called {name!r:.80}; names are short texts in one line")
