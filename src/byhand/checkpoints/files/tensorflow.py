"""TensorFlow's checkpoints, a bundle of an index and data files, read without TensorFlow.

``name.index`` is a LevelDB table whose entries, protobuf messages, say where in ``name.data-00000-of-00001`` each array
lies. Source: tensor_bundle.proto of TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from byhand.checkpoints.files.crc32c import crc32c, masked
from byhand.checkpoints.files.leveldb import rows, varint
from byhand.checkpoints.files.mapped import BFLOAT16, Array, Mapped
from byhand.errors import InputError
from byhand.shapes import Shape

DTYPES = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    4: np.dtype("u1"),
    5: np.dtype("<i2"),
    6: np.dtype("i1"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
    14: BFLOAT16,
    19: np.dtype("<f2"),
}
# Numbers of fields: of the header, of an entry, of its shape and of one size.
SHARDS, ENDIAN = 1, 2
DTYPE, SHAPE, SHARD, OFFSET, SIZE, CHECKSUM, SLICES = 1, 2, 3, 4, 5, 6, 7
DIM, UNKNOWN = 2, 3
LENGTH = 1

Fields = dict[int, list[int | bytes]]


class Entry(NamedTuple):
    """Where an array lies. dtype: TensorFlow's number; offset, size: in bytes; checksum: masked CRC-32C of them."""

    dtype: int
    shape: Shape
    shard: int
    offset: int
    size: int
    checksum: int


@dataclass(frozen=True)
class Bundle:
    """A checkpoint by the beginning of its file names. entries: by the name of the array; files: the data, mapped."""

    prefix: Path
    entries: Mapping[str, Entry]
    files: tuple[Mapped, ...]

    def array(self, name: str) -> Array:
        """A view of the file. Raises InputError for numbers that NumPy lacks and an array outside its file."""
        each, file = self.entries[name], self.files[self.entries[name].shard]
        if each.dtype not in DTYPES:
            raise InputError(
                f"{self.prefix}.index: {name} is of TensorFlow's type {each.dtype}, which holds no weights"
            )
        array = file.array(DTYPES[each.dtype], each.shape, each.offset, name)
        if array.nbytes != each.size:
            said = f"{each.size} bytes for shape {list(each.shape)}"
            raise InputError(f"{self.prefix}.index: {name} has {said}, which needs {array.nbytes}; it is damaged")
        return array

    def check(self, name: str) -> None:
        """Read all of an array. Raises InputError when its checksum is another than the index says."""
        each = self.entries[name]
        raw = self.array(name).reshape(-1).view(np.uint8)
        if masked(crc32c(raw)) != each.checksum:
            raise InputError(f"{self.files[each.shard].path}: the checksum of {name} is wrong; download it again")


def read_bundle(prefix: Path) -> Bundle:
    """The bundle whose files begin with this name. Raises InputError for one that is damaged or absent."""
    index = Mapped(prefix.with_name(f"{prefix.name}.index"))
    found = dict(rows(index))
    header = message(found.pop("", b""), f"{index.path}, header")
    shards = number(header, SHARDS)
    if number(header, ENDIAN):
        raise InputError(f"{index.path} was written on a big-endian machine, whose numbers are not read")
    if not 1 <= shards <= len(found):
        raise InputError(f"{index.path} says that it has {shards} data files for {len(found)} arrays; it is damaged")
    entries = {name: entry(data, f"{index.path}, {name}") for name, data in found.items()}
    for name, each in entries.items():
        if not 0 <= each.shard < shards:
            raise InputError(f"{index.path}: {name} is in data file {each.shard} of {shards}; it is damaged")
    names = [f"{prefix.name}.data-{shard:05d}-of-{shards:05d}" for shard in range(shards)]
    return Bundle(prefix, entries, tuple(Mapped(prefix.with_name(name)) for name in names))


def entry(data: bytes, where: str) -> Entry:
    """What the index says about one array. Raises InputError."""
    fields = message(data, where)
    if SLICES in fields:
        raise InputError(f"{where} lies in slices, which are not read; save it again as one array")
    shape = message(last(fields, SHAPE, b""), where)
    if number(shape, UNKNOWN):
        raise InputError(f"{where} has no known shape; it is damaged")
    sizes = tuple(number(message(each, where), LENGTH) for each in shape.get(DIM, []))
    checksum = last(fields, CHECKSUM, bytes(4))
    if not isinstance(checksum, bytes) or len(checksum) != 4:
        raise InputError(f"{where} has no checksum of four bytes; it is damaged")
    dtype, shard, offset, size = (number(fields, field) for field in (DTYPE, SHARD, OFFSET, SIZE))
    return Entry(dtype, sizes, shard, offset, size, int.from_bytes(checksum, "little"))


# --- protobuf ----------------------------------------------------------------------------------------------------


def message(data: int | bytes, where: str) -> Fields:
    """The fields of a message by number; a number of fixed length stays as bytes. Raises InputError."""
    if isinstance(data, int):
        raise InputError(f"{where} has a number where a message belongs; it is damaged")
    found: Fields = {}
    place = 0
    while place < len(data):
        key, place = varint(data, place, where)
        if key & 7 == 0:
            value, place = varint(data, place, where)
        else:
            size, place = {1: (8, place), 5: (4, place)}.get(key & 7) or varint(data, place, where)
            if key & 7 not in (1, 2, 5) or place + size > len(data):
                raise InputError(f"{where} is no message of TensorFlow's at byte {place}; it is damaged")
            value, place = data[place : place + size], place + size
        found.setdefault(key >> 3, []).append(value)
    return found


def last(fields: Fields, field: int, default: Any) -> int | bytes:
    return fields.get(field, [default])[-1]


def number(fields: Fields, field: int) -> int:
    """A whole number, 0 where it is absent; one that is no number becomes -1, which nothing accepts."""
    value = last(fields, field, 0)
    return value if isinstance(value, int) else -1
