"""What of a model can be switched off by name: heads, neurons, whole layers, positions, parts of the embedding.

Each is where an ordinary edit goes; the menus of the page write such edits and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field

from byhand.explorer.answer import Answer
from byhand.explorer.jobs import Job
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.explorer.session import Session
from byhand.operators import add, from_heads, linear, mix
from byhand.program import Program, Step
from byhand.run import Run

LAYER = re.compile(r"(?<=blocks\.)\d+(?=\.)")


@dataclass(frozen=True)
class Part:
    """One kind of part. address: with * for the layer, where there are layers; axis: along which single ones lie, None
    where all of it is one; position: the axis of positions.
    """

    name: str
    address: str
    axes: str
    axis: int | None
    count: int
    position: int | None
    layers: list[int] = field(default_factory=list)


@operation("ablations")
def ablations(session: Session, read: Parameters, job: Job) -> Answer:
    """The kinds of parts that the scene's program has, in its order."""
    run = session.run(session.scene(read), job)
    read.all_asked()
    return Answer({"parts": [asdict(each) for each in parts(run)]})


def parts(run: Run) -> list[Part]:
    found: dict[tuple[str, str], Part] = {}
    for step in run.program:
        for name, address, letter in named(run.program, step):
            layer = LAYER.search(address)
            starred = LAYER.sub("*", address, count=1)
            if (name, starred) not in found:
                found[name, starred] = part(run, name, address, starred, letter)
            if layer:
                found[name, starred].layers.append(int(layer[0]))
    return list(found.values())


def part(run: Run, name: str, address: str, starred: str, letter: str) -> Part:
    axes, shape = run.program.axes(address), run.shape(address)
    axis = axes.index(letter) if letter else None
    count = 1 if axis is None else shape[axis]
    return Part(name, starred, axes, axis, count, axes.index("T") if "T" in axes else None)


def named(program: Program, step: Step) -> list[tuple[str, str, str]]:
    """What a step makes that people switch off: its name, address, and the letter of its single ones."""
    of = whose(step.address)
    if step.operator is mix:
        return [(f"{of}attention head", step.address, "H")]
    if step.operator is from_heads:
        return [(f"{of}attention of a layer", step.address, "")]
    read = step.reads[0]
    if step.operator is linear and read in program.producer and program.axes(read).endswith("F"):
        return [(f"{of}neuron", read, "F"), (f"{of}feed-forward of a layer", step.address, "")]
    if re.search(r"(^|\.)embed\.", step.address) and step.axes == "BTD":
        return [(f"{of}embedding: {step.address.rpartition('.')[2]}", step.address, "")]
    if step.operator is add or re.search(r"blocks\.\d+\.out$", step.address):
        return [(f"{of}stream: {step.address.rpartition('.')[2]}", step.address, "D")]
    return []


def whose(address: str) -> str:
    return "source " if address.startswith("source.") else "cross-" if ".cross." in address else ""
