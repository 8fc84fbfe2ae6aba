"""Showing somebody who waits that something happens: a bar on the terminal, after a second, gone when it is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

from byhand.cli import show
from byhand.memory import size

PATIENCE = 1.0  # seconds after which somebody who waits wants to see that something happens

Update = Callable[[str, float], None]  # what is being done, and how much of the total is


@contextmanager
def waiting(what: str, total: float | None = None) -> Iterator[Update]:
    """Show what is being waited for, when standard error is a terminal; total: 100 %, if known."""
    if not sys.stderr.isatty():
        yield lambda description, done: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(style="none"),
        TextColumn("{task.description}"),
        BarColumn(style="dim", complete_style="none", finished_style="none", pulse_style="dim"),
        TextColumn("{task.elapsed:.0f} s"),
    )
    bar = Progress(*columns, console=show.console(stderr=True), transient=True)
    task = bar.add_task(what, total=total)
    timer = Timer(PATIENCE, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda description, done: bar.update(task, completed=done, description=description)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


@contextmanager
def compiling(what: str, count: int) -> Iterator[Callable[[str, int], None]]:
    """Compiling is told in a line that stays, since it happens once and takes longer than anything else here."""
    print(f"byhand: {what}", file=sys.stderr, flush=True)
    with waiting("compiling", count) as update:
        yield lambda name, done: update(f"compiling {name}, {done + 1} of {count}", done)


@contextmanager
def writing(what: str) -> Iterator[Callable[[str, int, int], None]]:
    """The progress of bytes that are written; see checkpoints.Progress."""
    with waiting(what, 1.0) as update:
        yield lambda name, done, total: update(f"{what}: {name}, {size(done)} of {size(total)}", done / max(total, 1))
