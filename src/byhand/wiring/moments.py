"""What a norm sees: the mean and the mean square of the stream, over all values that its variables can have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from byhand.wiring.layout import Slot

Array = np.ndarray[Any, Any]
Range = tuple[float, float]


def moments(slots: Sequence[Slot], width: int) -> tuple[Range, Range]:
    """(smallest, largest) mean and mean square of a stream that holds these slots; legal codes make them equal."""
    sums, squares = np.zeros(2), np.zeros(2)
    for rows in together(slots):
        for total, each in ((sums, rows.sum(1)), (squares, (rows**2).sum(1))):
            total += [each.min(), each.max()]
    mean, square = sums / width, squares / width
    return (float(mean[0]), float(mean[1])), (float(square[0]), float(square[1]))


def together(slots: Sequence[Slot]) -> list[Array]:
    """The codes of every slot; of slots that share dimensions, the sums of all their combinations."""
    made: dict[int, Array] = {}
    for slot in slots:
        if slot.first in made:
            before, now = made[slot.first], slot.codes
            wide = max(before.shape[1], now.shape[1])
            before, now = (np.pad(each, ((0, 0), (0, wide - each.shape[1]))) for each in (before, now))
            made[slot.first] = (before[:, None] + now[None]).reshape(-1, wide)
        else:
            made[slot.first] = slot.codes
    return list(made.values())
