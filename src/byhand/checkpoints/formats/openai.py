"""OpenAI's folders of GPT-2: hparams.json, a TensorFlow checkpoint, and encoder.json with vocab.bpe. Read only.

Source: download_model.py and model.py of OpenAI's gpt-2, whose eps and GELU are fixed there.
"""

from __future__ import annotations

import re
from pathlib import Path

from byhand.checkpoints.files.jsons import Fields, read_object
from byhand.checkpoints.files.leveldb import is_table
from byhand.checkpoints.files.mapped import Array
from byhand.checkpoints.files.tensorflow import Bundle, read_bundle
from byhand.checkpoints.record import Checkpoint, Finding, heads_of
from byhand.checkpoints.table import Found, checkpoint
from byhand.checkpoints.tokenizers import tokenizer_beside
from byhand.errors import InputError
from byhand.families import gpt2
from byhand.layouts.openai import GPT2

NAME, TITLE = "openai", "OpenAI's GPT-2"

HPARAMS = "hparams.json"
WORDS = {"V": "n_vocab", "P": "n_ctx", "D": "n_embd", "H": "n_head", "L": "n_layer"}
LAYER = re.compile(r"model/h(\d+)/ln_1/g")


def recognise(path: Path) -> bool:
    """Whether this is a folder with hparams.json and a checkpoint of TensorFlow, or the index of that checkpoint."""
    if path.is_dir():
        return (path / HPARAMS).is_file() and any(path.glob("*.index"))
    return path.suffix == ".index" and path.is_file() and is_table(path) and (path.parent / HPARAMS).is_file()


def read(path: Path) -> Checkpoint:
    """The model in a folder, as views of its data file. Checksums of arrays are not looked at, see `verify`.

    Raises InputError and ShapeError, in one line, for files that are damaged or do not belong together.
    """
    bundle = read_bundle(prefix_of(path))
    folder = bundle.prefix.parent
    said = Fields(read_object(folder / HPARAMS), str(folder / HPARAMS))
    V, P, D, H, L = (said.whole(name) for name in WORDS.values())
    held = sum(LAYER.fullmatch(name) is not None for name in bundle.entries)
    if held != L:
        raise InputError(f"{folder / HPARAMS} says n_layer {L}, but {bundle.prefix.name}.index has {held} layers")
    config = gpt2.Config(layers=L, width=D, heads=H, hidden=4 * D, vocabulary=V, context=P)
    tokenizer, about = tokenizer_beside(folder, V)
    findings = (
        Finding("format", "OpenAI's GPT-2", f"{HPARAMS} with a TensorFlow checkpoint"),
        Finding("activation", config.activation, "the only one in OpenAI's model.py, GELU's tanh form"),
        Finding("eps", f"{config.eps:g}", "fixed in OpenAI's model.py"),
        Finding("tied", "yes", "OpenAI's model.py has no table for logits alone"),
        Finding("heads", heads_of(config), "n_head in hparams.json; shapes do not show it"),
        *about,
    )
    title = f"OpenAI GPT-2 {'folder' if path.is_dir() else 'checkpoint'}, TensorFlow bundle"
    found = Found(path, NAME, title, "gpt2", config, GPT2, WORDS, findings, tokenizer=tokenizer)
    return checkpoint(found, {name: without_first(name, bundle.array(name)) for name in bundle.entries})


def verify(path: Path) -> int:
    """Read every array and compare its checksum with the index; returns how many were right.

    Raises InputError at the first that is wrong.
    """
    bundle: Bundle = read_bundle(prefix_of(path))
    for name in bundle.entries:
        bundle.check(name)
    return len(bundle.entries)


def without_first(name: str, array: Array) -> Array:
    """A matrix without the leading axis of size one that OpenAI saved it with."""
    return array[0] if name.endswith("/w") and array.ndim == 3 and len(array) == 1 else array


def prefix_of(path: Path) -> Path:
    """How the files of the checkpoint begin: the only one of a folder, or the one its file `checkpoint` names."""
    if not path.is_dir():
        return path.with_suffix("")
    found = sorted(each.with_suffix("") for each in path.glob("*.index"))
    if len(found) > 1:
        latest = named(path / "checkpoint")
        found = [each for each in found if each.name == latest] or found
    if len(found) != 1:
        names = ", ".join(f"{each.name}.index" for each in found[:3]) or "none"
        raise InputError(
            f"{path} should hold one checkpoint's index, found {names}; name one, such as model.ckpt.index"
        )
    return found[0]


def named(path: Path) -> str:
    """The name of the newest checkpoint, which TensorFlow writes into a text file."""
    text = path.read_text("utf-8", "replace")[:10_000] if path.is_file() else ""
    found = re.search(r'^model_checkpoint_path: "([^"]*)"', text, re.MULTILINE)
    return Path(found[1]).name if found else ""
