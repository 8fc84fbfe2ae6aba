"""The checkpoints of a training on disk: which there are, what they say, and whether they are whole.

A training's folder holds a folder for each: step-00001000/ with the model in byhand's own format, so that it loads like
any other, a file for each of the optimiser's moments, and state.json, written last: the facts of the training, and the
length and checksum of every other file. What has another name, such as .step-00001000.part, is no checkpoint.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

from byhand.checkpoints.files.jsons import Fields, read_object
from byhand.errors import InputError

STATE = "state.json"
VERSION = 1
NAME = re.compile(r"step-\d{8,}")
AT_ONCE = 2**18  # bytes of a file that are read at a time


def silent(line: str) -> None:
    """Where lines go that nobody reads."""


def name_of(step: int) -> str:
    return f"step-{step:08}"


def stored_steps(folder: Path) -> dict[int, Path]:
    """The folders of checkpoints by their step, the first first; whole or not. Raises InputError."""
    try:
        named = [each for each in folder.iterdir() if NAME.fullmatch(each.name) and each.is_dir()]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"cannot look into {folder}: {error.strerror or error}") from None
    return dict(sorted((int(each.name.removeprefix("step-")), each) for each in named))


def latest(folder: Path | str, tell: Callable[[str], None] = silent) -> Path | None:
    """The last whole checkpoint of a training's folder; None where there is none.

    tell: called with a line about each later one that is damaged. Nothing is changed, so anybody may ask at any time.
    """
    for path in reversed(stored_steps(Path(folder)).values()):
        try:
            checked(path)
            return path
        except InputError as error:
            tell(f"{error}; looking for the checkpoint before it")
    return None


def checked(path: Path, read: bool = True) -> dict[str, Any]:
    """The facts of a checkpoint, once all of it has proved to be there.

    read: read every file and compare its checksum; else its length only. Raises InputError for one that is damaged.
    """
    if not (path / STATE).is_file():
        why = f"it has no {STATE}" if path.is_dir() else "there is no such folder"
        raise InputError(f"{path} is no whole checkpoint of a training: {why}")
    said = Fields(read_object(path / STATE), str(path / STATE))
    if (version := said.whole("version")) != VERSION:
        raise InputError(f"{said.where}: version {version}, but this byhand reads {VERSION}; get a newer one")
    if said.values.get("crc32") != seal(said.values):
        raise InputError(f"{said.where} is not as training wrote it: it was changed, damaged or cut off")
    for name, proof in said.inner("files").values.items():
        check_file(path / name, proof["bytes"], proof["crc32"] if read else None)
    return dict(said.inner("facts").values)


def check_file(path: Path, size: int, checksum: int | None) -> None:
    """Raise InputError unless a file has this length and checksum."""
    try:
        if (found := path.stat().st_size) != size:
            raise InputError(f"{path} has {found:,} bytes, but {STATE} says {size:,}; it was cut off or replaced")
        if checksum is not None and checksum_of(path) != checksum:
            raise InputError(f"{path} has another checksum than {STATE} says; it was changed or is damaged")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def checksum_of(path: Path) -> int:
    """The CRC-32 of a file, which finds damage, not forgery."""
    total = 0
    with path.open("rb", buffering=0) as file:
        while part := file.read(AT_ONCE):
            total = crc32(part, total)
    return total


def seal(state: Mapping[str, Any]) -> int:
    """The checksum of what state.json says."""
    said = {name: value for name, value in state.items() if name != "crc32"}
    return crc32(json.dumps(said, sort_keys=True).encode())


def write_state(path: Path, facts: Mapping[str, Any]) -> None:
    """Write state.json about the folder's other files. facts: what JSON can hold, read back by `checked`."""
    files = {each.name: {"bytes": each.stat().st_size, "crc32": checksum_of(each)} for each in sorted(path.iterdir())}
    state = {"version": VERSION, "facts": dict(facts), "files": files}
    text = json.dumps(state | {"crc32": seal(state)}, indent=2)
    (path / STATE).write_text(text + "\n", encoding="utf-8")
