"""A training's checkpoints: each appears whole or not at all, and a training goes on from one bit for bit.

At every moment, whatever ends the process then, the last checkpoint that was saved is there and whole. A new one is
written beside under a hidden name, flushed to the disk and renamed; only then are the oldest removed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from byhand.checkpoints import Parts
from byhand.checkpoints.files import safetensors
from byhand.checkpoints.files.saving import check_room, flush
from byhand.checkpoints.formats import own
from byhand.checkpoints.stored import latest, name_of, stored_steps, write_state
from byhand.engines import Parameters
from byhand.errors import InputError
from byhand.families import FAMILIES
from byhand.model import Model
from byhand.train.restoring import restore
from byhand.weights import Weights, slices

__all__ = ["alone", "latest", "restore", "save"]

LOCK = ".lock"
LEFT = re.compile(r"\.(step-\d{8,})\.(part|old|gone)")
BESIDE = re.compile(r"\.(.+)\.[a-z0-9_]{8}")  # where `beside` makes a file that gets this name


def save(
    folder: Path | str, step: int, model: Model, parameters: Parameters, facts: Mapping[str, Any], keep: int
) -> Path:
    """Write the checkpoint of a step, and remove all but the last `keep` up to it; returns where it lies.

    facts: what else the training has to know to go on, such as JSON holds; "step" is added. The folder must be held,
    see `alone`. Raises InputError when the folder cannot be written to or the disk is full: nothing is lost then, and
    training may go on.
    """
    if keep < 1:
        raise InputError(f"keep is {keep!r}; at least 1 checkpoint has to be kept, or training could not go on from it")
    facts = json.loads(json.dumps({**facts, "step": step}))  # before anything is written: as it will be read
    path = Path(folder) / name_of(step)
    parts = parts_of(model, parameters.weights)
    with taking_the_place_of(path) as part:
        check_room(path, sum(piece.flat.nbytes for piece in parameters.pieces.values()))
        own.write(parts, part)
        write_moments(part, parameters)
        write_state(part, facts)
    remove_earlier(path.parent, step, keep)
    return path


def parts_of(model: Model, weights: Weights) -> Parts:
    """The model with other weights, as a format writes it. Raises InputError for one that no file could name."""
    family = model.family.__name__.rpartition(".")[2]
    if FAMILIES.get(family) is not model.family:
        raise InputError(f"{model.name} is of a family of your own, {family}, which a checkpoint cannot name")
    return Parts(model.name, family, model.config, model.program, weights, model.tokenizer)


def write_moments(folder: Path, parameters: Parameters) -> None:
    """A file for each of the optimiser's memories, written from where they lie."""
    for name, piece in parameters.pieces.items():
        if name != "values":  # they are the model
            arrays = [
                safetensors.Planned(address, array.dtype, array.shape, partial(slices, array))
                for address, array in piece.items()
            ]
            with (folder / f"{name}.safetensors").open("wb") as file:
                for _ in safetensors.write_file(file, arrays):
                    pass


# --- whole or not at all ---------------------------------------------------------------------------------------------


@contextmanager
def taking_the_place_of(path: Path) -> Iterator[Path]:
    """Yield a path where nothing is yet; the folder that the block makes there becomes `path` when it ends well.

    Else nothing stays of it, and what was at `path` is there again. Raises InputError.
    """
    part, old = hidden(path, "part"), hidden(path, "old")
    try:
        tidy(path.parent)
        yield part
        flush(part)
        flush_names(part)
        if path.exists():
            path.rename(old)
        part.rename(path)
        flush_names(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot write {path}: {reason}; what was saved before is as it was") from None
    finally:
        with suppress(OSError):
            tidy(path.parent)


def hidden(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{what}")


def tidy(folder: Path) -> None:
    """Put back what was moved away for one that never came, and remove what is half-written or half-removed."""
    left = {each: match for each in folder.iterdir() if (match := LEFT.fullmatch(each.name))}
    for each, match in left.items():
        path = folder / match[1]
        if match[2] == "old" and not path.exists():
            each.rename(path)
        else:
            shutil.rmtree(each, ignore_errors=True)


def tidy_files(folder: Path) -> None:
    """Remove the folders in which a file was made that never came to its place."""
    for each in folder.iterdir():
        named = BESIDE.fullmatch(each.name)
        if named and each.is_dir() and {inside.name for inside in each.iterdir()} <= {named[1]}:
            shutil.rmtree(each, ignore_errors=True)


def remove_earlier(folder: Path, step: int, keep: int) -> None:
    """Remove all but the last `keep` checkpoints up to a step; what cannot be removed stays."""
    earlier = [path for number, path in stored_steps(folder).items() if number <= step]
    for path in earlier[:-keep]:
        with suppress(OSError):
            gone = path.rename(hidden(path, "gone"))  # first, so that no half of it looks like a checkpoint
            shutil.rmtree(gone, ignore_errors=True)


def flush_names(folder: Path) -> None:
    """Make sure that the names of what is in a folder are on the disk."""
    if hasattr(os, "O_DIRECTORY"):  # a folder can be opened
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


# --- one training at a time ------------------------------------------------------------------------------------------


@contextmanager
def alone(folder: Path | str) -> Iterator[None]:
    """Hold a folder for one training, and remove what a killed one left half-written; the folder is made if need be.

    The system lets go of it when the process ends, however that comes about. Raises InputError when another training
    holds it, or it cannot be written to.
    """
    folder = Path(folder)
    with ExitStack() as held:
        try:
            folder.mkdir(exist_ok=True)
            enter(folder, held.enter_context((folder / LOCK).open("a+", encoding="utf-8")))
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror or error}; name another folder") from None
        yield


def enter(folder: Path, lock: TextIO) -> None:
    """Take the lock, put the folder in order, and say in the lock who has it; on a full disk nobody does."""
    if not locked(lock):
        lock.seek(0)
        who = f"another training, process {lock.read(20) or '?'},"
        raise InputError(f"{who} is at work in {folder}; wait until it is done, or name another folder")
    tidy(folder)
    tidy_files(folder)
    with suppress(OSError):
        os.truncate(lock.fileno(), 0)
        os.write(lock.fileno(), str(os.getpid()).encode())


def locked(file: TextIO) -> bool:
    """Whether this process holds the file now; so where the system has no such locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
