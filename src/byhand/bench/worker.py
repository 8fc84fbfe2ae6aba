"""A contestant's own process: it does what it is told on standard input, and answers on standard output, line by line.

    python -m byhand.bench.worker NAME

A line is a JSON object: {"do": "prepare", "work": {...}}, then {"do": "check", "path": "logits.npy"}, {"do": "run"} and
{"do": "memory"} as often as wanted; {"do": "limits"} at any time. Each contestant has a process because the threads of
BLAS, OpenMP and llama.cpp go on spinning for a while after their work, on cores that the next one needs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from byhand.bench.work import Work
from byhand.errors import one_line


def serve(name: str, started: float) -> None:
    """Answer until standard input ends. What a library prints goes to standard error, so it mixes with no answer."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    contestant: Any = None
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if asked["do"] == "prepare":
                contestant = contestant_of(name, Work(**asked["work"]))
                given: dict[str, Any] = {"pid": os.getpid()}
            else:
                given = DO[asked["do"]](contestant, asked)
        except Exception as error:  # whatever is wrong with somebody else's library is told, and ends no benchmark
            given = {"error": one_line(f"{type(error).__name__}: {error}")[:300]}
        answers.write(json.dumps(given | {"since": perf_counter() - started}) + "\n")


def contestant_of(name: str, work: Work) -> Any:
    """The contestant of this name, ready for the work."""
    from byhand.bench.entries import find

    return find(name)(work)


def check(contestant: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Write the logits into a file for the parent to compare; the first run, so it also warms up."""
    np.save(asked["path"], np.asarray(contestant.answer(), np.float32))
    return {"facts": getattr(contestant, "facts", {})}


def run(contestant: Any, asked: dict[str, Any]) -> dict[str, Any]:
    return {"seconds": contestant.run()}


def memory(contestant: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """The most memory that this process had at one time, with the files it maps."""
    return {"peak": peak()}


def limits(contestant: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """What the machine can do."""
    from byhand.bench.limits import measured

    return {"limits": measured()}


DO: dict[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {
    "check": check,
    "run": run,
    "memory": memory,
    "limits": limits,
}


def peak() -> int:
    """Bytes. Of this program alone: what resource.getrusage tells may be what its parent had when it was started."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except OSError:
        import psutil

        return psutil.Process().memory_info().rss


if __name__ == "__main__":
    serve(sys.argv[1], perf_counter())
