"""One edit tried everywhere: for every head, layer or position, and what each does to one number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from byhand.addresses import axes_of
from byhand.errors import InputError
from byhand.explorer.answer import Answer
from byhand.explorer.comparing import divergence, end_of
from byhand.explorer.digits import bits, number, texts
from byhand.explorer.jobs import Job
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.explorer.scene import Scene, read_change
from byhand.explorer.session import Session
from byhand.program import Program
from byhand.run import Run

Array = np.ndarray[Any, Any]

STAR = "*"
AXES = {"head": "HG", "position": "TS"}  # which letters of an address a word may mean, the first that it has
OVER = ("layer", "head", "position", "layer×head", "layer×position", "head×position")
KINDS = ("logit", "probability", "loss", "kl")
MOST_CELLS = 20_000


@dataclass(frozen=True)
class Measure:
    """One number of a run. kind: of KINDS; token, position: of which number, where the kind has one; beside: the logits
    [V] of the run before, for the divergence from it.
    """

    kind: str
    token: int
    position: int
    beside: Array

    @property
    def needs(self) -> str:
        return {"probability": "probs", "loss": "loss"}.get(self.kind, "logits")

    def of(self, run: Run) -> Any:
        """The number, as it is stored; a divergence is computed in float64."""
        array = run.look(self.needs)
        if self.kind == "loss":
            return array[()]
        if self.kind == "kl":
            return np.float64(divergence(self.beside, array[0, self.position]))
        return array[0, self.position, self.token]


@operation("sweep")
def sweep(session: Session, read: Parameters, job: Job) -> Answer:
    """The same edit at every place that its stars stand for, one run for each cell."""
    scene = session.scene(read)
    over = read.text("over", one_of=OVER)
    base = session.run(scene, job)
    measure = asked_measure(session, read, scene)
    starred = read.get("change")
    read.all_asked()
    words = [*over.split("×"), ""][:2]
    rows, columns = (places(base, starred, word) for word in words)
    if len(rows) * len(columns) > MOST_CELLS:
        raise InputError(f"{len(rows)} x {len(columns)} runs are more than {MOST_CELLS}; sweep over less")
    job.expect(len(rows) * len(columns), "sweeping")
    values = [measured(session, scene, filled(starred, *cell), measure, job) for cell in product(rows, columns)]
    grid, before = np.array(values).reshape(len(rows), len(columns)), measure.of(base)
    effects = (grid.astype(np.float64) - np.float64(before)).astype(grid.dtype)
    head = {
        "rows": len(rows),
        "columns": len(columns),
        "names": words,
        "labels": [[each.token for each in places] for places in (rows, columns)],
        "numbers": [[each.number for each in places] for places in (rows, columns)],
        "base": number(before),
        "measure": {"kind": measure.kind, "token": measure.token, "position": measure.position},
        "texts": texts(grid),
        "bits": bits(grid),
        "effect_texts": texts(effects),
        "effect_ends": [number(effects.min()), number(effects.max())],
    }
    return Answer(head, {"values": grid.astype("<f8"), "effects": effects.astype("<f8")})


def asked_measure(session: Session, read: Parameters, scene: Scene) -> Measure:
    """What to measure; without a token, the one that is expected most. Raises InputError."""
    given = read.get("measure", {})
    if not isinstance(given, Mapping):
        raise read.refuse("measure", "an object with kind, token and position")
    asked, base = Parameters(given, "measure"), session.run(scene)
    kind = asked.text("kind", "logit", one_of=KINDS)
    position = end_of(session, scene, asked.whole("position", -1, base.inputs["tokens"].shape[1] - 1, -1))
    token = asked.whole("token", 0, base.program.sizes.get("V", 1) - 1, None)
    asked.all_asked()
    needs = "loss" if kind == "loss" else "logits"
    if needs not in base.program:
        raise InputError(f"this run of {base.program.name} has no {needs}, so it cannot be swept for {kind}")
    beside_V = session.look(scene, "logits")[0, position]
    return Measure(kind, int(np.argmax(beside_V)) if token is None else token, position, beside_V)


# --- the places of a star --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """One place that a star stands for: of which kind, which number, its token. No word: there is no star."""

    word: str = ""
    axis: int = 0
    number: int = 0
    token: str = ""


def places(run: Run, starred: Any, word: str) -> list[Place]:
    """All places of one star of an edit, "layer" in the address, others in the index. Raises InputError."""
    if not word:
        return [Place()]
    address, index = pattern(starred)
    if word == "layer":
        return [Place("layer", 0, layer) for layer in layers(run.program, address)]
    first = address.replace(STAR, str(layers(run.program, address)[0])) if STAR in address else address
    axes, shape = axes_of(run.program, first), run.shape(first)
    axis = next((axes.index(letter) for letter in AXES[word] if letter in axes), None)
    if axis is None or axis >= len(index) or index[axis] != STAR:
        where = f"{first} has axes {axes}" if axis is None else f"its index has no * on axis {axes[axis]}"
        raise InputError(f"the edit cannot be swept over every {word}: {where}")
    tokens = run.labels(first).get(axes[axis], [])
    return [Place(word, axis, i, tokens[i] if i < len(tokens) else "") for i in range(shape[axis])]


def pattern(starred: Any) -> tuple[str, list[Any]]:
    if not isinstance(starred, Mapping) or not isinstance(starred.get("address"), str):
        raise InputError("change is missing or has no address; give an edit with * where it is to be swept")
    index = starred.get("index")
    if not isinstance(index, list):
        raise InputError(f"change: index is {index!r:.60}; give a list with a place for each axis")
    return starred["address"], index


def layers(program: Program, address: str) -> list[int]:
    """The layers that have this value. Raises InputError when there are none."""
    if address.count(STAR) != 1:
        raise InputError(f"change: {address!r:.60} needs one * where the number of the layer stands")
    form = re.compile(re.escape(address).replace(r"\*", r"(\d+)"))
    found = sorted(int(match[1]) for each in program.addresses if (match := form.fullmatch(each)))
    if not found:
        raise InputError(f"{program.name} has no value {address!r:.60} in any layer")
    return found


def filled(starred: Mapping[str, Any], *cell: Place) -> dict[str, Any]:
    """The edit of one cell, as data. Raises InputError where a star is left."""
    address, index = pattern(starred)
    index = list(index)
    for place in cell:
        if place.word == "layer":
            address = address.replace(STAR, str(place.number))
        elif place.word:
            index[place.axis] = place.number
    if STAR in address or STAR in index:
        raise InputError(f"change: {address!r:.60} has a * that the sweep does not go over")
    return {**starred, "address": address, "index": index}


# --- one cell --------------------------------------------------------------------------------------------------------


def measured(session: Session, scene: Scene, change: Mapping[str, Any], measure: Measure, job: Job) -> Any:
    """The number after one edit. Nothing of the run is remembered, so a sweep pushes no other run out."""
    made, inner = read_change(change, "change", 0), Job()
    inner.stop = job.stop  # stops with the sweep, but counts its own steps
    with session.turn(job):
        base = session.run(scene, inner)
        few = replace(base.setting, keep=frozenset({measure.needs}))
        edit = session.edit(base, made, inner)
        value = measure.of(Run(few, base.kept, base.edits).edited(edit, inner.step))
    job.step()
    return value
