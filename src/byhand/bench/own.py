"""byhand at work: what it does in a worker's process to be timed."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from byhand import inputs
from byhand.bench.training import BETAS, DECAY, EPS, RATE, Trained
from byhand.bench.work import PROMPT, Work
from byhand.decoding import Decoding
from byhand.engines import Parameters, Update, engine
from byhand.engines.reference import precision
from byhand.loading import load
from byhand.model import Model
from byhand.run import Keep, execute

Array = np.ndarray[Any, Any]

SINGLE = (".bias", ".gain", ".shift")  # ends of the addresses of what is no matrix and no table: it does not decay


class Own:
    """byhand with some work before it; facts: what else is to be told of the run."""

    def __init__(self, work: Work) -> None:
        self.work, self.ids = work, work.ids
        self.model: Model = load(work.file)
        dtype = "int8" if work.engine == "cpu" and work.in_blocks else "float32"
        self.precision, self.engine = precision(dtype), engine(work.engine, dtype)
        self.facts: dict[str, Any] = {}

    def answer(self) -> Array:
        """Do the work once and return the logits that are checked."""
        raise NotImplementedError

    def run(self) -> float:
        """Do the work and return the seconds it took."""
        start = perf_counter()
        self.answer()
        return perf_counter() - start

    def fresh(self) -> Decoding:
        """A decoding that has read nothing."""
        model = self.model
        return Decoding(model.family, model.config, model.weights, self.precision, engine=self.engine)


class Decode(Own):
    """Tokens one at a time, with a cache. The tokens are given, so that all contestants read the same."""

    def answer(self) -> Array:
        self.run()
        return self.logits

    def run(self) -> float:
        decoding = self.fresh()
        decoding.feed(self.ids[:, :PROMPT].tolist())
        start = perf_counter()
        for column in self.ids.T[PROMPT:].tolist():
            self.logits = decoding.feed([[token] for token in column])
        return perf_counter() - start


class Prefill(Own):
    """A prompt into an empty cache; the logits after its last token."""

    def answer(self) -> Array:
        return self.fresh().feed(self.ids.tolist())


class Forward(Own):
    """The logits of all positions, nothing else kept. No loss, as nobody else computes one here."""

    keep: Keep = ("logits",)

    def answer(self) -> Array:
        model = self.model
        prepared = inputs.prepare(model.program, {"tokens": self.ids})
        run = execute(model.program, model.weights, prepared, self.precision, self.keep, engine=self.engine)
        self.facts["values kept"] = len(run.kept)
        return run.kept["logits"]


class Capture(Forward):
    """The same with every value kept."""

    keep = "all"


class Train(Trained):
    """Whole steps of training. The model is let go once its weights are copied, and the file with it."""

    def __init__(self, work: Work) -> None:
        super().__init__(work, self.train)
        model = load(work.file)
        self.program = model.program_with(targets=True)
        self.parameters = Parameters(self.program, model.weights)
        self.learner = engine(work.engine, "float32").learner(self.program, self.parameters)
        matrices = [address for address in self.program.weights if not address.endswith(SINGLE)]
        self.decay = dict.fromkeys(matrices, DECAY)

    def train(self, tokens_BT: Array, targets_BT: Array) -> float:
        """One step: forward, backward, update."""
        loss = self.learner.learn(self.prepared(tokens_BT, targets_BT))
        self.update()
        return loss

    def prepared(self, tokens_BT: Array, targets_BT: Array) -> dict[str, Array]:
        """All that the program reads of a batch."""
        return inputs.prepare(self.program, {"tokens": tokens_BT, "targets": targets_BT})

    def update(self) -> None:
        beta1, beta2 = BETAS
        how = Update(number=self.steps, rate=RATE, beta1=beta1, beta2=beta2, eps=EPS, decay=self.decay)
        self.learner.update(how)


CONTESTANTS = {
    "decode": Decode,
    "memory": Decode,
    "prefill": Prefill,
    "start-up": Prefill,
    "forward": Forward,
    "capture": Capture,
    "train": Train,
}
