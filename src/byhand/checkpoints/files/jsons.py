"""Small JSON files that others wrote: read whole, and every value checked when it is used."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from sys import float_info
from typing import Any

from byhand.errors import InputError

MOST_BYTES = 1 << 25  # read, they take thirty times as many


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises InputError for a file that is absent, too large, or holds anything else."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise InputError(f"{path} is no file; a JSON file belongs there")
        if path.stat().st_size > MOST_BYTES:
            raise InputError(
                f"{path} has {path.stat().st_size:,} bytes, which is no such file's size; check what it is"
            )
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    return parsed(data, str(path))


def parsed(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object in these bytes; a name that stands there twice is refused. Raises InputError."""
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=single_names)
    except Repeated as error:
        raise InputError(f"{where} has {error.args[0]!r:.80} twice; it is damaged or was made to mislead") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is no JSON: byte {error.start} is no UTF-8; it is damaged or another file") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON: {str(error)[:120]}; it is damaged or was cut off") from None
    if not isinstance(found, dict):
        raise InputError(f"{where} holds a JSON {type(found).__name__}, but an object {{...}} belongs there")
    return found


class Repeated(Exception):
    """A name that an object has twice."""


def single_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Repeated(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return found


class Fields:
    """The values of a config file by name, checked when asked for. Every method raises InputError."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def __contains__(self, name: str) -> bool:
        """Whether the file says anything about it; null says nothing."""
        return self.values.get(name) is not None

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise InputError(f"{self.where} does not say {name}; it is needed to make the model")
        return self.values[name]

    def refused(self, name: str, needed: str) -> InputError:
        return InputError(f"{self.where}: {name} is {self.values.get(name)!r:.60}; it should be {needed}")

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number from 1 on."""
        value = default if name not in self and default is not None else self[name]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not 1 <= value < 2**31:
            raise self.refused(name, "a whole number from 1")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number above 0."""
        value = default if name not in self and default is not None else self[name]
        if type(value) not in (int, float) or not 0 < value <= float_info.max:
            raise self.refused(name, "a number above 0")
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.values.get(name)
        value = default if value is None else value
        if type(value) is not bool:
            raise self.refused(name, "true or false")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        value = default if name not in self and default is not None else self[name]
        if not isinstance(value, str):
            raise self.refused(name, "a text")
        return value

    def inner(self, name: str) -> Fields:
        """An object inside this one; an empty one where there is none."""
        value = self.values.get(name)
        value = {} if value is None else value
        if not isinstance(value, dict):
            raise self.refused(name, "an object {...}")
        return Fields(value, f"{self.where}: {name}")

    def only(self, name: str, usual: Any, what: str) -> None:
        """Refuse any value but the usual one, which is also that of a file that says nothing. what: it changes."""
        value = self.values.get(name)
        if value is not None and value != usual:
            raise InputError(f"{self.where}: {name} is {value!r:.60}, {what}, which byhand does not compute")
