"""nanoGPT's ckpt.pt: the model, its arguments and the optimiser in one file of torch.save. Read only.

Source: train.py and model.py of nanoGPT. Its vocabulary for GPT-2's tokens is padded from 50257 to 50304 rows, which
are trained like all others; they are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from byhand.checkpoints.files import torch_files
from byhand.checkpoints.files.jsons import Fields
from byhand.checkpoints.files.mapped import Array, check_name
from byhand.checkpoints.record import Checkpoint, Doubt, Finding, heads_of, yes
from byhand.checkpoints.table import Found, checkpoint
from byhand.checkpoints.tokenizers import tokenizer_beside
from byhand.errors import InputError
from byhand.families import gpt2
from byhand.layouts.nanogpt import GPT2

NAME = "nanogpt"
TITLE = "nanoGPT"

FILE = "ckpt.pt"
PREFIXES = ("_orig_mod.", "module.")  # put before every name by torch.compile and by training on several GPUs
WORDS = {"D": "n_embd", "H": "n_head", "V": "vocab_size", "P": "block_size", "L": "n_layer"}
GPT2_TOKENS = 50257


def recognise(path: Path) -> bool:
    """Whether this is a file of torch.save with model_args in it, or a folder with ckpt.pt."""
    if path.is_dir():
        return torch_files.looks_like(path / FILE) and not (path / "config.json").is_file()
    if not path.is_file() or not torch_files.looks_like(path):
        return False
    try:
        found = torch_files.read(path)
    except InputError:
        return path.name == FILE
    return isinstance(found, dict) and "model_args" in found


def read(path: Path) -> Checkpoint:
    """Raises InputError and ShapeError for a file that is damaged or whose parts do not fit together."""
    file = path / FILE if path.is_dir() else path
    found = torch_files.read(file)
    for name in ("model", "model_args"):
        if not isinstance(found, dict) or not isinstance(found.get(name), dict):
            raise InputError(f"{file} has no {name}, which every checkpoint of nanoGPT has; it is of another program")
    arrays = named(found["model"], file)
    said = Fields(found["model_args"], f"{file}: model_args")
    config = config_of(said, arrays)
    tokenizer, about = tokenizer_beside(file.parent, config.vocabulary)
    findings = (
        Finding("format", "nanoGPT", "torch.save's format with model_args, read without running it"),
        Finding("eps", "1e-05", "fixed in nanoGPT's model.py"),
        Finding("tied", "yes", "nanoGPT's lm_head is the token table"),
        Finding("heads", heads_of(config), "n_head; shapes do not show it"),
        Finding("biases", yes(config.bias), "bias in model_args"),
        *padding(config.vocabulary),
        *about,
    )
    why = "nanoGPT's files do not say which GELU: since 2023 nn.GELU, the exact one, before the tanh form"
    doubts = (Doubt("activation", ("gelu_erf", "gelu_tanh"), why),)
    return checkpoint(Found(path, NAME, TITLE, "gpt2", config, GPT2, WORDS, findings, doubts, tokenizer), arrays)


def named(model: dict[Any, Any], file: Path) -> dict[str, Array]:
    """The arrays under nanoGPT's own names. Raises InputError for anything else in the state dict."""
    arrays: dict[str, Array] = {}
    for name, array in model.items():
        check_name(name, file)
        if not isinstance(array, np.ndarray):
            raise InputError(f"{file}: model holds {name!r:.60}, a {type(array).__name__}; arrays by name belong there")
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        arrays[name] = array
    return arrays


def config_of(said: Fields, arrays: dict[str, Array]) -> gpt2.Config:
    sizes = {"layers": "n_layer", "width": "n_embd", "heads": "n_head", "vocabulary": "vocab_size"}
    chosen: dict[str, Any] = {name: said.whole(called) for name, called in sizes.items()}
    if chosen["layers"] > len(arrays):
        raise InputError(f"{said.where}: n_layer is {chosen['layers']}, but the file has {len(arrays)} arrays")
    return gpt2.Config(
        **chosen,
        hidden=4 * chosen["width"],
        context=said.whole("block_size"),
        bias=said.flag("bias", True),
        activation="gelu_erf",
    )


def padding(vocabulary: int) -> list[Finding]:
    """GPT-2's own tokens and rows behind them that no token has."""
    if vocabulary != 50304:
        return []
    how = f"GPT-2 has {GPT2_TOKENS} tokens; nanoGPT pads to a multiple of 64"
    return [Finding("padding", f"{vocabulary - GPT2_TOKENS} rows without a token, kept", how)]
