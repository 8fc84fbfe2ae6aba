"""An array together with what its axes mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from byhand.shapes import pick

Array = np.ndarray[Any, Any]
Labels = Mapping[str, list[str]]


@dataclass(frozen=True, eq=False, repr=False)
class Tensor(NDArrayOperatorsMixin):
    """A value of a run: its numbers, its axis letters, its address, and the tokens along its position axes.

    NumPy functions and arithmetic take it as the array it holds. `at` chooses by the name of an axis, plain indexing as
    NumPy does; both return a Tensor that still knows its axes.
    """

    array: Array
    axes: str
    address: str = ""
    labels: Labels = field(default_factory=dict)

    def at(self, **choice: int | slice) -> Tensor:
        """Choose along named axes: ``weights.at(head=5, query=4)``. Raises AddressError outside the array."""
        return self[pick(self.axes, self.shape, choice, self.address or "this value")]

    def __getitem__(self, index: Any) -> Any:
        places = index if isinstance(index, tuple) else (index,)
        if len(places) > self.array.ndim or not all(isinstance(place, slice) or is_whole(place) for place in places):
            return self.array[index]
        axes, labels = "", dict(self.labels)
        for letter, place in zip(self.axes, places, strict=False):
            if isinstance(place, slice):
                axes += letter
                if letter in labels:
                    labels[letter] = labels[letter][place]
        return Tensor(self.array[places], axes + self.axes[len(places) :], self.address, labels)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def item(self) -> float:
        return self.array.item()

    def __float__(self) -> float:
        return float(self.array)

    def __len__(self) -> int:
        return len(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.array, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        return getattr(ufunc, method)(*(i.array if isinstance(i, Tensor) else i for i in inputs), **settings)

    def __repr__(self) -> str:
        sizes = " ".join(f"{letter}={size}" for letter, size in zip(self.axes, self.shape, strict=True)) or "a number"
        labels = [(letter, names) for letter, names in self.labels.items() if letter in self.axes]
        tokens = "".join(f"\n{letter}: {' '.join(map(repr, names))}" for letter, names in labels)
        numbers = np.array2string(self.array, precision=4, suppress_small=True, threshold=200, edgeitems=3)
        return f"{self.address}  {sizes}  {self.dtype}{tokens}\n{numbers}"


def is_whole(place: Any) -> bool:
    """Whether a place in an index drops its axis; a truth value adds one."""
    return isinstance(place, int | np.integer) and not isinstance(place, bool)
