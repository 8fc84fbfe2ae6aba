"""How far a request has come, and stopping it."""

from __future__ import annotations

from threading import Event, Lock

from byhand.errors import ByhandError


class Cancelled(ByhandError):
    """The request was cancelled."""


class Job:
    """One request while it is worked on. done, total: steps so far and in all, 0 as long as not known; doing: what."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.stop = Event()
        self.done, self.total, self.doing = 0, 0, ""

    def expect(self, total: int, doing: str) -> None:
        """Say how many steps will come."""
        self.done, self.total, self.doing = 0, total, doing
        self.check()

    def step(self, _: object = None) -> None:
        """One more step is done; may stand where a run's `progress` stands. Raises Cancelled."""
        self.done += 1
        self.check()

    def check(self) -> None:
        if self.stop.is_set():
            raise Cancelled("cancelled")


class Jobs:
    """The requests that are worked on now, by the name that the page gave them."""

    def __init__(self) -> None:
        self.lock, self.running = Lock(), dict[str, Job]()

    def begin(self, name: str, job: Job | None = None) -> Job:
        job = job or Job()
        job.name = name
        if name:
            with self.lock:
                self.running[name] = job
        return job

    def end(self, job: Job) -> None:
        with self.lock:
            if self.running.get(job.name) is job:
                del self.running[job.name]

    def find(self, name: str) -> Job | None:
        with self.lock:
            return self.running.get(name)

    def stop_all(self) -> None:
        """Stop everything that has a name and is worked on now."""
        with self.lock:
            for job in self.running.values():
                job.stop.set()
