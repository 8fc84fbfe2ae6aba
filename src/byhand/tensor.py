"""An array together with what its axes mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from byhand import markup
from byhand.shapes import pick, within
from byhand.tokenizer import quoted

Array = np.ndarray[Any, Any]
Labels = Mapping[str, list[Any]]  # by axis letter: list[str] for one text, a list of them for several

MANY_TEXTS = 4


@dataclass(frozen=True, eq=False, repr=False)
class Tensor(NDArrayOperatorsMixin):
    """A value of a run: its numbers, its axis letters, its address, and the tokens along its position axes.

    NumPy functions and arithmetic take it as the array it holds, and it has the methods of that array; all these return
    plain arrays and numbers. `at` chooses by the name of an axis, plain indexing as NumPy does; both return a Tensor
    that still knows its axes. An index outside an axis raises AddressError.

    labels: by axis letter ("T", "S"), the tokens there as list[str]; along a batch axis of several texts a list[str]
    for each text, until an index chooses one of them: ``run["logits"][1].labels["T"]``.

    A few NumPy functions, np.einsum among them, do not take bfloat16: give them ``tensor.astype("float32")``.
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
        axes, labels = "", self.labels
        for letter, size, place in zip(self.axes, self.shape, places, strict=False):
            if isinstance(place, slice):
                axes += letter
            else:
                within(place, size, f"{self.address or 'this value'}, axis {letter}")
            labels = chosen(labels, letter, place)
        return Tensor(self.array[places], axes + self.axes[len(places) :], self.address, labels)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"a Tensor has no {name!r}; it has at, axes, labels, address, and what an ndarray has")
        return getattr(self.array, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(name for name in dir(np.ndarray) if not name.startswith("_"))})

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

    def __int__(self) -> int:
        return int(self.array)

    def __bool__(self) -> bool:
        return bool(self.array)

    def __format__(self, form: str) -> str:
        return format(self.array, form) if form else str(self)

    def __len__(self) -> int:
        return len(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.array, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        return getattr(ufunc, method)(*(i.array if isinstance(i, Tensor) else i for i in inputs), **settings)

    def __repr__(self) -> str:
        sizes = " ".join(f"{letter}={size}" for letter, size in zip(self.axes, self.shape, strict=True)) or "a number"
        labels = [line for letter in self.labels if letter in self.axes for line in lines(letter, self.labels[letter])]
        tokens = "".join(f"\n{name}: {' '.join(map(quoted, names))}" for name, names in labels)
        numbers = np.array2string(self.array, precision=4, suppress_small=True, threshold=200, edgeitems=3)
        return f"{self.address}  {sizes}  {self.dtype}{tokens}\n{numbers}"

    def _repr_html_(self) -> str:
        sizes = " ".join(f"{letter}={size}" for letter, size in zip(self.axes, self.shape, strict=True)) or "a number"
        names = {letter: given for letter, given in self.labels.items() if not several(given)}
        return markup.card(
            markup.heading(self.address, f"{sizes}  {self.dtype}"), markup.array(self.array, self.axes, names)
        )


def is_whole(place: Any) -> bool:
    """Whether a place in an index drops its axis; a truth value adds one."""
    return isinstance(place, int | np.integer) and not isinstance(place, bool)


def several(names: list[Any]) -> bool:
    """Whether these are the tokens of several texts."""
    return bool(names) and isinstance(names[0], list)


def chosen(labels: Labels, letter: str, place: int | slice) -> Labels:
    """The labels after one axis was indexed: a batch axis chooses texts, a position axis cuts the tokens of each."""
    if letter == "B":
        kept = {each: names[place] if several(names) else names for each, names in labels.items()}
        # one text that a slice left alone has plain labels again
        return {each: names[0] if several(names) and len(names) == 1 else names for each, names in kept.items()}
    if letter not in labels or not isinstance(place, slice):
        return labels
    names = labels[letter]
    return {**labels, letter: [text[place] for text in names] if several(names) else names[place]}


def lines(letter: str, names: list[Any]) -> list[tuple[str, list[str]]]:
    """What to print of the tokens along an axis: one line a text, none where there are many texts."""
    if not several(names):
        return [(letter, names)]
    return [(f"{letter} of text {b}", text) for b, text in enumerate(names)] if len(names) <= MANY_TEXTS else []
