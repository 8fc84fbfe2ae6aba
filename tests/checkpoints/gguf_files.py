"""GGUF files made byte by byte, so that a test can put anything into them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from byhand.checkpoints.files.gguf_file import opened
from byhand.checkpoints.formats import gguf
from byhand.checkpoints.record import Parts
from byhand.families import gpt2, llama
from byhand.tokenizer import PRINTABLE, Characters
from byhand.weights import Weights, random

FAMILIES = {"gpt2": gpt2, "llama": llama}
GPT2 = gpt2.Config(layers=1, width=32, heads=2, hidden=64, vocabulary=96, context=16)
LLAMA = llama.Config(
    layers=2, width=32, heads=4, groups=2, hidden=64, vocabulary=96, context=32, head_width=8, theta=10000.0
)
FORMS = {"u8": (0, "<B"), "i32": (5, "<i"), "u32": (4, "<I"), "f32": (6, "<f"), "bool": (7, "<?"), "u64": (10, "<Q")}


def parts(config: Any, weights: Any = None, seed: int = 1, dtype: Any = np.float32, tokenizer: Any = None) -> Parts:
    """A model of a config, with random weights unless some are given."""
    family = "gpt2" if isinstance(config, gpt2.Config) else "llama"
    program = FAMILIES[family].program(config)
    own = random(program, seed, dtype) if weights is None else Weights(weights)
    return Parts("tiny", family, config, program, own, tokenizer)


def characters() -> Characters:
    return Characters(PRINTABLE)


def written(path: Path, model: Parts, dtype: str | None = None) -> Path:
    path.unlink(missing_ok=True)
    gguf.write(model, path, dtype=dtype)
    return path


@dataclass(frozen=True)
class Table:
    """What a file says of one array. kind: ggml's number."""

    name: bytes
    dims: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True)
class Raw:
    """A file in its parts, each of which a test may replace. keys: a name with its value as bytes, type in front."""

    keys: tuple[tuple[bytes, bytes], ...] = ()
    tables: tuple[Table, ...] = ()
    data: bytes = b""
    magic: bytes = b"GGUF"
    version: int = 3
    counts: Mapping[str, int] = field(default_factory=dict)
    align: int = 32

    def bytes(self) -> bytes:
        counts = {"arrays": len(self.tables), "keys": len(self.keys), **self.counts}
        head = self.magic + struct.pack("<IQQ", self.version, counts["arrays"], counts["keys"])
        head += b"".join(text(name) + value for name, value in self.keys)
        head += b"".join(
            text(each.name) + struct.pack(f"<I{len(each.dims)}QIQ", len(each.dims), *each.dims, each.kind, each.offset)
            for each in self.tables
        )
        return head + bytes(-len(head) % self.align) + self.data

    def with_key(self, name: str, value: bytes) -> Raw:
        """The same file with another value for a key, or with one more key."""
        kept = [(key, old) for key, old in self.keys if key != name.encode()]
        return replace(self, keys=(*kept, (name.encode(), value)))

    def without_key(self, name: str) -> Raw:
        return replace(self, keys=tuple(each for each in self.keys if each[0] != name.encode()))

    def with_table(self, array: str, **change: Any) -> Raw:
        """The same file with another line for an array."""
        changed = [replace(each, **change) if each.name == array.encode() else each for each in self.tables]
        assert changed != list(self.tables)
        return replace(self, tables=tuple(changed))


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def scalar(form: str, value: Any) -> bytes:
    kind, code = FORMS[form]
    return struct.pack("<I", kind) + struct.pack(code, value)


def string(value: str | bytes) -> bytes:
    return struct.pack("<I", 8) + text(value.encode() if isinstance(value, str) else value)


def strings(values: Sequence[str | bytes], count: int | None = None) -> bytes:
    head = struct.pack("<IIQ", 9, 8, len(values) if count is None else count)
    return head + b"".join(text(each.encode() if isinstance(each, str) else each) for each in values)


def numbers(form: str, values: Sequence[Any], count: int | None = None) -> bytes:
    kind, code = FORMS[form]
    head = struct.pack("<IIQ", 9, kind, len(values) if count is None else count)
    return head + b"".join(struct.pack(code, each) for each in values)


def raw(path: Path) -> Raw:
    """A file that byhand wrote, in its parts."""
    file = opened(path)
    whole = path.read_bytes()
    start = min(each.offset for each in file.entries.values())
    from gguf import GGMLQuantizationType

    tables = [
        Table(each.name.encode(), each.shape[::-1], GGMLQuantizationType[each.kind].value, each.offset - start)
        for each in file.entries.values()
    ]
    return Raw(
        tuple((name.encode(), value_bytes(value)) for name, value in file.keys.items()), tuple(tables), whole[start:]
    )


def value_bytes(value: Any) -> bytes:
    """A key's value as the file had it, for the types that byhand writes."""
    if isinstance(value, bool):
        return scalar("bool", value)
    if isinstance(value, int | float):
        return scalar("u32" if isinstance(value, int) else "f32", value)
    if isinstance(value, str):
        return string(value)
    return numbers("i32", value.tolist()) if isinstance(value, np.ndarray) else strings(list(value))
