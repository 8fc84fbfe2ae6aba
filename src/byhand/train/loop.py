"""A model while it is trained: one step after the other, and what is looked at, said and kept in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from byhand import inputs
from byhand.engines import Parameters, Update, engine
from byhand.errors import ByhandError, InputError, NotANumber, one_line
from byhand.model import Model
from byhand.train import costs, dropout, ledger, saving, schedule, tracing
from byhand.train.corpus import Corpus
from byhand.train.divergence import Diverged, cause
from byhand.train.logs import Log
from byhand.train.samples import sample
from byhand.train.settings import Settings, to_dict
from byhand.weights import Weights

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]


class Batches(Protocol):
    """What is learned from: the same for the same step and part, whoever asks and when."""

    def at(self, step: int, part: int = 0) -> Arrays: ...

    def validation(self, count: int) -> Iterator[Arrays]: ...


@dataclass(frozen=True)
class Stepped:
    """A step was made. loss: in nats a token, before the step; length: of the gradient, before it was clipped; tokens:
    how many were read, source and padding too; operations: that this took; seconds: it took.
    """

    step: int
    loss: float
    rate: float
    length: float
    tokens: int
    operations: float
    seconds: float


@dataclass(frozen=True)
class Evaluated:
    """The loss on texts that are held back. loss: the mean of the steps since the last evaluation."""

    step: int
    validation: float
    loss: float


@dataclass(frozen=True)
class Sampled:
    """What the model says by now."""

    step: int
    text: str


@dataclass(frozen=True)
class Saved:
    """A checkpoint, or the trace of one step, was written."""

    step: int
    path: Path
    what: str = "checkpoint"


@dataclass(frozen=True)
class Failed:
    """Something could not be written, such as on a full disk; training goes on. why: one line."""

    step: int
    why: str


Event = Stepped | Evaluated | Sampled | Saved | Failed


class Training:
    """A model while it is trained. `run` goes on to the end; `stopping` set to True ends it after the step it is at.

    model: as it began; parameters: as they are now; step: the last that was made. `beginning` makes them.
    """

    def __init__(self, settings: Settings, model: Model, batches: Batches, folder: Path) -> None:
        self.settings, self.model, self.batches, self.folder = settings, model, batches, folder
        self.plain = model.program_with(targets=True)
        self.program = dropout.dropped(self.plain, settings.dropout)
        self.parameters = Parameters(self.program, model.weights)
        computing = engine(settings.engine, "float32")
        again = ledger.chosen(self.program, computing, settings.recompute)
        self.learner = computing.learner(self.program, self.parameters, again)
        self.judge = computing.learner(self.plain, self.parameters) if settings.dropout else self.learner
        self.decay = schedule.decay(settings, self.plain)
        self.log = Log(folder)
        self.counts: dict[tuple[int, ...], float] = {}
        self.recent: list[float] = []
        self.validation: float | None = None
        self.step = self.tokens = self.saved = 0
        self.seconds = 0.0
        self.corpus: Corpus | None = None
        self.stopping = False

    # --- one step -------------------------------------------------------------------------------------------------

    def learn(self) -> Stepped:
        """Make one step. Raises Diverged where the loss or its gradient is no number; nothing is changed then."""
        start, number, s = perf_counter(), self.step + 1, self.settings
        parts, counts = self.parts(number)
        loss, length = self.gradients(number, parts, [count / sum(counts) for count in counts])
        rate = schedule.rate(s, number)
        self.learner.update(
            Update(number, rate, s.beta1, s.beta2, s.eps, self.decay, scale=schedule.clipped(s, length))
        )
        seconds, tokens = perf_counter() - start, sum(map(read, parts))
        self.step, self.tokens, self.seconds = number, self.tokens + tokens, self.seconds + seconds
        return Stepped(number, loss, rate, length, tokens, sum(map(self.operations, parts)), seconds)

    def gradients(self, number: int, parts: list[Arrays], shares: list[float]) -> tuple[float, float]:
        """The loss of all parts together and the length of its gradient, which is left in the parameters."""
        loss = 0.0
        try:
            for i, (each, share) in enumerate(zip(parts, shares, strict=True)):
                loss += share * self.learner.learn(each, share, fresh=i == 0)
            length = self.learner.length()
        except NotANumber as error:
            raise self.diverged(number, parts, str(error)) from None
        if not (isfinite(loss) and isfinite(length)):
            raise self.diverged(number, parts, f"the loss is {loss:g} and the gradient's length {length:g}")
        return loss, length

    def parts(self, step: int) -> tuple[list[Arrays], list[int]]:
        """The inputs of every part of a step, and how many tokens each has to predict."""
        made = [self.inputs(step, part) for part in range(self.settings.accumulate)]
        return made, [int((each["targets"] >= 0).sum()) for each in made]

    def inputs(self, step: int, part: int) -> Arrays:
        """All inputs of the program for one part of a step, what dropout leaves out among them."""
        s, made = self.settings, inputs.prepare(self.plain, self.batches.at(step, part))
        if self.program is self.plain:
            return made
        shapes = self.program.shapes(**self.lengths(made))
        return made | dropout.noise(self.program, shapes, s.dropout, s.seed, step, part)

    def lengths(self, given: Arrays) -> dict[str, int]:
        """The sizes of the axes that a batch decides."""
        return self.plain.lengths({name: given[name].shape for name in self.plain.inputs})

    def diverged(self, step: int, parts: list[Arrays], said: str) -> Diverged:
        """What to say of a step that cannot be made."""
        found = cause(self.program, self.parameters.values, parts) or said
        kept = f"step {self.saved} is kept in {self.folder}" if self.saved else "nothing was saved before it"
        rate = schedule.rate(self.settings, step)
        return Diverged(
            f"step {step} diverged: {found}; {kept}; train again with a lower rate (it was {rate:.3g}, try "
            f"{self.settings.rate / 10:.3g}) or a longer warmup"
        )

    def operations(self, given: Arrays) -> float:
        """How many operations learning from such inputs takes."""
        lengths = self.lengths(given)
        key = tuple(lengths.values())
        if key not in self.counts:
            self.counts[key] = costs.operations(self.plain, lengths)
        return self.counts[key]

    # --- between steps ----------------------------------------------------------------------------------------------

    def run(self) -> Iterator[Event]:
        """Go on to the last step, or until `stopping`, and tell each thing that was done. What was saved stays.

        A checkpoint that cannot be written is told and tried again when the next is due. Raises Diverged, and
        InputError where what was learned last cannot be saved at the end.
        """
        while self.step < self.settings.steps and not self.stopping:
            if self.step + 1 == self.settings.trace_step:
                yield from self.attempt(self.trace)
            made = self.learn()
            self.recent.append(made.loss)
            self.log.write(**{name: value for name, value in vars(made).items() if name != "operations"})
            yield made
            yield from self.between(last=self.step == self.settings.steps)
        if self.saved < self.step:
            yield self.save()

    def between(self, last: bool) -> Iterator[Event]:
        """What is due after this step."""
        s = self.settings
        if last or self.step % s.evaluate == 0:
            yield self.evaluate()
        if s.sample and (last or self.step % s.sample == 0) and (text := self.sample()):
            self.log.write(self.step, sample=text)
            yield Sampled(self.step, text)
        if self.step % s.save == 0 and not last:
            yield from self.attempt(self.save)

    def attempt(self, write: Callable[[], Saved]) -> Iterator[Event]:
        """Write something that training can go on without."""
        try:
            yield write()
        except Diverged:
            raise
        except (ByhandError, OSError) as error:
            yield Failed(self.step, one_line(str(error)))

    def evaluate(self) -> Evaluated:
        """The loss of the texts that are held back, always the same ones, without dropout. Raises Diverged."""
        total, count = 0.0, 0
        for each in self.batches.validation(self.settings.batches):
            given = inputs.prepare(self.plain, each)
            targets = int((given["targets"] >= 0).sum())
            try:
                loss = self.judge.loss(given)
            except NotANumber as error:
                raise self.diverged(self.step, [], str(error)) from None
            total, count = total + targets * loss, count + targets
        self.validation, mean = total / max(count, 1), sum(self.recent) / max(len(self.recent), 1)
        self.recent = []
        self.log.write(self.step, validation=self.validation)
        return Evaluated(self.step, self.validation, mean)

    def now(self) -> Model:
        """The model as it is now; it changes no more."""
        weights = Weights({name: array.copy() for name, array in self.parameters.values.items()})
        return replace(self.model, weights=weights)

    def sample(self) -> str:
        """Some text, by what the objective is; "" for a model without a tokenizer."""
        return sample(self.now(), self.settings, next(iter(self.batches.validation(1)), {}))

    def save(self) -> Saved:
        """Write a checkpoint. Raises Diverged for weights that are no numbers, so that none such is ever kept."""
        if not np.isfinite(self.parameters.values.flat).all():
            raise self.diverged(self.step + 1, [self.inputs(self.step + 1, 0)], "a weight is no number")
        model = replace(self.model, weights=self.parameters.weights)
        path = saving.save(self.folder, self.step, model, self.parameters, self.facts(), self.settings.keep)
        self.saved = self.step
        self.log.write(self.step, saved=path.name)
        return Saved(self.step, path)

    def held(self) -> list[ledger.Entry]:
        """What a step holds from its forward to its backward run."""
        s, computing = self.settings, engine(self.settings.engine, "float32")
        shapes = self.program.shapes(**self.lengths(self.inputs(self.step + 1, 0)))
        return ledger.ledger(self.program, shapes, computing, ledger.chosen(self.program, computing, s.recompute))

    def facts(self) -> dict[str, Any]:
        """What has to be known to go on, beside weights and moments; batches and dropout follow from seed and step."""
        so_far = {name: getattr(self, name) for name in ("step", "tokens", "seconds", "validation")}
        data = None if self.corpus is None else self.corpus.identity
        return {"model": self.model.name, "data": data, **so_far, "settings": to_dict(self.settings)}

    def go_on(self, path: Path) -> None:
        """Put everything as it was when a checkpoint was written. Raises InputError for one that does not fit."""
        facts = saving.restore(path, self.parameters)
        self.step = self.saved = int(facts["step"])
        self.tokens, self.seconds, self.validation = facts["tokens"], facts["seconds"], facts["validation"]
        if self.step >= self.settings.steps:
            raise InputError(
                f"this training is at step {self.step}, its last; to go on give more steps (--steps {2 * self.step})"
            )
        self.log.cut(self.step)

    def trace(self) -> Saved:
        """Keep all of the step that comes next."""
        parts, counts = self.parts(self.step + 1)
        shares = [count / sum(counts) for count in counts]
        about = {"shares": shares, "dropout": self.settings.dropout, "engine": self.settings.engine}
        path = tracing.write(self.folder, self.step + 1, self.now(), self.program, parts, about)
        return Saved(self.step + 1, path, "trace")


def read(given: Arrays) -> int:
    """How many tokens a part has."""
    return sum(given[name].size for name in ("tokens", "source.tokens") if name in given)
