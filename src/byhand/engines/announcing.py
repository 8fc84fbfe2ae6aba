"""Telling that something takes a while: an engine does not know whether a terminal, a page or nobody listens."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Tick = Callable[[str, int], None]  # what is being done, and how many are done


@contextmanager
def plainly(what: str, count: int) -> Iterator[Tick]:
    """A line on standard error."""
    print(f"byhand: {what} ({count} to go)", file=sys.stderr, flush=True)
    yield lambda name, done: None


#: How it is told: the last of these is called with what is done and how many there are of it.
ANNOUNCE: list[Callable[[str, int], AbstractContextManager[Tick]]] = [plainly]
