"""Where the values of a plan lie: laid out once, memory used again as soon as its last reader is done."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

ALIGNED = 64  # bytes: a line of the cache, and the widest vector


def rounded_up(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


def aligned(size: int) -> Array:
    """So many bytes of memory, at a line of the cache; the system gives its pages when they are first written."""
    raw = np.empty(size + ALIGNED, np.uint8)
    start = -raw.ctypes.data % ALIGNED
    return raw[start : start + size]


def laid_out(sizes: Mapping[str, int], born: Mapping[str, int], dies: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """A place (in bytes) for each value among those that are alive with it, and the size of the whole.

    sizes: bytes; born, dies: the first and last group that uses it.
    """
    places: dict[str, int] = {}
    alive: list[tuple[int, int, int]] = []  # start, end, last group
    whole = 0
    for address in sorted(sizes, key=lambda each: born[each]):
        alive = sorted(each for each in alive if each[2] >= born[address])
        start, need = 0, rounded_up(sizes[address])
        for taken, end, _ in alive:
            if start + need <= taken:
                break
            start = max(start, end)
        places[address] = start
        alive.append((start, start + need, dies[address]))
        whole = max(whole, start + need)
    return places, whole


class Pool:
    """Memory for the values that runs keep, used again when nobody holds an earlier run's value any more.

    Fresh pages cost as much as computing what is written into them. Every value has memory of its own, so that holding
    one holds no other. most: bytes that may lie here unused.
    """

    def __init__(self, most: int) -> None:
        self.most, self.unused = most, 0
        self.free: dict[int, list[Array]] = {}
        self.lent: dict[int, tuple[weakref.ref[Array], Array]] = {}  # by the id of the reference

    def lease(self, size: int) -> Array:
        """So much memory; it comes back when it and all views of it are gone."""
        waiting = self.free.get(size)
        if waiting:
            owner = waiting.pop()
            self.unused -= size
        else:
            owner = aligned(size)
        lent = np.frombuffer(memoryview(owner), np.uint8)  # views of it refer to this array, not to the owner
        reference = weakref.ref(lent, self.back)
        self.lent[id(reference)] = reference, owner
        return lent

    def back(self, gone: weakref.ref[Array]) -> None:
        _, owner = self.lent.pop(id(gone))
        if self.unused + len(owner) <= self.most:
            self.free.setdefault(len(owner), []).append(owner)
            self.unused += len(owner)


def cut(memory: Array, place: int, shape: Collection[int], dtype: Any) -> Array:
    """An array at a place in memory."""
    count = int(np.prod(tuple(shape), dtype=np.int64)) * np.dtype(dtype).itemsize
    return memory[place : place + count].view(dtype).reshape(tuple(shape))
