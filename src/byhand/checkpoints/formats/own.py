"""byhand's own folder: byhand.json, model.safetensors with every weight under its address, the tokenizer's files.

Any family can be saved so, with every setting; weights lie in the axes of the program. Weights in blocks (Q8_0, Q4_0)
are arrays of bytes, a row for each output, and byhand.json says which they are; such a folder is of version 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from sys import float_info
from typing import Any, get_args, get_type_hints

import numpy as np

from byhand.checkpoints import blocks
from byhand.checkpoints.casting import DTYPES, cast
from byhand.checkpoints.files import safetensors
from byhand.checkpoints.files.jsons import Fields, read_object
from byhand.checkpoints.files.mapped import Array
from byhand.checkpoints.files.quantized import BLOCKS, row_bytes
from byhand.checkpoints.files.saving import check_room
from byhand.checkpoints.record import Checkpoint, Finding, Parts, Progress, silent, yes
from byhand.checkpoints.table import Found, checkpoint, program_of
from byhand.checkpoints.tokenizers import tokenizer_beside
from byhand.errors import InputError
from byhand.families import FAMILIES
from byhand.layouts import Layout, Source, stored
from byhand.layouts.layout import marked
from byhand.program import Program

NAME = "byhand"
TITLE = "byhand's own folder"

FILE = "byhand.json"
VERSION, WITH_BLOCKS = 1, 2


def recognise(path: Path) -> bool:
    """Whether this is a folder with byhand.json."""
    return (path / FILE).is_file()


def read(path: Path) -> Checkpoint:
    """Raises InputError for a folder of another version, with a setting that is unknown, or with a part missing."""
    said = Fields(read_object(path / FILE), str(path / FILE))
    if (version := said.whole("version")) not in (VERSION, WITH_BLOCKS):
        raise InputError(
            f"{said.where}: version {version}, but this byhand reads {VERSION} and {WITH_BLOCKS}; get a newer one"
        )
    family = said.text("family")
    if family not in FAMILIES:
        raise InputError(f"{said.where}: family {family!r:.40} is unknown; byhand has {', '.join(FAMILIES)}")
    config = config_of(FAMILIES[family].Config, said.inner("config"))
    tokenizer, about = tokenizer_beside(path, config.vocabulary)
    findings = (Finding("format", "byhand's own", f"{FILE}, version {version}"), *settings(config), *about)
    arrays = arrays_of(path)
    if config.layers > len(arrays):
        raise InputError(f"{said.where}: layers is {config.layers}, but the folder has {len(arrays)} arrays")
    found = Found(path, NAME, TITLE, family, config, Layout("byhand", {}), {}, findings, (), tokenizer)
    program = program_of(found)
    return checkpoint(replace(found, layout=own_layout(program)), with_blocks(arrays, said, program))


def arrays_of(path: Path) -> dict[str, Array]:
    index = path / safetensors.INDEX
    return safetensors.read_sharded(index) if index.is_file() else safetensors.read(path / safetensors.SINGLE)


def with_blocks(arrays: Mapping[str, Array], said: Fields, program: Program) -> dict[str, Source]:
    """The arrays, those that byhand.json says are blocks as such. Raises InputError for what cannot be."""
    found: dict[str, Source] = dict(arrays)
    kinds, axes = said.inner("blocks"), blocks.axes_in_blocks(program)
    for address in kinds.values:
        if address not in axes or address not in arrays:
            raise InputError(f"{kinds.where} names {address!r:.60}, which is no matrix of this model; it was changed")
        if (kind := kinds.text(address)) not in BLOCKS:
            raise kinds.refused(address, f"one of {', '.join(BLOCKS)}")
        plan, array = blocks.Plan(kind, axes[address]), arrays[address]
        rows, columns = blocks.lying(program, address, plan.axes)
        if array.dtype != np.uint8 or array.shape != (rows, row_bytes(kind, columns)):
            lies = f"{address} lies there as {array.dtype} {list(array.shape)}"
            raise InputError(f"{said.where}: {lies}, but {kind} needs uint8 [{rows}, {row_bytes(kind, columns)}]")
        found[address] = blocks.whole(array, program, address, plan)
    return found


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


def write(parts: Parts, path: Path, progress: Progress = silent, dtype: str | None = None) -> None:
    """Write the folder, each weight made when its turn comes.

    dtype: one of casting.DTYPES for all weights, one of blocks.SCHEMES for those that can be in blocks (the others stay
    as they are), None for all as they are. Raises InputError for another dtype, for numbers that it cannot hold, and
    when the disk lacks room.
    """
    if dtype in DTYPES:
        parts, dtype = cast(parts, dtype), None
    elif dtype is not None:
        blocks.check_scheme(dtype)
    plans = blocks.planned(parts.weights, parts.program, dtype)
    arrays = [array_of(parts, name, plans.get(name)) for name in parts.program.weights]
    check_room(path, sum(each.nbytes for each in arrays))
    path.mkdir()
    about: dict[str, Any] = {"version": WITH_BLOCKS if plans else VERSION, "name": parts.name, "family": parts.family}
    about["config"] = asdict(parts.config)
    if plans:
        about["blocks"] = {address: plan.kind for address, plan in plans.items()}
    (path / FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    safetensors.write(path, arrays, progress=progress)
    if parts.tokenizer is not None:
        parts.tokenizer.write(path)


def array_of(parts: Parts, address: str, plan: blocks.Plan | None) -> safetensors.Planned:
    """A weight as the file will have it. plan: of one in blocks."""
    program, weights = parts.program, parts.weights
    if plan is None:
        size = program.shapes()[address]
        return safetensors.Planned(address, weights.dtype(address), size, partial(weights.parts, address))
    rows, columns = blocks.lying(program, address, plan.axes)
    size = (rows, row_bytes(plan.kind, columns))
    make = partial(blocks.made, weights, program, address, plan)
    return safetensors.Planned(address, np.dtype(np.uint8), size, make)
