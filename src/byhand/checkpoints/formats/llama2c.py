"""llama2.c's model files, versions 0 and 1 (float32) and 2 (int8 in groups), read and written.

Version 0 begins with seven whole numbers and no sign of what it is; later ones have 256 bytes that begin with "ak42".
Sources: export.py, run.c and runq.c of llama2.c, whose rotary theta 10000 and eps 1e-5 are fixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from struct import calcsize, pack, unpack
from typing import NamedTuple

import numpy as np

from byhand.checkpoints.files.groups import dequantized, in_parts, quantized
from byhand.checkpoints.files.mapped import Array, Mapped, beginning
from byhand.checkpoints.files.saving import check_room
from byhand.checkpoints.formats.llmc import LAYERS, converted, tokenizer_near
from byhand.checkpoints.record import Checkpoint, Finding, Parts, Progress, heads_of, silent, yes
from byhand.checkpoints.table import Found, checkpoint, program_of
from byhand.errors import InputError
from byhand.families import llama
from byhand.layouts import Source, pieces, rows_for, shape
from byhand.layouts.layout import names as by_name
from byhand.layouts.llama2c import LLAMA, NORMS, ORDER, TABLES
from byhand.program import Program
from byhand.shapes import Shape
from byhand.weights import Lazy

NAME, TITLE = "llama2c", "llama2.c"

MAGIC = 0x616B3432  # "ak42"
SIZES = "<7i"
START = {0: calcsize(SIZES), 1: 256, 2: 256}
VERSIONS = {"f32": 0, "q8_0": 2}
FLOAT = np.dtype("<f4")
THETA, EPS = 10_000.0, 1e-5
GROUP = 64
WIDEST = 1 << 17  # a width that no model has; other files without a sign mostly begin with larger numbers
TOLD = 1e-3  # what a table of cosines in float32 may be off by
WORDS = {"D": "dim", "F": "hidden_dim", "L": "n_layers", "H": "n_heads", "G": "n_kv_heads", "V": "vocab_size"}


class Header(NamedTuple):
    """What a file says about itself. vocab_size: as it stands there; shared: whether logits use the token table."""

    version: int
    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int
    max_seq_len: int
    shared: bool
    group: int = 0

    @property
    def possible(self) -> bool:
        """Whether a model can have these sizes."""
        widths = 1 <= self.dim < WIDEST and 1 <= self.hidden_dim < 2**31 and 1 <= self.n_layers <= LAYERS
        heads = 1 <= self.n_kv_heads <= self.n_heads and not self.n_heads % self.n_kv_heads
        pairs = heads and not self.dim % (2 * self.n_heads)
        signed = self.vocab_size > 0 or (self.version == 0 and self.vocab_size < 0)
        grouped = self.version != 2 or (
            self.group > 0 and not self.dim % self.group and not self.hidden_dim % self.group
        )
        return widths and pairs and signed and grouped and self.max_seq_len > 0

    @property
    def size(self) -> int:
        """The bytes of the whole file."""
        D, L, K = self.dim, self.n_layers, self.dim // self.n_heads
        norms = (2 * L + 1) * D
        layer = 2 * D * D + 2 * self.n_kv_heads * K * D + 3 * self.hidden_dim * D
        matrices = abs(self.vocab_size) * D * (2 - self.shared) + L * layer
        if self.version == 2:
            return START[2] + 4 * norms + matrices + 4 * (matrices // self.group)
        return START[self.version] + 4 * (norms + matrices + self.max_seq_len * K * (self.version == 0))


def recognise(path: Path) -> bool:
    """Whether this is a file of llama2.c: by its sign, or for version 0 because its first numbers can be sizes."""
    begin = beginning(path, START[0])
    if begin[:4] == pack("<I", MAGIC):
        return True
    return len(begin) == START[0] and plain_header(begin).possible


def plain_header(begin: bytes) -> Header:
    sizes = unpack(SIZES, begin)
    return Header(0, *sizes, shared=sizes[5] > 0)


def read(path: Path) -> Checkpoint:
    """The model in a file of llama2.c, as views of it; int8 groups are multiplied each time a weight is asked for.

    Raises InputError for any other file and for a damaged one.
    """
    mapped = Mapped(path)
    header = header_of(mapped)
    if not header.possible:
        said = ", ".join(f"{name} {value}" for name, value in zip(Header._fields[1:8], header[1:8], strict=True))
        grouped = f", group size {header.group}" * (header.version == 2)
        raise InputError(f"{path}: its header says {said}{grouped}, which no model has; it is damaged or another file")
    if header.size != mapped.size:
        cut = "was cut off" if mapped.size < header.size else "has something behind its arrays"
        raise InputError(f"{path} has {mapped.size} bytes, but the sizes in its header need {header.size}; it {cut}")
    c = llama.Config(
        layers=header.n_layers,
        width=header.dim,
        heads=header.n_heads,
        groups=header.n_kv_heads,
        hidden=header.hidden_dim,
        vocabulary=abs(header.vocab_size),
        context=header.max_seq_len,
        head_width=header.dim // header.n_heads,
        theta=THETA,
        rotary="pairs",
        tied=header.shared,
        eps=EPS,
    )
    title = f"llama2.c file, version {header.version}"
    found = Found(mapped.path, NAME, title, "llama", c, LLAMA, WORDS)
    arrays = laid_out(mapped, header, program_of(found), c.context)
    tables = [np.asarray(arrays.pop(name)) for name in TABLES if name in arrays]
    tokenizer, about = tokenizer_near(path, c.vocabulary)
    return checkpoint(replace(found, findings=(*findings(header, c, tables), *about), tokenizer=tokenizer), arrays)


def header_of(mapped: Mapped) -> Header:
    """What a file says about itself. Raises InputError for a short one and an unknown version."""
    begin = mapped.bytes(0, START[0], "llama2.c's header")
    if begin[:4] != pack("<I", MAGIC):
        return plain_header(begin)
    begin = mapped.bytes(0, START[1], "llama2.c's header")
    version, shared, group = (*unpack("<i", begin[4:8]), *unpack("<Bi", begin[36:41]))
    if version not in (1, 2):
        raise InputError(f"{mapped.path} is of version {version} of llama2.c's files; versions 0, 1 and 2 are read")
    if shared not in (0, 1):
        raise InputError(f"{mapped.path}: its flag for a shared table is {shared}, not 0 or 1; it is damaged")
    plain = plain_header(begin[8:36])
    return plain._replace(version=version, shared=bool(shared), group=group if version == 2 else 0)


def findings(header: Header, c: llama.Config, tables: list[Array]) -> Iterator[Finding]:
    signed = "its first bytes" if header.version else "its length is what the sizes in its first bytes need"
    yield Finding("format", f"llama2.c, version {header.version}", signed)
    if header.version == 2:
        yield Finding("dtype", f"int8, {header.group} in a group with one factor", "version 2; norms are float32")
    yield Finding("rotary layout", "pairs", "run.c turns neighbours")
    yield Finding("theta", f"{c.theta:g}", "fixed in run.c" + (told(tables, c) if tables else ""))
    yield Finding("eps", f"{c.eps:g}", "fixed in run.c")
    how = "the sign of vocab_size" if header.version == 0 else "the flag in the header"
    yield Finding("tied", yes(c.tied), how)
    yield Finding("heads", heads_of(c), "the header; shapes do not show it")


def told(tables: list[Array], c: llama.Config) -> str:
    """Whether the file's own cosines and sines, which nothing reads, belong to theta; of at most 64 positions."""
    places = np.unique(np.linspace(0, c.context - 1, min(c.context, 64)).astype(int))
    expected = rotary_tables(places, c.head_width)
    off = max(float(np.abs(table[places] - each).max()) for table, each in zip(tables, expected, strict=True))
    if off <= TOLD:
        return "; the file's own cosines and sines agree"
    return f"; the file's own cosines and sines are off by {off:.2g}, but run.c reads them as little as byhand does"


def rotary_tables(positions: Array, K: int) -> tuple[Array, Array]:
    """Cosines and sines [positions, pairs] as export.py writes them: of angles in float32."""
    slow = (THETA ** (np.arange(0, K, 2, dtype=np.float32) / np.float32(K)).astype(float)).astype(np.float32)
    angles = np.outer(positions.astype(np.float32), np.float32(1) / slow).astype(float)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def laid_out(mapped: Mapped, header: Header, program: Program, context: int) -> dict[str, Source]:
    """The file's arrays by name."""
    at, found = START[header.version], {}
    for name, size in order(header.version, program, context):
        if header.version == 2 and not is_norm(name):
            numbers = mapped.array(np.int8, size, at, name)
            factors = mapped.array(FLOAT, (prod(size) // header.group,), at + numbers.nbytes, f"factors of {name}")
            found[name] = Lazy(
                size, FLOAT, partial(dequantized, numbers, factors), parts=partial(in_parts, numbers, factors)
            )
            at += numbers.nbytes + factors.nbytes
        else:
            found[name] = mapped.array(FLOAT, size, at, name)
            at += found[name].nbytes
    return found


def order(version: int, program: Program, context: int) -> Iterator[tuple[str, Shape]]:
    """Names and shapes of the arrays of a file, one after the other."""
    shapes: Mapping[str, Shape] = {row.name: shape(row, program) for row in rows_for(LLAMA, program)}
    for kind in ORDER[version]:
        if kind in TABLES:
            yield kind, (context, program.sizes["K"] // 2)
        yield from ((name, size) for name, size in shapes.items() if name.partition(".")[0] == kind)


def is_norm(name: str) -> bool:
    return name.partition(".")[0] in NORMS


# --- writing -----------------------------------------------------------------------------------------------------


def write(
    parts: Parts, path: Path, progress: Progress = silent, dtype: str | None = None, version: int | None = None
) -> None:
    """Write a Llama as a file of llama2.c.

    dtype: f32 (and None) for version 0, which run.c reads, or q8_0 for version 2, int8 groups, which runq.c reads;
    version: 1 for float32 with the longer header. Numbers are rounded to float32. Raises InputError for a model that
    llama2.c cannot be told about.
    """
    if dtype not in (None, *VERSIONS):
        raise InputError(f"llama2.c's files hold {' or '.join(VERSIONS)}, not {dtype!r:.40}; name one of these")
    version = VERSIONS[dtype or "f32"] if version is None else version
    refuse(parts, version)
    c, program = parts.config, parts.program
    signed = c.vocabulary if c.tied or version else -c.vocabulary
    sizes = (c.width, c.hidden, c.layers, c.heads, c.groups, signed, c.context)
    header = Header(version, *sizes, shared=c.tied, group=group_size(c) if version == 2 else 0)
    check_room(path, header.size)
    rows = by_name(rows_for(LLAMA, program))
    tables = dict(zip(TABLES, rotary_tables(np.arange(c.context), c.head_width), strict=True)) if version == 0 else {}
    with path.open("wb") as file:
        file.write(header_bytes(header))
        for name, _ in order(version, program, c.context):
            made = [tables[name]] if name in tables else pieces(rows[name], parts.weights, program)
            if version == 2 and not is_norm(name):
                file.writelines(quantized(made, header.group, name))
            else:
                file.writelines(part for array in made for part in converted(array, FLOAT))
            progress(name, file.tell(), header.size)


def refuse(parts: Parts, version: int) -> None:
    """Raise InputError for what llama2.c's file cannot say."""
    if version not in ORDER:
        raise InputError(f"llama2.c's files are of version 0, 1 or 2; there is no {version!r}")
    if parts.family != "llama":
        raise InputError(f"{parts.name} is of family {parts.family}; llama2.c's file holds a llama only: use hf")
    c = parts.config
    fixed = {"theta": THETA, "eps": EPS, "scaling": None, "head_width": c.width / c.heads}
    for name, only in fixed.items():
        if getattr(c, name) != only:
            said = f"{parts.name} has {name} {getattr(c, name)}, but llama2.c's file has no place for it"
            raise InputError(f"{said} and means {only}; save it as hf or gguf")


def group_size(c: llama.Config) -> int:
    """64, halved until it divides both widths: runq.c groups what a matrix reads as it groups the matrix."""
    group = GROUP
    while c.width % group or c.hidden % group:
        group //= 2
    return group


def header_bytes(header: Header) -> bytes:
    sizes = pack(SIZES, *header[1:8])
    if header.version == 0:
        return sizes
    flags = pack("<B", header.shared) + (pack("<i", header.group) if header.version == 2 else b"")
    return (pack("<Ii", MAGIC, header.version) + sizes + flags).ljust(START[header.version], b"\0")
