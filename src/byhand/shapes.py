"""The axis letters, and how arrays are matched to the names that carry them.

An array's name ends in its axes, one letter each: ``x_BTD`` has a batch, a position and a width axis. Letters are
bound to sizes anew at every operator call, so one array may be ``x_BTD`` where it asks and ``x_BSD`` where it answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import index as to_int
from typing import Any

from byhand.errors import AddressError, InputError, ShapeError

AXES = {
    "B": "batch",
    "T": "position that asks",
    "S": "position that is asked",
    "D": "model width",
    "H": "query head",
    "G": "key/value head",
    "K": "head width",
    "F": "feed-forward width",
    "V": "vocabulary",
    "P": "position table",
    "Y": "segment types",
    "C": "class",
    "J": "rotary pair",
    "L": "layer",
    "1": "a kept axis of size one",
}

# What a caller may call an axis when choosing one element or a slice of it.
WORDS = {
    "batch": "B",
    "position": "TS",
    "query": "T",
    "key": "S",
    "head": "HG",
    "group": "G",
    "dimension": "KDF",
    "neuron": "F",
    "token": "V",
    "pair": "J",
    "layer": "L",
}

Shape = tuple[int, ...]
Index = tuple[int, ...]  # the place of one element
Place = tuple[int | slice, ...]  # a part of an array, one entry an axis

LIKELY_CAUSE = {
    "B": "the batches do not belong together",
    "T": "the sequences have different lengths",
    "S": "keys, values and mask must cover the same positions",
    "D": "the weight belongs to a model of another width",
    "H": "the weight belongs to a model with another number of heads",
    "G": "the weight belongs to a model with another number of key/value heads",
    "K": "the weight belongs to a model with another head width",
    "F": "the weight belongs to a model with another feed-forward width",
    "V": "the weight belongs to a model with another vocabulary",
    "J": "the rotary angles are made for another head width",
}


def split_name(name: str) -> tuple[str, str]:
    """Split ``"x_BTD"`` into ``("x", "BTD")``; a name without axes is a scalar: ``"loss"`` gives ``("loss", "")``."""
    base, _, axes = name.rpartition("_")
    return (base, axes) if base and axes and all(letter in AXES for letter in axes) else (name, "")


def bind(operands: Iterable[tuple[str, str, tuple[int, ...]]], where: str) -> dict[str, int]:
    """Match shapes to axes and return the size of every letter.

    operands: (name, axes, shape) of each array; where: the step, for the message.
    Raises ShapeError naming step, arrays, letter, both sizes and the likely cause.
    """
    sizes: dict[str, int] = {}
    owner: dict[str, str] = {}
    for name, axes, shape in operands:
        if len(axes) != len(shape):
            raise ShapeError(
                f"{where}: {name} has {len(shape)} axes {shape} but its axes are {axes or 'none (a number)'}; "
                f"give an array with {len(axes)} axes"
            )
        for letter, size in zip(axes, shape, strict=True):
            if letter == "1":
                known, other = 1, "the operator's declaration"
            else:
                known, other = sizes.setdefault(letter, size), owner.setdefault(letter, name)
            if known != size:
                cause = LIKELY_CAUSE.get(letter, "one of the two has the wrong shape")
                raise ShapeError(
                    f"{where}: {letter} ({AXES[letter]}) is {size} in {name} {shape} but {known} in {other}; {cause}"
                )
    return sizes


def axis_of(word: str, axes: str, where: str = "this value") -> int:
    """The place of the axis that a caller's word means: ``axis_of("head", "BHTS") == 1``. Raises AddressError."""
    for letter in WORDS.get(word, word if word in AXES else ""):
        if axes.count(letter) > 1:
            raise AddressError(f"{where} has axes {axes}: {word!r} could mean either {letter}; give an index instead")
        if letter in axes:
            return axes.index(letter)
    usable = [each for each, means in WORDS.items() if any(letter in axes for letter in means)]
    raise AddressError(f"{where} has axes {axes or 'none'}, so no {word!r}; it has: {', '.join(usable) or 'none'}")


def pick(axes: str, shape: Shape, choice: Mapping[str, int | slice], where: str) -> Place:
    """Turn named choices into an index: ``pick("BHTS", (1, 12, 7, 7), {"head": 5})`` is ``(:, 5, :, :)``.

    Raises AddressError for an axis the array does not have or that is named twice, and for an index outside it.
    """
    index: list[int | slice] = [slice(None)] * len(axes)
    named: dict[int, str] = {}
    for word, value in choice.items():
        axis = axis_of(word, axes, where)
        if axis in named:
            raise AddressError(f"{where}: {named[axis]!r} and {word!r} are both its axis {axes[axis]}; name it once")
        named[axis] = word
        index[axis] = entry(value, shape[axis], f"{where}, {word}")
    return tuple(index)


def part(axes: str, shape: Shape, index: Sequence[int | slice] | int | slice, where: str) -> Place:
    """The full index of a part of an array; axes that are not mentioned are taken whole. Raises AddressError."""
    given = listed(index, where)
    if len(given) > len(shape):
        raise AddressError(f"{where} has axes {axes or 'none'} and shape {shape}, got {len(given)} indices; give fewer")
    places = [entry(i, n, f"{where}, axis {a}") for i, n, a in zip(given, shape, axes, strict=False)]
    return (*places, *[slice(None)] * (len(shape) - len(places)))


def element(axes: str, shape: Shape, index: Sequence[int] | int, where: str) -> Index:
    """Check the index of one element, counting negative ones from the end. Raises AddressError."""
    given = listed(index, where)
    if len(given) != len(shape):
        raise AddressError(
            f"{where} has axes {axes or 'none'} and shape {shape}, got {len(given)} indices; give {len(shape)}"
        )
    return tuple(within(i, n, f"{where}, axis {a}") for i, n, a in zip(given, shape, axes, strict=True))


def complete(axes: str, shape: Shape, choice: Mapping[str, int], where: str) -> Index:
    """The index of one element from named choices; an axis of size one needs no choice. Raises InputError."""
    index = pick(axes, shape, choice, where)
    missing = [letter for letter, i, size in zip(axes, index, shape, strict=True) if isinstance(i, slice) and size > 1]
    if missing:
        names = ", ".join(f"{letter} ({AXES[letter]})" for letter in missing)
        raise InputError(f"{where} has axes {axes} and shape {shape}: say which {names}")
    return tuple(0 if isinstance(i, slice) else i for i in index)


def listed(index: Any, where: str) -> tuple[Any, ...]:
    """The places of an index, of which one alone needs no brackets. Raises AddressError."""
    if isinstance(index, slice) or whole(index) is not None:
        return (index,)
    if not isinstance(index, Iterable):
        raise AddressError(f"{where}: {index!r} is no index; give whole numbers, such as (0, 2, 1)")
    return tuple(index)


def entry(value: Any, size: int, where: str) -> int | slice:
    """A whole number or a slice that chooses something of an axis. Raises AddressError."""
    if not isinstance(value, slice):
        return within(value, size, where)
    ends = [end for end in (value.start, value.stop, value.step) if end is not None]
    if any(whole(end) is None for end in ends) or value.step == 0:
        raise AddressError(f"{where}: {value} is no slice; give whole numbers, such as slice(1, 3)")
    if not range(*value.indices(size)):
        raise AddressError(f"{where}: {written(value)} chooses nothing; there are {size}, so 0 … {size - 1}")
    return value


def within(index: Any, size: int, where: str) -> int:
    """The index, counted from the front. Raises AddressError when it lies outside 0 … size-1 or is no whole number."""
    place = whole(index)
    if place is None:
        raise AddressError(f"{where}: {index!r} is no index; give a whole number")
    if not -size <= place < size:
        raise AddressError(f"{where}: index {place} is out of range; there are {size}, so 0 … {size - 1}")
    return place % size


def whole(value: Any) -> int | None:
    """The value as a whole number, if it is one."""
    try:
        return None if isinstance(value, bool) else to_int(value)
    except TypeError:
        return None


def split_evenly(size: int, parts: int, what: str, of: str) -> int:
    """How much each part gets. Raises InputError when the parts would not be equal."""
    if size % parts:
        raise InputError(f"{what} {size} cannot be shared evenly by {parts} {of}; choose a multiple of {parts}")
    return size // parts


def written(place: int | slice) -> str:
    """A place as one would type it between brackets."""
    if not isinstance(place, slice):
        return str(place)
    ends = ["" if end is None else str(end) for end in (place.start, place.stop, place.step)]
    return ":".join(ends if ends[2] else ends[:2])
