"""What changed between two runs of one program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from byhand import markup
from byhand.errors import InputError
from byhand.program import Program
from byhand.shapes import Index
from byhand.tokenizer import quoted

Array = np.ndarray[Any, Any]


class Comparable(Protocol):
    """What a comparison needs to know of a run."""

    @property
    def program(self) -> Program: ...

    @property
    def kept(self) -> dict[str, Array]: ...

    @property
    def inputs(self) -> dict[str, Array]: ...


@dataclass(frozen=True)
class Change:
    """How much one value differs: where most, both numbers there, and how many numbers differ at all."""

    address: str
    index: Index
    before: float
    after: float
    count: int
    size: int

    @property
    def amount(self) -> float:
        return abs(self.after - self.before) if self.after != self.before else 0.0

    def __str__(self) -> str:
        where = f"{self.address}[{','.join(map(str, self.index))}]"
        return f"{where}: {self.before:.6g} -> {self.after:.6g}   ({self.count} of {self.size} differ)"


@dataclass(frozen=True, repr=False)
class Diff:
    """The changes from one run to another, in program order; output: the last position's logits before and after."""

    changes: tuple[Change, ...]
    before: Array | None
    after: Array | None
    labels: tuple[str, ...] = ()

    @property
    def first(self) -> Change | None:
        """The first value of the program that differs; None when nothing does."""
        return self.changes[0] if self.changes else None

    def largest(self, most: int = 5) -> list[Change]:
        """The values that changed most; token ids and masks are not amounts."""
        amounts = [change for change in self.changes if isinstance(change.before, float)]
        return sorted(amounts, key=lambda change: -change.amount)[:most]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "first": vars(self.first) if self.first else None,
            "changes": [vars(change) for change in self.changes],
            "logits_before": None if self.before is None else self.before.tolist(),
            "logits_after": None if self.after is None else self.after.tolist(),
        }

    def __str__(self) -> str:
        if not self.changes:
            return "no kept value differs"
        lines = [f"first    {self.first}"] + [f"largest  {change}" for change in self.largest()]
        if self.before is not None and self.after is not None:
            lines.append(f"output   before: {best(self.before, self.labels)}")
            lines.append(f"         after:  {best(self.after, self.labels)}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.changes:
            return markup.card(markup.paragraph(str(self)))
        rows = [
            (
                f"{each.address}[{','.join(map(str, each.index))}]",
                f"{each.before:.6g}",
                f"{each.after:.6g}",
                f"{each.count} of {each.size}",
            )
            for each in self.changes
        ]
        outputs = [("before", self.before), ("after", self.after)]
        return markup.card(
            markup.paragraph(f"first: {self.first}"),
            markup.table(rows, ("where it differs most", "before", "after", "numbers that differ")),
            *(
                markup.bars(chances(logits_V, self.labels), f"next token {when}")
                for when, logits_V in outputs
                if logits_V is not None
            ),
        )


def chances(logits_V: Array, labels: tuple[str, ...], most: int = 5) -> list[tuple[str, float, str]]:
    """The most likely tokens with their probabilities, as a number and as it is written."""
    wide_V = logits_V.astype(np.float64)
    probs_V = np.exp(wide_V - wide_V.max())
    probs_V /= probs_V.sum()
    order = np.argsort(-probs_V, kind="stable")[:most]
    return [(quoted(labels[v]) if labels else str(v), float(probs_V[v]), f"{probs_V[v]:.1%}") for v in order]


def best(logits_V: Array, labels: tuple[str, ...], most: int = 3) -> str:
    """The most likely tokens with their probabilities."""
    return ", ".join(f"{name} {written}" for name, _, written in chances(logits_V, labels, most))


def diff(one: Comparable, other: Comparable, labels: tuple[str, ...] = ()) -> Diff:
    """Compare all values that both runs kept, in the order of the program. Raises InputError if they do not match."""
    if [step.address for step in one.program] != [step.address for step in other.program]:
        lacking = one.program.producer.keys() ^ other.program.producer.keys()
        which = f"only one computes {min(lacking)}" if lacking else "their steps stand in another order"
        raise InputError(f"the runs are of different programs ({one.program.name}, {other.program.name}): {which}")
    changes = []
    for address in [*one.inputs, *one.program.producer]:
        before, after = (run.kept.get(address, run.inputs.get(address)) for run in (one, other))
        if before is None or after is None or before is after:
            continue
        if before.shape != after.shape:
            shapes = f"{before.shape} in one run and {after.shape} in the other"
            raise InputError(f"{address} has shape {shapes}; run texts of equal length")
        change = compare(address, before, after)
        if change:
            changes.append(change)
    before, after = (run.kept["logits"][-1, -1] if "logits" in run.kept else None for run in (one, other))
    return Diff(tuple(changes), before, after, labels)


def compare(address: str, before: Array, after: Array) -> Change | None:
    """The largest difference between two arrays; None when all numbers are equal."""
    differs = (before != after) & ~(np.isnan(before.astype(float)) & np.isnan(after.astype(float)))
    if not differs.any():
        return None
    with np.errstate(invalid="ignore"):
        gap = np.where(differs, np.abs(after.astype(float) - before.astype(float)), 0)
    place = tuple(map(int, np.unravel_index(np.nanargmax(gap), gap.shape))) if gap.ndim else ()
    return Change(address, place, before[place].item(), after[place].item(), int(differs.sum()), differs.size)
