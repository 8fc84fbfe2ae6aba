"""Files of token ids to train on: llm.c's shards, and nanoGPT's plain train.bin.

A shard of llm.c has a header of 256 whole numbers, then its ids; nanoGPT's file is ids alone, so nothing in it says
what it is. Sources: write_datafile in llm.c's dev/data/data_common.py; prepare.py of nanoGPT's data sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from byhand.checkpoints.files.mapped import Array, Mapped
from byhand.checkpoints.files.saving import beside, check_room
from byhand.checkpoints.formats.llmc import START, converted, first, header_bytes, numbers
from byhand.errors import InputError
from byhand.weights import slices


@dataclass(frozen=True)
class Kind:
    """How a file holds ids. magic, version: the first numbers of its header, 0 where there is none."""

    title: str
    magic: int
    version: int
    dtype: np.dtype[Any]

    @property
    def start(self) -> int:
        """Where the ids begin."""
        return START if self.magic else 0


KINDS = {
    "gpt2": Kind("llm.c's GPT-2 tokens", 20240520, 1, np.dtype("<u2")),
    "llama3": Kind("llm.c's Llama 3 tokens", 20240801, 7, np.dtype("<u4")),
    "nanogpt": Kind("nanoGPT's tokens", 0, 0, np.dtype("<u2")),
}


@dataclass(frozen=True)
class Shard:
    """Token ids on disk. kind: key in KINDS; ids: [tokens], a view of the file."""

    path: Path
    kind: str
    ids: Array


def recognise(path: Path) -> bool:
    """Whether this is a shard of llm.c; nanoGPT's files cannot be told."""
    return recognised(path) is not None


def recognised(path: Path) -> str | None:
    start = first(path)
    return next((name for name, kind in KINDS.items() if kind.magic and kind.magic == start), None)


def read_tokens(path: Path | str, vocabulary: int | None = None, kind: str | None = None) -> Shard:
    """The ids of a file, without reading them unless there is a vocabulary to check them against.

    vocabulary: how many ids there are; kind: what the file is, needed for "nanogpt" alone. Raises InputError for
    another file, one that was cut off, and an id outside the vocabulary.
    """
    path = Path(path)
    mapped = Mapped(path)
    name = kind or recognised(path)
    if name is None:
        raise InputError(f"{path} is no shard of llm.c; name its kind if it has no header: kind='nanogpt'")
    each = chosen(name)
    ids = mapped.array(each.dtype, (count(mapped, each),), each.start, "its tokens")
    if vocabulary is not None:
        check_ids(path, ids, vocabulary)
    return Shard(path, name, ids)


def chosen(name: str) -> Kind:
    if name not in KINDS:
        raise InputError(f"there is no kind {name!r} of token file; there are {', '.join(KINDS)}")
    return KINDS[name]


def count(mapped: Mapped, kind: Kind) -> int:
    """How many ids a file holds. Raises InputError when that does not fit its header and length."""
    if not kind.magic:
        if mapped.size % kind.dtype.itemsize:
            raise InputError(f"{mapped.path} has {mapped.size} bytes, which are no ids of two bytes each")
        return mapped.size // kind.dtype.itemsize
    magic, version, ids = numbers(mapped)[:3]
    if magic != kind.magic or version != kind.version:
        found = f"starts with {magic}, version {version}, not {kind.magic}, version {kind.version}"
        raise InputError(f"{mapped.path} holds no {kind.title}: it {found}")
    needed = START + ids * kind.dtype.itemsize
    if ids < 0 or mapped.size != needed:
        cut = "was cut off" if mapped.size < needed else "is damaged"
        raise InputError(f"{mapped.path} has {mapped.size} bytes, but its header says {ids} tokens; it {cut}")
    return ids


def check_ids(path: Path, ids: Array, vocabulary: int) -> None:
    """Raise InputError for an id that is not in the vocabulary; reads every id, a part at a time."""
    start = 0
    for part in slices(ids):
        if part.max() >= vocabulary:
            place = start + int(part.argmax())
            raise InputError(
                f"{path} holds token {ids[place]} at place {place}, but the vocabulary has {vocabulary}; "
                "it belongs to another tokenizer"
            )
        start += len(part)


def write_tokens(path: Path | str, ids: Sequence[int] | Array, kind: str = "gpt2", force: bool = False) -> Path:
    """Write ids [tokens] as a file of this kind, whole or not at all, and return where.

    Raises InputError for ids that the file's numbers cannot hold.
    """
    each, array = chosen(kind), np.asarray(ids)
    most = np.iinfo(each.dtype).max
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(f"token ids are one list of whole numbers, got {array.dtype} of shape {array.shape}")
    if array.size and not (array.min() >= 0 and array.max() <= most):
        raise InputError(f"{each.title} go from 0 to {most}, got {array.min()} to {array.max()}; choose another kind")
    if array.size >= 2**31:
        raise InputError(f"a shard holds less than 2,147,483,648 tokens, got {array.size:,}; write several")
    with beside(path, force) as new:
        check_room(new, each.start + array.size * each.dtype.itemsize)
        with new.open("wb") as file:
            if each.magic:
                file.write(header_bytes(each.magic, each.version, array.size))
            file.writelines(converted(array, each.dtype))
    return Path(path)
