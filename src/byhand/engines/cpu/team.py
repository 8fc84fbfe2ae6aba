"""The team of threads that runs a plan: all go through the same list of calls and meet where the next one needs it.

The threads wait in the kernel of the system for a byte in a pipe, so waking them costs some microseconds and no work of
Python's, and nothing that happens in Python (Ctrl-C) can come between the start of some of them and of the others. No
OpenMP is loaded.
"""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from byhand.engines.cpu.compiling import prepare
from byhand.engines.cpu.kernel import Job
from byhand.engines.cpu.simd import COMPILED
from byhand.errors import InputError

Array = np.ndarray[Any, Any]

FUNCTION, JOB, MEET, TICKS = range(4)  # the columns of a table of calls
ENVIRONMENT = "BYHAND_THREADS"


class Calls:
    """Jobs in order as a team runs them. meets: after which of them all threads wait for each other."""

    def __init__(self, jobs: Sequence[Job], meets: Sequence[bool]) -> None:
        self.jobs, self.meets = list(jobs), list(meets)
        self.table = np.zeros((len(self.jobs), 4), np.int64)
        if COMPILED:
            prepare(list(dict.fromkeys(job.kernel for job in self.jobs)))
            for row, job, meet in zip(self.table, self.jobs, self.meets, strict=True):
                row[:] = job.kernel.address, job.address, meet, 0

    def __len__(self) -> int:
        return len(self.jobs)


class Team:
    """So many threads, the caller's among them. They start with the first calls, and anew in a forked process."""

    def __init__(self, size: int) -> None:
        self.size, self.started, self.lock = size, False, threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget)

    def run(self, calls: Calls, first: int = 0, last: int | None = None) -> int:
        """Run the calls first … last-1 and return when all is done; the processor's clock at the start."""
        last = len(calls) if last is None else last
        if first == last:
            return 0
        with self.lock:
            if not COMPILED:
                run_plain(calls.jobs[first:last])
                return 0
            from byhand.engines.cpu import crew

            if not self.started:
                self.start()
            return crew.lead(self.state, calls.table, first, last)

    def start(self) -> None:
        """Start the other threads, so that an exception in between (Ctrl-C) leaves none that is half started."""
        from byhand.engines.cpu import crew

        self.pipe = os.pipe()
        self.state = np.zeros(16, np.int64)
        self.state[crew.SIZE], (self.state[crew.READ], self.state[crew.WRITE]) = self.size, self.pipe
        for me in range(1, self.size):
            _thread.start_new_thread(crew.serve, (self.state, me))
        self.started = True

    def forget(self) -> None:
        """In a process that was just forked there are no other threads, and none of them will unlock anything."""
        self.lock, self.started = threading.Lock(), False


def run_plain(jobs: Sequence[Job]) -> None:
    """Run the jobs as Python functions, whose numbers may overflow as those of compiled code do."""
    with np.errstate(all="ignore"):
        for job in jobs:
            job.words[0] = 0
            job.kernel.body(job, 0)


def cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def wanted() -> int:
    """How many threads BYHAND_THREADS asks for, else one for each core. Raises InputError."""
    text = os.environ.get(ENVIRONMENT, "")
    if text and not (text.isdecimal() and len(text) < 5 and 1 <= int(text) <= 1024):
        raise InputError(f"{ENVIRONMENT} is {text!r:.40}; give a whole number from 1 to 1024")
    return int(text) if text else cores()


TEAMS: dict[int, Team] = {}


def team(size: int | None = None) -> Team:
    """The team of this size, by default as `wanted`; one of a size serves the whole process."""
    size = wanted() if size is None else size
    return TEAMS.get(size) or TEAMS.setdefault(size, Team(size))
