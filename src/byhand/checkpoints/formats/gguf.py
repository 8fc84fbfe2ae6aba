"""GGUF files of llama.cpp, architectures gpt2 and llama, in F32, F16, BF16, Q8_0 and Q4_0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from byhand import tokenizer as tokenizers
from byhand.checkpoints.blocks import of_blocks, row_of, weight_of
from byhand.checkpoints.files.gguf_file import VERSION, Entry, File, Texts, is_gguf, opened
from byhand.checkpoints.files.quantized import KINDS, PLAIN, Quantized, row_bytes
from byhand.checkpoints.formats.gguf_config import FAMILIES, WORDS, architecture, config, shown
from byhand.checkpoints.formats.gguf_writing import write
from byhand.checkpoints.record import Checkpoint, Finding
from byhand.checkpoints.table import Found, checkpoint
from byhand.checkpoints.tokenizers import about
from byhand.errors import InputError
from byhand.layouts import Row, Source, rows_for
from byhand.layouts.gguf import LAYOUTS
from byhand.layouts.layout import cuts
from byhand.program import Program
from byhand.tokenizer.gguf import PATTERNS

__all__ = ["NAME", "TITLE", "read", "recognise", "write"]

Array = np.ndarray[Any, Any]

NAME, TITLE = "gguf", "GGUF file of llama.cpp"
OTHERS = ("*.safetensors", "*.bin", "*.pth", "*.pt")


def recognise(path: Path) -> bool:
    """Whether this is a GGUF file, by its first four bytes, or by its name where it is too damaged to tell; or a folder
    with such files and no weights of another kind.
    """
    if path.is_dir():
        return bool(files_in(path)) and not any(each for kind in OTHERS for each in path.glob(kind))
    return path.is_file() and (is_gguf(path) or path.suffix == ".gguf")


def files_in(folder: Path) -> list[Path]:
    return sorted(each for each in folder.glob("*.gguf") if each.is_file())


def only_file(path: Path) -> Path:
    """The file itself, or the only one in a folder. Raises InputError where there are several."""
    files = files_in(path) if path.is_dir() else [path]
    if len(files) != 1:
        listed = ", ".join(each.name for each in files[:4]) + (" ..." if len(files) > 4 else "")
        raise InputError(f"{path} holds {len(files)} GGUF files: {listed}; name one of them")
    return files[0]


def read(path: Path) -> Checkpoint:
    """A GGUF file, or the only one of a folder. Its plain arrays become views, those in blocks are turned into numbers
    each time they are read.

    Raises InputError and ShapeError, in one line, for a damaged file and for a model that byhand cannot compute.
    """
    file = opened(only_file(path))
    arch = architecture(file)
    check_kinds(file)
    settings, findings = config(file, arch)
    arrays = {name: array(file, each) for name, each in file.entries.items()}
    if settings.tied:
        arrays.pop("output.weight", None)  # compared with token_embd.weight when tying was found out
    made, told = tokenizer(file, arch, settings.vocabulary)
    found = Found(
        path=file.mapped.path,
        format=NAME,
        description=f"GGUF file, version {VERSION}, {main_kind(file)}",
        family=arch,
        config=settings,
        layout=LAYOUTS[arch],
        words={letter: word.format(a=arch) for letter, word in WORDS.items()},
        findings=(
            Finding("format", f"GGUF, version {VERSION}, {arch}", "its first bytes; general.architecture"),
            *findings,
            *told,
        ),
        tokenizer=made,
    )
    return with_blocks(checkpoint(found, arrays), arrays)


def with_blocks(found: Checkpoint, arrays: Mapping[str, Source]) -> Checkpoint:
    """The same with every weight that a matrix in blocks holds as Quantized."""
    program = FAMILIES[found.family].program(found.config)
    weights = dict(found.weights)
    for row in rows_for(LAYOUTS[found.family], program):
        weights |= in_blocks(row, arrays[row.name], program)
    return replace(found, weights=weights)


def main_kind(file: File) -> str:
    """The type that most of the file's bytes are of."""
    sizes: Counter[str] = Counter()
    for each in file.entries.values():
        sizes[each.kind] += each.size
    return sizes.most_common(1)[0][0]


def check_kinds(file: File) -> None:
    """Raise InputError for number formats that byhand does not read."""
    others = Counter(each.kind for each in file.entries.values() if each.kind not in KINDS)
    if others:
        listed = ", ".join(f"{kind} ({count} arrays)" for kind, count in others.most_common())
        raise InputError(
            f"{file.mapped.path} holds {listed}; byhand reads {', '.join(KINDS)}; make one of these from it with "
            "llama-quantize --allow-requantize --pure, or take another file of the model"
        )


def array(file: File, entry: Entry) -> Source:
    """An array of the file, with nothing read."""
    if entry.kind in PLAIN:
        return file.mapped.array(PLAIN[entry.kind], entry.shape, entry.offset, entry.name)
    width = row_bytes(entry.kind, entry.shape[-1])
    blocks = file.mapped.array(np.uint8, (entry.size // width, width), entry.offset, entry.name)
    return of_blocks(entry.kind, blocks, entry.shape)


def in_blocks(row: Row, source: Source, program: Program) -> dict[str, Source]:
    """The weights of a matrix in blocks, each with just its own rows of blocks; none of another array."""
    if not isinstance(source, Quantized) or len(source.shape) != 2:
        return {}
    found: dict[str, Source] = {}
    for address, (cut, *_) in cuts(row, program):
        assert isinstance(cut, slice)
        part = of_blocks(source.kind, source.blocks[cut], (cut.stop - cut.start, *source.shape[1:]))
        found[address] = weight_of(part, row_of(address, row.stored.axes.replace("+", ""), row.stored.rotary), program)
    return found


def tokenizer(file: File, arch: str, vocabulary: int) -> tuple[Any, tuple[Finding, ...]]:
    """The tokenizer among the keys, and what it is; None where there is none or byhand does not know its way.

    Raises InputError for a damaged one.
    """
    fields = {key: plain(each) for key, each in file.keys.items() if key.startswith("tokenizer.")}
    model = fields.get("tokenizer.ggml.model", "none")
    pre = fields.get("tokenizer.ggml.pre", "gpt-2" if arch == "gpt2" else "default")
    if model == "none" or model == "no_vocab":
        return None, (Finding("tokenizer", "none", "tokenizer.ggml.model; the model works on token ids"),)
    if model not in ("gpt2", "llama") or (model == "gpt2" and pre not in [*PATTERNS]):
        how = f"byhand does not know the tokenizer {shown(model)} {shown(pre)}; the model works on token ids"
        return None, (Finding("tokenizer", "none", how),)
    try:
        made = tokenizers.from_gguf({**fields, "general.architecture": arch})
    except InputError as error:
        raise InputError(f"{file.mapped.path}: {error}") from None
    assert made is not None  # there are fields of one
    return made, about(made, vocabulary, f"tokenizer.ggml.model {model} and .pre {pre}")


def plain(value: Any) -> Any:
    """A key's value as Python has it."""
    if isinstance(value, Texts):
        return list(value)
    return value.tolist() if isinstance(value, np.ndarray) else value
