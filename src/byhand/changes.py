"""One change to a weight, an input or an activation: where, what, and what it does to a gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from byhand.errors import InputError, ShapeError

Array = np.ndarray[Any, Any]
Place = tuple[int | slice, ...]

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


@dataclass(frozen=True)
class Edit:
    """Set, add to or scale a part of one array. source: for the text, where a patched value came from."""

    address: str
    index: Place
    action: str
    value: Any = field(compare=False)
    source: str = ""

    def apply(self, array: Array) -> Array:
        """A changed copy. Raises ShapeError when the value does not fit the chosen part."""
        return self.changed(array, ACTIONS[self.action])

    def gradient(self, array: Array) -> Array:
        """What of the gradient after the edit belongs to the value before it."""
        return self.changed(array, GRADIENTS[self.action])

    def changed(self, array: Array, action: Callable[[Array, Any], Array]) -> Array:
        copy = array.copy()
        try:
            copy[self.index] = action(array[self.index], self.value)
        except ValueError:
            raise ShapeError(
                f"edit of {self.address}: the chosen part has shape {np.shape(array[self.index])}, "
                f"the value has {np.shape(self.value)}; give a number or an array of that shape"
            ) from None
        return copy

    def __str__(self) -> str:
        value = self.source or (f"{self.value:g}" if np.ndim(self.value) == 0 else f"array {np.shape(self.value)}")
        return f"{self.action} {self.address}{shown(self.index)} to {value}".replace("add", "add to").replace(
            "to to", "to"
        )


def shown(index: Place) -> str:
    """The index as one would type it; nothing when the whole array is meant."""
    if all(place == slice(None) for place in index):
        return ""
    return f"[{','.join(part(place) for place in index)}]"


def part(place: int | slice) -> str:
    if not isinstance(place, slice):
        return str(place)
    ends = ("" if end is None else str(end) for end in (place.start, place.stop))
    return ":".join(ends)


def chosen(given: dict[str, Any]) -> tuple[str, Any]:
    """The one action among set, add, scale, zero and from_run that the caller asked for. Raises InputError."""
    asked = [name for name, value in given.items() if value is not None and value is not False]
    if len(asked) != 1:
        raise InputError(f"an edit needs exactly one of set, add, scale, zero, from_run; got {', '.join(asked) or 'none'}")
    return asked[0], given[asked[0]]
