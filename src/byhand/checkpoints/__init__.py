"""Models on disk: one module a format, which recognises, reads and (mostly) writes it.

A format module has NAME (what ``format=`` takes), TITLE (for people), ``recognise(path)`` (whether a file or folder is
one, from its content), ``read(path)`` (a Checkpoint; its weights are views of mapped files) and, where it can be
written, ``write(parts, path, progress)``, which writes to a path where nothing is yet; one whose write takes a dtype
too has types of its own.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from byhand.checkpoints.blocks import SCHEMES
from byhand.checkpoints.casting import DTYPES, cast
from byhand.checkpoints.files.saving import beside
from byhand.checkpoints.record import Checkpoint, Doubt, Finding, Parts, Progress, silent
from byhand.checkpoints.unknown import described
from byhand.errors import InputError

__all__ = [
    "Checkpoint",
    "Doubt",
    "Finding",
    "Parts",
    "Progress",
    "known",
    "read",
    "recognise",
    "save",
    "silent",
    "writable",
]


def known() -> dict[str, ModuleType]:
    """Every format by its name, in the order in which a path is held against them.

    Those that cannot be mistaken for another come first. They are imported when a file is first asked about.
    """
    from byhand.checkpoints.formats import gguf, hugging_face, llama2c, llmc, meta, nanogpt, openai, own, training

    return {module.NAME: module for module in (own, training, gguf, llmc, openai, meta, nanogpt, hugging_face, llama2c)}


def recognise(path: Path) -> ModuleType:
    """The format of a file or folder, by its content. Raises InputError that says what it is if it is none of them."""
    path = Path(path)
    found = next((module for module in known().values() if module.recognise(path)), None)
    if found is None:
        raise InputError(described(path))
    return found


def read(path: Path) -> Checkpoint:
    """The model in a file or folder of any format, its weights mapped. Raises InputError and ShapeError."""
    try:
        return recognise(Path(path)).read(Path(path))
    except OSError as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror or error}") from None


def writable() -> list[str]:
    """The names of the formats that can be written."""
    return [name for name, module in known().items() if hasattr(module, "write")]


def save(
    parts: Parts,
    path: Path,
    format: str,
    *,
    dtype: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Path:
    """Write a model and return where; the file or folder appears whole or not at all.

    dtype: one of DTYPES, or of the format's own, or None for the weights as they are. Raises InputError for what the
    format cannot hold, for a path that exists unless `force`, and for one that cannot be written.
    """
    if not isinstance(format, str) or format not in writable():
        what = "is read only" if str(format) in known() else "is unknown"
        raise InputError(f"format {format!r:.40} {what}; byhand writes {', '.join(writable())}")
    write = known()[format].write
    if dtype is not None and not isinstance(dtype, str):
        raise InputError(f"dtype is {dtype!r:.40}; use one of {', '.join([*DTYPES, *SCHEMES])}")
    has_own_types = "dtype" in write.__annotations__
    if dtype is not None and dtype not in DTYPES and not has_own_types:
        other = "; byhand and gguf hold it" if dtype in SCHEMES else ""
        raise InputError(f"dtype {dtype!r:.40} is none that {format} can hold; use one of {', '.join(DTYPES)}{other}")
    path = Path(path)
    with beside(path, force) as new:
        if has_own_types:
            write(parts, new, progress, dtype)
        else:
            write(cast(parts, dtype) if dtype else parts, new, progress)
    return path
