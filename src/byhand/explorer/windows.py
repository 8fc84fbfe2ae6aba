"""Windows of tensors: the part that is on the screen, pooled to its cells, or number by number with all digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from byhand.addresses import axes_of
from byhand.checkpoints.files.quantized import Quantized
from byhand.errors import InputError
from byhand.explorer.answer import Answer
from byhand.explorer.blocks import few_rows
from byhand.explorer.digits import bits, number, texts
from byhand.explorer.jobs import Job
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.explorer.pooling import as_float32, factor, pooled
from byhand.explorer.scene import Scene
from byhand.explorer.session import Session
from byhand.run import Run
from byhand.shapes import Place, Shape, within
from byhand.weights import slices

Array = np.ndarray[Any, Any]

PARTS = ("a", "b", "difference")
POOLS = ("extreme", "mean")
MOST_SIDE, MOST_CELLS = 4096, 900_000  # of one window
MOST_WRITTEN = 4096  # cells whose digits are sent along
MOST_LABELS = 2048


@dataclass(frozen=True)
class Asked:
    """One or two scenes, and an address that both have. part: which of the two, or the second minus the first."""

    scene: Scene
    other: Scene | None
    part: str
    address: str
    run: Run
    shape: Shape


def asked(session: Session, read: Parameters, job: Job) -> Asked:
    """What a request wants to look at. Raises InputError, AddressError."""
    scene = session.scene(read)
    other = session.scene(read, "other") if read.get("other", None) is not None else None
    part = read.text("part", "a", one_of=PARTS)
    if other is None and part != "a":
        raise InputError(f"{read.what}: part is {part}, which needs an other scene")
    run = session.run(other if other and part == "b" else scene, job)
    address = known(run, read.text("address"))
    return Asked(scene, other, part, address, run, run.shape(address))


def known(run: Run, address: str) -> str:
    """The address, if the run has such a value. Raises AddressError, InputError."""
    run.shape(address)
    if address.startswith("d:") and run.gradients is None:
        raise InputError(f"{address}: this scene has no gradient; it says of which number one is taken")
    return address


def values(session: Session, of: Asked, place: Place, job: Job, *, widen: bool = True) -> Array:
    """The stored numbers of a part of a value, or of the second scene minus those of the first, in the same type.

    widen: may be left out where only the numbers count; a weight that a file holds in fewer bits is then not copied.
    """
    if of.part != "difference" or of.other is None:
        scene = of.other if of.part == "b" and of.other else of.scene
        return cut(session, scene, of, place, job, widen)
    before, after = cut(session, of.scene, of, place, job), cut(session, of.other, of, place, job)
    whole = before.dtype.kind in "iub"
    wide, kept = (np.int64, np.int64) if whole else (np.float64, np.result_type(before, after))
    with np.errstate(all="ignore"):  # -inf - -inf is NaN here: both are masked
        return (after.astype(wide) - before.astype(wide)).astype(kept)


def cut(session: Session, scene: Scene, of: Asked, place: Place, job: Job, widen: bool = True) -> Array:
    """A part of one scene's value; of a weight that lies in memory or in a file, only this part is read."""
    run = session.run(scene, job)
    known(run, of.address)
    if run.shape(of.address) != of.shape:
        raise InputError(
            f"{of.address} has shape {of.shape} in one scene and {run.shape(of.address)} in the other; "
            "compare texts of equal length"
        )
    source = run.setting.weights.sources.get(of.address)
    if isinstance(source, np.ndarray):
        if not widen and np.can_cast(source.dtype, run.setting.precision.kept):
            return source[place]
        return np.asarray(run.setting.precision.keep(source[place]))
    if isinstance(source, Quantized):
        rows = few_rows(source, run.program.axes(of.address), place)
        if rows is not None:
            return np.asarray(run.setting.precision.keep(rows))
    return np.asarray(session.look(scene, of.address, job)[place])


# --- windows ----------------------------------------------------------------------------------------------------


@operation("window")
def window(session: Session, read: Parameters, job: Job) -> Answer:
    """A part of one or two axes of a value, in at most so many cells."""
    of = asked(session, read, job)
    index, shown = fixed(read, of)
    sizes = [of.shape[axis] for axis in shown]
    rows = span(read, "rows", sizes[0] if len(shown) == 2 else 1)
    columns = span(read, "columns", sizes[-1] if shown else 1)
    height, width = read.whole("height", 1, MOST_SIDE, 512), read.whole("width", 1, MOST_SIDE, 512)
    way = read.text("pool", "extreme", one_of=POOLS)
    if height * width > MOST_CELLS:
        raise read.refuse("height", f"height and width of at most {MOST_CELLS} cells in all")
    for axis, places in zip(shown[::-1], (columns, rows), strict=False):
        index[axis] = slice(*places)
    factors = factor(rows[1] - rows[0], height), factor(columns[1] - columns[0], width)
    matrix = values(session, of, tuple(index), job, widen=factors == (1, 1))
    kind = of.run.setting.precision.kept if of.address in of.run.program.weights else matrix.dtype
    matrix = matrix.reshape(rows[1] - rows[0], columns[1] - columns[0]) if matrix.ndim < 2 else matrix
    cells = np.ascontiguousarray(pooled(matrix, factors, way))
    head = {
        "address": of.address,
        "shape": list(of.shape),
        "axes": axes_of(of.run.program, of.address),
        "rows": list(rows),
        "columns": list(columns),
        "factor": list(factors),
        "dtype": kind.name,
        "row_labels": labels(of.run, of.address, shown[-2] if len(shown) == 2 else None, rows, factors[0]),
        "column_labels": labels(of.run, of.address, shown[-1] if shown else None, columns, factors[1]),
        **ends(matrix, kind),
        **written(matrix, factors),
    }
    return Answer(head, {"values": cells})


def fixed(read: Parameters, of: Asked) -> tuple[list[Any], list[int]]:
    """The index of a window, and the axes it shows: those where the index says null. Raises InputError."""
    given = read.get("index")
    if not isinstance(given, list) or len(given) != len(of.shape):
        raise read.refuse("index", f"{len(of.shape)} places, null for the axes to show")
    shown = [axis for axis, each in enumerate(given) if each is None]
    if len(shown) > 2:
        raise read.refuse("index", "null for at most two axes")
    axes = axes_of(of.run.program, of.address)
    places = zip(given, of.shape, axes, strict=True)
    return [slice(None) if i is None else within(i, size, f"{of.address}, axis {a}") for i, size, a in places], shown


def span(read: Parameters, name: str, size: int) -> tuple[int, int]:
    """From where to where along an axis; all of it if not said. Raises InputError."""
    found = read.wholes(name, None)
    if found is None:
        return 0, size
    if len(found) != 2 or not 0 <= found[0] < found[1] <= size:
        raise read.refuse(name, f"[from, to] within 0 and {size}")
    return found[0], found[1]


def ends(matrix: Array, kind: np.dtype[Any]) -> dict[str, Any]:
    """The least and greatest finite number of a window as text, null where there is none; how many are masked."""
    low, high, masked = np.inf, -np.inf, 0
    for part in slices(matrix if abs(matrix.strides[0]) >= abs(matrix.strides[1]) else matrix.T):
        plain = as_float32(part) if part.dtype.itemsize == 2 else part
        with np.errstate(invalid="ignore"):
            least, most = plain.min(), plain.max()
        if not (np.isfinite(least) and np.isfinite(most)):
            masked += int(np.isneginf(plain).sum())
            finite = plain[np.isfinite(plain)]
            least, most = (finite.min(), finite.max()) if finite.size else (np.inf, -np.inf)
        low, high = min(low, least), max(high, most)
    texts = [number(kind.type(each)) if low <= high else None for each in (low, high)]
    return {"minimum": texts[0], "maximum": texts[1], "masked": masked}


def written(matrix: Array, factors: tuple[int, int]) -> dict[str, Any]:
    """All digits and bits of the numbers of a small window of single cells."""
    if factors != (1, 1) or matrix.size > MOST_WRITTEN:
        return {}
    return {"texts": texts(matrix), "bits": bits(matrix)}


def labels(run: Run, address: str, axis: int | None, places: tuple[int, int], each: int) -> list[str] | None:
    """The tokens along an axis of a window, where single places are shown and they have tokens."""
    if axis is None or each > 1 or places[1] - places[0] > MOST_LABELS:
        return None
    letter = axes_of(run.program, address)[axis]
    if letter == "V":
        names = run.setting.tokens
        return None if names.tokenizer is None else [names.text(token) for token in range(*places)]
    found = run.labels(address).get(letter)
    return None if found is None else found[slice(*places)]


@operation("cell")
def cell(session: Session, read: Parameters, job: Job) -> Answer:
    """One number with all its digits."""
    of = asked(session, read, job)
    index = element_of(read, of.run, of.address, of.shape)
    return Answer(
        {"address": of.address, "index": list(index), **shown_number(values(session, of, index, job)[()])}
        | {"labels": places(of.run, of.address, index)}
    )


def element_of(read: Parameters, run: Run, address: str, shape: Shape) -> tuple[int, ...]:
    """The index of one number. Raises InputError, AddressError."""
    given = read.wholes("index", most=8)
    if len(given) != len(shape):
        raise read.refuse("index", f"{len(shape)} whole numbers")
    axes = axes_of(run.program, address)
    return tuple(within(i, n, f"{address}, axis {a}") for i, n, a in zip(given, shape, axes, strict=True))


def shown_number(stored: Any) -> dict[str, Any]:
    """A stored number in digits, bits and, where JSON can hold it, as a number."""
    value = float(stored)
    return {
        "text": number(stored),
        "bits": bits(np.asarray(stored)),
        "dtype": np.asarray(stored).dtype.name,
        "value": value if np.isfinite(value) else None,
    }


def places(run: Run, address: str, index: tuple[int, ...]) -> dict[str, str]:
    """The token of each place of an index that has one, by the axis letter."""
    found = {}
    for axis, (letter, i) in enumerate(zip(axes_of(run.program, address), index, strict=True)):
        names = labels(run, address, axis, (i, i + 1), 1)
        if names:
            found[letter] = names[0]
    return found
