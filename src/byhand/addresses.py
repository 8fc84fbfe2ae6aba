"""Names of values: which there are, which a pattern means, and what to say when there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from byhand import aliases
from byhand.errors import AddressError
from byhand.program import Program, Shape
from byhand.shapes import pick



def known(program: Program, name: str) -> bool:
    return name.removeprefix("d:").partition("@")[0] in program


def axes_of(program: Program, address: str) -> str:
    return program.axes(address.removeprefix("d:").partition("@")[0])


def unknown(program: Program, name: str) -> AddressError:
    """The error for an address that does not exist, with the nearest ones that do."""
    near = get_close_matches(name, program.addresses, n=3, cutoff=0.4)
    hint = f"; the nearest are {', '.join(near)}" if near else f"; addresses look like {', '.join(program.addresses[-3:])}"
    return AddressError(f"{program.name} has no value {name!r}{hint}")


def any_match(program: Program, pattern: str) -> bool:
    return any(fnmatchcase(address, pattern) for address in program.producer)


def matches(program: Program, patterns: Sequence[str]) -> list[str]:
    """The step addresses that fit any pattern or alias, in program order. Raises AddressError for one that fits none."""
    found: set[str] = set()
    for pattern in patterns:
        fitting = {address for address in program.producer if fnmatchcase(address, pattern)}
        view = None if fitting else aliases.find(program, pattern)
        if not fitting and view is None:
            raise unknown(program, pattern)
        found |= fitting | (set(view.addresses) & set(program.producer) if view else set())
    return [address for address in program.producer if address in found]


def is_side(program: Program, address: str) -> bool:
    step = program.producer.get(address)
    return step is not None and step.address != address


def place(
    program: Program, address: str, shape: Shape, index: Sequence[int | slice] | None, choice: Mapping[str, int | slice]
) -> tuple[int | slice, ...]:
    """Where an edit applies, as a full index. Raises AddressError outside the array."""
    axes = axes_of(program, address)
    if index is None:
        return pick(axes, shape, choice, address)
    if len(index) > len(shape):
        raise AddressError(f"{address} has {len(shape)} axes {axes}, got {len(index)} indices")
    return pick(axes, shape, dict(zip(axes, index, strict=False)), address)
