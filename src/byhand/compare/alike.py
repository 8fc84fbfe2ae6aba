"""When two stored weights are the same: cut to what both have, and up to rounding, whatever type they are stored in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from byhand.compare.rounding import Unit
from byhand.compare.side import KINDS, holds
from byhand.errors import InputError
from byhand.program import Program

Array = np.ndarray[Any, Any]
Stored = Callable[[str], Array | None]
LENGTHS = {"V": "vocabulary", "P": "positions", "Y": "segment types"}  # tables whose first rows can be compared
NARROW = ("bfloat16", "float16")
CORNER = 8  # numbers along each axis that are looked at first
FEW = 16  # numbers that say nothing about how a whole checkpoint was rounded


def common(axes: str, a: Array, b: Array, address: str) -> tuple[Array, Array, str]:
    """Two arrays cut to the rows both have of a table, and what they differ in. Raises InputError for other sizes."""
    if a.shape == b.shape:
        return a, b, ""
    if len(axes) != a.ndim or a.ndim != b.ndim:
        raise InputError(f"{address} has shape {a.shape} on one side and {b.shape} on the other; compare like models")
    said = []
    for letter, m, n in zip(axes, a.shape, b.shape, strict=True):
        if m != n and letter not in LENGTHS:
            raise InputError(f"{address} ({axes}) has shape {a.shape} and {b.shape}: {letter} is {m} and {n}")
        said += [f"{LENGTHS[letter]} {m} and {n}"] if m != n else []
    cut = tuple(slice(min(m, n)) for m, n in zip(a.shape, b.shape, strict=True))
    return a[cut], b[cut], ", ".join(said)


def near(a: Array, b: Array, unit: Unit) -> Array:
    """Which numbers are the same, rounded at most once more; near zero, numbers of a precision have fewer digits."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        off = np.where(wide_a == wide_b, 0, np.abs(wide_a - wide_b))
    return off <= 2 * unit.kept * np.maximum(np.abs(wide_a), np.abs(wide_b)) + unit.least


def alike(a: Array, b: Array, unit: Unit) -> bool:
    """Whether two stored weights are the same numbers, rounded at most once more."""
    corner = (slice(CORNER),) * a.ndim  # most that differ, differ there
    return bool(near(a[corner], b[corner], unit).all() and near(a, b, unit).all())


def farthest(a: Array, b: Array) -> tuple[float, float]:
    """The largest difference between two arrays that are alike, and the largest as a share of the number."""
    if a.dtype == b.dtype and (a == b).all():
        return 0.0, 0.0
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    off, size = np.abs(wide_a - wide_b), np.maximum(np.abs(wide_a), np.abs(wide_b))
    share = np.divide(off, size, out=np.zeros_like(off), where=off > 0)
    return float(off.max(initial=0)), float(share.max(initial=0))


# --- a whole checkpoint -----------------------------------------------------------------------------------------------


def narrower(program: Program, mine: Stored, theirs: Stored) -> str:
    """The precision to which one side's weights are those of the other, rounded, in whatever type they are stored.

    "" where that is not so for more than half of the weights that differ: one number changed is no rounding.
    """
    found: Counter[tuple[str, int]] = Counter()
    differing = 0
    for address, axes in program.weights.items():
        one, other = mine(address), theirs(address)
        if one is None or other is None or one is other or one.ndim != other.ndim:
            continue
        a, b, _ = common(axes, one, other, address)
        count = int((a != b).sum())
        differing += count > 0
        if 2 * count >= a.size >= FEW:
            found.update(
                (name, side) for name in NARROW for side in (0, 1) if rounds_to(name, *(a, b)[:: 1 - 2 * side])
            )
    (name, _), count = max(found.items(), key=lambda item: item[1], default=(("", 0), 0))
    return name if 2 * count > differing else ""


def rounds_to(name: str, fine: Array, coarse: Array) -> bool:
    """Whether one array is the other, rounded to a precision."""
    if not holds(KINDS[name], coarse):
        return False
    with np.errstate(all="ignore"):
        return bool((fine.astype(KINDS[name]).astype(np.float64) == coarse.astype(np.float64)).all())


def rounded_note(rounded: Mapping[str, tuple[float, float]]) -> str:
    """The weights that differ by rounding alone, in one line. rounded: by address, how far, and as a share."""
    off, share = (max(each) for each in zip(*rounded.values(), strict=True))
    some = "1 weight differs" if len(rounded) == 1 else f"{len(rounded)} weights differ"
    return f"{some} by rounding alone, as one side stores fewer digits: by up to {off:.1g}, {share:.1g} of the number"
