"""Arrays under any project's names, as values and weights by address."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from byhand import aliases
from byhand.aliases import View
from byhand.compare.alike import LENGTHS
from byhand.errors import InputError
from byhand.program import Program
from byhand.shapes import Shape

Array = np.ndarray[Any, Any]

INPUTS = {
    "input_ids": "tokens",
    "tokens": "tokens",
    "attention_mask": "mask",
    "position_ids": "positions",
    "token_type_ids": "segments",
}


class Found(NamedTuple):
    """arrays: by address, in its shape; left: names that mean nothing here, or only what is computed from values."""

    arrays: dict[str, Array]
    left: tuple[str, ...]


def inputs_in(arrays: Mapping[str, Array], program: Program) -> dict[str, Array]:
    """The inputs of a program among named arrays."""
    found = {INPUTS.get(name, name): array for name, array in arrays.items()}
    return {name: array for name, array in found.items() if name in program.inputs and array.dtype.kind in "iub"}


def by_address(arrays: Mapping[str, Array], program: Program, shapes: Mapping[str, Shape], where: str) -> Found:
    """Values and weights from arrays named by address or in another project's words. Raises InputError for a misfit."""
    found: dict[str, Array] = {}
    left = []
    for name, array in arrays.items():
        address, gradient = name.removeprefix("d:"), "d:" * name.startswith("d:")
        if address in program.producer or address in program.weights:
            placed = {address: fitting(array, address, program, shapes, f"{name} in {where}")}
        elif (view := aliases.find(program, address)) and not view.computed:
            placed = taken_apart(array, view, program, shapes, f"{name} in {where}")
        else:
            left += [] if INPUTS.get(name, name) in program.inputs else [name]
            continue
        for each, value in placed.items():
            found.setdefault(gradient + each, value)
    return Found(found, tuple(left))


def fitting(array: Array, address: str, program: Program, shapes: Mapping[str, Shape], what: str) -> Array:
    """The array in the shape of its address; a batch of one may be missing, and a table may have more rows.

    What does not depend on the text, such as a row for each position, may be there once for all texts.
    """
    axes, shape = program.axes(address), shapes[address]
    if axes[:1] == "B" and array.shape == (1, *shape[1:]) and address not in program.dependents("tokens"):
        array = np.broadcast_to(array, shape)
    if array.ndim == len(shape) - 1 and axes[:1] == "B" and shape[0] == 1:
        array = array[None]
    fits = len(shape) == array.ndim and all(
        m == n or letter in LENGTHS for letter, m, n in zip(axes, array.shape, shape, strict=True)
    )
    if not fits:
        raise InputError(f"{what} has shape {array.shape}, but {address} ({axes}) of {program.name} has {shape}")
    return array


def taken_apart(array: Array, view: View, program: Program, shapes: Mapping[str, Shape], what: str) -> dict[str, Array]:
    """The values that another project's array holds. Raises InputError when it has another shape."""
    if len(view.addresses) == 1 and not view.stacked and view.axes == program.axes(view.addresses[0]):
        numbers_alone = view.build(lambda address: np.arange(prod(shapes[address])).reshape(shapes[address]))
        if (numbers_alone.ravel() == np.arange(numbers_alone.size)).all():
            return {view.addresses[0]: fitting(array, view.addresses[0], program, shapes, what)}
    # every element gets a number; where the numbers come to lie says which element is which
    starts = dict(zip(view.addresses, np.cumsum([0, *(prod(shapes[a]) for a in view.addresses)]), strict=False))
    numbered = view.build(lambda a: starts[a] + np.arange(prod(shapes[a])).reshape(shapes[a]))
    if array.size != numbered.size or array.squeeze().shape != numbered.squeeze().shape:
        raise InputError(f"{what} has shape {array.shape}, but there it has {numbered.shape}; compare like models")
    flat = np.empty(numbered.size, array.dtype)
    flat[numbered.ravel()] = array.ravel()
    return {a: flat[start : start + prod(shapes[a])].reshape(shapes[a]) for a, start in starts.items()}
