"""byhand's own folder: byhand.json, model.safetensors with every weight under its address, the tokenizer's files.

Any family can be saved so, with every setting; weights lie in the axes of the program.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from sys import float_info
from typing import Any, get_args, get_type_hints

from byhand.checkpoints.files import safetensors
from byhand.checkpoints.files.jsons import Fields, read_object
from byhand.checkpoints.files.mapped import Array
from byhand.checkpoints.files.saving import check_room
from byhand.checkpoints.record import Checkpoint, Finding, Parts, Progress, silent, yes
from byhand.checkpoints.table import Found, checkpoint, program_of
from byhand.checkpoints.tokenizers import tokenizer_beside
from byhand.errors import InputError
from byhand.families import FAMILIES
from byhand.layouts import Layout, stored
from byhand.layouts.layout import marked
from byhand.program import Program

NAME = "byhand"
TITLE = "byhand's own folder"

FILE = "byhand.json"
VERSION = 1


def recognise(path: Path) -> bool:
    """Whether this is a folder with byhand.json."""
    return (path / FILE).is_file()


def read(path: Path) -> Checkpoint:
    """Raises InputError for a folder of another version, with a setting that is unknown, or with a part missing."""
    said = Fields(read_object(path / FILE), str(path / FILE))
    if said.whole("version") != VERSION:
        raise InputError(
            f"{said.where}: version {said.whole('version')}, but this byhand reads {VERSION}; get a newer one"
        )
    family = said.text("family")
    if family not in FAMILIES:
        raise InputError(f"{said.where}: family {family!r:.40} is unknown; byhand has {', '.join(FAMILIES)}")
    config = config_of(FAMILIES[family].Config, said.inner("config"))
    tokenizer, about = tokenizer_beside(path, config.vocabulary)
    findings = (Finding("format", "byhand's own", f"{FILE}, version {VERSION}"), *settings(config), *about)
    arrays = arrays_of(path)
    if config.layers > len(arrays):
        raise InputError(f"{said.where}: layers is {config.layers}, but the folder has {len(arrays)} arrays")
    found = Found(path, NAME, TITLE, family, config, Layout("byhand", {}), {}, findings, (), tokenizer)
    return checkpoint(replace(found, layout=own_layout(program_of(found))), arrays)


def arrays_of(path: Path) -> dict[str, Array]:
    index = path / safetensors.INDEX
    return safetensors.read_sharded(index) if index.is_file() else safetensors.read(path / safetensors.SINGLE)


def own_layout(program: Program) -> Layout:
    """Every weight under its address, in its own axes."""
    return Layout(
        "byhand model", {name: stored(" ".join(marked(axes)), name) for name, axes in program.weights.items()}
    )


def settings(config: Any) -> list[Finding]:
    """What other formats leave to be found out stands in this one's config."""
    called = {"rotary": "rotary layout", "bias": "biases"}
    names = ("activation", "eps", "tied", "bias", "rotary", "theta", "scaling")
    named = {called.get(name, name): getattr(config, name) for name in names if hasattr(config, name)}
    return [Finding(name, written(value), f"config in {FILE}") for name, value in named.items()]


def written(value: Any) -> str:
    if isinstance(value, bool):
        return yes(value)
    return f"{value:g}" if isinstance(value, float) else str(value or "none")


def config_of(kind: Any, said: Fields) -> Any:
    """A Config, or what is inside one, from its JSON. Raises InputError for a setting too few or many, or wrong."""
    hints = get_type_hints(kind)
    unknown = [name for name in said.values if name not in hints]
    absent = [each.name for each in fields(kind) if each.name not in said.values]
    for what, names in (("the unknown setting", unknown), ("no setting", absent)):
        if names:
            raise InputError(f"{said.where} has {what} {names[0]!r:.60}; it was changed, or a newer byhand wrote it")
    return kind(**{name: setting(said, name, hint) for name, hint in hints.items()})


def setting(said: Fields, name: str, hint: Any) -> Any:
    """One value, of the type that the config declares."""
    readers = {int: said.whole, float: any_number(said), bool: said.flag, str: said.text}
    if hint in readers:
        return readers[hint](name)
    inner = next(each for each in get_args(hint) if is_dataclass(each))  # such as Scaling | None
    return config_of(inner, said.inner(name)) if name in said else None


def any_number(said: Fields) -> Any:
    """A finite number of either sign: a mask of the hand-made model is filled with -1e10."""

    def read(name: str) -> float:
        value = said[name]
        if type(value) not in (int, float) or not abs(value) <= float_info.max:
            raise said.refused(name, "a number")
        return float(value)

    return read


def write(parts: Parts, path: Path, progress: Progress = silent) -> None:
    """Write the folder: each weight as it is, made when its turn comes. Raises InputError when the disk lacks room."""
    shapes, weights = parts.program.shapes(), parts.weights
    arrays = [
        safetensors.Planned(name, weights.dtype(name), shapes[name], partial(weights.parts, name))
        for name in parts.program.weights
    ]
    check_room(path, sum(each.nbytes for each in arrays))
    path.mkdir()
    about = {"version": VERSION, "name": parts.name, "family": parts.family, "config": asdict(parts.config)}
    (path / FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    safetensors.write(path, arrays, progress=progress)
    if parts.tokenizer is not None:
        parts.tokenizer.write(path)
