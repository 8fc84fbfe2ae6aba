"""A scene as Python code that makes the same numbers, bit for bit: what "copy as Python" gives."""

from __future__ import annotations

from byhand.explorer.answer import Answer
from byhand.explorer.jobs import Job
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.explorer.scene import Change, Place, Scene, read_scene
from byhand.explorer.session import Session


def python_of(session: Session, scene: Scene) -> str:
    """Lines that load the model and leave the scene's run in ``run``."""
    return "\n".join(["import byhand", "", f"model = {session.load}", *run_lines(session, scene, "run")])


def run_lines(session: Session, scene: Scene, name: str) -> list[str]:
    """Lines that leave a scene's run in a variable; other runs that it is patched from come before it, each numbered
    after it.
    """
    lines = [f"{name} = model.run({', '.join(settings(session, scene))})"]
    for i, change in enumerate(scene.changes):
        source = f"{name}_{i}"
        if change.source is not None:
            lines += run_lines(session, change.source, source)
        lines.append(f"{name} = {name}.edit({change.address!r}, {index(change.index)}, {action(change, source)})")
    if scene.gradient:
        at = "" if scene.gradient.index is None else f", {tuple(scene.gradient.index)}"
        lines.append(f"{name}.backward({scene.gradient.of!r}{at})")
    return lines


def settings(session: Session, scene: Scene) -> list[str]:
    """What `model.run` is called with; what it would choose itself is left out."""
    text, source = scene.prompt
    given = [repr(text)]
    if source is not None:
        given.append(f"source={source!r}")
    if scene.dtype != "float32":
        given.append(f"dtype={scene.dtype!r}")
    if session.engine and scene.dtype in ("float32", "int8"):
        given.append(f"engine={session.engine!r}")
    return given


def index(place: Place) -> str:
    """An index as it is written in Python."""
    parts = [
        "slice(None)" if each is None else f"slice({each[0]}, {each[1]})" if isinstance(each, tuple) else str(each)
        for each in place
    ]
    return f"({', '.join(parts)}{',' * (len(parts) == 1)})"


def action(change: Change, source: str) -> str:
    if change.source is not None:
        return f"from_run={source}"
    return "zero=True" if change.action == "zero" else f"{change.action}={change.value!r}"


@operation("python")
def python(session: Session, read: Parameters, job: Job) -> Answer:
    """The state of a page as Python code: its run or runs, what changed between them, and the number looked at."""
    given = Parameters(read.get("state"), "state") if isinstance(read.get("state"), dict) else None
    if given is None:
        raise read.refuse("state", "an object with a, b and view")
    scene = read_scene(given.get("a"), "a")
    other = given.get("b", None)
    lines = ["import byhand", "", f"model = {session.load}", *run_lines(session, scene, "run")]
    if other is not None:
        lines += [*run_lines(session, read_scene(other, "b"), "other"), "print(run.diff(other))"]
    return Answer({"text": "\n".join([*lines, *looking(given)])})


def looking(state: Parameters) -> list[str]:
    """The line that prints what the page shows, as far as it says which value or number."""
    found = state.get("view", {})
    view = Parameters(found if isinstance(found, dict) else {}, "view")
    address = view.text("address", None)
    places = view.get("index", None)
    if address is None:
        return []
    name = "other" if view.text("part", "a") == "b" and state.get("b", None) is not None else "run"
    if isinstance(places, list) and all(isinstance(each, int) for each in places):
        return [f"print({name}.explain({address!r}, {index(tuple(places))}))"]
    return [f"print({name}[{address!r}])"]
