"""Where the values of a plan lie: laid out once, memory used again as soon as its last reader is done."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from byhand.engines.pool import ALIGNED

Array = np.ndarray[Any, Any]


def rounded_up(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


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


def cut(memory: Array, place: int, shape: Collection[int], dtype: Any) -> Array:
    """An array at a place in memory."""
    count = int(np.prod(tuple(shape), dtype=np.int64)) * np.dtype(dtype).itemsize
    return memory[place : place + count].view(dtype).reshape(tuple(shape))
