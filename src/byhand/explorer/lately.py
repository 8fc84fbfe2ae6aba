"""What was asked for lately, remembered because it is likely to be asked for again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Found = TypeVar("Found")


class Lately(Generic[Found]):
    """The last few things by their keys. Several threads may ask; what two ask for at once is made twice."""

    def __init__(self, most: int) -> None:
        self.most, self.lock = most, Lock()
        self.found: OrderedDict[Hashable, Found] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Found]) -> Found:
        """What is remembered under a key, or made now."""
        with self.lock:
            if key in self.found:
                self.found.move_to_end(key)
                return self.found[key]
        made = make()
        with self.lock:
            self.found[key] = made
            while len(self.found) > self.most:
                self.found.popitem(last=False)
        return made
