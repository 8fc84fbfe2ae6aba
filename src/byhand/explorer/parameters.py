"""What a request says, checked: it comes from outside, so every part of it may be missing or of another kind."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from byhand.errors import InputError

NOTHING: Any = object()
MOST = sys.float_info.max


class Parameters:
    """The parameters of one request by name. Every getter raises InputError, naming the parameter and what it got."""

    def __init__(self, given: Mapping[str, Any], what: str) -> None:
        self.given, self.what = given, what
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = NOTHING) -> Any:
        """The parameter as it came; the default where it is missing or null."""
        self.asked.add(name)
        found = self.given.get(name)
        if found is None and default is NOTHING:
            raise InputError(f"{self.what}: {name} is missing")
        return default if found is None else found

    def refuse(self, name: str, wanted: str) -> InputError:
        return InputError(f"{self.what}: {name} is {self.given.get(name)!r:.60}; give {wanted}")

    def text(self, name: str, default: Any = NOTHING, one_of: Sequence[str] = ()) -> str:
        found = self.get(name, default)
        if found is default:
            return found
        if not isinstance(found, str) or (one_of and found not in one_of):
            raise self.refuse(name, f"one of {', '.join(one_of)}" if one_of else "a text")
        return found

    def whole(self, name: str, least: int, most: int, default: Any = NOTHING) -> int:
        found = self.get(name, default)
        if found is default:
            return found
        if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
            raise self.refuse(name, f"a whole number from {least} to {most}")
        return found

    def number(self, name: str, default: Any = NOTHING) -> float:
        found = self.get(name, default)
        if found is default:
            return found
        # a whole number may be too large for a float
        if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) < inf or abs(found) > MOST:
            raise self.refuse(name, "a number")
        return float(found)

    def truth(self, name: str, default: bool) -> bool:
        found = self.get(name, default)
        if not isinstance(found, bool):
            raise self.refuse(name, "true or false")
        return found

    def wholes(self, name: str, default: Any = NOTHING, most: int = 64) -> list[int]:
        found = self.get(name, default)
        if found is default:
            return found
        if (
            not isinstance(found, list)
            or len(found) > most
            or any(isinstance(each, bool) or not isinstance(each, int) for each in found)
        ):
            raise self.refuse(name, f"a list of at most {most} whole numbers")
        return found

    def names(self, name: str, default: Any = NOTHING, most: int = 512) -> list[str]:
        found = self.get(name, default)
        if found is default:
            return found
        if not isinstance(found, list) or len(found) > most or not all(isinstance(each, str) for each in found):
            raise self.refuse(name, f"a list of at most {most} names")
        return found

    def all_asked(self) -> None:
        """Raise InputError for a parameter that nobody asked for, which is most likely misspelt."""
        unknown = [name for name in self.given if name not in self.asked]
        if unknown:
            raise InputError(f"{self.what} has no parameter {unknown[0]!r}; it has: {', '.join(sorted(self.asked))}")
