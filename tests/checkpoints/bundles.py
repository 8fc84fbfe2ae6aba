"""TensorFlow's bundles written byte by byte, from the description of the format, so that a test can put anything in.

Nothing here is shared with the reader: lengths, checksums and messages are made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from struct import pack
from typing import Any, NamedTuple

import numpy as np

FLOAT = 1
FOOTER = 48


class Array(NamedTuple):
    """What the index says of one array. extra: fields put behind the usual ones, as bytes."""

    shape: Sequence[int]
    offset: int
    size: int
    checksum: int
    dtype: int = FLOAT
    shard: int = 0
    extra: bytes = b""


# --- numbers and checksums -------------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    number %= 1 << 64
    made = b""
    while number >= 128:
        made, number = made + bytes([number % 128 + 128]), number // 128
    return made + bytes([number])


@cache
def remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte // 2 ^ (0x82F63B78 if byte % 2 else 0)
    return byte


def checksum(data: bytes) -> int:
    state = 2**32 - 1
    for byte in data:
        state = state // 256 ^ remainder((state ^ byte) % 256)
    state ^= 2**32 - 1
    return ((state >> 15 | state << 17) + 0xA282EAD8) % 2**32


# --- messages --------------------------------------------------------------------------------------------------


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(8 * number) + varint(value)
    return varint(8 * number + 2) + varint(len(value)) + value


def header(shards: int = 1, endian: int = 0) -> bytes:
    return field(1, shards) + (field(2, endian) if endian else b"") + field(3, field(1, 1))


def entry(array: Array) -> bytes:
    """Zeros are left out, as proto3 does."""
    made = field(1, array.dtype) + field(2, b"".join(field(2, field(1, size)) for size in array.shape))
    for number, value in ((3, array.shard), (4, array.offset), (5, array.size)):
        made += field(number, value) if value else b""
    return made + bytes([8 * 6 + 5]) + pack("<I", array.checksum) + array.extra


# --- the table -------------------------------------------------------------------------------------------------


def block(rows: Sequence[tuple[bytes, bytes]]) -> bytes:
    made, starts, before = b"", [], b""
    for place, (name, value) in enumerate(rows):
        shared = 0
        if place % 16:
            while shared < min(len(before), len(name)) and before[shared] == name[shared]:
                shared += 1
        else:
            starts.append(len(made))
        made += varint(shared) + varint(len(name) - shared) + varint(len(value)) + name[shared:] + value
        before = name
    return made + b"".join(pack("<I", start) for start in starts or [0]) + pack("<I", len(starts or [0]))


def with_trailer(data: bytes, kind: int = 0) -> bytes:
    return data + bytes([kind]) + pack("<I", checksum(data + bytes([kind])))


def packed(data: bytes) -> bytes:
    """Packed without any saving."""
    return varint(len(data)) + bytes([61 << 2]) + pack("<H", len(data) - 1) + data


def snappy(data: bytes) -> bytes:
    """Packed so that every kind of element comes up: plain bytes of two lengths, and repetitions of two widths."""
    start, middle = data[:30], data[30:100]
    made = varint(len(data) + 10) + bytes([29 << 2]) + start + bytes([60 << 2, len(middle) - 1]) + middle
    made += bytes([(6 - 4) << 2 | (20 >> 8) << 5 | 1, 20]) + bytes([(4 - 1) << 2 | 2]) + pack("<H", 14)
    return made + bytes([61 << 2]) + pack("<H", len(data) - 101) + data[100:]


def table(rows: Mapping[bytes, bytes], blocks: int = 3, kind: int = 0) -> bytes:
    """The whole index file. blocks: into how many its rows are cut; kind: 1 says that blocks are packed."""
    ordered = sorted(rows.items())
    size = -(-len(ordered) // blocks)
    made, listed = b"", []
    for start in range(0, len(ordered), size):
        data = block(ordered[start : start + size])
        data = packed(data) if kind == 1 else data
        listed.append((ordered[min(start + size, len(ordered)) - 1][0], varint(len(made)) + varint(len(data))))
        made += with_trailer(data, kind)
    places = []
    for data in (block([]), block(listed)):
        places.append(varint(len(made)) + varint(len(data)))
        made += with_trailer(data)
    return made + b"".join(places).ljust(FOOTER - 8, b"\0") + pack("<Q", 0xDB4775248B80FB57)


def write(prefix: Path, arrays: Mapping[str, np.ndarray[Any, Any]], **how: Any) -> dict[str, Array]:
    """Write a bundle of one data file; returns what its index says of each array."""
    data, found = b"", {}
    for name in sorted(arrays):
        raw = np.asarray(arrays[name], "<f4").tobytes()
        found[name] = Array(arrays[name].shape, len(data), len(raw), checksum(raw))
        data += raw
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    index(prefix, found, **how)
    return found


def index(prefix: Path, arrays: Mapping[str, Array], head: bytes | None = None, **how: Any) -> None:
    rows = {b"": header() if head is None else head} | {name.encode(): entry(each) for name, each in arrays.items()}
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(rows, **how))
