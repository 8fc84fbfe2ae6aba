"""One change to a weight, an input or an activation: where, what, and what it does to a gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from byhand.errors import InputError, ShapeError
from byhand.shapes import Index, Place, Shape, written

Array = np.ndarray[Any, Any]

ACTIONS: dict[str, Callable[[Array, Any], Array]] = {
    "set": lambda old, new: np.broadcast_to(new, np.shape(old)),
    "add": lambda old, new: old + new,
    "scale": lambda old, new: old * new,
}
# What reaches the value before the edit, of a gradient that arrives at the value after it.
GRADIENTS: dict[str, Callable[[Array, Any], Array]] = {
    "set": lambda gradient, new: np.zeros_like(gradient),
    "add": lambda gradient, new: gradient,
    "scale": lambda gradient, new: gradient * new,
}
SENTENCES = {"set": "set {place} to {value}", "add": "add {value} to {place}", "scale": "scale {place} by {value}"}


@dataclass(frozen=True)
class Edit:
    """Set, add to or scale a part of one array. source: for the text, where a patched value came from."""

    address: str
    index: Place
    action: str
    value: Any = field(compare=False)
    source: str = ""

    def apply(self, array: Array, *, own: bool = False) -> Array:
        """A changed copy of the same type, or the array itself, changed, where it is the caller's own.

        Raises ShapeError when the value does not fit the chosen part.
        """
        return self.changed(array, ACTIONS[self.action], own)

    def gradient(self, array: Array) -> Array:
        """What of the gradient after the edit belongs to the value before it."""
        return self.changed(array, GRADIENTS[self.action])

    def changed(self, array: Array, action: Callable[[Array, Any], Array], own: bool = False) -> Array:
        copy = array if own else array.copy()
        try:
            with np.errstate(all="ignore"):  # inf - inf is NaN, which the next step reports
                copy[self.index] = action(array[self.index], self.value)
        except ValueError:
            raise ShapeError(
                f"edit of {self.address}: the chosen part has shape {np.shape(array[self.index])}, "
                f"the value has {np.shape(self.value)}; give a number or an array of that shape"
            ) from None
        return copy

    def covers(self, index: Index, shape: Shape) -> bool:
        """Whether the part holds the element, or (for a shorter index) anything of that row."""
        places = zip(self.index, index, shape, strict=False)
        return all(i in range(*place.indices(n)) if isinstance(place, slice) else place == i for place, i, n in places)

    def at(self, index: Index, shape: Shape) -> float:
        """The number that is set, added or multiplied at one element of the part."""
        runs = [
            (range(*p.indices(n)), i) for p, i, n in zip(self.index, index, shape, strict=True) if isinstance(p, slice)
        ]
        value = np.broadcast_to(self.value, tuple(len(run) for run, _ in runs))
        return value[tuple(run.index(i) for run, i in runs)].item()

    def __str__(self) -> str:
        value = self.source or (f"{self.value:g}" if np.ndim(self.value) == 0 else f"array {np.shape(self.value)}")
        return SENTENCES[self.action].format(place=f"{self.address}{shown(self.index)}", value=value)


def shown(index: Place) -> str:
    """The index as one would type it; nothing when the whole array is meant."""
    if all(place == slice(None) for place in index):
        return ""
    return f"[{','.join(written(place) for place in index)}]"


def planned(address: str, where: Place, actions: Mapping[str, Any]) -> Edit:
    """The edit a caller asked for with exactly one of set, add, scale, zero, from_run. Raises InputError.

    actions: what was given for each, for from_run the part of the other run.
    """
    asked = [name for name, value in actions.items() if value is not None and not (name == "zero" and value is False)]
    if len(asked) != 1:
        got = ", ".join(asked) or "none"
        raise InputError(f"an edit of {address} needs exactly one of set, add, scale, zero (or from_run); got {got}")
    action = {"zero": "set", "from_run": "set"}.get(asked[0], asked[0])
    value = 0.0 if asked[0] == "zero" else actions[asked[0]]
    return Edit(address, where, action, numbers(value, address), "that of another run" * (asked[0] == "from_run"))


def numbers(value: Any, address: str) -> Any:
    """A number or a copy of an array of numbers, so that nobody can change it later. Raises InputError."""
    try:
        array = np.array(value)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "fiubV":  # V: bfloat16
        raise InputError(f"{address}: {str(value)!r:.50} is no number; give a number or an array of numbers")
    return array[()]


def taken(other: Array, shape: Shape, where: Place, address: str) -> Array:
    """The same part of another run's value."""
    if other.shape != shape:
        raise ShapeError(
            f"{address} has shape {other.shape} in the other run and {shape} here; run texts of equal length"
        )
    return other[where]
