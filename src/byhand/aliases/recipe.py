"""How another project's array is made from byhand's values: which it reads, how they are rearranged, the result's axes.

byhand keeps every head on its own axis and gives q, k and v an array each. Others lay heads side by side, put q, k
and v into one array, or store a matrix with its output first. `D` then stands for whatever lies side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Make = Callable[..., Array]


@dataclass(frozen=True)
class Recipe:
    """make: from the arrays at `reads` to the other project's array; axes: of that array.

    An address may contain {l} (the layer), {before} (what block l reads comes from here) and {last} (the last block).
    computed: the result holds other numbers than any value, so it is no second name for one.
    """

    make: Make
    axes: str
    reads: tuple[str, ...]
    computed: bool = False


Table = Mapping[str, Recipe | str]  # a plain address stands for the value as it is


def row(make: Make, axes: str, *reads: str) -> Recipe:
    """A value whose numbers are another project's, in another arrangement."""
    return Recipe(make, axes, reads)


def computed(make: Make, axes: str, *reads: str) -> Recipe:
    """Numbers that byhand does not hold and that are computed when asked for."""
    return Recipe(make, axes, reads, computed=True)


def same(array: Array) -> Array:
    return array


def beside(*arrays: Array) -> Array:
    """Heads merged into one axis, [..., H, K] to [..., H*K], and several such arrays one after the other."""
    return np.concatenate([array.reshape(*array.shape[:-2], -1) for array in arrays], axis=-1)


def paired_last(array: Array) -> Array:
    """Features (2j, 2j+1) of every head moved to (j, j + K/2): from Meta's rotary layout to Hugging Face's."""
    return np.concatenate([array[..., 0::2], array[..., 1::2]], axis=-1)


def first_position(array_B1D: Array) -> Array:
    """[B, 1, D] to [B, D]."""
    return array_B1D[:, 0]


def centred_unit(x_BTD: Array, mean_BT: Array, rstd_BT: Array) -> Array:
    """A layer norm before its gain and shift."""
    return (x_BTD - mean_BT[..., None]) * rstd_BT[..., None]


def unit(x_BTD: Array, rstd_BT: Array) -> Array:
    """An RMS norm before its gain."""
    return x_BTD * rstd_BT[..., None]


def inverse(rstd_BT: Array) -> Array:
    """What a norm divides by, [B, T, 1]."""
    return 1 / rstd_BT[..., None]
