"""A part of a weight that lies in blocks: only the rows it needs are turned into numbers."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from byhand.checkpoints.files.quantized import Quantized, numbers_of
from byhand.shapes import Place

Array = np.ndarray[Any, Any]

FEW = 8  # parts of an array of which reading one by itself is worth it


def few_rows(source: Quantized, axes: str, place: Place) -> Array | None:
    """The numbers at a place of a weight with these axes; None where the whole array had better be made.

    That is where most rows are needed, or where a head's features lie in another order in the file.
    """
    lying = source.axes.replace("H", "G") if "G" in axes else source.axes
    down, along = lying.split(" ") if lying else (axes[:-1], axes[-1:])
    if source.rotary or sorted(down + along) != sorted(axes):
        return None
    sizes = dict(zip(axes, source.shape, strict=True))
    spans = {
        letter: np.arange(sizes[letter])[each if isinstance(each, slice) else slice(each, each + 1)]
        for letter, each in zip(axes, place, strict=True)
    }
    if prod(len(spans[letter]) for letter in down) * FEW > len(source.blocks):
        return None
    rows = np.arange(len(source.blocks)).reshape([sizes[letter] for letter in down])
    rows = rows[np.ix_(*(spans[letter] for letter in down))].reshape(-1)
    with np.errstate(all="ignore"):  # a scale may be inf or NaN, which is shown
        made = numbers_of(source.kind, source.blocks[rows])
    made = made.reshape([*(len(spans[letter]) for letter in down), *(sizes[letter] for letter in along)])
    made = made[(..., *np.ix_(*(spans[letter] for letter in along)))]
    ordered = made.transpose([(down + along).index(letter) for letter in axes])
    return ordered[tuple(slice(None) if isinstance(each, slice) else 0 for each in place)]
