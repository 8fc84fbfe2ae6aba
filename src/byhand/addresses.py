"""Names of values: which there are, which a pattern means, and what to say when there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import accumulate
from math import prod

import numpy as np

from byhand import aliases
from byhand.aliases.recipe import same
from byhand.errors import AddressError, InputError
from byhand.program import Program
from byhand.shapes import Index, Place, Shape, complete, element, part, pick


def known(program: Program, name: str) -> bool:
    return base(name) in program


def base(name: str) -> str:
    """The value that ``d:x``, ``d:x@step`` and ``x@unedited`` speak of."""
    return name.removeprefix("d:").partition("@")[0]


def axes_of(program: Program, address: str) -> str:
    return program.axes(base(address))


def unknown(program: Program, name: str) -> AddressError:
    """The error for an address that does not exist, with the nearest ones that do."""
    near = get_close_matches(name.removeprefix("d:"), program.addresses, n=3, cutoff=0.5)
    some = ", ".join(step.address for step in program.steps[:3])
    hint = f"the nearest are {', '.join(near)}" if near else f"addresses look like {some}; the program lists them all"
    return AddressError(f"{program.name} has no value {name!r}; {hint}")


def resolve(program: Program, name: str) -> str:
    """The address that a name means: itself, or the value another project calls so and stores alike.

    Raises AddressError for an unknown name and for one whose numbers stand in another order here.
    """
    if known(program, name):
        return name
    view = aliases.find(program, name.removeprefix("d:"))
    if view is None:
        raise unknown(program, name)
    if view.stacked or view.recipe.make is not same:
        raise AddressError(f"{name} is a rearrangement of {', '.join(view.addresses[:3])}; name the value itself")
    return "d:" * name.startswith("d:") + view.addresses[0]


def located(
    program: Program, shapes: Mapping[str, Shape], name: str, index: Sequence[int] | None, choice: Mapping[str, int]
) -> tuple[str, Index]:
    """Address and index of one element that is named in any project's words: ``att[0,0,1,2,1]`` is in block 0.

    Raises AddressError for an unknown name or place and for numbers that are computed, InputError for an open axis.
    """
    if known(program, name):
        return name, one(program, name, shapes[base(name)], index, choice)
    view = aliases.find(program, name.removeprefix("d:"))
    if view is None:
        raise unknown(program, name)
    if view.computed:
        raise AddressError(f"{name} is computed from {', '.join(view.addresses)}; name one of these")
    # every element gets a number; where the numbers come to lie says which element is which
    starts = dict(zip(view.addresses, accumulate((prod(shapes[a]) for a in view.addresses), initial=0), strict=False))
    numbered = view.build(lambda address: starts[address] + np.arange(prod(shapes[address])).reshape(shapes[address]))
    refuse_both(name, choice if index is not None else {})
    shape = numbered.shape
    place = complete(view.axes, shape, choice, name) if index is None else element(view.axes, shape, index, name)
    number = int(numbered[place])
    address = max((a for a in starts if starts[a] <= number), key=lambda a: starts[a])
    at = np.unravel_index(number - starts[address], shapes[address])
    return "d:" * name.startswith("d:") + address, tuple(map(int, at))


def any_match(program: Program, pattern: str) -> bool:
    return any(fnmatchcase(address, pattern) for address in program.producer)


def matches(program: Program, patterns: Sequence[str]) -> list[str]:
    """The addresses that fit any pattern or alias: what steps write, in order; weights and inputs for a pattern that no
    step fits. Raises AddressError for a pattern that fits nothing.
    """
    found: set[str] = set()
    for pattern in patterns:
        if pattern in program.producer:
            found.add(pattern)  # an address is no pattern, and there may be hundreds of them
            continue
        fitting = {address for address in program.producer if fnmatchcase(address, pattern)}
        fitting = fitting or {address for address in program.addresses if fnmatchcase(address, pattern)}
        if not fitting:
            views = [view for name, view in aliases.views(program).items() if fnmatchcase(name, pattern)]
            fitting = {address for view in views for address in view.addresses}
        if not fitting:
            raise unknown(program, pattern)
        found |= fitting
    return [address for address in program.addresses if address in found]


def is_side(program: Program, address: str) -> bool:
    step = program.producer.get(address)
    return step is not None and step.address != address


def place(
    program: Program,
    address: str,
    shape: Shape,
    index: Sequence[int | slice] | None,
    choice: Mapping[str, int | slice],
) -> Place:
    """A part of a value as a full index. Raises AddressError outside the array."""
    axes = axes_of(program, address)
    if index is None:
        return pick(axes, shape, choice, address)
    refuse_both(address, choice)
    return part(axes, shape, index, address)


def one(program: Program, address: str, shape: Shape, index: Sequence[int] | None, choice: Mapping[str, int]) -> Index:
    """One element of a value. Raises AddressError outside the array and InputError when an axis is left open."""
    axes = axes_of(program, address)
    if index is None:
        return complete(axes, shape, choice, address)
    refuse_both(address, choice)
    return element(axes, shape, index, address)


def refuse_both(address: str, choice: Mapping[str, int | slice]) -> None:
    if choice:
        raise InputError(f"{address}: got an index and also {', '.join(choice)}; say where in one of the two ways")
