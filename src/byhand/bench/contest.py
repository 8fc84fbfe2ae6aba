"""Contestants in processes of their own: asked in turn, so that whatever slows the machine slows all of them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any

import numpy as np

from byhand.bench.work import Work
from byhand.errors import ByhandError

Array = np.ndarray[Any, Any]

LOOK = 0.05  # seconds between two looks at whether a process still works
PATIENCE = 2.0  # seconds after which the next one starts although it does
BUSY = 0.2  # of a core: what is more than this is work


class Failed(ByhandError):
    """A contestant that could not do its work, or did it wrong."""


class Worker:
    """One contestant's process; `seconds` of each turn it had, and what it said about itself.

    started, answered: when the process was started and when it last answered; since: seconds between the first line of
    its own program, when byhand was imported, and that answer.
    """

    def __init__(self, name: str, threads: int, environment: dict[str, str] | None = None) -> None:
        self.name, self.seconds, self.facts = name, [], {}
        quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
        set_by_us = {"BYHAND_THREADS": str(threads), "PYTHONWARNINGS": "ignore", **quiet, **(environment or {})}
        self.folder = TemporaryDirectory(prefix="byhand")
        self.log = open(Path(self.folder.name) / "log", "w+", errors="replace")  # noqa: SIM115 (closed with the process)
        self.started, self.answered, self.since = perf_counter(), 0.0, 0.0
        self.process = Popen(
            [sys.executable, "-m", "byhand.bench.worker", name],
            stdin=PIPE,
            stdout=PIPE,
            stderr=self.log,
            text=True,
            env=os.environ | set_by_us,
            start_new_session=True,  # Ctrl-C is for the parent, which then ends this one
        )

    def ask(self, what: str, **more: Any) -> dict[str, Any]:
        """Have something done. Raises Failed with what went wrong."""
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps({"do": what, **more}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failed(f"{self.name} ended while it was to {what}: {self.last_words()}")
        self.answered = perf_counter()
        given = json.loads(line)
        self.since = given["since"]
        if "error" in given:
            raise Failed(f"{self.name} cannot {what}: {given['error']}")
        return given

    def prepare(self, work: Work) -> None:
        self.ask("prepare", work=work.to_dict())

    def answer(self) -> Array:
        """Do the work once, and what came out."""
        path = Path(self.folder.name) / "logits.npy"
        self.facts |= self.ask("check", path=str(path))["facts"]
        self.rest()
        return np.load(path)

    def turn(self) -> None:
        """Do the work once more, timed."""
        self.seconds.append(self.ask("run")["seconds"])
        self.rest()

    def rest(self) -> None:
        """Wait until its threads sleep: many spin for a while after their work, on a core that the next one needs."""
        import psutil  # not needed to start

        process = psutil.Process(self.process.pid)
        end = perf_counter() + PATIENCE
        while perf_counter() < end:
            before = sum(process.cpu_times()[:2])
            sleep(LOOK)
            if sum(process.cpu_times()[:2]) - before <= BUSY * LOOK:
                break

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        self.log.seek(0)
        lines = [line.strip() for line in self.log if line.strip()]
        return f"{(lines or ['without a word'])[-1]:.300}"

    def end(self) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                pipe.close() if pipe else None
        with suppress(TimeoutExpired):
            self.process.wait(10)
        self.log.close()
        self.folder.cleanup()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


def in_turn(workers: Sequence[Worker], rounds: int, tick: Any) -> None:
    """So many rounds, in each of which all have one turn."""
    for i in range(rounds):
        for worker in workers:
            tick(f"round {i + 1} of {rounds}: {worker.name}")
            worker.turn()


# --- right or wrong -------------------------------------------------------------------------------------------------

# Of the size of the logits. llama.cpp keeps keys and values in float16, multiplies bfloat16 with what it rounded to
# bfloat16, and blocks with what it rounded to int8; each does so in its own order.
LOSS_ALLOWED = 1e-4  # of the first steps of training
ALLOWED = {"f32": 0.002, "f16": 0.01, "bf16": 0.03, "q8": 0.05, "q4": 0.05}


def apart(ours: Array, theirs: Array) -> float:
    """How far two answers are apart, as a share of their size; infinite where they cannot be compared."""
    if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return np.inf
    size = np.linalg.norm(theirs.astype(np.float64))
    return float(np.linalg.norm(ours.astype(np.float64) - theirs) / size) if size else np.inf


def agree(ours: Array, theirs: Array, kind: str, who: str) -> str:
    """A sentence on how well two answers agree. Raises Failed where they do not."""
    difference, allowed = apart(ours, theirs), ALLOWED[kind]
    if difference > allowed:
        what = "cannot be compared" if np.isinf(difference) else f"are {difference:.2%} of their size apart"
        raise Failed(f"the logits of byhand and {who} {what}; {allowed:.1%} is allowed, so nothing was measured")
    return f"{difference:.1e} from {who}"


def agree_in_loss(ours: Array, theirs: Array, who: str) -> str:
    """The same for the losses of the first steps of training."""
    difference = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else np.inf
    if difference <= LOSS_ALLOWED:
        return f"losses {difference:.1e} from {who}"
    both = " and ".join(", ".join(f"{each:.6g}" for each in losses.flat) for losses in (ours, theirs))
    allowed = f"they may differ by {LOSS_ALLOWED:g}, so nothing was measured"
    raise Failed(f"the losses of byhand and {who} are {both:.200}; {allowed}")
