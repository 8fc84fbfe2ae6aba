"""LevelDB's sorted tables, which TensorFlow's index files are, read whole.

A table holds blocks of entries in the order of their names, a block that lists the blocks, and a footer. Each block may
be packed with Snappy and has a checksum. Sources: table/format.cc and table/block_builder.cc of LevelDB, and
format_description.txt of Snappy.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from byhand.checkpoints.files.crc32c import crc32c, masked
from byhand.checkpoints.files.mapped import Mapped
from byhand.errors import InputError

MAGIC = 0xDB4775248B80FB57
FOOTER, TRAILER = 48, 5  # bytes: at the end of the file, behind every block
LARGEST = 1 << 24  # bytes of an index; the largest GPT-2 needs a four-hundredth of it
LONGEST = 256  # bytes of a name
PLAIN, SNAPPY = 0, 1


def is_table(path: Path) -> bool:
    """Whether a file ends as a table does."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, 2)
            file.seek(max(0, length - 8))
            return length >= FOOTER and file.read(8) == MAGIC.to_bytes(8, "little")
    except OSError:  # whoever reads it says so
        return False


def rows(index: Mapped) -> Iterator[tuple[str, bytes]]:
    """Names and entries of a table, in order. Raises InputError for a damaged one, or one that is compressed."""
    if index.size < FOOTER:
        raise InputError(f"{index.path} has {index.size} bytes, less than its footer of {FOOTER}; it was cut off")
    if index.size > LARGEST:
        raise InputError(f"{index.path} has {index.size:,} bytes, too many for an index; it is another file")
    footer = index.bytes(index.size - FOOTER, FOOTER)
    if footer[-8:] != MAGIC.to_bytes(8, "little"):
        raise InputError(f"{index.path} does not end as TensorFlow's index does; it was cut off or is another file")
    where, before = str(index.path), b""
    _, place = handle(footer, 0, where)
    listed, _ = handle(footer, place, where)
    for _, data in block(index, *listed):
        for name, value in block(index, *handle(data, 0, where)[0]):
            if before and name <= before:
                raise InputError(f"{where} has {text(name, where)!r} after {text(before, where)!r}; it is damaged")
            before = name
            yield text(name, where), value


def handle(data: bytes, place: int, where: str) -> tuple[tuple[int, int], int]:
    """Offset and length of a block, and the place after them."""
    offset, place = varint(data, place, where)
    length, place = varint(data, place, where)
    return (offset, length), place


def block(index: Mapped, offset: int, length: int) -> Iterator[tuple[bytes, bytes]]:
    """The entries of one block. Raises InputError for a wrong checksum."""
    where = f"{index.path}, block at {offset}"
    data = index.bytes(offset, length + TRAILER, "a block")
    if masked(crc32c(np.frombuffer(data, np.uint8, length + 1))) != int.from_bytes(data[-4:], "little"):
        raise InputError(f"{where} has a wrong checksum; the file is damaged, download it again")
    if data[length] not in (PLAIN, SNAPPY):
        raise InputError(f"{where} is compressed in way {data[length]}, which is not known; it is damaged")
    plain = data[:length] if data[length] == PLAIN else unpacked(data[:length], where)
    yield from entries(plain, where)


def entries(data: bytes, where: str) -> Iterator[tuple[bytes, bytes]]:
    """Names and values in a block. A name begins like the one before; behind them all are places to start a search."""
    starts = int.from_bytes(data[-4:], "little")
    end = len(data) - 4 * (starts + 1)
    if end < 0:
        raise InputError(f"{where} says that it has {starts} starting points in {len(data)} bytes; it is damaged")
    place, name = 0, b""
    while place < end:
        shared, place = varint(data, place, where)
        more, place = varint(data, place, where)
        size, place = varint(data, place, where)
        if shared > len(name) or shared + more > LONGEST or place + more + size > end:
            raise InputError(f"{where} has an entry that goes beyond it; it is damaged")
        name = name[:shared] + data[place : place + more]
        place += more + size
        yield name, data[place - size : place]


def text(name: bytes, where: str) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{where} has the name {name!r:.60}, which is no text; it is damaged") from None


def varint(data: bytes, place: int, where: str) -> tuple[int, int]:
    """A whole number, seven bits a byte, and the place after it. Raises InputError."""
    value = 0
    for i, byte in enumerate(data[place : place + 10]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, place + i + 1
    raise InputError(f"{where} has a number without an end at byte {place}; it is damaged")


# --- Snappy ------------------------------------------------------------------------------------------------------


def unpacked(data: bytes, where: str) -> bytes:
    """A block as it was before Snappy packed it: bytes as they are, and repetitions of what came before."""
    length, place = varint(data, 0, where)
    if length > LARGEST:
        raise InputError(f"{where} would unpack to {length:,} bytes, too many for an index; it is damaged")
    made = bytearray()
    while place < len(data) and len(made) <= length:
        size, back, place = element(data, place)
        if back is None:
            made += data[place : place + size]
            place += size
        elif not 1 <= back <= len(made):
            raise InputError(f"{where} repeats what is not there, {back} bytes back of {len(made)}; it is damaged")
        else:
            again = bytes(made[-back:])
            made += (again * (size // back + 1))[:size]  # a repetition may run into itself
    if place != len(data) or len(made) != length:
        raise InputError(f"{where} does not unpack to the {length} bytes that it says; it is damaged")
    return bytes(made)


def element(data: bytes, place: int) -> tuple[int, int | None, int]:
    """Its length, how far back a repetition lies (None for plain bytes), and the place after its head."""
    kind, upper = data[place] & 3, data[place] >> 2
    place += 1
    if kind == 0:
        more = max(0, upper - 59)
        size = int.from_bytes(data[place : place + more], "little") if more else upper
        return size + 1, None, place + more
    if kind == 1:
        low = data[place] if place < len(data) else 0
        return 4 + (upper & 7), (upper >> 3) << 8 | low, place + 1
    width = 2 if kind == 2 else 4
    return upper + 1, int.from_bytes(data[place : place + width], "little"), place + width
