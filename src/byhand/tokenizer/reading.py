"""Reading the files of a tokenizer: whole, never larger than a tokenizer can be, and JSON without duplicate keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from byhand.errors import InputError
from byhand.shapes import whole

LARGEST = 1 << 28  # bytes; the largest tokenizer files there are have a tenth of it
MOST_IDS = 1 << 24  # ids; no model has a sixteenth of them


def read(path: Path) -> bytes:
    """The content of a file. Raises InputError when it cannot be read or is too large for a tokenizer."""
    try:
        large = path.stat().st_size > LARGEST
        with path.open("rb") as file:
            data = b"" if large else file.read(LARGEST + 1)  # a device says 0 bytes and has no end
        if large or len(data) > LARGEST:
            raise InputError(f"{path} has more than {LARGEST:,} bytes, more than any tokenizer; check what it is")
        return data
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def read_text(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is no text: byte {error.start} is no UTF-8; the file is damaged") from None


def read_json(data: bytes, where: str) -> Any:
    """JSON whose objects name every key once. Raises InputError."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            twice = next(name for name, _ in pairs if name in seen or seen.add(name))
            raise InputError(f"{where} names {twice!r:.60} twice; one of the two is wrong")
        return found

    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is no JSON")

    try:
        return json.loads(read_text(data, where), object_pairs_hook=once, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where} is no JSON that can be read ({str(error)[:80]}); the file is damaged") from None


def vocabulary(found: Any, where: str) -> dict[str, int]:
    """Checked token ids by token. Raises InputError for wrong types, ids that no model has, and ids given twice."""
    if not isinstance(found, Mapping) or not found:
        raise InputError(f"{where} is no vocabulary: it must be a JSON object of ids by token")
    names: dict[int, str] = {}
    for name, token in found.items():
        if whole(token) is None or not 0 <= token < MOST_IDS:
            raise InputError(f"{where} gives {name!r:.60} the id {token!r:.40}; ids are whole numbers from 0")
        if names.setdefault(token, name) != name:
            raise InputError(f"{where} gives {names[token]!r:.60} and {name!r:.60} the same id {token}")
        if any("\ud800" <= sign <= "\udfff" for sign in name):
            raise InputError(f"{where}: the token of id {token} holds half a character; the file is damaged")
    return dict(found)
