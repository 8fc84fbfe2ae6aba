"""The plan of the cpu engine in figures: what each group of fused steps moves, computes and takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Group(Protocol):
    """Steps that run as one. first, last: its calls; bytes: that it has to read and write; flops: its operations;
    in_bytes: whether its products may round to int8; seconds: of the last run.
    """

    names: Sequence[str]
    first: int
    last: int
    bytes: int
    flops: float
    in_bytes: bool
    seconds: float


@dataclass(frozen=True)
class Line:
    """One group beside what the machine would allow. count: how many groups like it there are, all of them added up."""

    name: str
    count: int
    calls: int
    bytes: int
    flops: float
    seconds: float
    allowed: float

    @property
    def share(self) -> float:
        """How near it comes to the machine's limit."""
        return self.allowed / self.seconds if self.seconds else 0.0


def lines(groups: Sequence[Group], limits: Mapping[str, float]) -> list[Line]:
    """One line for all groups that are the same in every block, in the order in which they first come.

    limits: of the machine, see `limits.measured`. A group may take as long as its bytes or its operations do, whichever
    is more.
    """
    alike: dict[str, list[Group]] = {}
    for group in groups:
        alike.setdefault(" + ".join(general(name) for name in group.names), []).append(group)
    return [line(name, found, limits) for name, found in alike.items()]


def line(name: str, groups: Sequence[Group], limits: Mapping[str, float]) -> Line:
    return Line(
        name,
        len(groups),
        sum(each.last - each.first for each in groups),
        sum(each.bytes for each in groups),
        sum(each.flops for each in groups),
        sum(each.seconds for each in groups),
        sum(allowed(each, limits) for each in groups),
    )


def allowed(group: Group, limits: Mapping[str, float]) -> float:
    """Seconds that the machine's limits allow for a group."""
    peak = limits[f"{'int8' if group.in_bytes else 'float32'} operations a second"]
    return max(group.bytes / limits["bytes a second"], group.flops / peak)


def general(name: str) -> str:
    """An address with the number of its block left open."""
    first, _, rest = name.partition(".")
    number, _, inner = rest.partition(".")
    return f"{first}.*.{inner}" if number.isdecimal() else name
