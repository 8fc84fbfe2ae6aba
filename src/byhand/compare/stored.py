"""What was done to a weight that both sides show: found from its numbers, and true of every one of them.

A checkpoint that was rounded or quantised differs in all weights, one with exchanged layers in many. So what is said of
one weight is said in words that fit others too, and those it is said of are named together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from byhand.compare.alike import alike, common, near
from byhand.compare.rounding import Unit
from byhand.compare.usual import in_place, matrix, rearrangements, relatives
from byhand.program import Program

Array = np.ndarray[Any, Any]
Known = Callable[[str], Array | None]
BLOCK = 32  # numbers that share a scale in a quantised file
LEVELS = {"Q8_0": 127, "Q4_0": 8}
LISTED = 12  # places of an order that are written out
NEAR = 0.1  # of the size of the weight
SHIFTS = (1, 2, -1, -2)


@dataclass(frozen=True)
class Change:
    """kind: of the cause; said: in words, {} for the weights; off: how far the two are apart, as a share of the size of
    the first (root mean squares); together: whether other weights may be named with it.
    """

    kind: str
    said: str
    off: float = 0.0
    together: bool = True


def change_of(address: str, mine: Array, theirs: Array, program: Program, known: Known, unit: Unit) -> Change:
    """What was done to a weight. known: other weights of the same side as the first, by address."""
    axes = program.weights[address]
    a, b, _ = common(axes, mine, theirs, address)
    off = apart(a, b)
    differ = ~near(a, b, unit)
    for made in (still(a, b), moved(a, b, axes, program.sizes["G"], unit), instead(address, b, program, known, unit)):
        if made:
            return Change(*made)
    if 2 * differ.sum() < differ.size or differ.size < 2:
        return few(address, a, b, differ)
    said = ordered(a, b, axes, unit) or turned_into(a, b, unit)
    if said:
        return Change(*said)
    if name := blocks_of(a, b, axes):
        return Change("quantised weights", f"{{}} quantised to {name}, in blocks of {BLOCK}", off)
    if name := blocks_of(b, a, axes):
        return Change("quantised weights", f"{{}} as before being quantised to {name}, in blocks of {BLOCK}", off)
    if off < NEAR:
        return Change("weights a little off", "nearly all numbers of {} a little different", off)
    return few(address, a, b, differ, "nearly all numbers of {} different")


def apart(a: Array, b: Array) -> float:
    """The root mean square of the difference, as a share of that of the first."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    size = float(np.sqrt((wide_a**2).mean()))
    return float(np.sqrt(((wide_a - wide_b) ** 2).mean())) / size if size else 1.0


def few(address: str, a: Array, b: Array, differ: Array, many: str = "") -> Change:
    """The number that changed most; many: what is said where several weights changed so."""
    off = np.abs(a.astype(np.float64) - b.astype(np.float64)) * differ
    place = tuple(map(int, np.unravel_index(int(off.argmax()), off.shape)))
    where, count = f"{address}[{','.join(map(str, place))}]", int(differ.sum())
    several = "" if count == 1 else f" and {count - 1:,} more of its {off.size:,} numbers changed"
    said = f"{where} = {float(b[place]):.9g} instead of {float(a[place]):.9g}{several}"
    return Change("a weight changed", many or said, apart(a, b) if many else 0.0, bool(many))


# --- exactly something else -------------------------------------------------------------------------------------------


def still(a: Array, b: Array) -> tuple[str, str] | None:
    """Nothing but zeros on one side."""
    if a.any() == b.any():
        return None
    return "zeros", "{} all zeros" if a.any() else "{} not all zeros"


def moved(a: Array, b: Array, axes: str, groups: int, unit: Unit) -> tuple[str, str] | None:
    """One of the usual ways to read a weight by mistake."""
    for each in rearrangements(a, axes, groups):
        made = each.make(a)
        if made.shape == b.shape and alike(made, b, unit):
            return each.kind, each.said
    return None


def instead(address: str, b: Array, program: Program, known: Known, unit: Unit) -> tuple[str, str] | None:
    """The numbers of another weight."""
    for other in relatives(address, program):
        array = known(other)
        if array is not None and array.shape == b.shape and other_numbers(array) and alike(array, b, unit):
            return "another weight", in_place(other.rpartition(".")[0], address.rpartition(".")[0])
    return None


def other_numbers(array: Array) -> bool:
    """Whether these are more than one number many times."""
    return bool((array != array.flat[0]).any())


def turned_into(a: Array, b: Array, unit: Unit) -> tuple[str, str] | None:
    """Every number times the same factor, or more by the same."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    if a.size < 4 or not (wide_a * wide_b).any():
        return None
    factor = float(f"{(wide_a * wide_b).sum() / (wide_a * wide_a).sum():.9g}")
    more = float(f"{np.median(wide_b - wide_a):.7g}")
    if factor and alike(wide_a * factor, wide_b, unit._replace(kept=2 * unit.kept)):
        return "factor", f"{{}} times {factor:.6g}"
    return ("gain", f"{{}} plus {more:.6g}") if more and alike(wide_a + more, wide_b, unit) else None


def ordered(a: Array, b: Array, axes: str, unit: Unit) -> tuple[str, str] | None:
    """The same numbers in another order along one axis, or moved along it."""
    merged = [(a, b, axes)]
    if "HK" in axes:
        at, shape = axes.index("H"), [*a.shape[: axes.index("H")], -1, *a.shape[axes.index("H") + 2 :]]
        merged += [(a.reshape(shape), b.reshape(shape), axes[:at] + "N" + axes[at + 2 :])]
    for one, other, letters in merged:
        for axis, letter in enumerate(letters):
            x, y = (np.moveaxis(each, axis, 0).reshape(each.shape[axis], -1) for each in (one, other))
            if said := order_of(x, y, unit):
                what = {"N": "features of all heads of {}", "H": "heads of {}", "G": "heads of {}"}.get(letter)
                kind = "swapped heads" if letter in "HG" else "positions" if letter == "P" else "order"
                return kind, f"{what or f'{{}} along {letter}'} {said}"
    return None


def order_of(x: Array, y: Array, unit: Unit) -> str:
    """How the rows of one lie in the other, "" where they are other rows."""
    n = len(x)
    for by in SHIFTS if n >= 8 else ():
        mine, theirs = (x[:-by], y[by:]) if by > 0 else (x[-by:], y[:by])
        if other_numbers(mine) and alike(mine, theirs, unit):
            return f"moved by {by}"
    direction = np.random.default_rng(0).normal(size=x.shape[1])
    order = np.empty(n, np.int64)
    order[np.argsort(y @ direction, kind="stable")] = np.argsort(x @ direction, kind="stable")
    if (order == np.arange(n)).all() or not alike(x[order], y, unit):
        return ""
    if (order == np.arange(n)[::-1]).all():
        return "from last to first"
    for rows in range(2, n):
        if n % rows == 0 and (order == np.arange(n).reshape(rows, -1).T.ravel()).all():
            return f"taken as {rows} by {n // rows} numbers and transposed"
    return f"in the order {order.tolist()}" if n <= LISTED else "in another order"


# --- quantised --------------------------------------------------------------------------------------------------------


def blocks_of(a: Array, b: Array, axes: str) -> str:
    """The name of the kind whose blocks these are: each 32 numbers whole multiples of one scale, near the first's."""
    groups = matrix(axes)
    if groups is None:
        return ""
    first = int(np.prod([size for letter, size in zip(axes, b.shape, strict=True) if letter in groups[0]]))
    one, other = (np.asarray(each, np.float64).reshape(first, -1) for each in (a, b))
    for x, y in ((one.T, other.T), (one, other)):
        if y.shape[1] % BLOCK == 0:
            for name, levels in LEVELS.items():
                x_row, y_row = x[:1].reshape(-1, BLOCK), y[:1].reshape(-1, BLOCK)
                if in_blocks(x_row, y_row, levels) and in_blocks(x.reshape(-1, BLOCK), y.reshape(-1, BLOCK), levels):
                    return name
    return ""


def in_blocks(x: Array, y: Array, levels: int) -> bool:
    scale = np.abs(y).max(1, keepdims=True) / levels
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.where(scale > 0, y / scale, 0)
    # the largest step between two numbers is one scale, and the scale itself was rounded to float16
    close = np.abs(x - y) <= 1.1 * scale + np.abs(y) * 2.0**-10 + 2.0**-24
    return bool((np.abs(count - np.round(count)) < 1e-3).all() and close.all())
