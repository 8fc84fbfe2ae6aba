"""A model written as a GGUF file that llama.cpp loads, one array after another, so that one is in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from byhand import tokenizer as tokenizers
from byhand.checkpoints.blocks import SCHEMES, kept
from byhand.checkpoints.files.gguf_file import ALIGNMENT, header
from byhand.checkpoints.files.quantized import BLOCK, BLOCKS, PLAIN, Quantized, encoded, nbytes
from byhand.checkpoints.files.saving import check_room
from byhand.checkpoints.formats.hugging_face_write import complete
from byhand.checkpoints.formats.rope_factors import factors
from byhand.checkpoints.record import Parts, Progress, silent
from byhand.errors import InputError
from byhand.layouts import Row, pieces, rows_for, shape
from byhand.layouts.gguf import LAYOUTS
from byhand.layouts.layout import reordered, rotary_of
from byhand.program import Program
from byhand.shapes import Shape
from byhand.weights import Weights

Array = np.ndarray[Any, Any]

ALWAYS_FLOAT32 = ("position_embd.weight", "_norm.weight", ".bias")  # ends of names, as in llama.cpp's converter
KEY, NO_TOKENIZER = "tokenizer.ggml.", "none"
UNUSED = 5  # the type of a token that no text gives


class Planned(NamedTuple):
    """An array that will be written. make: its bytes, a part at a time."""

    name: str
    kind: str
    shape: Shape
    make: Callable[[], Iterator[Array]]

    @property
    def size(self) -> int:
        return nbytes(self.kind, self.shape)


def write(parts: Parts, path: Path, progress: Progress = silent, dtype: str | None = None) -> None:
    """Write a GGUF file of a GPT-2 or Llama to a path where nothing is yet.

    dtype: f32, f16, bf16 or one of SCHEMES for its matrices, or None for each as it is (float64 as F32, the widest that
    llama.cpp computes with). As in llama.cpp's converter, vectors, norms and GPT-2's positions are F32 always, and rows
    that are not whole blocks of 32 become F16 instead. Weights that were read in the same blocks are written with the
    bits they had. A model without tokenizer is written with the tokenizer "none": llama.cpp loads it and works on token
    ids.

    Raises InputError for a model that llama.cpp's architecture cannot hold, numbers too large for the type, or a disk
    that is too small.
    """
    check_parts(parts, dtype)
    plan = planned(parts, dtype)
    total = sum(each.size for each in plan)
    check_room(path, total)
    keys = metadata(parts, plan)
    with path.open("wb") as file:
        file.write(header(keys, [(each.name, each.kind, each.shape, each.size) for each in plan]))
        done = 0
        for each in plan:
            progress(each.name, done, total)
            for part in each.make():
                file.write(part.data if part.dtype == np.uint8 else part.tobytes())
            file.write(bytes(-file.tell() % ALIGNMENT))
            done += each.size
        progress("", done, total)


def check_parts(parts: Parts, dtype: str | None) -> None:
    """Raise InputError for what a GGUF file of these architectures cannot hold."""
    if parts.family not in LAYOUTS:
        raise InputError(f"a GGUF file holds {' or '.join(LAYOUTS)}, not {parts.family}; save it in another format")
    if dtype is not None and dtype not in (kinds := (*map(str.lower, PLAIN), *SCHEMES)):
        raise InputError(f"dtype {dtype!r} is none of a GGUF file's; use {', '.join(kinds)}")
    if parts.family == "gpt2" and parts.config.activation != "gelu_tanh":
        raise InputError(
            f"{parts.name} has the activation {parts.config.activation}, but llama.cpp computes every gpt2 with "
            "gelu_tanh; save it in another format"
        )


# --- arrays ---------------------------------------------------------------------------------------------------------


def planned(parts: Parts, dtype: str | None) -> list[Planned]:
    """Every array of the file, in its order. dtype: asked for, None for each as it is."""
    program, weights = complete(parts)
    plan = [matrix(row, program, weights, dtype) for row in rows_for(LAYOUTS[parts.family], program)]
    if getattr(parts.config, "scaling", None) is not None:
        c = parts.config
        slowed = factors(c.scaling, c.theta, c.head_width // 2).astype(np.float32)
        plan.insert(0, Planned("rope_freqs.weight", "F32", slowed.shape, lambda: iter([slowed])))
    return plan


def matrix(row: Row, program: Program, weights: Weights, dtype: str | None) -> Planned:
    """One array."""
    size, held = shape(row, program), blocks_of(row, weights)
    scheme = SCHEMES.get(dtype or "")
    if scheme:
        asked = scheme.kind(row.stored.axes, held[0] if held else None)
    else:
        asked = dtype.upper() if dtype else held[0].kind if held else kind_of(row, weights)
    kind = kind_for(row.name, size, asked)
    if held and held[0].kind == kind:
        return Planned(row.name, kind, size, lambda: (ordered(each, row, program) for each in held))
    made, fit = partial(pieces, row, weights, program), bool(scheme and scheme.fit)
    make = lambda: (part for each in made() for part in encoded(kind, each, row.name, fit))  # noqa: E731
    return Planned(row.name, kind, size, make)


def kind_for(name: str, size: Shape, kind: str) -> str:
    """What an array is written as when its model is written as `kind`."""
    if len(size) == 1 or name.endswith(ALWAYS_FLOAT32):
        return "F32"
    return "F16" if kind in BLOCKS and size[-1] % BLOCK else kind


def kind_of(row: Row, weights: Weights) -> str:
    """The narrowest plain kind that holds all weights of a row; F32 for float64 too."""
    names = {weights.dtype(address).name for address in row.weights}
    return {"float16": "F16", "bfloat16": "BF16"}.get(names.pop(), "F32") if len(names) == 1 else "F32"


def blocks_of(row: Row, weights: Weights) -> list[Quantized]:
    """The sources of a row if all are in blocks of one kind that lie as the file will have them, else none."""
    held = [kept(weights.sources[address], row.stored.axes.replace("+", "")) for address in row.weights]
    found = [each for each in held if each is not None]
    return found if len(found) == len(held) and len({each.kind for each in found}) == 1 else []


def ordered(source: Quantized, row: Row, program: Program) -> Array:
    """Blocks with the rows of every head in the file's rotary order: a row is moved, its bits stay."""
    before, after = source.rotary or rotary_of(program), row.stored.rotary
    K = program.sizes.get("K", 1)
    if not after or before == after:
        return source.blocks
    heads_HKB = source.blocks.reshape(-1, K, source.blocks.shape[1])
    return reordered(heads_HKB, "HKB", before, after).reshape(source.blocks.shape)


# --- the header -----------------------------------------------------------------------------------------------------


def metadata(parts: Parts, plan: list[Planned]) -> dict[str, Any]:
    general = {
        "general.architecture": parts.family,
        "general.type": "model",
        "general.name": parts.name.encode(errors="replace").decode(),
        "general.file_type": file_type(plan),
        "general.quantization_version": 2,
    }
    sizes = {f"{parts.family}.{key}": value for key, value in sizes_of(parts.family, parts.config).items()}
    return general | sizes | tokenizer(parts)


def file_type(plan: list[Planned]) -> int:
    """llama.cpp's number for what most of the file is."""
    from gguf import LlamaFileType

    sizes: Counter[str] = Counter()
    for each in plan:
        if kind_for(each.name, each.shape, "F16") != "F32":  # not of those that are F32 in every file
            sizes[each.kind] += prod(each.shape)
    most = sizes.most_common(1)[0][0]
    return LlamaFileType[f"{'ALL' if most == 'F32' else 'MOSTLY'}_{most}"].value


def sizes_of(family: str, c: Any) -> dict[str, Any]:
    """The config as keys, without the architecture in front."""
    sizes = {
        "block_count": c.layers,
        "context_length": c.context,
        "embedding_length": c.width,
        "feed_forward_length": c.hidden,
        "attention.head_count": c.heads,
        "vocab_size": c.vocabulary,
    }
    if family == "gpt2":
        return sizes | {"attention.layer_norm_epsilon": c.eps}
    return sizes | {
        "attention.head_count_kv": c.groups,
        "attention.key_length": c.head_width,
        "attention.value_length": c.head_width,
        "attention.layer_norm_rms_epsilon": c.eps,
        "rope.dimension_count": c.head_width,
        "rope.freq_base": float(c.theta),
    }


def tokenizer(parts: Parts) -> dict[str, Any]:
    """The tokenizer as keys, with unused tokens for rows of the table that it does not name."""
    if parts.tokenizer is None:
        return {f"{KEY}model": NO_TOKENIZER}
    fields = dict(tokenizers.to_gguf(parts.tokenizer))
    count, rows = len(fields[f"{KEY}tokens"]), parts.config.vocabulary
    if count > rows:
        raise InputError(f"{parts.name} has a tokenizer of {count:,} tokens, but a table of {rows:,} rows")
    missing = range(count, rows)
    for name, values in (
        ("tokens", [f"[PAD{token}]" for token in missing]),
        ("token_type", [UNUSED] * len(missing)),
        ("scores", [0.0] * len(missing)),
    ):
        if f"{KEY}{name}" in fields:
            fields[f"{KEY}{name}"] = [*fields[f"{KEY}{name}"], *values]
    return fields
