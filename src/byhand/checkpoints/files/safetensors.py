"""safetensors files: a JSON header that says where each array lies, and the arrays.

A file is 8 bytes of header length, the header ``{name: {"dtype", "shape", "data_offsets": [begin, end]}}`` and the
arrays in one piece. Everything in the header is checked before an array is made; no array is read, each is a view of
the mapped file. Source: the format's README in the safetensors project.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from byhand.checkpoints.files.jsons import Fields, parsed, read_object
from byhand.checkpoints.files.mapped import BFLOAT16, Array, Mapped, beginning, check_name, nbytes
from byhand.checkpoints.record import Progress, silent
from byhand.errors import InputError
from byhand.shapes import Shape

MOST_HEADER = 1 << 24  # bytes; read, they take thirty times as many, and the largest Llama needs a hundredth
SHARD = 5_000_000_000
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": BFLOAT16}
OTHERS = {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"}
DTYPES = {name: np.dtype(kind) for name, kind in {**FLOATS, **OTHERS, "BOOL": "?"}.items()}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Entry(NamedTuple):
    """What the header says about one array; begin, end: bytes behind the header."""

    name: str
    dtype: np.dtype[Any]
    shape: Shape
    begin: int
    end: int


def looks_like(path: Path) -> bool:
    """Whether a file begins as one: a length that fits, and the brace of the header."""
    start = beginning(path, 9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") <= MOST_HEADER


def read(path: Path) -> dict[str, Array]:
    """The arrays of one file by name, as views of it. Raises InputError for a file that is damaged in any way."""
    mapped = Mapped(path)
    if mapped.size < 8:
        raise InputError(
            f"{path} has {mapped.size} bytes; a safetensors file begins with 8 that say its header's length"
        )
    length = int.from_bytes(mapped.bytes(0, 8), "little")
    if length > MOST_HEADER or 8 + length > mapped.size:
        most = min(MOST_HEADER, mapped.size - 8)
        raise InputError(f"{path} says its header has {length} bytes, but it can have {most}; it is damaged or cut off")
    header = parsed(mapped.bytes(8, length), f"the header of {path}")
    found = entries(header, path)
    check_places(found, mapped.size - 8 - length, path)
    return {each.name: mapped.array(each.dtype, each.shape, 8 + length + each.begin, each.name) for each in found}


def entries(header: Mapping[str, Any], path: Path) -> list[Entry]:
    """What the header says, in the order of the arrays. Raises InputError."""
    notes = header.get("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise InputError(f"the header of {path}: __metadata__ is no map of texts; the file is damaged")
    found = [entry(name, value, path) for name, value in header.items() if name != "__metadata__"]
    return sorted(found, key=lambda each: (each.begin, each.end))


def entry(name: str, value: Any, path: Path) -> Entry:
    check_name(name, path)
    where = f"{path}: {name!r:.100}"
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{where} needs dtype, shape and data_offsets in the header; got {value!r:.60}")
    kind, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(kind, str) or kind not in DTYPES:
        raise InputError(f"{where} is of dtype {kind!r:.20}; byhand reads {', '.join(FLOATS)}; convert the file first")
    whole = [isinstance(each, list) and all(type(n) is int and n >= 0 for n in each) for each in (shape, offsets)]
    if not all(whole) or len(offsets) != 2:
        raise InputError(f"{where} has shape {shape!r:.60} and data_offsets {offsets!r:.60}; the header is damaged")
    begin, end = offsets
    needed = nbytes(DTYPES[kind], shape, where)
    if end - begin != needed:
        raise InputError(f"{where} {kind}{shape} needs {needed} bytes, but its data_offsets leave {end - begin}")
    return Entry(name, DTYPES[kind], tuple(shape), begin, end)


def check_places(found: Sequence[Entry], size: int, path: Path) -> None:
    """Raise InputError unless the arrays follow one another to the end of the file."""
    ends = [
        Entry("the header", DTYPES["U8"], (0,), 0, 0),
        *found,
        Entry("the file's end", DTYPES["U8"], (0,), size, size),
    ]
    for before, after in pairwise(ends):
        if after.begin != before.end:
            what = "overlap" if after.begin < before.end else "have a hole between them"
            if after is ends[-1] and size < before.end:
                last = f"{before.name} ends at byte {before.end} of the arrays, but there are {size} bytes"
                raise InputError(f"{path}: {last}; the file is cut off, so fetch or write it again")
            if after is ends[-1]:
                what = "have unknown bytes between them"
            raise InputError(
                f"{path}: {before.name} ends at {before.end}, {after.name} begins at {after.begin}: they {what}"
            )


# --- several files -------------------------------------------------------------------------------------------------


def shards(index: Path, suffix: str = ".safetensors") -> dict[Path, list[str]]:
    """The names of the arrays in each file that an index lists. Raises InputError."""
    weights = Fields(read_object(index), str(index)).inner("weight_map").values
    files: dict[Path, list[str]] = {}
    for name, file in weights.items():
        check_name(name, index)
        if not isinstance(file, str) or not plain_name(file) or not file.endswith(suffix):
            raise InputError(
                f"{index} says that {name!r:.80} lies in {file!r:.80}; a {suffix} file of this folder belongs there"
            )
        files.setdefault(index.parent / file, []).append(name)
    if not files:
        raise InputError(f"{index} lists no arrays in weight_map; it is damaged")
    for file in files:
        if not file.is_file():
            raise InputError(f"{index} lists {file.name}, which is not in {index.parent}; download or copy it too")
    return files


def plain_name(name: str) -> bool:
    """Whether a file name stays in its folder."""
    return name not in ("", ".", "..") and not set(name) & set("/\\:\0")


def read_sharded(
    index: Path, suffix: str = ".safetensors", reader: Callable[[Path], Mapping[str, Any]] = read
) -> dict[str, Any]:
    """The arrays of all files that an index lists, each file holding exactly what the index says. Raises InputError."""
    found: dict[str, Any] = {}
    files = shards(index, suffix)
    home = {name: file for file, names in files.items() for name in names}
    for file, names in files.items():
        arrays = reader(file)
        for name in arrays:
            if home.get(name) != file:
                says = f"in {home[name].name}" if name in home else "nowhere"
                raise InputError(
                    f"{file} holds {name}, but {index.name} says that it lies {says}; the files do not belong together"
                )
        absent = [name for name in names if name not in arrays]
        if absent:
            raise InputError(
                f"{file} lacks {absent[0]}, which {index.name} says lies there; the files do not belong together"
            )
        found |= arrays
    return found


# --- writing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Planned:
    """An array to be written. make: gives it, or its parts along the first axis, when its turn comes."""

    name: str
    dtype: np.dtype[Any]
    shape: Shape
    make: Callable[[], Iterable[Array]]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def write(folder: Path, arrays: Sequence[Planned], shard: int = SHARD, progress: Progress = silent) -> list[str]:
    """Write arrays into model.safetensors, or into several files with an index when one has more than `shard` bytes.

    Each array is made when its turn comes and dropped after it. Returns the names of the files. Raises InputError for
    a dtype that the format lacks, OSError when the disk is full.
    """
    groups = grouped(arrays, shard)
    total, done = sum(each.nbytes for each in arrays), 0
    several = len(groups) > 1
    names = [f"model-{i:05}-of-{len(groups):05}.safetensors" if several else SINGLE for i in range(1, len(groups) + 1)]
    for name, group in zip(names, groups, strict=True):
        with (folder / name).open("wb") as file:
            for size in write_file(file, group):
                done += size
                progress(name, done, total)
    if several:
        where = {each.name: name for name, group in zip(names, groups, strict=True) for each in group}
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        names.append(INDEX)
    return names


def grouped(arrays: Sequence[Planned], shard: int) -> list[list[Planned]]:
    """The arrays in files of at most `shard` bytes each; an array that is larger has a file to itself."""
    groups: list[list[Planned]] = [[]]
    for each in arrays:
        if groups[-1] and sum(other.nbytes for other in groups[-1]) + each.nbytes > shard:
            groups.append([])
        groups[-1].append(each)
    return groups


def write_file(file: BinaryIO, arrays: Sequence[Planned]) -> Iterator[int]:
    """Write one file, and yield the bytes of each part when it is written."""
    ordered = sorted(
        arrays, key=lambda each: -each.dtype.itemsize
    )  # so that each array begins at a multiple of its own size
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for each in ordered:
        if each.dtype not in NAMES:
            raise InputError(f"{each.name} is of type {each.dtype}, which safetensors cannot hold; save it as float32")
        entry = {"dtype": NAMES[each.dtype], "shape": list(each.shape), "data_offsets": [place, place + each.nbytes]}
        header[each.name] = entry
        place += each.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for each in ordered:
        written = 0
        for part in each.make():
            written += file.write(plain(part, each.dtype))
            yield part.nbytes
        if written != each.nbytes:
            raise RuntimeError(f"{each.name} gave {written} bytes, not the {each.nbytes} of {each.shape}")


def plain(array: Array, dtype: np.dtype[Any]) -> memoryview:
    """The bytes of an array, first axis slowest, in the order of this machine's files (little-endian)."""
    return np.ascontiguousarray(array, dtype).reshape(-1).view(np.uint8).data
