"""A file or folder that appears whole or not at all: written beside, flushed, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from byhand.errors import InputError

# A folder may be replaced if it holds one of the first and, beside it, nothing but these; any other file is somebody's.
MODEL_FILES = ("byhand.json", "config.json", "params.json")
BESIDE = (
    *("*.safetensors", "*.index.json", "pytorch_model*.bin", "consolidated.*.pth", "generation_config.json"),
    *("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "encoder.json"),
    *("vocab.bpe", "vocab.txt", "tokenizer.model", "tokenizer.bin", "gpt2_tokenizer.bin", "meta.pkl"),
)


@contextmanager
def beside(path: Path | str, force: bool = False) -> Iterator[Path]:
    """Yield a path where nothing is yet; what the block puts there, a file or a folder, is renamed to `path`.

    When the block fails nothing is left of it, and what was at `path` stays. force: replace what is at `path`; a
    folder is replaced only if it is a model's. Raises InputError when `path` cannot be written, or the disk is full.
    """
    path = Path(path)
    check_target(path, force)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", ignore_cleanup_errors=True) as made:
            new, old = Path(made, path.name), Path(made, f"{path.name}.old")
            yield new
            flush(new)
            check_target(path, force)  # again: somebody else may have been quicker
            try:
                if path.exists() and (path.is_dir() or new.is_dir()):
                    path.rename(old)
                new.replace(path)
            except BaseException:
                if old.exists() and not path.exists():
                    old.rename(path)
                raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; nothing was written") from None


def check_target(path: Path, force: bool) -> None:
    """Raise InputError, before anything is written, if this path cannot or should not be written to."""
    if path.name in ("", ".."):
        raise InputError(f"{path} is no name for a file or folder; name a new one, such as {path / 'model'}")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent}; make it first, or name another place")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"the folder {path.parent} cannot be written to; name another place")
    if path.exists() and not force:
        raise InputError(f"{path} exists; name another place, or replace it with force=True (--force)")
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{path} is a pipe or device, which is not replaced; name a file or folder")
    if path.is_dir() and (other := no_model(path)):
        raise InputError(f"{path} is a folder that holds other things than a model ({other}), so it is not replaced")


def no_model(folder: Path) -> str | None:
    """What a folder holds that is no file of a model; None for a model's folder and an empty one."""
    inside = sorted(folder.iterdir())
    others = (each for each in inside if each.is_dir() or not any(map(each.match, (*MODEL_FILES, *BESIDE))))
    if (other := next(others, None)) is not None:
        return other.name
    known = not inside or any(each.name in MODEL_FILES for each in inside)
    return None if known else f"{inside[0].name}, without a config"


def flush(path: Path) -> None:
    """Make sure that the file, or every file of the folder, is on the disk."""
    for each in path.rglob("*") if path.is_dir() else [path]:
        if each.is_file():
            with each.open("rb+") as file:
                os.fsync(file.fileno())


def check_room(path: Path, size: int) -> None:
    """Raise InputError when the disk of `path` has less than `size` bytes free, rather than after writing most."""
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise InputError(f"{path.name} needs {size:,} bytes, but its disk has {free:,} free; choose another place")
