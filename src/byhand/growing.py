"""What of a program grows with its text, and edits that hold while it does.

An edit names positions of the text; a piece of the text has some of them, each in a row of its arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from byhand.addresses import is_side, resolve
from byhand.changes import Edit
from byhand.engines.pool import Pool
from byhand.errors import InputError, ShapeError
from byhand.memory import fit
from byhand.program import Program
from byhand.shapes import Shape

Array = np.ndarray[Any, Any]
FEWEST_PLACES, FEWEST_IN_PLACE = 64, 256
RESERVED_PLACES = 32768  # of a cache that grows in place
SPARE = Pool(2**30)
NO_END = 1 << 62  # where a slice of positions ends that has no end


def static_addresses(program: Program) -> frozenset[str]:
    """The inputs and values that stay the same while a text grows: those of a source text."""
    moving = {"logits"}.union(
        *(program.dependents(name) for name, each in program.inputs.items() if "T" in each.extent)
    )
    return frozenset((program.inputs.keys() | program.producer.keys()) - moving)


def crossing(address: str) -> bool:
    """Whether a value is about attention to the source text, whose keys do not grow."""
    return ".cross." in address or address.startswith("cross.")


# --- keys and values -----------------------------------------------------------------------------------------------


class Cache:
    """The keys and values of what was read, [B, places, G, K], by the address of the input that they are.

    in_place: whether the engine writes into them; then there is room for more behind the places in use, and growing
    copies nothing until it is used up. dtype: what they are kept as; context: the most places.
    """

    def __init__(self, program: Program, names: Sequence[str], dtype: Any, in_place: bool, context: int) -> None:
        self.program, self.names, self.dtype, self.in_place, self.context = program, names, dtype, in_place, context
        self.arrays: dict[str, Array] = {}
        self.reserved: dict[str, Array] = {}

    def room(self, B: int, needed: int) -> dict[str, Array]:
        """The caches with places for so many positions of B texts, twice as many as before when they grow.

        Raises MemoryRefused when there is no memory for them.
        """
        have = next((array.shape[1] for array in self.arrays.values() if len(array) == B), 0)
        if needed <= have:
            return self.arrays
        fewest = FEWEST_IN_PLACE if self.in_place else FEWEST_PLACES
        places = int(min(self.context, max(fewest, 1 << (needed - 1).bit_length())))
        shapes = self.program.shapes(B, 1, 1, places)
        need = sum(prod(shapes[name]) for name in self.names) * self.dtype.itemsize
        inside = have and self.in_place and places <= min(each.shape[1] for each in self.reserved.values())
        twice = ", twice while it is made anew," if not self.in_place or (have and not inside) else ""
        what = f"a cache of {places} places for {B} texts{twice}"
        fit(2 * need if twice else need, what, "read fewer texts at once, or shorter ones")
        if not inside:
            self.reserve(B, places, shapes)
            for name, array in self.arrays.items() if have else ():
                self.reserved[name][:, :have] = array
        for array in self.reserved.values():
            array[:, have:places] = 0  # hidden places count nothing, but NaN times nothing is NaN
        self.arrays = {name: self.reserved[name][:, :places] for name in self.names}
        return self.arrays

    def reserve(self, B: int, places: int, shapes: Mapping[str, Shape]) -> None:
        """Memory for all caches in one piece, which the system gives where it is written to, in large pages. An engine
        that writes in place may get that of another text.
        """
        most = max(RESERVED_PLACES, places) if self.in_place else places
        each = (B, int(min(self.context, most)), *shapes[self.names[0]][2:])
        count = len(self.names) * prod(each)
        if self.in_place:
            whole = SPARE.lease(count * self.dtype.itemsize).view(self.dtype)
        else:
            whole = np.zeros(count, self.dtype)
        self.reserved = dict(zip(self.names, whole.reshape(-1, *each), strict=True))


# --- edits ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Placed(Edit):
    """An edit whose positions are those of the text, applied to rows that hold some of them.

    axes: of the array; own: "S" if that axis counts the text's own positions; positions [B,T]: of the rows.
    """

    axes: str
    own: str
    positions: Array

    def changed(self, array: Array, action: Callable[[Array, Any], Array], own: bool = False) -> Array:
        copy = array if own else array.copy()
        for text in self.chosen(0, array.shape, 0):
            places = [[text], *(self.chosen(axis, array.shape, text[0]) for axis in range(1, array.ndim))]
            if not all(places):
                continue
            part = np.ix_(*([i for i, _ in chosen] for chosen in places))
            try:
                with np.errstate(all="ignore"):
                    after = action(array[part], self.value_at(places))
                    copy[part] = np.where(self.visible(text[0], places), after, array[part])
            except (ValueError, IndexError):
                raise misfit(self, array[part].shape) from None
        return copy

    def chosen(self, axis: int, shape: Shape, text: int) -> list[tuple[int, int]]:
        """The indices along an axis that are meant, each with its number among all that are meant."""
        letter, place, size = self.axes[axis], self.index[axis], shape[axis]
        own = letter in (self.rows, self.own)
        if isinstance(place, slice):
            run = range(*place.indices(NO_END if own else size))
        else:
            first = place if own else place % size
            run = range(first, first + 1)
        if letter == self.rows:
            return [(t, run.index(p)) for t, p in enumerate(self.positions[text].tolist()) if p in run]
        return [(i, run.index(i)) for i in range(size) if i in run]

    @property
    def rows(self) -> str:
        """The axis along which the rows lie."""
        return "T" if "T" in self.axes else self.own

    def value_at(self, places: Sequence[Sequence[tuple[int, int]]]) -> Any:
        """What is set, added or multiplied at these places."""
        if np.ndim(self.value) == 0:
            return self.value
        value = spread(self)
        used = [[n for _, n in axis] if size > 1 else [0] for axis, size in zip(places, value.shape, strict=True)]
        return value[np.ix_(*used)]

    def visible(self, b: int, places: Sequence[Sequence[tuple[int, int]]]) -> Any:
        """Where a key does not come after its query."""
        if not ("T" in self.axes and self.axes.endswith(self.own or "-")):
            return True
        rows, keys = places[-2:]
        return np.array([key for key, _ in keys]) <= self.positions[b][[row for row, _ in rows]][:, None]


def spread(edit: Edit) -> Array:
    """The value with one axis for each of the array: length one where it is the same for all, or one index is meant."""
    free = [i for i, place in enumerate(edit.index) if isinstance(place, slice)]
    value = np.asarray(edit.value)
    if value.ndim > len(free):
        raise misfit(edit, (len(free),))
    sizes = dict(zip(free, (1,) * (len(free) - value.ndim) + value.shape, strict=True))
    return value.reshape([sizes.get(i, 1) for i in range(len(edit.index))])


def misfit(edit: Edit, shape: Shape) -> ShapeError:
    return ShapeError(
        f"edit of {edit.address}: its value of shape {np.shape(edit.value)} does not fit the part {shape} of one step; "
        "give a number, an array that is the same for all positions, or the positions that it is for"
    )


def checked(program: Program, edit: Edit) -> Edit:
    """The edit under its own address. Raises ByhandError for one that cannot hold while a text grows."""
    address = resolve(program, edit.address)
    if is_side(program, address) or address == "positions":
        raise InputError(f"{address} cannot be edited while a text grows; edit what is made from it")
    if address in program.weights or address in static_addresses(program):
        return replace(edit, address=address)
    axes, sizes = program.axes(address), spread(edit).shape
    if len(axes) != len(edit.index):
        raise InputError(
            f"edit of {address}: it has axes {axes}; give a place for each, slice(None) for all of an axis"
        )
    for letter, place, size in zip(axes, edit.index, sizes, strict=True):
        if letter not in "TS" or (letter == "S" and crossing(address)):
            continue
        ends = (place.start, place.stop, place.step) if isinstance(place, slice) else (place,)
        if any(end is not None and end < 0 for end in ends):
            raise InputError(f"edit of {address}: a text that grows has no last position; count from the front")
        if size > 1 and (not isinstance(place, slice) or len(range(*place.indices(NO_END))) != size):
            raise InputError(
                f"edit of {address}: its value is for {size} positions; name them, as in position=slice(0, {size})"
            )
    return replace(edit, address=address)
