"""From a run that somebody made in Python to a scene of the explorer, and a session that knows it already."""

from __future__ import annotations

from typing import Any

import numpy as np

from byhand.changes import Edit
from byhand.errors import InputError
from byhand.explorer.scene import Change, Gradient, Place, Scene
from byhand.explorer.session import Session
from byhand.run import Run

Array = np.ndarray[Any, Any]
GIVEN = ("tokens", "source.tokens")


def session_of(run: Run) -> tuple[Session, Scene]:
    """A session whose first scene is this run, which is not made again. Raises InputError, see `scene_of`."""
    scene = scene_of(run)
    session = Session(run.setting.model, engine=run.engine, first=scene)
    session.runs[scene.key] = run
    return session, scene


def scene_of(run: Run) -> Scene:
    """What a run was made from, as plain data. Raises InputError for what does not fit into a link: several texts,
    inputs of one's own, edits by arrays.
    """
    model = run.setting.model
    if model is None:
        raise InputError("this run was made from a program; the explorer needs a run of a model: model.run(text)")
    first = run.inputs["tokens"]
    if len(first) != 1:
        raise InputError(f"the explorer shows one text at a time, and this run has {len(first)}; run one of them")
    given = {name: tuple(original(run, name)[0].tolist()) for name in GIVEN if name in run.inputs}
    scene = Scene(
        tokens=given["tokens"],
        source_tokens=given.get("source.tokens"),
        dtype=run.dtype,
        changes=tuple(map(change, run.edits)),
        gradient=gradient(run),
    )
    refuse_other_inputs(run, scene)
    return scene


def original(run: Run, name: str) -> Array:
    """An input before this run's edits of it. Raises InputError where that is not known."""
    if run.edits_of(name):
        raise InputError(f"this run has edited {name}; explore the run before, or run the model on the new tokens")
    return run.inputs[name]


def change(edit: Edit) -> Change:
    if np.ndim(edit.value):
        raise InputError(
            f"this run's edit cannot be written into a link: {edit}; explore the run before it, and make it there"
        )
    action = "zero" if edit.action == "set" and not edit.value else edit.action
    place: Place = tuple(whole(each) if isinstance(each, slice) else int(each) for each in edit.index)
    return Change(edit.address, place, action, float(edit.value))


def whole(place: slice) -> tuple[int | None, int | None] | None:
    if place.step not in (None, 1):
        raise InputError(f"an edit of every {place.step}th place cannot be written into a link; explore the run before")
    return None if place == slice(None) else (place.start, place.stop)


def gradient(run: Run) -> Gradient | None:
    """Of what the run has gradients; None where they did not start from one number."""
    if run.gradients is None:
        return None
    start = run.gradients.arrays[run.gradients.of]
    places = np.argwhere(start)
    if len(places) != 1 or start[tuple(places[0])] != 1:
        return None
    return Gradient(run.gradients.of, tuple(places[0].tolist()) if start.ndim else None)


def refuse_other_inputs(run: Run, scene: Scene) -> None:
    """Raise InputError if the model, given only the scene's tokens, would be given other inputs than this run was."""
    source = None if scene.source_tokens is None else list(scene.source_tokens)
    _, again = run.setting.model.prepared(list(scene.tokens or ()), source)
    edited = {edit.address for edit in run.edits}
    for name, array in run.inputs.items():
        if name not in edited and not (name in again and np.array_equal(array, again[name])):
            raise InputError(f"this run was given its own {name}, which a link cannot hold; run the model without it")
