"""Memory that is lent and comes back: fresh pages cost as much as computing what is written into them."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

ALIGNED = 64  # bytes: a line of the cache, and the widest vector


def aligned(size: int) -> Array:
    """So many bytes of memory, at a line of the cache; the system gives its pages when they are first written."""
    raw = np.empty(size + ALIGNED, np.uint8)
    start = -raw.ctypes.data % ALIGNED
    return raw[start : start + size]


class Pool:
    """Memory for arrays, used again when nobody holds what was lent before. It holds anything.

    Every array has memory of its own, so that holding one holds no other. most: bytes that may lie here unused.
    """

    def __init__(self, most: int) -> None:
        self.most, self.unused = most, 0
        self.free: dict[int, list[Array]] = {}
        self.lent: dict[int, tuple[weakref.ref[Array], Array]] = {}  # by the id of the reference
        self.gone: list[weakref.ref[Array]] = []

    def lease(self, size: int) -> Array:
        """So much memory; it comes back when it and all views of it are gone."""
        self.collect()
        waiting = self.free.get(size)
        if waiting:
            owner = waiting.pop()
            self.unused -= size
        else:
            owner = aligned(size)
        lent = np.frombuffer(owner.data, np.uint8)  # views of it refer to this array, not to the owner
        # no code of Python's runs when an array goes: a Ctrl-C that came then would be lost
        reference = weakref.ref(lent, self.gone.append)
        self.lent[id(reference)] = reference, owner
        return lent

    def collect(self) -> None:
        """Take back what nobody holds any more, and let the system have what is more than may lie here."""
        while self.gone:
            _, owner = self.lent.pop(id(self.gone.pop()))
            if self.unused + len(owner) <= self.most:
                self.free.setdefault(len(owner), []).append(owner)
                self.unused += len(owner)
