"""Names of a hub, and the models that are already on this machine. No network, and nothing heavy to import.

The cache is the one that huggingface_hub documents and keeps, so that every program on a machine shares one copy:

    models--org--name/blobs/<hash>                  what the files hold, each under its own hash
                      snapshots/<commit>/<path>     the files of one version, as links to blobs
                      refs/<revision>               the commit at which a branch or tag was last seen

It is read here without that library, because every load of a model may ask for it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from byhand.errors import InputError

MAIN = "main"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that there is, whole or as an index of its shards
INDEX = ".index.json"
WEIGHT_FILES = ("*.safetensors", "*.bin", "*.gguf", "*.pth", "*.pt")

# --- names ------------------------------------------------------------------------------------------------------

WORD = r"\w(?:[\w.-]{0,94}\w)?"
NAME = re.compile(rf"(?:{WORD}/)?{WORD}", re.ASCII)
REVISION = re.compile(rf"{WORD}(?:/{WORD})*", re.ASCII)
OF_FILES = (".gguf", ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz", ".json", ".model", ".txt")


def looks_like_name(text: str) -> bool:
    """Whether a text can be the name of a model on a hub: ``org/name``, ``name`` or ``org/name:file.gguf``.

    A text that ends like a file is taken for a path. Nothing is looked up.
    """
    repository, colon, file = text.partition(":")
    if not NAME.fullmatch(repository) or "--" in repository or ".." in repository:
        return False
    return safe(file) if colon else not repository.lower().endswith(OF_FILES)


def parted(name: str) -> tuple[str, str | None]:
    """``org/name:file.gguf`` as ``org/name`` and the file, None where none is named. Raises InputError."""
    if not looks_like_name(name):
        raise InputError(f"{name!r} is no name of a model on a hub; write org/name, such as openai-community/gpt2")
    repository, _, file = name.partition(":")
    return repository, file or None


def known_revision(revision: str) -> str:
    """The revision itself. Raises InputError for what cannot be a branch, a tag or a commit."""
    if not REVISION.fullmatch(revision) or ".." in revision:
        raise InputError(f"{revision!r} cannot be a revision; give a branch, a tag or a commit, such as main")
    return revision


def safe(path: str) -> bool:
    """Whether a file name of a repository stays inside its folder, here and on other systems."""
    parts = path.split("/")
    return all(part.strip(". ") and part.isprintable() for part in parts) and not set(path) & set('\\:"<>|')


# --- finding ---------------------------------------------------------------------------------------------------


def cache() -> Path:
    """The folder in which huggingface_hub keeps models: HF_HUB_CACHE, else what stands for it."""
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
    return Path(os.path.expandvars(os.path.expanduser(named)))


def storage(repository: str) -> Path:
    return cache() / "--".join(("models", *repository.split("/")))


def find(name: str, revision: str | None = None) -> Path | None:
    """The folder (or, for ``org/name:file``, the file) of a model that is in the cache; None when it is not there.

    No network is used. Raises InputError, saying to pull again, when a part of it is missing.
    """
    if not looks_like_name(name):
        return None
    repository, file = parted(name)
    commit = wanted = known_revision(revision or MAIN)
    ref = storage(repository) / "refs" / wanted
    if ref.is_file():
        commit = ref.read_text(encoding="utf-8").strip()
    folder = storage(repository) / "snapshots" / known_revision(commit)
    if file:
        return folder / file if (folder / file).is_file() else None
    if not folder.is_dir():
        return None
    if gap := lacking(folder):
        again = f"byhand pull {repository}" + (f" --revision {wanted}" if wanted != MAIN else "")
        raise InputError(f"{repository} in {folder} is not whole, {gap}; fetch the rest with: {again}")
    return folder


def lacking(folder: Path) -> str | None:
    """What keeps a folder from being a whole model, or None."""
    for weights in WEIGHTS:
        if (folder / weights).exists():
            break
        index = folder / f"{weights}{INDEX}"
        if index.exists():
            gone = next((shard for shard in shards(index) if not (folder / shard).exists()), None)
            if gone:
                return f"{gone} is missing"
            break
    else:
        found = any(path.exists() for pattern in WEIGHT_FILES for path in folder.rglob(pattern))
        return None if found else "its weights are missing"
    return None if (folder / "config.json").exists() else "config.json is missing"


def shards(index: Path) -> list[str]:
    """The files that an index of shards names, in order. Raises InputError for what is no index."""
    try:
        files = set(json.loads(index.read_bytes())["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{index} is no index of shards; delete it and pull again") from None
    for file in files:
        if not isinstance(file, str) or not safe(file):
            raise InputError(f"{index} names the shard {file!r}, which lies outside its folder; do not trust it")
    return sorted(files)
