"""Everything there is in a scene's run, in the order of the program, and figures of whole values."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite, prod
from typing import Any

import numpy as np

from byhand.addresses import base
from byhand.engines.reference import precision
from byhand.explorer.answer import Answer
from byhand.explorer.digits import number
from byhand.explorer.jobs import Job
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.explorer.pooling import as_float32
from byhand.explorer.scene import Scene
from byhand.explorer.session import Session
from byhand.explorer.windows import known
from byhand.program import Program
from byhand.weights import slices

Array = np.ndarray[Any, Any]

MOST_STATS = 64


@operation("outline")
def outline(session: Session, read: Parameters, job: Job) -> Answer:
    """Every value of a scene, what made it and what that read; nothing is computed."""
    scene = session.scene(read)
    program, given = session.plan(scene)
    shapes = program.shapes(**program.lengths({address: array.shape for address, array in given.items()}))
    types = types_of(program, given, scene)
    entries = [
        {"address": address, "axes": program.axes(address), "shape": list(shapes[address]), "dtype": types[address]}
        | made_by(program, address, prod(shapes[address]))
        for address in program.addresses
    ]
    place = {address: i for i, address in enumerate(in_order(program))}
    entries.sort(key=lambda each: place[each["address"]])
    return Answer({"entries": [*entries, *gradients(program, scene, entries)]})


def in_order(program: Program) -> Iterator[str]:
    """Inputs, then for each step the weights that it is the first to read, then what it writes."""
    seen = dict.fromkeys(program.inputs)
    for step in program:
        seen |= dict.fromkeys(read for read in step.reads if read in program.weights)
        seen |= dict.fromkeys(step.writes.values())
    seen |= dict.fromkeys(program.weights)
    return iter(seen)


def types_of(program: Program, given: dict[str, Array], scene: Scene) -> dict[str, str]:
    """The type of every value as the run holds it."""
    held = precision(scene.dtype)
    types = {address: array.dtype.name for address, array in given.items()}
    types |= dict.fromkeys(program.weights, held.kept.name)
    for address, step in program.producer.items():
        wide = step.operator.wide or address != step.address
        types[address] = (held.computed if wide else held.kept).name
    return types


def made_by(program: Program, address: str, size: int) -> dict[str, Any]:
    step = program.producer.get(address)
    weight = address in program.weights
    return {
        "kind": "weight" if weight else "input" if step is None else "value" if step.address == address else "side",
        "operator": step.operator.name if step else "",
        "reads": [each for each in step.reads if each is not None] if step else [],
        "block": block_of(address),
        "parameters": size if weight else 0,
    }


def block_of(address: str) -> int | None:
    """The number of the layer that an address belongs to."""
    words = base(address).removeprefix("source.").split(".")
    return int(words[1]) if words[0] == "blocks" and len(words) > 1 and words[1].isdecimal() else None


def gradients(program: Program, scene: Scene, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The gradients that the scene has, in the order in which they are computed."""
    if scene.gradient is None or scene.gradient.of not in program.producer:
        return []
    of, held = scene.gradient.of, precision(scene.dtype)
    by_address = {each["address"]: each for each in entries}
    found = [{**by_address[of], "address": f"d:{of}", "kind": "gradient", "operator": "", "reads": []}]
    for each in program.reverse(of):
        wide = each.step is not None and each.step.operator.wide
        rest = {"kind": "gradient", "operator": each.name, "reads": list(each.reads), "parameters": 0}
        rest["dtype"] = (held.computed if wide else held.kept).name
        for written in each.writes.values():
            address = written if written.startswith("d:") else f"d:{written}"
            found.append(by_address[base(address)] | rest | {"address": address})
    return found


# --- figures of whole values ------------------------------------------------------------------------------------


@operation("stats")
def stats(session: Session, read: Parameters, job: Job) -> Answer:
    """The least, mean and greatest number of some values, and how many are no ordinary numbers."""
    scene = session.scene(read)
    run = session.run(scene, job)
    addresses = [known(run, each) for each in read.names("addresses", most=MOST_STATS)]
    job.expect(len(addresses), "figures")
    found = {}
    for address in addresses:
        found[address] = figures(session.look(scene, address, job))
        job.step()
    return Answer({"stats": found})


def figures(array: Array) -> dict[str, Any]:
    """The least, mean and greatest finite number as text (null without one), and counts."""
    if array.dtype.kind in "iub":
        return whole_figures(array)
    low, high, total, zero, nan, infinite = np.inf, -np.inf, 0.0, 0, 0, 0
    for part in slices(array if array.ndim else array.reshape(1)):
        plain = as_float32(part) if part.dtype.kind == "V" else part
        zero += plain.size - int(np.count_nonzero(plain))
        ends = float(plain.min()), float(plain.max())
        if not (isfinite(ends[0]) and isfinite(ends[1])):
            nan += int(np.isnan(plain).sum())
            infinite += int(np.isinf(plain).sum())
            plain = plain[np.isfinite(plain)]
            ends = (float(plain.min()), float(plain.max())) if plain.size else (np.inf, -np.inf)
        low, high, total = min(low, ends[0]), max(high, ends[1]), total + float(plain.sum(dtype=np.float64))
    count, kind = array.size - nan - infinite, array.dtype.type
    means = [number(kind(each)) for each in (low, total / count, high)] if count else [None] * 3
    counts = {"nan": nan, "infinite": infinite, "zero": zero, "size": array.size}
    return dict(zip(("minimum", "mean", "maximum"), means, strict=True)) | counts


def whole_figures(array: Array) -> dict[str, Any]:
    zero = array.size - int(np.count_nonzero(array))
    texts = [number(int(array.min())), number(float(array.mean())), number(int(array.max()))]
    counts = {"nan": 0, "infinite": 0, "zero": zero, "size": array.size}
    return dict(zip(("minimum", "mean", "maximum"), texts, strict=True)) | counts
