"""One model being explored: runs made from scenes and kept for the next request, and everything that can be asked.

The page, the notebook and the report ask in the same words and get the same answers. A request carries its whole scene,
so requests do not depend on each other and may come in any order; the session only remembers runs it has made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from threading import Lock, RLock
from typing import Any

import numpy as np

from byhand.addresses import base, is_side, matches, place, resolve
from byhand.changes import Edit, planned, taken
from byhand.errors import InputError
from byhand.explain import explain
from byhand.explanation import Explanation
from byhand.explorer.answer import Answer
from byhand.explorer.jobs import Job, Jobs
from byhand.explorer.lately import Lately
from byhand.explorer.operations import OPERATIONS
from byhand.explorer.parameters import Parameters
from byhand.explorer.scene import Change, Scene, read_scene
from byhand.memory import FEW, available
from byhand.model import Model
from byhand.program import BackwardStep, Program
from byhand.run import Keep, Run
from byhand.shapes import Index, Shape

Array = np.ndarray[Any, Any]

# The share of free memory that remembered runs may take.
SHARE = 0.4
EXPLANATIONS = 16  # that are remembered: of one with many terms, more are asked for than are shown
TURN = 0.05  # seconds between two looks at whether a request that waits for its turn is still wanted


class Session:
    """A model and the runs of it that were made so far. Requests may come from several threads at once.

    load: the Python that loads the model, for "copy as Python". Only one request computes at a time; those that find
    what they need do not wait for it.
    """

    def __init__(
        self, model: Model, *, engine: str | None = None, first: Scene | None = None, load: str | None = None
    ) -> None:
        self.model, self.engine, self.first = model, engine, first
        self.load = load or f"byhand.load({model.name!r})"
        self.jobs = Jobs()
        self.computing, self.remembering = RLock(), Lock()
        self.runs: OrderedDict[str, Run] = OrderedDict()
        self.looked: OrderedDict[tuple[str, str], Array] = OrderedDict()
        self.lately: Lately[tuple[Explanation, bool]] = Lately(EXPLANATIONS)
        self.most_bytes = int(available() * SHARE)

    def handle(self, op: str, params: Mapping[str, Any], job: Job | None = None) -> Answer:
        """Answer one request. Raises ByhandError, in one line, for one that cannot be answered.

        job: the request, where somebody else wants to be able to stop it.
        """
        if op not in OPERATIONS:
            raise InputError(f"nothing is called {op!r:.40}; there are: {', '.join(sorted(OPERATIONS))}")
        read = Parameters(params, op)
        job = self.jobs.begin(read.text("job", ""), job)
        try:
            return OPERATIONS[op](self, read, job)
        except RecursionError:
            raise InputError(f"{op}: the request goes too deep") from None
        finally:
            self.jobs.end(job)

    # --- runs ---------------------------------------------------------------------------------------------------

    def scene(self, read: Parameters, name: str = "scene") -> Scene:
        """The scene that a request carries."""
        return read_scene(read.get(name), name)

    def remembered(self, scene: Scene) -> Run | None:
        """The run of a scene, if it is there."""
        with self.remembering:
            if scene.key in self.runs:
                self.runs.move_to_end(scene.key)
            return self.runs.get(scene.key)

    def run(self, scene: Scene, job: Job | None = None) -> Run:
        """The run of a scene, with its gradients if it has any: remembered, or made from the nearest one."""
        found = self.remembered(scene)
        if found is not None:
            return found
        job = job or Job()
        with self.turn(job):
            found = self.remembered(scene)
            if found is None:
                found = self.made(scene, job)
                self.remember(scene, found)
            return found

    @contextmanager
    def turn(self, job: Job) -> Iterator[None]:
        """Wait for the turn to compute. Raises Cancelled when nobody wants it any more."""
        while not self.computing.acquire(timeout=TURN):
            job.check()
        try:
            yield
        finally:
            self.computing.release()

    def made(self, scene: Scene, job: Job) -> Run:
        if scene.gradient:
            forward = self.run(scene.forward, job)
            run = Run(forward.setting, forward.kept, forward.edits)
            job.expect(len(run.program), "backward")
            run.backward(scene.gradient.of, scene.gradient.index, progress=job.step)
            return run
        run, left = self.nearest(scene)
        if run is None:
            run = self.plain(scene, job)
            self.remember(replace(scene, changes=()), run)
        for change in left:
            edit = self.edit(run, change, job)
            job.expect(len(run.program.dependents(edit.address)), f"after {edit}")
            run = run.edited(edit, progress=job.step)
        return run

    def nearest(self, scene: Scene) -> tuple[Run | None, tuple[Change, ...]]:
        """The remembered run that has most of a scene's edits, from the first on, and the edits that are left."""
        for count in range(len(scene.changes), -1, -1):
            found = self.remembered(replace(scene, changes=scene.changes[:count]))
            if found is not None:
                return found, scene.changes[count:]
        return None, scene.changes

    def plain(self, scene: Scene, job: Job) -> Run:
        """The run of a scene without its edits."""
        text, source = scene.prompt
        self.draw(job)
        job.expect(len(self.model.program), "forward")
        return self.model.run(
            text,
            dtype=scene.dtype,
            engine=self.engine if scene.dtype in ("float32", "int8") else None,
            keep=self.keep(scene),
            source=source,
            progress=job.step,
        )

    def draw(self, job: Job) -> None:
        """Make the weights that are drawn from a seed, one at a time: of a large model that takes longer than a run.

        Those that would not fit are left to the run, which refuses.
        """
        weights, program = self.model.weights, self.model.program
        pending = [address for address in program.weights if weights.pending(address)]
        shapes = program.shapes()
        if sum(prod(shapes[address]) * 4 for address in pending) < available():
            job.expect(len(pending), "weights")
            for address in pending:
                weights[address]
                job.step()

    def edit(self, run: Run, change: Change, job: Job) -> Edit:
        """A change of a scene as an edit of a run. Raises AddressError, InputError."""
        address = resolve(run.program, change.address)
        refuse_side(run.program, address)
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

    def plan(self, scene: Scene) -> tuple[Program, dict[str, Array]]:
        """The program of a scene and its inputs, without running it."""
        text, source = scene.prompt
        return self.model.prepared(text, source)

    # --- values -------------------------------------------------------------------------------------------------

    def look(self, scene: Scene, address: str, job: Job | None = None) -> Array:
        """The array at an address of a scene's run. One that is not kept is computed and remembered a while."""
        run = self.run(scene, job)
        if address in run.kept or address in run.inputs:
            return run.look(address)
        key = (self.weight_key(scene, run, address), address)
        with self.remembering:
            if key in self.looked:
                self.looked.move_to_end(key)
                return self.looked[key]
        with self.turn(job or Job()):
            found = run.look(address)
        with self.remembering:
            self.looked[key] = found
            while sum(each.nbytes for each in self.looked.values()) > self.most_bytes / 4 and len(self.looked) > 1:
                self.looked.popitem(last=False)
        return found

    def weight_key(self, scene: Scene, run: Run, address: str) -> str:
        """Under which name an array is remembered: a weight that no edit touches is the same in every scene."""
        same = address in run.program.weights and not run.edits_of(address)
        return scene.dtype if same else scene.key

    def explain(self, scene: Scene, address: str, index: Index, job: Job | None = None) -> Explanation:
        """One number taken apart; what has to be computed again for it is remembered a while."""
        return Seen(self, scene, job or Job()).explain(address, index)

    def remember(self, scene: Scene, run: Run) -> None:
        """Keep a run, and let go of those asked for longest ago as long as all together are too large."""
        with self.remembering:
            self.runs[scene.key] = run
            while len(self.runs) > 1 and self.bytes() > self.most_bytes:
                del self.runs[next(key for key in self.runs if key != scene.key)]

    def bytes(self) -> int:
        """What all remembered runs take; an array that several share counts once."""
        held: dict[int, int] = {}
        for run in self.runs.values():
            held |= {id(array): array.nbytes for array in run.kept.values()}
            for address in {edit.address for edit in run.edits} & run.program.weights.keys():
                weight = run.setting.weights[address]
                held[id(weight)] = 2 * weight.nbytes  # in float64, and as it lies for kernels
            if run.gradients is not None:
                held |= {id(array): array.nbytes for array in run.gradients.arrays.values()}
        return sum(held.values())


@dataclass
class Seen:
    """A run as explanations read it, every array through its session: what is not kept is computed once, not each time.

    job: the request; stopping it stops the explanation where it looks at the next array. An explanation that outlives
    its request gets another.
    """

    session: Session
    scene: Scene
    job: Job

    @property
    def of(self) -> Run:
        """The run, which is held by the session alone."""
        return self.session.run(self.scene, self.job)

    @property
    def program(self) -> Program:
        return self.of.program

    @property
    def edits(self) -> tuple[Edit, ...]:
        return self.of.edits

    def look(self, address: str) -> Array:
        self.job.check()
        return self.session.look(self.scene, address, self.job)

    def shape(self, address: str) -> Shape:
        return self.of.shape(address)

    def explain(self, address: str, index: Index) -> Explanation:
        return explain(self, address, index)

    def remark(self, address: str) -> str:
        return self.of.remark(address)

    def backward_step(self, address: str) -> BackwardStep | None:
        return self.of.backward_step(address)


def refuse_side(program: Program, address: str) -> None:
    """Raise InputError for a value that is only looked at, or one that is no value of its own."""
    if base(address) != address:
        raise InputError(f"{address} cannot be edited; edit {base(address)}")
    if is_side(program, address):
        main = program.producer[address].address
        raise InputError(f"{address} is only looked at: no later step reads it; edit {main}")
