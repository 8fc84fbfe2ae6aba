"""Hugging Face folders of GPT-2, Llama and BERT, as transformers reads and writes them.

A folder holds config.json and the weights: model.safetensors, pytorch_model.bin, or several of either with an index.
One weights file beside its config.json can be named too. Weights whose config.json is lost are read when their sizes
are those of a published model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from byhand.checkpoints.files import safetensors, torch_files
from byhand.checkpoints.files.jsons import Fields, read_object
from byhand.checkpoints.files.mapped import Array, check_name
from byhand.checkpoints.formats import hugging_face_config as configs
from byhand.checkpoints.formats.hugging_face_write import write
from byhand.checkpoints.record import Checkpoint, Doubt, Finding
from byhand.checkpoints.table import Found, checkpoint
from byhand.checkpoints.tokenizers import tokenizer_beside
from byhand.errors import InputError
from byhand.layouts import Layout
from byhand.layouts.hugging_face import LAYOUTS, PREFIXES

__all__ = ["NAME", "TITLE", "read", "recognise", "write"]

NAME = "hf"
TITLE = "Hugging Face"

SINGLE = ("model.safetensors", "pytorch_model.bin")
INDEXES = {f"{name}.index.json": Path(name).suffix for name in SINGLE}
# An array that each family has, by the end of its name.
TELLTALE = {
    "gpt2": ("h.0.attn.c_attn.weight",),
    "llama": ("layers.0.self_attn.q_proj.weight",),
    "bert": ("encoder.layer.0.attention.self.query.weight",),
}
TABLE = {"gpt2": "wte.weight", "llama": "embed_tokens.weight", "bert": "embeddings.word_embeddings.weight"}


def recognise(path: Path) -> bool:
    """Whether this is a folder with config.json and weights, one of its weights files, or safetensors by its names."""
    if path.is_dir():
        return weights_of(path) is not None and ((path / "config.json").is_file() or named(path) is not None)
    if not path.is_file():
        return False
    if safetensors.looks_like(path) or path.suffix == ".safetensors":
        return True
    return torch_files.looks_like(path) and (path.parent / "config.json").is_file()


def named(path: Path) -> str | None:
    """The family that the names of the arrays belong to, if the file is one that can be read."""
    try:
        return family_of(arrays_of(path)[0])
    except InputError:
        return None


def read(path: Path) -> Checkpoint:
    """A folder, or one weights file in it. Raises InputError and ShapeError for what does not fit together."""
    arrays, description = arrays_of(path)
    folder = path if path.is_dir() else path.parent
    file = folder / "config.json"
    found = with_config(path, file, arrays) if file.is_file() else without_config(path, arrays)
    tokenizer, about = tokenizer_beside(folder, found.config.vocabulary)
    how = "model_type in config.json" if file.is_file() else "the names of the arrays; there is no config.json"
    findings = (Finding("format", f"Hugging Face {found.family}", how), *found.findings, *about)
    described = f"Hugging Face {'folder' if path.is_dir() else 'file'}, {description}"
    return checkpoint(replace(found, description=described, findings=findings, tokenizer=tokenizer), arrays)


# --- weights -------------------------------------------------------------------------------------------------------


def weights_of(folder: Path) -> Path | None:
    """The file or index with the weights, safetensors first."""
    for name in (SINGLE[0], safetensors.INDEX, SINGLE[1], f"{SINGLE[1]}.index.json"):
        if (folder / name).is_file():
            return folder / name
    others = sorted(folder.glob("*.safetensors"))
    return others[0] if len(others) == 1 else None


def arrays_of(path: Path) -> tuple[dict[str, Array], str]:
    """The arrays by name, and in words where they lie. Raises InputError."""
    file = weights_of(path) if path.is_dir() else path
    if file is None:
        several = len(list(path.glob("*.safetensors")))
        what = f"{several} safetensors files without {safetensors.INDEX}" if several else "no weights"
        raise InputError(f"{path} holds {what}; a Hugging Face folder has model.safetensors or pytorch_model.bin")
    if file.name in INDEXES:
        suffix = INDEXES[file.name]
        reader = safetensors.read if suffix == ".safetensors" else state_dict
        shards = len(safetensors.shards(file, suffix))
        return safetensors.read_sharded(file, suffix, reader), f"{suffix[1:]} in {shards} shards"
    if safetensors.looks_like(file) or file.suffix == ".safetensors":
        return safetensors.read(file), "safetensors"
    return state_dict(file), "torch.save's format, read without running it"


def state_dict(path: Path) -> dict[str, Array]:
    """The arrays in a torch file, which may have them one level down. Raises InputError."""
    found = torch_files.read(path)
    while isinstance(found, dict) and not any(isinstance(each, np.ndarray) for each in found.values()):
        inner = [found[name] for name in ("model", "state_dict", "module") if isinstance(found.get(name), dict)]
        if not inner:
            break
        found = inner[0]
    if not isinstance(found, dict) or not found:
        raise InputError(f"{path} holds a {type(found).__name__}, not arrays by name")
    for name, array in found.items():
        check_name(name, path)
        if not isinstance(array, np.ndarray):
            raise InputError(
                f"{path}: {name!r:.60} is a {type(array).__name__}; a state dict has an array by every name"
            )
    return found


# --- family and config ---------------------------------------------------------------------------------------------


def family_of(names: Mapping[str, Any]) -> str | None:
    """The family whose telltale array is among the names."""
    for family, ends in TELLTALE.items():
        if any(name == prefix + end for end in ends for name in names for prefix in ("", PREFIXES[family])):
            return family
    return None


def with_config(path: Path, file: Path, arrays: Mapping[str, Array]) -> Found:
    said = Fields(read_object(file), str(file))
    family = named_family(said) or family_of(arrays)
    if family is None:
        raise InputError(f"{file} does not say model_type, and {path} has names of no GPT-2, Llama or BERT")
    config, findings, doubts = configs.config_of(family, said, arrays)
    check_head_width(family, config, arrays, said)
    layout = layout_for(family, arrays)
    words = configs.words(family)
    return Found(path, NAME, "", family, config, layout, words, tuple(findings), tuple(doubts))


def named_family(said: Fields) -> str | None:
    """The family that config.json names; None where it names none. Raises InputError for one that is not here."""
    if "model_type" in said:
        kind = said.text("model_type")
        if kind not in LAYOUTS:
            raise InputError(f"{said.where}: this is a model of type {kind!r:.40}; byhand has {', '.join(LAYOUTS)}")
        return kind
    classes = said.values.get("architectures")
    name = str(classes[0]) if isinstance(classes, list) and classes else ""
    starts = {"GPT2": "gpt2", "Llama": "llama", "Bert": "bert"}
    found = next((family for start, family in starts.items() if name.startswith(start)), None)
    if name and found is None:
        raise InputError(f"{said.where}: this is a {name!r:.60}; byhand has {', '.join(LAYOUTS)}")
    return found


def check_head_width(family: str, config: Any, arrays: Mapping[str, Array], said: Fields) -> None:
    """Raise InputError where the query and key matrices show other heads than config.json says."""
    if family != "llama":
        return
    for name, heads, called in (
        ("q_proj", "heads", "num_attention_heads"),
        ("k_proj", "groups", "num_key_value_heads"),
    ):
        array = next((each for at, each in arrays.items() if at.endswith(f"layers.0.self_attn.{name}.weight")), None)
        needed = getattr(config, heads) * config.head_width
        if array is not None and array.ndim == 2 and array.shape[0] != needed:
            raise InputError(
                f"{said.where}: {called} {getattr(config, heads)} of head_dim {config.head_width} need a {name} of "
                f"{needed} rows, but the file's has {array.shape[0]}"
            )


def layout_for(family: str, names: Mapping[str, Any]) -> Layout:
    """The table with the names as this file writes them: with or without prefix; BERT's norms in TensorFlow's words."""
    layout, prefix = LAYOUTS[family], PREFIXES[family]
    if not any(name.startswith(prefix) for name in names):
        layout = renamed(layout, prefix, "")
    if any(name.endswith("LayerNorm.gamma") for name in names):
        layout = renamed(renamed(layout, "LayerNorm.weight", "LayerNorm.gamma"), "LayerNorm.bias", "LayerNorm.beta")
    return layout


def renamed(layout: Layout, old: str, new: str) -> Layout:
    return Layout(
        layout.title,
        {name.replace(old, new): row for name, row in layout.rows.items()},
        {name.replace(old, new): why for name, why in layout.ignored.items()},
        {name.replace(old, new): of.replace(old, new) for name, of in layout.copies.items()},
    )


def without_config(path: Path, arrays: Mapping[str, Array]) -> Found:
    """The published model with the sizes of these arrays; what sizes do not show stays open. Raises InputError."""
    family = family_of(arrays)
    if family is None:
        raise InputError(f"{path} has names of no GPT-2, Llama or BERT, and no config.json; put its config.json beside")
    table = next(array for name, array in arrays.items() if name.endswith(TABLE[family]))
    layers = {found[1] for name in arrays if (found := re.search(r"(?:h|layers|layer)\.(\d+)\.", name))}
    sizes = {"layers": len(layers), "vocabulary": table.shape[0], "width": table.shape[-1]}
    tied = not any(name.endswith(("lm_head.weight", "cls.predictions.decoder.weight")) for name in arrays)
    hit = configs.published(family, sizes, tied)
    if hit is None:
        shown = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise InputError(
            f"{path} has no config.json, and no published {family} has {shown}; put its config.json beside"
        )
    name, config = hit
    finding = Finding("config", name, "no config.json; layers, width and vocabulary are those of this published model")
    config, doubt = opened(family, config, f"there is no config.json; the sizes are those of {name}")
    return Found(path, NAME, "", family, config, layout_for(family, arrays), {}, (finding,), (doubt,))


def opened(family: str, config: Any, why: str) -> tuple[Any, Doubt]:
    """What sizes do not show of a model: the order of rotary features, or the form of its GELU."""
    if family == "llama":
        return replace(config, rotary="halves"), Doubt("rotary", ("halves", "pairs"), why)
    other = "gelu_erf" if config.activation == "gelu_tanh" else "gelu_tanh"
    return config, Doubt("activation", (config.activation, other), why)
