"""Which steps of a program, forward or backward, belong to a part of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase

from byhand.errors import AddressError
from byhand.program import BackwardStep, Program, Step


def belongs(address: str, part: str) -> bool:
    """Whether an address is the part, starts with it, or fits it as a pattern (``blocks.*.mlp``)."""
    return not part or fnmatchcase(address, part) or fnmatchcase(address, f"{part}.*")


def forward(program: Program, part: str) -> list[Step]:
    """The steps of a part, in order. Raises AddressError with the nearest addresses when there are none."""
    steps = [step for step in program if any(belongs(address, part) for address in step.writes.values())]
    if not steps:
        raise unknown(program, part)
    return steps


def backward(program: Program, part: str, steps: Iterable[BackwardStep]) -> list[BackwardStep]:
    """The backward steps of a part, out of all, in order; none where no gradient passes through it.

    A sum of parts belongs to it when its value does, or when all that it adds up does. Raises AddressError when the
    part is unknown.
    """
    own = {step.address for step in forward(program, part)}
    found: list[BackwardStep] = []
    given: set[str] = set()
    for each in steps:
        (value, *_) = each.writes
        inside = each.step.address in own if each.step else value in own or given.issuperset(each.reads)
        if inside:
            found.append(each)
            given.update(each.writes.values())
    return found


def differentiated(program: Program, part: str) -> tuple[str, list[BackwardStep]]:
    """What is differentiated, the result of the program or what comes last in the part, and the part's backward steps.

    Raises AddressError when the part is unknown or depends on no weight.
    """
    for of in (result(program), forward(program, part)[-1].address):
        steps = backward(program, part, program.reverse(of))
        if steps:
            return of, steps
    raise AddressError(f"no gradient passes through {part} of {program.name}: it depends on no weight")


def result(program: Program) -> str:
    """What a program's gradients are of: its loss, or without targets its logits, or whatever comes last."""
    return next((name for name in ("loss", "logits") if name in program.producer), program.steps[-1].address)


def unknown(program: Program, part: str) -> AddressError:
    """The error for a part that no step belongs to, with the nearest ones that there are."""
    near = get_close_matches(part, prefixes(program.producer), n=3, cutoff=0.4) or ["blocks.0"]
    return AddressError(f"no step of {program.name} belongs to {part!r}; the nearest are {', '.join(near)}")


def prefixes(addresses: Collection[str]) -> list[str]:
    """All addresses and what they start with, each once."""
    words = (address.split(".") for address in addresses)
    return list(dict.fromkeys(".".join(each[:end]) for each in words for end in range(1, len(each) + 1)))
