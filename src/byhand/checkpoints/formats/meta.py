"""Meta's folders of Llama: params.json, consolidated.00.pth and, of large models, further shards. Read only.

Source: model.py and generation.py in Meta's llama and llama3. params.json says neither the feed-forward width, which
follows from a formula, nor how long a text may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from byhand.checkpoints.files import torch_files
from byhand.checkpoints.files.jsons import Fields, read_object
from byhand.checkpoints.files.mapped import Array
from byhand.checkpoints.formats.hugging_face import state_dict
from byhand.checkpoints.record import Checkpoint, Finding, heads_of, yes
from byhand.checkpoints.table import Found, checkpoint
from byhand.checkpoints.tokenizers import tokenizer_beside
from byhand.errors import InputError
from byhand.families import llama
from byhand.layouts import Source
from byhand.layouts.meta import CUT, LLAMA
from byhand.shapes import split_evenly
from byhand.weights import Lazy, slices

NAME = "meta"
TITLE = "Meta's Llama folder"

PARAMS = "params.json"
SHARDS = "consolidated.*.pth"
WORDS = {"D": "dim", "H": "n_heads", "G": "n_kv_heads", "V": "vocab_size", "L": "n_layers"}
WORDS |= {"F": "feed-forward width", "K": "dim / n_heads"}
KNOWN = {
    *("dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "multiple_of", "ffn_dim_multiplier", "norm_eps"),
    *("rope_theta", "use_scaled_rope", "rope_scaling_factor", "rope_high_freq_factor", "max_seq_len", "max_batch_size"),
}
MOST_MULTIPLIER = 1000.0
TABLE, LOGITS = "tok_embeddings.weight", "output.weight"


def recognise(path: Path) -> bool:
    """Whether this is a folder with params.json and consolidated weights, or one file of them."""
    folder = path if path.is_dir() else path.parent
    if not (folder / PARAMS).is_file():
        return False
    return any(folder.glob(SHARDS)) if path.is_dir() else torch_files.looks_like(path)


def read(path: Path) -> Checkpoint:
    """Raises InputError and ShapeError for a folder that is damaged or whose parts do not fit together."""
    folder = path if path.is_dir() else path.parent
    files = shards(folder) if path.is_dir() else [path]
    said = Fields(read_object(folder / PARAMS), str(folder / PARAMS))
    if unknown := said.values.keys() - KNOWN:
        name = min(unknown)
        raise InputError(
            f"{said.where}: {name!r:.60} is {said.values[name]!r:.60}, which byhand does not know for a Llama"
        )
    arrays = joined([state_dict(file) for file in files], files, said)
    config, findings = config_of(said, arrays)
    tokenizer, about = tokenizer_beside(folder, config.vocabulary)
    number = f"{len(files)} shards" if len(files) > 1 else "one shard"
    description = f"{TITLE}, {number}"
    findings = (Finding("format", "Meta's Llama", f"{PARAMS} with {SHARDS}"), *findings, *about)
    found = Found(path, NAME, description, "llama", config, LLAMA, WORDS, findings, (), tokenizer)
    return checkpoint(found, arrays)


def shards(folder: Path) -> list[Path]:
    """The files in order. Raises InputError when one between them is missing."""
    files = sorted(folder.glob(SHARDS))
    for number, file in enumerate(files):
        if file.name != f"consolidated.{number:02}.pth":
            raise InputError(f"{folder} lacks consolidated.{number:02}.pth; its shards are numbered from 00 on")
    return files


# --- several shards ------------------------------------------------------------------------------------------------


def joined(parts: Sequence[Mapping[str, Array]], files: Sequence[Path], said: Fields) -> dict[str, Source]:
    """Every array whole, its shards put together when it is asked for. Raises InputError for shards that differ."""
    for part, file in zip(parts, files, strict=True):
        if part.keys() != parts[0].keys():
            other = min(part.keys() ^ parts[0].keys())
            raise InputError(
                f"{other} is in one of {files[0].name} and {file.name} but not in both; a shard is damaged"
            )
    if len(parts) == 1:
        return dict(parts[0])
    return {name: whole(name, [part[name] for part in parts], files, said) for name in parts[0]}


def whole(name: str, parts: Sequence[Array], files: Sequence[Path], said: Fields) -> Source:
    axis = next((axis for end, axis in CUT.items() if name.endswith(end)), None)
    if name == TABLE:  # cut along the width up to Llama 2, along the vocabulary since Llama 3
        axis = 0 if parts[0].ndim == 2 and parts[0].shape[1] == said.whole("dim") else 1
    if axis is None:
        for part, file in zip(parts, files, strict=True):
            if part.shape != parts[0].shape or part.tobytes() != parts[0].tobytes():
                raise InputError(f"{name} differs between {files[0].name} and {file.name}; they are of two models")
        return parts[0]
    shapes = {part.shape for part in parts}
    if len(shapes) > 1 or parts[0].ndim != 2 or len({part.dtype for part in parts}) > 1:
        raise InputError(f"{files[0].parent}: {name} has the shapes {shapes} in its shards; they are of two models")
    shape = tuple(size * len(parts) if at == axis else size for at, size in enumerate(parts[0].shape))
    return Lazy(
        shape,
        parts[0].dtype,
        partial(np.concatenate, list(parts), axis),
        parts=partial(in_parts, parts, axis),
    )


def in_parts(parts: Sequence[Array], axis: int) -> Iterator[Array]:
    """Shards put together some rows at a time."""
    if axis == 0:
        return (rows for part in parts for rows in slices(part))
    return (np.concatenate(rows, axis) for rows in zip(*map(slices, parts), strict=True))


# --- params.json ---------------------------------------------------------------------------------------------------


def config_of(said: Fields, arrays: Mapping[str, Source]) -> tuple[llama.Config, list[Finding]]:
    """The sizes, with what params.json leaves out taken from the arrays or the code that reads it."""
    if TABLE not in arrays or len(arrays[TABLE].shape) != 2:
        raise InputError(f"{said.where}: the weights beside it lack {TABLE}; they are no Llama of Meta's")
    width, heads, layers = said.whole("dim"), said.whole("n_heads"), said.whole("n_layers")
    if layers > len(arrays):
        raise InputError(f"{said.where}: n_layers is {layers}, but the weights are {len(arrays)} arrays")
    try:
        head_width = split_evenly(width, heads, "dim", "heads (n_heads)")
    except InputError as error:
        raise InputError(f"{said.where}: {error}") from None
    scaling, scaled = scaling_of(said, layers, width)
    theta = said.number("rope_theta", 10_000.0)
    context, long = context_of(said, theta, scaling is not None)
    hidden, formula = hidden_of(said, arrays, width)
    vocabulary = arrays[TABLE].shape[0] if said.values.get("vocab_size") == -1 else said.whole("vocab_size")
    config = llama.Config(
        layers=layers,
        width=width,
        heads=heads,
        groups=said.whole("n_kv_heads", heads),
        hidden=hidden,
        vocabulary=vocabulary,
        context=context,
        head_width=head_width,
        theta=theta,
        scaling=scaling,
        tied=LOGITS not in arrays,
        eps=said.number("norm_eps", 1e-5),
    )
    return config, [
        Finding("rotary layout", "pairs", "Meta's names of arrays: its code turns features 2j and 2j + 1"),
        Finding("tied", yes(config.tied), f"the weights {'lack' if config.tied else 'have'} {LOGITS}"),
        Finding(
            "eps", f"{config.eps:g}", "norm_eps" if "norm_eps" in said else f"no norm_eps in {PARAMS}: Meta's default"
        ),
        Finding(
            "theta", f"{theta:g}", "rope_theta" if "rope_theta" in said else f"no rope_theta in {PARAMS}: Llama 2's"
        ),
        Finding("scaling", str(scaling or "none"), scaled),
        Finding("heads", heads_of(config), "n_heads; shapes do not show it"),
        Finding("context", str(context), long),
        Finding("hidden", str(hidden), formula),
    ]


def hidden_of(said: Fields, arrays: Mapping[str, Source], width: int) -> tuple[int, str]:
    """The feed-forward width: Meta's formula, held against the array. Raises InputError naming both."""
    first = arrays.get("layers.0.feed_forward.w1.weight")
    stored = first.shape[0] if first is not None and len(first.shape) == 2 else 0
    if "multiple_of" not in said:
        if not stored:
            raise InputError(f"{said.where}: the weights lack layers.0.feed_forward.w1.weight; they are cut off")
        return stored, f"rows of w1; {PARAMS} does not say multiple_of"
    multiple, multiplier = said.whole("multiple_of"), said.number("ffn_dim_multiplier", 1.0)
    needed = by_formula(width, multiple, min(multiplier, MOST_MULTIPLIER))
    if stored and stored != needed:
        raise InputError(
            f"{said.where}: dim {width}, multiple_of {multiple} and ffn_dim_multiplier {multiplier:g} "
            f"give a feed-forward width of {needed}, but w1 has {stored} rows"
        )
    return needed, "Meta's formula from dim, multiple_of and ffn_dim_multiplier; w1 has as many rows"


def by_formula(width: int, multiple_of: int, multiplier: float) -> int:
    """Two thirds of four times the width, times the multiplier, rounded up to a multiple."""
    wanted = int(multiplier * int(8 * width / 3))
    return multiple_of * -(-wanted // multiple_of)


def scaling_of(said: Fields, layers: int, width: int) -> tuple[llama.Scaling | None, str]:
    """The frequency scaling since 3.1. Most files leave its factor out: published models are told by their size."""
    if not said.flag("use_scaled_rope"):
        return None, f"use_scaled_rope in {PARAMS}" if "use_scaled_rope" in said else f"no use_scaled_rope in {PARAMS}"
    high = said.number("rope_high_freq_factor", 4.0)
    if "rope_scaling_factor" in said:
        return llama.Scaling(factor=said.number("rope_scaling_factor"), high=high), f"rope_scaling_factor in {PARAMS}"
    for name, config in llama.SHAPES.items():
        if config.scaling and (config.layers, config.width) == (layers, width):
            return llama.Scaling(
                factor=config.scaling.factor, high=high
            ), f"{PARAMS} leaves it out; layers and dim are those of {name}"
    return llama.Scaling(high=high), f"{PARAMS} leaves it out; 8 is the default of Meta's code"


def context_of(said: Fields, theta: float, scaled: bool) -> tuple[int, str]:
    """The longest text, which Meta's files leave to whoever runs them."""
    if "max_seq_len" in said:
        return said.whole("max_seq_len"), f"max_seq_len in {PARAMS}"
    version, context = ("3.1", 131072) if scaled else ("3", 8192) if theta >= 500_000 else ("2", 4096)
    return context, f"{PARAMS} does not say; that of Llama {version}, by its rotary settings"
