"""Answers kept in a file: every request with the answer it was given, packed for a page without Python."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

from byhand.explorer.session import Session
from byhand.explorer.wire import encoded

Ask = tuple[str, Mapping[str, Any]]


def recording(session: Session, asked: Iterable[Ask]) -> str:
    """What web/src/recorded.ts reads, deflated and in base64: the length of a table, the table, which says where the
    answer to each request lies, and the answers. Raises ByhandError where a request cannot be answered.
    """
    places: dict[str, list[int]] = {}
    answers: list[bytes] = []
    end = 0
    for op, params in asked:
        key = f"{op} {written(params)}"
        if key not in places:
            answers.append(encoded(session.handle(op, params)))
            places[key] = [end, end := end + len(answers[-1])]
    table = json.dumps(places, ensure_ascii=False).encode()
    whole = b"".join([len(table).to_bytes(8, "little"), table, *answers])
    return b64encode(zlib.compress(whole, 9)).decode()


def written(params: Mapping[str, Any]) -> str:
    """The same request as the same text, in Python and in the page: names in order, and nothing that is not said."""
    return json.dumps(said(params), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def said(value: Any) -> Any:
    """Without nulls and empty lists; a float that is whole as JavaScript writes it."""
    if isinstance(value, Mapping):
        return {name: said(each) for name, each in value.items() if each is not None and each != []}
    if isinstance(value, list | tuple):
        return [said(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
