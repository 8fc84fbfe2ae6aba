"""An operator's letters in a step's own: the second product of a feed-forward goes from F to D, not from D to F."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from byhand.arithmetic import named_sizes
from byhand.program import Program, Step
from byhand.shapes import AXES

SPARE = "ECAMNQUWXZ"  # for a second axis of the same kind: the E in einsum("BTE,ED->BTD", x, weight)
HEAD, GROUP = "i", "g"  # which query head and which key/value head the lines for one head are about


def with_axes(step: Step, program: Program) -> Iterator[tuple[str, str]]:
    """The main output and every input that is there: its axes in the operator's letters and in the program's."""
    main, *_ = step.operator.outputs
    yield main.axes, step.axes
    for operand, read in zip(step.operator.inputs, step.reads, strict=True):
        if read is not None:
            yield operand.axes, program.axes(read)


def distinct(axes: str) -> list[str]:
    """A small letter for every axis, another one where an axis comes twice (DD: d and e), 0 for an axis of size one."""
    spare = iter(SPARE.lower())
    seen = ["0" if axis == "1" else axis.lower() for axis in axes]
    return [next(spare) if letter in seen[:place] and letter != "0" else letter for place, letter in enumerate(seen)]


@dataclass(frozen=True)
class Letters:
    """How one step's letters are written. The axes of what it writes keep their letters; where an input calls one of
    them differently (keys come from a stream with axes BTD but have axes BSGK), the output's letter holds.
    """

    step: Step
    program: Program

    @cached_property
    def axes(self) -> dict[str, str]:
        """The program's axis by the operator's letter; "1" for an axis that has size one here."""
        found: dict[str, str] = {}
        for generic, actual in with_axes(self.step, self.program):
            for letter, axis in zip(generic, actual, strict=True):
                found.setdefault(letter, axis)
        return found | {name: name for name in self.step.attributes if len(name) == 1 and name.isupper()}

    @cached_property
    def written(self) -> dict[str, str]:
        """The letter to write by the operator's letter, each another one."""
        spare = iter(SPARE)
        made: dict[str, str] = {}
        for letter, axis in self.axes.items():
            wanted = letter if axis == "1" else axis
            made[letter] = next(spare) if wanted in made.values() else wanted
        return made | ({"G": made["H"]} if self.shared == 1 else {})

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The sizes that the model fixes, by the operator's letter."""
        known = {**self.program.sizes, **self.step.attributes, "1": 1}
        return {letter: known[axis] for letter, axis in self.axes.items() if axis in known}

    @cached_property
    def shared(self) -> int | None:
        """R, how many query heads share one key/value head, for an operator that speaks of it."""
        lines = self.step.operator.lines()
        return named_sizes(lines, self.sizes)["R"] if any(line.name == "R" for line in lines) else None

    @cached_property
    def single(self) -> frozenset[str]:
        """The small letters that can only be 0 here."""
        ones = {letter.lower() for letter, axis in self.axes.items() if axis == "1" and letter != "1"}
        return frozenset(ones | ({"r"} if self.shared == 1 else set()))

    @property
    def second(self) -> dict[str, str]:
        """The axis that each spare letter stands for."""
        return {self.written[k]: axis for k, axis in self.axes.items() if self.written[k] in SPARE}

    def subscripts(self, text: str) -> str:
        """The letters of an einsum: ``BTD,DF->BTF`` of the operator becomes ``BTF,FD->BTD`` of the step."""
        if self.shared == 1:
            text = text.replace("GR", "H")
        return "".join(self.written.get(letter, letter) for letter in text)


class Letter(NamedTuple):
    """What a letter of a listing means, and its size where the model or the caller fixes it."""

    meaning: str
    size: int | None = None


def key(program: Program, steps: Iterable[Step | None], sized: Mapping[str, int]) -> dict[str, Letter]:
    """What every letter in the shapes and lines of these steps means, in the order of AXES.

    sized: the sizes that are given besides those the model fixes.
    """
    sizes, used, further = {**program.sizes, **sized}, set(), {}
    for step in filter(None, steps):
        letters = Letters(step, program)
        used |= set(letters.axes.values())
        sizes |= {letter: size for letter, size in letters.sizes.items() if letter in step.attributes}
        further |= {spare: Letter(f"a second {AXES[axis]}", sizes.get(axis)) for spare, axis in letters.second.items()}
        if letters.shared and letters.shared > 1:
            each = f"query heads of one key/value head: h = {letters.shared} * g + r"
            further["R"] = Letter(each, letters.shared)
    known = {letter: Letter(meaning, sizes.get(letter)) for letter, meaning in AXES.items() if letter in used - {"1"}}
    if {"G", "H"} <= set(known) and sizes["G"] == sizes["H"]:
        known["G"] = Letter("key/value head, as many as H: g is h", sizes["G"])
    return known | further
