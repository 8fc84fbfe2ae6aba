"""Named arrays: a model's weights, given, made at random, or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod, sqrt
from typing import Any
from zlib import crc32

import numpy as np

from byhand.errors import AddressError, InputError, ShapeError
from byhand.program import Program

Array = np.ndarray[Any, Any]


class Weights(Mapping[str, Array]):
    """The weights of one program by address, each made or read when first asked for.

    An array may be a view of a larger stored one (GPT-2's q, k and v). Nothing here ever writes to an array: a change
    makes new Weights that share all others.
    """

    def __init__(self, sources: Mapping[str, Array | Callable[[], Array]]) -> None:
        self.sources = dict(sources)

    def __getitem__(self, address: str) -> Array:
        source = self.sources[address]
        if callable(source):
            source = self.sources[address] = source()
            source.flags.writeable = False
        return source

    def __iter__(self) -> Iterator[str]:
        return iter(self.sources)

    def __len__(self) -> int:
        return len(self.sources)

    def pending(self, address: str) -> bool:
        """Whether the array has still to be made."""
        return callable(self.sources[address])

    def replaced(self, address: str, array: Array) -> Weights:
        """The same weights with one array exchanged for another of the same shape."""
        if address not in self.sources:
            raise AddressError(f"no weight {address!r}")
        if array.shape != self[address].shape:
            raise ShapeError(f"{address} has shape {self[address].shape}, got {array.shape}; give an array of that shape")
        return Weights({**self.sources, address: array})


def given(program: Program, arrays: Mapping[str, Array]) -> Weights:
    """Check that the arrays are exactly what the program reads. Raises ShapeError or InputError naming the first misfit."""
    shapes = program.shapes()
    missing = [address for address in program.weights if address not in arrays]
    left_over = [address for address in arrays if address not in program.weights]
    if missing or left_over:
        parts = [f"missing: {', '.join(missing[:5])}"] * bool(missing) + [f"not read: {', '.join(left_over[:5])}"] * bool(left_over)
        raise InputError(f"the weights are not those of {program.name}: {'; '.join(parts)}")
    for address in program.weights:
        array = arrays[address]
        if array.shape != shapes[address]:
            raise ShapeError(f"{address} ({program.weights[address]}) has shape {array.shape}, {program.name} needs {shapes[address]}")
        if array.dtype.kind in "iubc":
            raise InputError(f"{address} holds {array.dtype}; weights are real numbers")
    return Weights(arrays)


def random(program: Program, seed: int, dtype: Any = np.float32) -> Weights:
    """Weights from a seed, each array from the seed and its own address, so one can be made without the others.

    Products keep the size of what they read; gains, shifts and biases are random too, so that no part of the model is
    without effect.
    """

    def maker(address: str, axes: str) -> Callable[[], Array]:
        return lambda: initial(address, axes, tuple(program.sizes[letter] for letter in axes), seed).astype(dtype)

    return Weights({address: maker(address, axes) for address, axes in program.weights.items()})


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
