"""From some work to its row of results: contestants made ready, their answers held against each other, then timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from byhand.bench.contest import Failed, Worker, agree, agree_in_loss, in_turn
from byhand.bench.costs import bytes_of_a_step, operations
from byhand.bench.entries import BYHAND, MACHINE, PLAIN, REFERENCE, Entry, peers
from byhand.bench.material import Making, described, made
from byhand.bench.results import COLD, READING, Row
from byhand.bench.work import Work
from byhand.loading import load

Array = np.ndarray[Any, Any]

FEW = 8  # tokens of an answer of the reference engine


@dataclass(frozen=True)
class Measuring:
    """How to measure. rounds: turns that each contestant has; beside: whether peers take part; tick: told what happens;
    making: a context around the writing of a file, which gives its progress.
    """

    rounds: int
    beside: bool
    tick: Callable[[str], None]
    making: Making

    def row(self, work: Work) -> Row:
        """Measure some work. Raises Failed where an answer is wrong, InputError for what cannot be measured."""
        work = described(work)
        others = peers(work) if self.beside else []
        work = made(work, any(each.folder for each in others), self.making)
        model = load(work.file)
        work = replace(work, bytes=bytes_of_a_step(work, model))
        match work.what:
            case "start-up":
                return self.starts(work, others)
            case "memory":
                return self.memory(work, others)
        need = work.bytes if work.what == "decode" else operations(work, model)
        return self.timed(work, others, need)

    def timed(self, work: Work, others: Sequence[Entry], need: float) -> Row:
        """Contestants that stay, in turn."""
        row = Row(work, {}, need=need)
        with self.ready(work, others, row) as (own, beside), ExitStack() as stack:
            for name in (MACHINE, *(PLAIN,) * (work.what == "capture")):
                beside.append(stack.enter_context(self.worker(name, work)))
                beside[-1].answer()
            in_turn([own, *beside], self.rounds, self.tick)
            for each in (own, *beside) if work.what == "train" else ():
                each.facts["peak"] = each.ask("memory")["peak"]
        machine = next(each for each in beside if each.name == MACHINE)
        beside.remove(machine)
        row.timings = {each.name: each.seconds for each in (own, *beside)}
        row.facts = {each.name: each.facts for each in (own, *beside) if each.facts}
        row.limit = machine.facts["count"] / min(machine.seconds)
        return row

    # --- who takes part ---------------------------------------------------------------------------------------------

    @contextmanager
    def ready(self, work: Work, others: Sequence[Entry], row: Row) -> Iterator[tuple[Worker, list[Worker]]]:
        """byhand and the peers after one run each, whose answers agree."""
        with ExitStack() as stack:
            own = stack.enter_context(self.worker(BYHAND, work))
            ours, found, beside = own.answer(), [], []
            for entry in others:
                try:
                    worker = stack.enter_context(self.worker(entry.name, work))
                    theirs = worker.answer()
                except Failed as error:
                    row.left[entry.name] = str(error)
                    continue
                found.append(agreed(work, ours, theirs, entry.name))
                beside.append(worker)
            if not beside:
                found.append(self.by_reference(work))
            row.checked = ", ".join(found)
            yield own, beside

    def by_reference(self, work: Work) -> str:
        """An answer held against the reference engine's, which is slow, so that of a few tokens."""
        few = replace(work, tokens=min(work.tokens, FEW))
        with self.worker(BYHAND, few) as own, self.worker(REFERENCE, replace(few, engine="reference")) as reference:
            return agreed(work, own.answer(), reference.answer(), "the reference engine")

    def worker(self, name: str, work: Work, **environment: str) -> Worker:
        """A process that is ready for the work."""
        self.tick(f"{name} gets ready")
        worker = Worker(name, work.threads, environment)
        try:
            worker.prepare(work)
        except BaseException:
            worker.end()
            raise
        return worker

    # --- processes that start ---------------------------------------------------------------------------------------

    def starts(self, work: Work, others: Sequence[Entry]) -> Row:
        """The first token of processes that start: Python, libraries, weights and all, the files being in memory.

        The clock of a peer starts only when byhand's own part of its process is there.
        """
        row = Row(work, {})
        with self.ready(work, others, row) as (_, beside):
            names = [each.name for each in beside]
        for i in range(self.rounds):
            self.tick(f"round {i + 1} of {self.rounds}: processes start")
            row.timings.setdefault(BYHAND, []).append(self.first_token(BYHAND, work))
            row.timings.setdefault(READING, []).append(seconds_to_read(Path(work.file)))
            for name in names:
                row.timings.setdefault(name, []).append(self.first_token(name, work))
        if work.engine != "reference":
            self.tick("starting with nothing compiled")
            with TemporaryDirectory(prefix="byhand") as empty:
                once = self.first_token(BYHAND, work, BYHAND_CACHE=empty)
            row.timings[COLD] = [once] * self.rounds
        row.facts = {BYHAND: {"beyond reading": median(row.timings[BYHAND]) - median(row.timings[READING])}}
        return row

    def first_token(self, name: str, work: Work, **environment: str) -> float:
        """Seconds from the start of a process to its first logits."""
        with Worker(name, work.threads, environment) as worker:
            worker.prepare(work)
            worker.answer()
            return worker.answered - worker.started if name == BYHAND else worker.since

    # --- memory -----------------------------------------------------------------------------------------------------

    def memory(self, work: Work, others: Sequence[Entry]) -> Row:
        """The most memory that a process had while it decoded."""
        row = Row(work, {})
        with self.ready(work, others, row) as (own, beside):
            for each in (own, *beside):
                row.timings[each.name] = [float(each.ask("memory")["peak"])]
        size = Path(work.file).stat().st_size
        row.facts = {BYHAND: {"bytes of the file": size, "of the file": row.timings[BYHAND][0] / size}}
        return row


def agreed(work: Work, ours: Array, theirs: Array, who: str) -> str:
    """A sentence on how well two answers agree. Raises Failed where they do not."""
    return agree_in_loss(ours, theirs, who) if work.what == "train" else agree(ours, theirs, work.kind, who)


def seconds_to_read(path: Path) -> float:
    """How long it takes to read a file, which the system then has in memory."""
    room = bytearray(1 << 24)
    start = perf_counter()
    with open(path, "rb", buffering=0) as file:
        while file.readinto(room):
            pass
    return perf_counter() - start
