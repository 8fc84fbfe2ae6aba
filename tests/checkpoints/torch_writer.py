"""Files as torch.save writes them, put together byte by byte, so that tests need no torch and can also lie."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

KINDS = {
    "float64": "Double",
    "float32": "Float",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "int64": "Long",
    "uint8": "Byte",
}
START = b"\x80\x02"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def whole(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def many(*values: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(values) + b"t"


def name(module: str, what: str) -> bytes:
    return b"c" + f"{module}\n{what}\n".encode()


def plain(value: Any) -> bytes:
    """The pickle of plain values."""
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return whole(value)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return text(value)
        case tuple():
            return many(*map(plain, value))
        case list():
            return b"](" + b"".join(map(plain, value)) + b"e"
        case dict():
            return b"}(" + b"".join(plain(key) + each for key, each in map(paired, value.items())) + b"u"
        case bytes():  # pickled already
            return value
    raise TypeError(type(value))


def paired(item: tuple[Any, Any]) -> tuple[Any, bytes]:
    return item[0], plain(item[1])


def storage(kind: str, key: str, count: int, *more: bytes) -> bytes:
    return many(text("storage"), name("torch", f"{kind}Storage"), text(key), text("cpu"), whole(count), *more) + b"Q"


def tensor(source: bytes, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    """A tensor in a storage; strides and offset count elements."""
    hooks = name("collections", "OrderedDict") + b")R"
    described = many(source, whole(offset), plain(shape), plain(strides), b"\x89", hooks)
    return name("torch._utils", "_rebuild_tensor_v2") + described + b"R"


def strides_of(array: np.ndarray[Any, Any]) -> tuple[int, ...]:
    return tuple(step // array.itemsize for step in array.strides)


class Writer:
    """Collects storages while a value is described."""

    def __init__(self, legacy: bool = False) -> None:
        self.storages: dict[str, np.ndarray[Any, Any]] = {}
        self.more = (b"N",) if legacy else ()

    def tensor(self, array: np.ndarray[Any, Any], key: str | None = None) -> bytes:
        """An array as a tensor; one that is turned over stays so, as a strided view. key: of a storage to share."""
        key = key or str(len(self.storages))
        flat = array.ravel(order="K")
        self.storages.setdefault(key, flat)
        source = storage(KINDS[array.dtype.name], key, flat.size, *self.more)
        return tensor(source, array.shape, strides_of(array))

    def state_dict(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
        """An OrderedDict with _metadata, as Module.state_dict gives it; equal objects share their storage."""
        keys: dict[int, str] = {}
        items = b""
        for at, array in arrays.items():
            items += text(at) + self.tensor(array, keys.setdefault(id(array), str(len(self.storages))))
        ordered = name("collections", "OrderedDict") + b")R"
        return ordered + b"(" + items + b"u" + b"}" + text("_metadata") + ordered + b"sb"


def zipped(
    value: bytes, storages: Mapping[str, Any], *, method: int = zipfile.ZIP_STORED, root: str = "archive"
) -> bytes:
    """The file since torch 1.6. value: its pickle without beginning and end."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(f"{root}/data.pkl", START + value + b".")
        archive.writestr(f"{root}/byteorder", b"little")
        for key, array in storages.items():
            archive.writestr(f"{root}/data/{key}", array.tobytes())
        archive.writestr(f"{root}/version", b"3\n")
    return file.getvalue()


def streamed(value: bytes, storages: Mapping[str, Any], keys: list[str] | None = None) -> bytes:
    """The file before torch 1.6."""
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    pickles = [whole(0x1950A86A20F9469CFC6C), whole(1001), plain(machine), value]
    pickles.append(plain(list(storages) if keys is None else keys))
    data = b"".join(START + each + b"." for each in pickles)
    return data + b"".join(struct.pack("<q", array.size) + array.tobytes() for array in storages.values())


def save(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], legacy: bool = False, **beside: Any) -> Path:
    """A state dict, or with `beside` {"model": the state dict, **beside}, as a file."""
    writer = Writer(legacy)
    value = writer.state_dict(arrays)
    if beside:
        value = plain({"model": value, **beside})
    path.write_bytes((streamed if legacy else zipped)(value, writer.storages))
    return path


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    """A few arrays of every kind, one turned over."""
    numbers = np.random.default_rng(0).standard_normal((4, 6))
    return {
        "a": numbers.astype(np.float32),
        "b": numbers.astype(ml_dtypes.bfloat16),
        "turned": numbers.T.astype(np.float16, order="K"),
        "long": np.arange(5),
        "one": np.array(2.5),
        "none": np.zeros((0, 3), np.float32),
    }
