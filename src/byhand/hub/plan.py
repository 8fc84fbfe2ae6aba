"""What to download of a model: only the files that byhand can use."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from byhand.errors import InputError
from byhand.hub.cache import INDEX, MAIN, WEIGHT_FILES, WEIGHTS, known_revision, parted, safe, shards
from byhand.hub.download import File, Plan, download
from byhand.hub.reach import patiently, reaching

SETTINGS = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "merges.txt", "vocab.txt", "vocab.bpe", "encoder.json", "tokenizer.model"),
    "chat_template.jinja",
)


def plan(
    name: str,
    revision: str | None = None,
    *,
    to: Path | None = None,
    files: Sequence[str] = (),
    everything: bool = False,
    check: bool = False,
    force: bool = False,
) -> Plan:
    """Ask the hub what a model consists of, and choose what byhand can use of it.

    to: a folder to put it in, instead of the cache; files: instead take the files of these names or patterns;
    everything: take every file; check: read large files that are here already too, instead of trusting their size;
    force: files of these names in the folder may be overwritten. Of weights in shards the index, a small file, is
    downloaded to know them. Raises InputError, also when the hub cannot be reached.
    """
    repository, file = parted(name)
    patterns = [*files, *([file] if file else [])]
    asked = known_revision(revision or MAIN)
    endpoint, commit, listing = listed(repository, asked)
    made = Plan(repository, asked, commit, endpoint, to, force)
    if everything:
        chosen: Collection[str] = listing
    elif patterns:
        chosen = matching(patterns, made, listing)
    else:
        chosen = [*(path for path in SETTINGS if path in listing), *weights(made, listing)]
    return planned(made, [listing[path] for path in chosen], check)


def planned(made: Plan, files: Iterable[File], check: bool = False) -> Plan:
    """The plan for these files, with those that are not here yet."""
    files = tuple(files)
    return replace(made, files=files, missing=tuple(file for file in files if not file.there(made.at(file), check)))


def matching(patterns: Sequence[str], made: Plan, listing: Mapping[str, File]) -> list[str]:
    for pattern in patterns:
        if not any(fnmatchcase(path, pattern) for path in listing):
            raise InputError(f"{made.name} has no file {pattern!r}; its files: {some(listing)}")
    return [path for path in listing if any(fnmatchcase(path, pattern) for pattern in patterns)]


def weights(made: Plan, listing: Mapping[str, File]) -> list[str]:
    """The weights to take: safetensors, else PyTorch's; each whole or as an index with its shards."""
    for file in WEIGHTS:
        if file in listing:
            return [file]
        if (index := f"{file}{INDEX}") in listing:
            download(planned(made, [listing[index]]), whole=False)
            named = shards(made.at(listing[index]))
            if gone := [shard for shard in named if shard not in listing]:
                raise InputError(f"{made.name} cannot be whole: its {index} names {gone[0]}, which is not there")
            return [index, *named]
    other = [path for path in listing if any(fnmatchcase(path, pattern) for pattern in WEIGHT_FILES)]
    instead = f"name one of {some(other)} with --file" if other else f"its files: {some(listing) or 'none'}"
    raise InputError(f"{made.name} has no {' and no '.join(WEIGHTS)}; {instead}")


def some(paths: Collection[str], most: int = 6) -> str:
    shown = ", ".join(list(paths)[:most])
    return f"{shown} and {len(paths) - most} more" if len(paths) > most else shown


def listed(repository: str, revision: str) -> tuple[str, str, dict[str, File]]:
    """The address of the hub, the commit, and the files of a repository by path. Raises InputError."""
    with reaching(repository, revision) as endpoint:
        from huggingface_hub import HfApi, constants

        ask = HfApi(endpoint=endpoint, library_name="byhand").model_info
        limit = constants.HF_HUB_DOWNLOAD_TIMEOUT
        try:
            info = patiently(lambda: ask(repository, revision=revision, files_metadata=True, timeout=limit))
            files = [entry(each) for each in info.siblings or ()]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{endpoint} does not answer like a hub; check HF_ENDPOINT") from None
    if not re.fullmatch(r"[0-9a-f]{40}", str(info.sha)):
        raise InputError(f"{endpoint} does not say which commit of {repository} this is; check HF_ENDPOINT")
    for file in files:
        if not safe(file.path):
            raise InputError(f"{repository} lists {file.path!r}, which lies outside its folder; nothing was downloaded")
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", file.digest):
            raise InputError(f"{endpoint} gives no hash of {repository}'s {file.path}, so it could not be checked")
    return endpoint, str(info.sha), {file.path: file for file in files}


def entry(each: Any) -> File:
    """A file as the hub lists it; one in large storage has the hash of its content there."""
    if each.lfs is not None:
        return File(each.rfilename, each.lfs.size, str(each.lfs.sha256))
    return File(each.rfilename, int(each.size), str(each.blob_id))
