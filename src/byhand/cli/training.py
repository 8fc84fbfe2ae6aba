"""What somebody sees who waits for a training: what is trained on what, a bar, a table that grows, texts in between."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from rich.text import Text

from byhand.cli import show
from byhand.train import Evaluated, Event, Failed, Sampled, Saved, Stepped, Training

COLUMNS = {"step": 8, "loss": 9, "validation": 11, "rate": 10, "tokens/s": 10, "of peak": 9, "time": 9}
SIZES = ("layers", "width", "heads", "vocabulary", "context")
RECENT = 20  # steps that the speed is the mean of
FIRST = 3  # steps after which it is said how long all will take; the first may have to prepare much
MARGIN, LINES = 4, 6  # columns before a sample, and how many of its lines are shown


class Screen:
    """The progress of one training. quiet: nothing is written, since the answer will be one document."""

    def __init__(self, training: Training, quiet: bool) -> None:
        self.training, self.quiet = training, quiet
        self.peak = 0.0 if quiet else peak(str(training.settings.engine))
        self.recent: deque[Stepped] = deque(maxlen=RECENT)
        self.start, self.first = perf_counter(), training.step
        self.update: Callable[[str], None] = lambda line: None

    def begin(self) -> None:
        """What is trained, on what, for how long."""
        if self.quiet:
            return
        t, s, corpus = self.training, self.training.settings, self.training.corpus
        sizes = ", ".join(f"{name} {getattr(t.model.config, name)}" for name in SIZES)
        show.write(Text.assemble((t.model.name, "bold"), f": {t.plain.parameters:,} parameters, {sizes}"))
        if corpus is not None:
            kind = getattr(corpus.tokenizer, "kind", f"{corpus.vocabulary:,} tokens")
            learned, held = len(corpus.train), len(corpus.validation)
            show.prose(f"{corpus.name}: {learned:,} tokens to learn from, {held:,} held back; {kind}")
            for line in corpus.skipped:
                show.write(show.dim(line))
        if left_out := getattr(t.batches, "left_out", 0):
            show.write(show.dim(f"{left_out:,} pairs are longer than {s.length} tokens and left out"))
        parts = f"{s.accumulate} x " * (s.accumulate > 1)
        threads = f", {s.threads} threads" * bool(s.threads and s.engine == "cpu")
        where = f" from step {t.step}" * bool(t.step)
        show.prose(f"{s.steps} steps{where} of {parts}{s.batch} x {s.length} tokens, {s.engine} engine{threads}")
        show.write("", show.dim("".join(f"{name:>{width}}" for name, width in self.columns.items())))

    @property
    def columns(self) -> dict[str, int]:
        return {name: width for name, width in COLUMNS.items() if self.peak or name != "of peak"}

    def watch(self, events: Iterable[Event]) -> None:
        """Show everything that happens, as it happens."""
        with nothing() if self.quiet else bar(self.training, self.first) as self.update:
            for event in events:
                self.see(event)

    def see(self, event: Event) -> None:
        match event:
            case Failed():
                print(f"byhand: step {event.step}: {event.why}; training goes on", file=sys.stderr)
            case Stepped():
                self.recent.append(event)
                self.update(f"loss {event.loss:.4f}, {', '.join(self.speeds())}, {self.left()} left")
                if event.step - self.first == FIRST and not self.quiet:
                    self.line(show.dim(f"about {self.left()} to go, {', '.join(self.speeds())}"))
            case Evaluated() if not self.quiet:
                widths = self.columns.values()
                self.line("".join(f"{cell:>{width}}" for cell, width in zip(self.cells(event), widths, strict=True)))
            case Sampled() if not self.quiet:
                for line in event.text.splitlines()[:LINES]:
                    self.line(show.wrapped(line, MARGIN, "dim"))
            case Saved(what="trace") if not self.quiet:
                self.line(show.dim(f"{'':{MARGIN}}step {event.step} is kept whole in {event.path}"))

    def line(self, line: Any) -> None:
        show.write(line)

    def cells(self, event: Evaluated) -> Iterator[str]:
        """A row of the table."""
        seconds, tokens, operations = self.sums()
        yield from (str(event.step), f"{event.loss:.4f}", f"{event.validation:.4f}")
        yield from (f"{self.recent[-1].rate:.3g}", f"{tokens / seconds:,.0f}")
        if self.peak:
            yield f"{operations / seconds / self.peak:.0%}"
        yield clock(perf_counter() - self.start)

    def sums(self) -> tuple[float, float, float]:
        """Seconds, tokens and operations of the last steps."""
        last = self.recent
        return sum(e.seconds for e in last), sum(e.tokens for e in last), sum(e.operations for e in last)

    def speeds(self) -> Iterator[str]:
        seconds, tokens, operations = self.sums()
        yield f"{tokens / seconds:,.0f} tokens/s"
        if self.peak:
            yield f"{operations / seconds / self.peak:.0%} of peak"

    def left(self) -> str:
        """How long it will take, by the last steps."""
        steps = self.training.settings.steps - self.training.step
        return clock(steps * self.sums()[0] / len(self.recent))


def clock(seconds: float) -> str:
    """``clock(75) == "1:15"``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def peak(engine: str) -> float:
    """Operations a second that the machine does at most in float32; 0 where it is not measured."""
    if engine != "cpu":
        return 0.0
    from byhand.bench import limits

    calls, _, count = limits.multiplying(False)
    return count / limits.best(calls, False)


@contextmanager
def nothing() -> Iterator[Callable[[str], None]]:
    yield lambda line: None


@contextmanager
def bar(training: Training, first: int) -> Iterator[Callable[[str], None]]:
    """A bar below what is written, on a terminal; yields what sets the words beside it."""
    out = show.console()
    if not out.is_terminal:
        yield lambda line: None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    quiet = BarColumn(10, style="dim", complete_style="none", finished_style="none", pulse_style="dim")
    words = TextColumn("step {task.completed} of {task.total}"), quiet, TextColumn("{task.description}")
    with Progress(*words, console=out, transient=True) as shown:
        task = shown.add_task("", total=training.settings.steps, completed=first)
        yield lambda line: shown.update(task, completed=training.step, description=line)
