"""The container GGUF, version 3: keys with values, then a table of arrays, then the arrays.

The header is walked here and not by the library gguf, whose reader trusts the counts and lengths in a file; the
library knows the number formats. Here nothing is taken that the file cannot hold: arrays of numbers stay views of the
file, arrays of texts are checked once and read when asked for. Source: docs/gguf.md of ggml.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from byhand.checkpoints.files.mapped import Mapped, beginning
from byhand.errors import InputError
from byhand.shapes import Shape

MAGIC, VERSION, ALIGNMENT = b"GGUF", 3, 32
NUMBERS = {0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?", 10: "<u8", 11: "<i8", 12: "<f8"}
TEXT, ARRAY = 8, 9

# More than any model has; a damaged file that claims more is refused before its claims cost time or memory.
MOST_ENTRIES, MOST_TEXTS, LONGEST_TEXT, MOST_AXES = 2**16, 2**24, 2**26, 4


class Entry(NamedTuple):
    """An array of the file. kind: "F32", "Q8_0" ...; shape: as NumPy has it, rows last; offset: its first byte."""

    name: str
    kind: str
    shape: Shape
    offset: int
    size: int


class Texts(Sequence[str]):
    """An array of texts in the file, read each time it is gone through."""

    def __init__(self, file: Mapped, start: int, count: int) -> None:
        self.file, self.start, self.size = file, start, count

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[str]:
        cursor = Cursor(self.file, self.start)
        for _ in range(self.size):
            yield cursor.text("a text")

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]


class File(NamedTuple):
    """A file whose header has been checked: every array lies inside it and none over another."""

    mapped: Mapped
    keys: dict[str, Any]
    entries: dict[str, Entry]


class Cursor:
    """A place in a mapped file that moves on with everything read."""

    def __init__(self, file: Mapped, at: int) -> None:
        self.file, self.at = file, at

    def take(self, length: int, what: str) -> int:
        """Move on by some bytes and return where they begin."""
        self.file.check(self.at, length, what)
        self.at += length
        return self.at - length

    def unsigned(self, form: str, what: str) -> int:
        return struct.unpack_from(form, self.file.map, self.take(struct.calcsize(form), what))[0]

    def text(self, what: str) -> str:
        length = self.unsigned("<Q", what)
        if length > LONGEST_TEXT:
            self.refuse(f"{what} is {length:,} bytes long, more than any model's")
        start = self.take(length, what)
        try:
            return str(self.file.map[start : self.at], "utf-8")
        except UnicodeDecodeError:
            self.refuse(f"{what} is not UTF-8 text")

    def count(self, what: str, least: int, most: int) -> int:
        """A number of things of at least `least` bytes each, that are still to come."""
        number = self.unsigned("<Q", f"the number of {what}")
        if number * least > self.file.size - self.at:
            self.refuse(f"it claims {number:,} {what}, more than its {self.file.size:,} bytes can hold")
        if number > most:
            self.refuse(f"it claims {number:,} {what}, more than any model has")
        return number

    def refuse(self, why: str) -> NoReturn:
        raise InputError(f"{self.file.path}: {why}; the file is damaged")


def is_gguf(path: Path) -> bool:
    """Whether a file begins as a GGUF file does."""
    return beginning(path, 4) == MAGIC


def opened(path: Path) -> File:
    """Read and check the header of a file. Raises InputError, in one line, for anything wrong with it."""
    mapped = Mapped(path)
    cursor = Cursor(mapped, 0)
    check_version(cursor)
    arrays = cursor.count("arrays", 33, MOST_ENTRIES)
    keys = cursor.count("keys", 14, MOST_ENTRIES)
    found: dict[str, Any] = {}
    for number in range(keys):
        name = cursor.text(f"the name of key {number}")
        if name in found:
            cursor.refuse(f"it has the key {name!r:.80} twice")
        found[name] = value(cursor, f"the key {name!r:.80}")
    return File(mapped, found, entries(cursor, arrays, alignment(cursor, found)))


def check_version(cursor: Cursor) -> None:
    """Pass the first eight bytes. Raises InputError for what is no GGUF of version 3 with its low byte first."""
    path = cursor.file.path
    if cursor.file.size < 24:
        raise InputError(f"{path} has {cursor.file.size} bytes, too few for a GGUF header; it was cut off")
    if (magic := cursor.file.bytes(cursor.take(4, "magic"), 4)) != MAGIC:
        raise InputError(f"{path} begins with {magic!r}, not with {MAGIC!r}; it is no GGUF file")
    version = cursor.unsigned("<I", "version")
    if version & 0xFFFF == 0 and version:
        raise InputError(f"{path} is a big-endian GGUF; convert it with llama.cpp's gguf-convert-endian first")
    if version != VERSION:
        raise InputError(
            f"{path} is GGUF version {version}, but byhand reads version {VERSION}; convert it anew with llama.cpp"
        )


def value(cursor: Cursor, what: str) -> Any:
    """The value of a key: a number, a text, an array of numbers (a view of the file) or Texts."""
    kind = cursor.unsigned("<I", what)
    if kind in NUMBERS:
        return numbers(cursor, kind, 1, what)[0].item()
    if kind == TEXT:
        return cursor.text(what)
    if kind != ARRAY:
        cursor.refuse(f"{what} is of the unknown type {kind}")
    kind = cursor.unsigned("<I", what)
    if kind in NUMBERS:
        return numbers(cursor, kind, cursor.count(f"numbers for {what}", np.dtype(NUMBERS[kind]).itemsize, 2**62), what)
    if kind != TEXT:
        cursor.refuse(f"{what} is an array of {'arrays' if kind == ARRAY else f'the unknown type {kind}'}")
    length = cursor.count(f"texts for {what}", 8, MOST_TEXTS)
    start = cursor.at
    for _ in range(length):
        cursor.text(what)
    return Texts(cursor.file, start, length)


def numbers(cursor: Cursor, kind: int, count: int, what: str) -> np.ndarray[Any, Any]:
    dtype = np.dtype(NUMBERS[kind])
    start = cursor.take(count * dtype.itemsize, what)
    return cursor.file.array(dtype, (count,), start, what)


def alignment(cursor: Cursor, keys: dict[str, Any]) -> int:
    """Every array begins at a multiple of this."""
    given = keys.get("general.alignment", ALIGNMENT)
    if type(given) is not int or given < 1 or given & (given - 1):
        cursor.refuse(f"general.alignment is {given!r:.40}, not a power of two")
    return given


def entries(cursor: Cursor, count: int, align: int) -> dict[str, Entry]:
    """The table of arrays, every one inside the file and none over another."""
    found: dict[str, Entry] = {}
    for number in range(count):
        name = cursor.text(f"the name of array {number}")
        if name in found:
            cursor.refuse(f"it has two arrays named {name!r:.80}")
        found[name] = entry(cursor, name, align)
    start = -(-cursor.at // align) * align
    placed = {name: each._replace(offset=start + each.offset) for name, each in found.items()}
    for each in placed.values():
        cursor.file.check(each.offset, each.size, f"the array {each.name!r:.80}")
    for one, other in pairwise(sorted(placed.values(), key=lambda each: each.offset)):
        if one.offset + one.size > other.offset:
            cursor.refuse(f"the arrays {one.name!r:.80} and {other.name!r:.80} lie over one another")
    return placed


def entry(cursor: Cursor, name: str, align: int) -> Entry:
    """One line of the table; its offset still counts from where the arrays begin."""
    what = f"the array {name!r:.80}"
    axes = cursor.unsigned("<I", what)
    if not 1 <= axes <= MOST_AXES:
        cursor.refuse(f"{what} has {axes} axes, not 1 to {MOST_AXES}")
    shape = tuple(cursor.unsigned("<Q", what) for _ in range(axes))[::-1]
    kind, offset = cursor.unsigned("<I", what), cursor.unsigned("<Q", what)
    name_of_kind, block, block_bytes = sizes(cursor, kind, what)
    total = 1
    for size in shape:
        total *= size
    if total == 0 or total >= 2**60:
        cursor.refuse(f"{what} has shape {list(shape)}, which no model's has")
    if shape[-1] % block:
        cursor.refuse(f"{what} has rows of {shape[-1]} numbers, but {name_of_kind} needs whole blocks of {block}")
    if offset % align:
        cursor.refuse(f"{what} begins at {offset}, not at a multiple of {align}")
    return Entry(name, name_of_kind, shape, offset, total // block * block_bytes)


def sizes(cursor: Cursor, kind: int, what: str) -> tuple[str, int, int]:
    """A kind's name, how many numbers a block has, and how many bytes."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        known = GGMLQuantizationType(kind)
    except ValueError:
        cursor.refuse(f"{what} is of the unknown type {kind}")
    return known.name, *GGML_QUANT_SIZES[known]


# --- written --------------------------------------------------------------------------------------------------------


def header(keys: Mapping[str, Any], arrays: Sequence[tuple[str, str, Shape, int]]) -> bytes:
    """Everything before the arrays, which then follow in this order, each at a multiple of ALIGNMENT.

    arrays: the name, kind, shape and bytes of each. Whole numbers are written unsigned, others as float32, as
    llama.cpp asks for them. The library cannot write an array without elements, which llama.cpp asks for in the merges
    of a tokenizer that has none.
    """
    from gguf import GGMLQuantizationType

    made = [MAGIC, struct.pack("<IQQ", VERSION, len(arrays), len(keys))]
    made += [packed_text(name) + packed(each) for name, each in keys.items()]
    offset = 0
    for name, kind, shape, size in arrays:
        line = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        made.append(packed_text(name) + line + struct.pack("<IQ", GGMLQuantizationType[kind], offset))
        offset += size + -size % ALIGNMENT
    whole = b"".join(made)
    return whole + bytes(-len(whole) % ALIGNMENT)


def packed_text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def packed(value: Any) -> bytes:
    """A key's value with its type in front."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", TEXT) + packed_text(value)
    if all(isinstance(each, str) for each in value):
        return struct.pack("<IIQ", ARRAY, TEXT, len(value)) + b"".join(map(packed_text, value))
    whole = all(isinstance(each, int) for each in value)
    return (
        struct.pack("<IIQ", ARRAY, 5 if whole else 6, len(value)) + np.array(value, "<i4" if whole else "<f4").tobytes()
    )
