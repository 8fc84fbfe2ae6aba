"""One model being explored: runs made from scenes and kept for the next request, and everything that can be asked.

The page, the notebook and the report ask in the same words and get the same answers. A request carries its whole scene,
so requests do not depend on each other and may come in any order; the session only remembers runs it has made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any

import numpy as np

from byhand.addresses import matches, place, resolve
from byhand.changes import Edit, planned
from byhand.errors import InputError
from byhand.explorer.answer import Answer
from byhand.explorer.jobs import Job, Jobs
from byhand.explorer.operations import OPERATIONS
from byhand.explorer.parameters import Parameters
from byhand.explorer.scene import Change, Scene, read_scene
from byhand.memory import FEW, available
from byhand.model import Model
from byhand.run import Keep, Run, taken

Array = np.ndarray[Any, Any]

# The share of free memory that remembered runs may take.
SHARE = 0.4


class Session:
    """A model and the runs of it that were made so far. Requests may come from several threads at once."""

    def __init__(self, model: Model, *, engine: str | None = None, first: Scene | None = None) -> None:
        self.model, self.engine, self.first = model, engine, first
        self.jobs = Jobs()
        self.computing = RLock()
        self.runs: OrderedDict[str, Run] = OrderedDict()
        self.looked: OrderedDict[tuple[str, str], Array] = OrderedDict()
        self.most_bytes = int(available() * SHARE)

    def handle(self, op: str, params: Mapping[str, Any]) -> Answer:
        """Answer one request. Raises ByhandError, in one line, for one that cannot be answered."""
        if op not in OPERATIONS:
            raise InputError(f"nothing is called {op!r:.40}; there are: {', '.join(sorted(OPERATIONS))}")
        read = Parameters(params, op)
        job = self.jobs.begin(read.text("job", ""))
        try:
            return OPERATIONS[op](self, read, job)
        finally:
            self.jobs.end(job)

    # --- runs ---------------------------------------------------------------------------------------------------

    def scene(self, read: Parameters, name: str = "scene") -> Scene:
        """The scene that a request carries."""
        return read_scene(read.get(name), name)

    def run(self, scene: Scene, job: Job | None = None) -> Run:
        """The run of a scene, with its gradients if it has any: remembered, or made from the nearest one."""
        with self.computing:
            if scene.key in self.runs:
                self.runs.move_to_end(scene.key)
                return self.runs[scene.key]
            made = self.made(scene, job or Job())
            self.runs[scene.key] = made
            self.forget(keep=scene.key)
            return made

    def made(self, scene: Scene, job: Job) -> Run:
        if scene.gradient:
            forward = self.run(scene.forward, job)
            run = Run(forward.setting, forward.kept, forward.edits)
            job.expect(len(run.program), "backward")
            run.backward(scene.gradient.of, scene.gradient.index, progress=job.step)
            return run
        if scene.changes:
            before = self.run(scene.before, job)
            edit = self.edit(before, scene.changes[-1], job)
            job.expect(len(before.program.dependents(edit.address)), f"after {edit}")
            return before.edited(edit, progress=job.step)
        text = scene.text if scene.tokens is None else list(scene.tokens)
        source = scene.source if scene.source_tokens is None else list(scene.source_tokens)
        assert text is not None
        job.expect(len(self.model.program), "forward")
        return self.model.run(
            text,
            dtype=scene.dtype,
            engine=self.engine if scene.dtype in ("float32", "int8") else None,
            keep=self.keep(scene),
            source=source,
            progress=job.step,
        )

    def edit(self, run: Run, change: Change, job: Job) -> Edit:
        """A change of a scene as an edit of a run. Raises AddressError, InputError."""
        address = resolve(run.program, change.address)
        shape = run.shape(address)
        where = place(run.program, address, shape, change.where, {})
        if change.source is None:
            return planned(address, where, {change.action: True if change.action == "zero" else change.value})
        other = self.look(change.source, address, job)
        return planned(address, where, {"from_run": taken(other, shape, where, address)})

    def keep(self, scene: Scene) -> Keep:
        """All values where they fit well into memory, else the stream and the logits only."""
        T = self.length(scene.tokens, scene.text)
        S = self.length(scene.source_tokens, scene.source) if scene.source or scene.source_tokens else None
        kept = sum(self.model.kept_bytes(1, T, S, dtype=scene.dtype).values())
        if kept < self.most_bytes / 3:
            return "all"
        return [each for each in FEW if matches(self.model.program, [each])]

    def length(self, tokens: Sequence[int] | None, text: str | None) -> int:
        return len(tokens) if tokens is not None else self.model.token_ids(text or "").shape[1]

    def look(self, scene: Scene, address: str, job: Job | None = None) -> Array:
        """The array at an address of a scene's run. One that is not kept is computed and remembered a while."""
        run = self.run(scene, job)
        if address in run.kept or address in run.inputs:
            return run.look(address)
        key = (scene.key, address)
        with self.computing:
            if key not in self.looked:
                self.looked[key] = run.look(address)
                while sum(each.nbytes for each in self.looked.values()) > self.most_bytes / 4 and len(self.looked) > 1:
                    self.looked.popitem(last=False)
            self.looked.move_to_end(key)
            return self.looked[key]

    def forget(self, keep: str) -> None:
        """Let go of the runs that were asked for longest ago, as long as all together are too large."""
        while len(self.runs) > 1 and self.bytes() > self.most_bytes:
            oldest = next(key for key in self.runs if key != keep)
            del self.runs[oldest]

    def bytes(self) -> int:
        """What all remembered runs take; an array that several share counts once."""
        held = {}
        for run in self.runs.values():
            held |= {id(array): array.nbytes for array in run.kept.values()}
            if run.gradients is not None:
                held |= {id(array): array.nbytes for array in run.gradients.arrays.values()}
        return sum(held.values())
