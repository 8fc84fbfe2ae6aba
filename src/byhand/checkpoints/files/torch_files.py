"""Files that torch.save wrote (.pt, .pth, .bin), read without torch and without running what they hold.

Since torch 1.6 such a file is a zip archive whose parts are not compressed: data.pkl, a pickle of everything but the
numbers, and one part with the numbers of each storage. Before, it was a row of pickles (a magic number, the protocol,
the machine, the value, the names of the storages) with the storages behind them. In both, tensors are mapped where
they lie. Source: torch/serialization.py and torch/_utils.py of PyTorch.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from byhand.checkpoints.files.mapped import BFLOAT16, Array, Mapped, beginning, possible
from byhand.checkpoints.files.pickled import Name, Unpickler
from byhand.errors import InputError
from byhand.shapes import Shape

MAGIC = 0x1950A86A20F9469CFC6C
LEGACY = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")
ZIP = b"PK\x03\x04"
SPARE = 1 << 18  # bytes that a pickle's values may take beyond the size of its file
DEEPEST = 100

STORAGES = {
    "Double": "<f8",
    "Float": "<f4",
    "Half": "<f2",
    "BFloat16": BFLOAT16,
    "Long": "<i8",
    "Int": "<i4",
    "Short": "<i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "?",
}
DTYPES = {f"{name}Storage": np.dtype(kind) for name, kind in STORAGES.items()}
BYTES = np.dtype("u1")


@dataclass(frozen=True)
class Storage:
    """The numbers of one or more tensors: the name of the part that holds them, their kind and how many."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class Tensor:
    """A tensor as the pickle describes it; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: Shape
    strides: Shape


def looks_like(path: Path) -> bool:
    """Whether a file begins as one of the two kinds."""
    start = beginning(path, 14)
    return start.startswith(ZIP) or start[2:].startswith(LEGACY)


def read(path: Path) -> Any:
    """What torch.save was given, with read-only views of the file for tensors. Nothing of them is read.

    Raises InputError for a damaged file, and for a pickle that wants anything called that weights do not need.
    """
    mapped = Mapped(path)
    start = mapped.bytes(0, min(14, mapped.size))
    if start.startswith(ZIP):
        return from_zip(mapped)
    if start[2:].startswith(LEGACY):
        return from_stream(mapped)
    raise InputError(f"{path} is no file of torch.save: it begins with {start[:8]!r}; it is damaged or of another kind")


# --- the two kinds of file -----------------------------------------------------------------------------------------


def from_zip(mapped: Mapped) -> Any:
    parts = directory(mapped)
    if "data.pkl" not in parts:
        raise InputError(f"{mapped.path} is a zip archive without data.pkl, so torch.save did not write it")
    if "byteorder" in parts and (order := mapped.bytes(*place(mapped, parts["byteorder"])).strip()) != b"little":
        raise InputError(f"{mapped.path} has byte order {order!r:.20}; save it again on a little-endian machine")
    offset, length = place(mapped, parts["data.pkl"])
    value = unpickled(mapped.bytes(offset, length), mapped)[0]
    places = {name.removeprefix("data/"): info for name, info in parts.items() if name.startswith("data/")}

    def find(storage: Storage) -> tuple[int, int]:
        if storage.key not in places:
            raise InputError(f"{mapped.path} lacks its part data/{storage.key}; it is damaged")
        return place(mapped, places[storage.key])

    return Resolver(mapped, find).resolved(value)


def directory(mapped: Mapped) -> dict[str, zipfile.ZipInfo]:
    """The parts of a zip archive by their names inside its one folder. Raises InputError."""
    try:
        with zipfile.ZipFile(mapped.path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error, EOFError, IndexError) as error:
        raise InputError(
            f"{mapped.path} is a damaged zip archive: {str(error)[:100]}; it was cut off or changed"
        ) from None
    names = {part.filename.partition("/")[2]: part for part in parts}
    if len(names) < len(parts):
        raise InputError(f"{mapped.path} has two parts of one name; it is damaged or was made to mislead")
    return names


def place(mapped: Mapped, part: zipfile.ZipInfo) -> tuple[int, int]:
    """The first byte and the length of a part. Raises InputError for one that is compressed or lies outside."""
    if part.compress_type != zipfile.ZIP_STORED or part.flag_bits & 1 or part.file_size != part.compress_size:
        raise InputError(
            f"{mapped.path}: {part.filename!r:.80} is compressed, which torch.save does not do; unpack it first"
        )
    header = mapped.bytes(part.header_offset, 30, f"the header of {part.filename!r:.80}")
    if not header.startswith(ZIP):
        raise InputError(f"{mapped.path}: {part.filename!r:.80} is not where the directory says; the file is damaged")
    length, more = struct.unpack("<HH", header[26:])
    name = part.orig_filename.encode("utf-8" if part.flag_bits & 0x800 else "cp437")
    found = mapped.bytes(part.header_offset + 30, min(length, len(name)))
    if found != name or length != len(name):
        raise InputError(f"{mapped.path}: at the place of {name[:60]!r} lies {found[:60]!r}; the file is damaged")
    start = part.header_offset + 30 + length + more
    mapped.check(start, part.file_size, f"{part.filename!r:.80}")
    return start, part.file_size


def from_stream(mapped: Mapped) -> Any:
    """The kind before torch 1.6; `_use_new_zipfile_serialization=False` still writes it."""
    at, values = 0, []
    for _ in range(5):
        value, at = unpickled(mapped.map, mapped, at)
        values.append(value)
    _, protocol, machine, value, keys = values
    if protocol != 1001 or not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise InputError(
            f"{mapped.path} is of protocol {protocol!r:.20}, {machine!r:.60}; save it again with a new torch"
        )
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or len(set(keys)) < len(keys):
        raise InputError(f"{mapped.path} has no list of its storages behind the pickles; it is damaged")
    storages = Resolver(mapped, lambda storage: (0, 0)).storages(value)
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key not in storages:
            raise InputError(f"{mapped.path} holds a storage {key!r:.40} that no tensor uses; it is damaged")
        count = int.from_bytes(mapped.bytes(at, 8, f"the length of storage {key!r:.40}"), "little", signed=True)
        if count != storages[key].count:
            raise InputError(
                f"{mapped.path}: storage {key!r:.40} has {count} numbers, its tensors say {storages[key].count}"
            )
        length = count * storages[key].dtype.itemsize
        mapped.check(at + 8, length, f"storage {key!r:.40}")
        places[key] = (at + 8, length)
        at += 8 + length

    def find(storage: Storage) -> tuple[int, int]:
        if storage.key not in places:
            raise InputError(f"{mapped.path} lacks storage {storage.key!r:.40}; it is damaged")
        return places[storage.key]

    return Resolver(mapped, find).resolved(value)


# --- the pickle ----------------------------------------------------------------------------------------------------


def unpickled(data: Any, mapped: Mapped, at: int = 0) -> tuple[Any, int]:
    """The value of a pickle of torch's, with Tensor for tensors, and where the pickle ends."""
    reader = Unpickler(data, str(mapped.path), CALLS, storage_of, at=at, limit=mapped.size + SPARE)
    return reader.load(), reader.at


def storage_of(described: Any) -> Storage:
    """A storage from its persistent id: ("storage", kind, key, where it was, how many[, which view])."""
    if type(described) is not tuple or len(described) not in (5, 6) or described[0] != "storage":
        raise ValueError("a storage is described wrongly")
    _, kind, key, _, count, *view = described
    if view not in ([], [None]):
        raise ValueError("a storage is a view of another, as torch 0.3 wrote it")
    name = kind.text.rpartition(".") if type(kind) is Name else ("", "", "")
    if name[0] not in ("torch", "torch.cuda", "torch.storage"):
        raise ValueError(f"a storage is of kind {kind!r:.60}")
    if name[2] not in DTYPES and name[2] != "UntypedStorage":
        raise ValueError(f"a storage is a {name[2]:.40}, which weights are not")
    if type(key) is not str or type(count) is not int or not 0 <= count < 2**60:
        raise ValueError("a storage is described wrongly")
    return Storage(key, DTYPES.get(name[2], BYTES), count)


def tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """torch's _rebuild_tensor and _rebuild_tensor_v2, checked: every element lies in the storage."""
    if (
        type(storage) is not Storage
        or type(shape) is not tuple
        or type(strides) is not tuple
        or type(offset) is not int
    ):
        raise ValueError("a tensor is described wrongly")
    if not possible(shape):
        raise ValueError(f"a tensor has shape {shape!r:.60}, which no array has")
    if len(strides) != len(shape) or any(type(n) is not int or not 0 <= n < 2**60 for n in (offset, *strides)):
        raise ValueError(f"a tensor has shape {shape!r:.60}, strides {strides!r:.60} and offset {offset}")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) if prod(shape) else 0
    if last >= max(storage.count, 1) or prod(shape) > storage.count:
        raise ValueError(f"a tensor {shape!r:.60} reaches beyond its storage of {storage.count} numbers")
    return Tensor(storage, offset, shape, strides)


def tensor_v3(
    storage: Any, offset: Any, shape: Any, strides: Any, gradient: Any, hooks: Any, dtype: Any, *_: Any
) -> Any:
    raise ValueError(f"a tensor is of kind {dtype!r:.60}, which weights are not")


def parameter(data: Any, *_: Any) -> Any:
    if type(data) is not Tensor:
        raise ValueError("a parameter holds no tensor")
    return data


def ordered(pairs: Any = ()) -> dict[str, Any]:
    """collections.OrderedDict, empty or (in Python 2) of pairs."""
    if type(pairs) not in (tuple, list) or not all(type(p) in (tuple, list) and len(p) == 2 for p in pairs):
        raise ValueError("an ordered dictionary is described wrongly")
    if not all(type(key) in (str, int) for key, _ in pairs):
        raise ValueError("a key is no name")
    return dict(pairs)


def sizes(values: Any = ()) -> tuple[int, ...]:
    if type(values) not in (tuple, list) or not all(type(n) is int for n in values):
        raise ValueError("a size is described wrongly")
    return tuple(values)


CALLS = {
    "collections.OrderedDict": ordered,
    "torch._utils._rebuild_tensor": tensor,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_tensor_v3": tensor_v3,
    "torch._utils._rebuild_parameter": parameter,
    "torch.Size": sizes,
    "torch.device": lambda *names: str(names)[:60],
}


# --- tensors to arrays ---------------------------------------------------------------------------------------------


class Resolver:
    """Turns what a pickle described into views of the file. find: gives the place and bytes of a storage."""

    def __init__(self, mapped: Mapped, find: Any) -> None:
        self.mapped, self.find = mapped, find
        self.seen: dict[int, Any] = {}

    def resolved(self, value: Any, depth: int = 0) -> Any:
        """The value with arrays for tensors; a value that occurs twice is made once."""
        if depth > DEEPEST:
            raise InputError(f"{self.mapped.path} holds lists inside lists {DEEPEST} deep; it is no checkpoint")
        if type(value) not in (Tensor, dict, list, tuple):
            return value
        if id(value) not in self.seen:
            self.seen[id(value)] = None
            self.seen[id(value)] = self.made(value, depth + 1)
        return self.seen[id(value)]

    def made(self, value: Any, depth: int) -> Any:
        if type(value) is Tensor:
            return self.view(value)
        if type(value) is dict:
            return {key: self.resolved(each, depth) for key, each in value.items()}
        return type(value)(self.resolved(each, depth) for each in value)

    def view(self, tensor: Tensor) -> Array:
        start, length = self.find(tensor.storage)
        dtype = tensor.storage.dtype
        if length != tensor.storage.count * dtype.itemsize:
            raise InputError(
                f"{self.mapped.path}: storage {tensor.storage.key!r:.40} has {length} bytes, but its "
                f"{tensor.storage.count} {dtype} need {tensor.storage.count * dtype.itemsize}; it is damaged"
            )
        steps = tuple(stride * dtype.itemsize for stride in tensor.strides)
        if not prod(tensor.shape):
            return np.empty(tensor.shape, dtype)
        begin = start + tensor.offset * dtype.itemsize
        return np.ndarray(tensor.shape, dtype, self.mapped.map, begin, steps)

    def storages(self, value: Any) -> Mapping[str, Storage]:
        """Every storage by its name."""
        found: dict[str, Storage] = {}
        waiting, seen = [value], set()
        while waiting:
            each = waiting.pop()
            if id(each) in seen:
                continue
            seen.add(id(each))
            if type(each) is Tensor:
                if found.setdefault(each.storage.key, each.storage) != each.storage:
                    raise InputError(
                        f"{self.mapped.path}: storage {each.storage.key!r:.40} is described twice; it is damaged"
                    )
            elif type(each) is dict:
                waiting += each.values()
            elif type(each) in (list, tuple):
                waiting += each
        return found
