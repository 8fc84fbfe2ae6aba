"""Named arrays: a model's weights, given, made at random, or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import prod, sqrt
from typing import Any
from zlib import crc32

import numpy as np

from byhand.changes import Edit
from byhand.errors import AddressError, InputError, ShapeError
from byhand.program import Program
from byhand.shapes import Shape, whole

Array = np.ndarray[Any, Any]


AT_ONCE = 2**17  # numbers of an array that is worked on in parts


@dataclass(frozen=True, eq=False)
class Lazy:
    """An array that is made from a file each time it is asked for and never kept: quantised, or lying in pieces.

    parts: makes it some rows at a time, where that is possible; a table of tokens can be most of a model.
    """

    shape: Shape
    dtype: np.dtype[Any]
    make: Callable[[], Array]
    parts: Callable[[], Iterator[Array]] | None = field(default=None, kw_only=True)

    def __call__(self) -> Array:
        return self.make()


def slices(array: Array) -> Iterator[Array]:
    """An array some rows at a time."""
    rows = max(1, AT_ONCE // max(1, prod(array.shape[1:])))
    return (array[start : start + rows] for start in range(0, len(array), rows))


class Weights(Mapping[str, Array]):
    """The weights of one program by address, each made or read when first asked for (or each time, see Lazy).

    An array may be a view of a larger stored one (GPT-2's q, k and v). The arrays are read-only: a change makes new
    Weights that share all others.
    """

    def __init__(self, sources: Mapping[str, Array | Callable[[], Array]]) -> None:
        self.sources = {address: each if callable(each) else frozen(each) for address, each in sources.items()}

    def __getitem__(self, address: str) -> Array:
        if address not in self.sources:
            near = get_close_matches(address, self.sources, n=3, cutoff=0.4)
            raise AddressError(f"no weight {address!r}; the nearest are {', '.join(near) or 'none'}")
        source = self.sources[address]
        if isinstance(source, Lazy):
            return frozen(source())
        if callable(source):
            source = self.sources[address] = frozen(source())
        return source

    def parts(self, address: str) -> Iterator[Array]:
        """A weight some rows at a time, so that one that is made anew is never in memory as a whole."""
        source = self.sources.get(address)
        return source.parts() if isinstance(source, Lazy) and source.parts else slices(self[address])

    def __iter__(self) -> Iterator[str]:
        return iter(self.sources)

    def __len__(self) -> int:
        return len(self.sources)

    def __contains__(self, address: object) -> bool:
        return address in self.sources

    def __repr__(self) -> str:
        return f"<{len(self)} weights>"

    def pending(self, address: str) -> bool:
        """Whether the array has still to be made, and will then stay in memory."""
        return callable(self.sources[address]) and not isinstance(self.sources[address], Lazy)

    def dtype(self, address: str) -> np.dtype[Any]:
        """The type of a weight, without making or reading it where its source knows."""
        source = self.sources[address]
        return np.dtype(source.dtype) if isinstance(source, np.ndarray | Lazy | Drawn) else self[address].dtype

    def edited(self, edit: Edit) -> Weights:
        """The same weights with one of them changed; that one is float64 from then on, so that no digit is lost.

        Raises AddressError for an unknown weight and ShapeError when the edit does not fit.
        """
        wide = edit.apply(self[edit.address].astype(np.float64), own=True)
        return Weights({**self.sources, edit.address: wide})


def frozen(array: Array) -> Array:
    """The array, or a view of it, that cannot be written to."""
    if not array.flags.writeable:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def given(program: Program, arrays: Mapping[str, Array | Lazy]) -> Weights:
    """Check that the arrays are exactly what the program reads. Raises ShapeError or InputError for a misfit."""
    if not isinstance(arrays, Mapping):
        raise InputError(f"weights must be arrays by address, got {type(arrays).__name__}; give a dictionary")
    shapes = program.shapes()
    missing, left_over = program.weights.keys() - arrays.keys(), arrays.keys() - program.weights.keys()
    for what, names in (("misses", missing), ("does not read", left_over)):
        if names:
            some = ", ".join(sorted(names)[:5])
            raise InputError(f"{program.name} {what} {len(names)} weights: {some}; give exactly those of its program")
    for address, axes in program.weights.items():
        array = arrays[address]
        if not isinstance(array, np.ndarray | Lazy):
            raise InputError(f"{address} is of type {type(array).__name__}; give a NumPy array")
        if array.shape != shapes[address]:
            raise ShapeError(f"{address} ({axes}) has shape {array.shape}, but {program.name} needs {shapes[address]}")
        if array.dtype.kind not in "fV":  # V: bfloat16
            raise InputError(f"{address} holds {array.dtype}; give real numbers, such as float32")
    return Weights(arrays)


def random(program: Program, seed: int, dtype: Any = np.float32) -> Weights:
    """Weights from a seed, each array from the seed and its own address, so one can be made without the others.

    Products keep the size of what they read; gains, shifts and biases are random too, so that no part of the model is
    without effect. Raises InputError for a seed that is no whole number from 0 on.
    """
    if whole(seed) is None or seed < 0:
        raise InputError(f"seed is {seed!r}; give a whole number, 0 or more")

    shapes = {axes: tuple(program.sizes[letter] for letter in axes) for axes in program.weights.values()}
    return Weights(
        {address: Drawn(address, axes, shapes[axes], seed, dtype) for address, axes in program.weights.items()}
    )


@dataclass(eq=False)
class Drawn:
    """A random weight, made when first asked for and then kept for all who share it."""

    address: str
    axes: str
    shape: Shape
    seed: int
    dtype: Any
    array: Array | None = None

    def __call__(self) -> Array:
        if self.array is None:
            drawn = initial(self.address, self.axes, self.shape, self.seed)
            self.array = frozen(drawn.astype(self.dtype, copy=False))
        return self.array


def initial(address: str, axes: str, shape: tuple[int, ...], seed: int) -> Array:
    """A random array for one weight."""
    normal = np.random.default_rng([seed, crc32(address.encode())]).standard_normal(shape, dtype=np.float32)
    if address.endswith(".gain"):
        return 1 + 0.1 * normal
    if address.endswith((".shift", ".bias")):
        return 0.1 * normal
    return normal / np.float32(sqrt(fan_in(axes, shape)))


def fan_in(axes: str, shape: tuple[int, ...]) -> int:
    """How many products one output of this weight adds up; for a table, the width of its rows."""
    if axes == "HKD":
        return prod(shape[:2])
    return shape[-1] if axes in ("VD", "PD", "YD") else shape[0]
