"""Where the values of a plan lie: laid out once, memory used again as soon as its last reader is done."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping, Sequence
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


def laid_out(
    sizes: Mapping[str, int], born: Mapping[str, int], dies: Mapping[str, int]
) -> tuple[dict[str, int], int]:
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


def in_a_row(addresses: Sequence[str], sizes: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """A place for each value, all of them at once."""
    places, end = {}, 0
    for address in addresses:
        places[address] = end
        end += rounded_up(sizes[address])
    return places, end


class Pool:
    """Memory for the values that runs keep, used again when no array of an earlier run is left.

    Fresh pages cost as much as computing what is written into them.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.free: list[Array] = []

    def lease(self) -> Array:
        """Memory of the pool's size; it comes back when it and all views of it are gone."""
        owner = self.free.pop() if self.free else aligned(self.size)
        lent = np.frombuffer(memoryview(owner), np.uint8)  # views of it refer to this array, not to the owner
        weakref.finalize(lent, self.back, owner)
        return lent

    def back(self, owner: Array) -> None:
        if not self.free:
            self.free.append(owner)


def cut(memory: Array, place: int, shape: Collection[int], dtype: Any) -> Array:
    """An array at a place in memory."""
    count = int(np.prod(tuple(shape), dtype=np.int64)) * np.dtype(dtype).itemsize
    return memory[place : place + count].view(dtype).reshape(tuple(shape))
