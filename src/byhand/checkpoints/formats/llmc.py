"""llm.c's model files: GPT-2, read and written, and the Llama of its train_llama3.py, read.

A header of 256 whole numbers, then the arrays of the layout one after another. Version 3 holds float32, 5 bfloat16.
GPT-2's vocabulary is padded there to the next multiple of 128 with rows of zeros. Sources: write_model in llm.c's
train_gpt2.py and train_llama3.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from byhand.checkpoints.files.mapped import BFLOAT16, Array, Mapped, beginning
from byhand.checkpoints.files.saving import check_room
from byhand.checkpoints.record import Checkpoint, Finding, Parts, Progress, heads_of, silent
from byhand.checkpoints.table import Found, checkpoint, program_of
from byhand.checkpoints.tokenizers import tokenizer_beside
from byhand.errors import InputError
from byhand.families import gpt2, llama
from byhand.layouts import Layout, pieces, rows_for, shape
from byhand.layouts.llmc import GPT2, LAYOUTS, LLAMA
from byhand.program import Program
from byhand.shapes import Shape
from byhand.weights import Weights, slices

NAME, TITLE = "llmc", "llm.c"

HEADER = 256  # whole numbers of four bytes
START = 4 * HEADER
MODEL, LLAMA_MODEL, STATE = 20240326, 20240803, 20240327
OTHERS = {
    STATE: "debug state, which holds gradients and no weights; compare a model with it: byhand compare MODEL STATE",
    20240328: "tokenizer, which holds no weights; give the model file beside it",
    20240520: "GPT-2 tokens for training, which are no model; give gpt2_124M.bin or another model file",
    20240522: "evaluation set, which is no model; give a model file",
    20240527: "optimizer state, which holds no weights; give the model file of the same step",
    20240801: "Llama 3 tokens for training, which are no model; give a model file",
}
DTYPES = {3: np.dtype("<f4"), 5: BFLOAT16}
VERSIONS = {"f32": 3, "bf16": 5}
PAD = 128
LAYERS = 1024  # more than any model has
WORDS = {
    "gpt2": {"V": "vocab_size", "P": "max_seq_len", "D": "channels", "H": "num_heads", "L": "num_layers"},
    "llama": {"V": "vocab_size", "D": "n_embd", "H": "n_head", "G": "n_kv_head", "L": "n_layer"},
}


def recognise(path: Path) -> bool:
    """Whether this is one of llm.c's files, by its first number; `read` says which of them hold a model."""
    return first(path) in (MODEL, LLAMA_MODEL, *OTHERS)


def first(path: Path) -> int:
    """The first four bytes as a whole number; 0 where there are none."""
    return int.from_bytes(beginning(path, 4), "little", signed=True)


def read(path: Path) -> Checkpoint:
    """The model in a file of llm.c, as views of it. Raises InputError for any other file and for a damaged one."""
    mapped = Mapped(path)
    header = numbers(mapped)
    if header[0] in OTHERS:
        raise InputError(f"{path} is an llm.c {OTHERS[header[0]]}")
    if header[0] not in (MODEL, LLAMA_MODEL):
        raise InputError(f"{path} is no model of llm.c: it starts with {header[0]}, not {MODEL}")
    return read_gpt2(mapped, header) if header[0] == MODEL else read_llama(mapped, header)


def numbers(mapped: Mapped) -> list[int]:
    """The header of a file. Raises InputError when the file is shorter."""
    if mapped.size < START:
        raise InputError(f"{mapped.path} has {mapped.size} bytes, less than llm.c's header of {START}; it was cut off")
    return mapped.array("<i4", (HEADER,), 0).tolist()


# --- GPT-2 -------------------------------------------------------------------------------------------------------


def read_gpt2(mapped: Mapped, header: list[int]) -> Checkpoint:
    dtype = checked_dtype(mapped.path, header[1])
    names = ("max_seq_len", "vocab_size", "num_layers", "num_heads", "channels", "padded_vocab_size")
    context, V, L, H, D, Vp = sizes(mapped.path, dict(zip(names, header[2:8], strict=True)))
    if Vp < V or D % H:
        wrong = f"padded_vocab_size {Vp} for vocab_size {V}" if Vp < V else f"channels {D} for num_heads {H}"
        raise InputError(f"{mapped.path}: its header says {wrong}, which cannot be; it is damaged")
    check_length(mapped, dtype, gpt2_numbers(D, L, context, Vp), f"channels {D}, num_layers {L}")
    config = gpt2.Config(layers=L, width=D, heads=H, hidden=4 * D, vocabulary=V, context=context)
    program = program_of(found(mapped, "gpt2", config))
    arrays = laid_out(mapped, GPT2, program, dtype, START, Vp)
    padding = padding_finding(arrays["wte"], V)
    arrays["wte"] = arrays["wte"][:V]
    tokenizer, about = tokenizer_near(mapped.path, V)
    findings = (
        Finding("format", f"llm.c, version {header[1]}", "the first two numbers of its header"),
        padding,
        Finding("activation", config.activation, "the only one in llm.c, GELU's tanh form"),
        Finding("eps", f"{config.eps:g}", "fixed in llm.c"),
        Finding("tied", "yes", "llm.c's GPT-2 has no table for logits alone"),
        Finding("heads", heads_of(config), "num_heads in the header; shapes do not show it"),
        *about,
    )
    return checkpoint(replace(found(mapped, "gpt2", config, findings), tokenizer=tokenizer), arrays)


def gpt2_numbers(D: int, L: int, context: int, Vp: int) -> int:
    """How many numbers the 16 arrays hold."""
    return (Vp + context) * D + L * (12 * D * D + 13 * D) + 2 * D


def padding_finding(table_VD: Array, V: int) -> Finding:
    """What stands in the rows of the token table that no token has."""
    Vp = len(table_VD)
    if Vp == V:
        return Finding("padding", "none", f"padded_vocab_size is vocab_size, {V}")
    rows = table_VD[V:].view(np.uint8)
    what = "hold numbers, which no token reads" if rows.any() else "are zero"
    return Finding("padding", f"{Vp - V} rows cut off", f"{Vp} rows for {V} tokens; those behind them {what}")


# --- Llama -------------------------------------------------------------------------------------------------------


def read_llama(mapped: Mapped, header: list[int]) -> Checkpoint:
    if not any(header[3:]):
        raise InputError(f"{mapped.path} is the debug state of train_llama3.py, which holds no weights and is not read")
    dtype = checked_dtype(mapped.path, header[1])
    names = ("block_size", "vocab_size", "n_layer", "n_head", "n_kv_head", "n_embd")
    context, V, L, H, G, D = sizes(mapped.path, dict(zip(names, header[2:8], strict=True)))
    theta, scaled = header[11], header[12]
    if D % H or H % G or D // H % 2 or theta < 1 or scaled not in (0, 1):
        said = f"n_embd {D}, n_head {H}, n_kv_head {G}, rope_theta {theta}, use_scaled_rope {scaled}"
        raise InputError(f"{mapped.path}: its header says {said}, which cannot be; it is damaged")
    F = llama_hidden(mapped, dtype, (V, L, H, G, D))
    config = llama.Config(
        layers=L,
        width=D,
        heads=H,
        groups=G,
        hidden=F,
        vocabulary=V,
        context=context,
        head_width=D // H,
        theta=float(theta),
        scaling=llama.Scaling() if scaled else None,
    )
    tokenizer, about = tokenizer_near(mapped.path, V)
    findings = (
        Finding("format", f"llm.c, version {header[1]}", "the first two numbers of its header"),
        Finding("rotary layout", "pairs", "train_llama3.py turns neighbours, as Meta does"),
        Finding("theta", f"{theta:g}", "rope_theta in the header"),
        Finding("scaling", str(config.scaling or "none"), f"use_scaled_rope {scaled} in the header"),
        Finding("hidden", str(F), "from the size of the file; the header rounds the multiplier to a whole number"),
        Finding("eps", f"{config.eps:g}", "what train_llama3.py uses; the header rounds it to 0"),
        Finding("tied", "no", "the file holds lm_head"),
        Finding("heads", heads_of(config), "n_head and n_kv_head; shapes do not show it"),
        *about,
    )
    made = replace(found(mapped, "llama", config, findings), tokenizer=tokenizer)
    return checkpoint(made, laid_out(mapped, LLAMA, program_of(made), dtype, START))


def llama_hidden(mapped: Mapped, dtype: np.dtype[Any], known: tuple[int, int, int, int, int]) -> int:
    """The feed-forward width, which the header does not say: what the other arrays leave of the file."""
    V, L, H, G, D = known
    others = 2 * V * D + L * (2 * D + (H + 2 * G) * (D // H) * D + D * D) + D
    width, rest = divmod(mapped.size - START - others * dtype.itemsize, 3 * L * D * dtype.itemsize)
    if rest or width < 1:
        said = f"vocab_size {V}, n_layer {L}, n_head {H}, n_kv_head {G}, n_embd {D}"
        raise InputError(f"{mapped.path} has {mapped.size} bytes, which fit no hidden width with {said}; it is damaged")
    return width


# --- what both read with -----------------------------------------------------------------------------------------


def checked_dtype(path: Path, version: int) -> np.dtype[Any]:
    if version in (1, 2):
        raise InputError(f"{path} is of llm.c's old version {version}; write it again with llm.c's train_gpt2.py")
    if version not in DTYPES:
        raise InputError(f"{path} has version {version} in its header; llm.c's are 3 (float32) and 5 (bfloat16)")
    return DTYPES[version]


def sizes(path: Path, said: Mapping[str, int]) -> Iterable[int]:
    """The sizes of a header. Raises InputError for one that no model has."""
    for name, size in said.items():
        most = LAYERS if "layer" in name else 2**31
        if not 1 <= size <= most:
            raise InputError(f"{path}: its header says {name} {size}, which no model has; it is damaged")
    return said.values()


def check_length(mapped: Mapped, dtype: np.dtype[Any], count: int, said: str) -> None:
    """Raise InputError unless the file holds a header and exactly this many numbers."""
    needed = START + count * dtype.itemsize
    if mapped.size != needed:
        cut = "was cut off" if mapped.size < needed else "has something behind its arrays"
        raise InputError(f"{mapped.path} has {mapped.size} bytes, but its header ({said}) needs {needed}; it {cut}")


def laid_out(
    mapped: Mapped, layout: Layout, program: Program, dtype: np.dtype[Any], start: int, padded: int | None = None
) -> dict[str, Array]:
    """Views of arrays that follow one another; padded: rows of the token table, if more than tokens."""
    shapes = shapes_of(layout, program, padded)
    starts = accumulate((prod(size) * dtype.itemsize for size in shapes.values()), initial=start)
    return {name: mapped.array(dtype, size, at, name) for (name, size), at in zip(shapes.items(), starts, strict=False)}


def shapes_of(layout: Layout, program: Program, padded: int | None = None) -> dict[str, Shape]:
    """The shapes of a file's arrays, in order."""
    found = {row.name: shape(row, program) for row in rows_for(layout, program)}
    if padded:
        found["wte"] = (padded, *found["wte"][1:])
    return found


def tokenizer_near(path: Path, vocabulary: int) -> tuple[Any, tuple[Finding, ...]]:
    """The tokenizer in a file's folder. One that does not fit is left out: it may belong to another file there."""
    try:
        return tokenizer_beside(path.parent, vocabulary)
    except InputError as error:
        return None, (Finding("tokenizer", "none", f"the one beside the file does not fit: {error}"),)


def found(mapped: Mapped, family: str, config: Any, findings: tuple[Finding, ...] = ()) -> Found:
    layout, words = LAYOUTS[family], WORDS[family]
    return Found(mapped.path, NAME, f"{layout.title} file", family, config, layout, words, findings)


# --- writing -----------------------------------------------------------------------------------------------------


def write(parts: Parts, path: Path, progress: Progress = silent, dtype: str | None = None) -> None:
    """Write a GPT-2 as a file of llm.c. dtype: f32, bf16, or None for bfloat16 where every weight is, else float32.

    Float64 is rounded. One layer's matrix at a time is in memory. Raises InputError for a model that llm.c cannot be
    told about.
    """
    refuse(parts, dtype)
    c, program = parts.config, parts.program
    narrow = dtype is None and all(dtype_of(parts, address) == BFLOAT16 for address in program.weights)
    version = VERSIONS["bf16" if narrow else dtype or "f32"]
    Vp = padded_size(c.vocabulary)
    total = START + gpt2_numbers(c.width, c.layers, c.context, Vp) * DTYPES[version].itemsize
    check_room(path, total)
    with path.open("wb") as file:
        file.write(header_bytes(MODEL, version, c.context, c.vocabulary, c.layers, c.heads, c.width, Vp))
        for name in write_arrays(file, program, parts.weights, DTYPES[version], Vp):
            progress(name, file.tell(), total)


def refuse(parts: Parts, dtype: str | None) -> None:
    """Raise InputError for what llm.c's GPT-2 file cannot say."""
    if dtype not in (None, *VERSIONS):
        raise InputError(f"llm.c's file holds {' or '.join(VERSIONS)}, not {dtype!r:.40}; name one of these")
    if parts.family != "gpt2":
        raise InputError(f"{parts.name} is of family {parts.family}; llm.c's file is written for gpt2 only: use hf")
    c = parts.config
    fixed = {"hidden": 4 * c.width, "eps": 1e-5, "activation": "gelu_tanh", "tied": True, "bias": True}
    for name, only in fixed.items():
        if getattr(c, name) != only:
            found = f"{parts.name} has {name} {getattr(c, name)}"
            raise InputError(f"{found}, but llm.c's file has no place for it and means {only}; save it as hf or gguf")


def dtype_of(parts: Parts, address: str) -> np.dtype[Any]:
    source = parts.weights.sources[address]
    return np.dtype(source.dtype) if hasattr(source, "dtype") else parts.weights[address].dtype  # type: ignore


def padded_size(V: int) -> int:
    return -(-V // PAD) * PAD


def header_bytes(*numbers: int) -> bytes:
    header = np.zeros(HEADER, "<i4")
    header[: len(numbers)] = numbers
    return header.tobytes()


def write_arrays(
    file: BinaryIO, program: Program, weights: Weights, dtype: np.dtype[Any], padded: int
) -> Iterator[str]:
    """Write the 16 arrays, the token table padded with rows of zeros; yields the name of each that is done."""
    for row in rows_for(GPT2, program):
        for piece in pieces(row, weights, program):
            for part in converted(piece, dtype):
                file.write(part)
        if row.name == "wte":
            V, D = shape(row, program)
            file.write(bytes((padded - V) * D * dtype.itemsize))
        yield row.name


def converted(array: Array, dtype: Any) -> Iterator[bytes]:
    """The array's bytes in another type, a part at a time."""
    return (part.astype(dtype).tobytes() for part in slices(array.reshape(-1)))
