"""byhand at work: what it does in a worker's process to be timed."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from byhand import inputs
from byhand.bench.work import PROMPT, Work
from byhand.decoding import Decoding
from byhand.engines import engine
from byhand.engines.reference import precision
from byhand.loading import load
from byhand.model import Model
from byhand.run import Keep, execute

Array = np.ndarray[Any, Any]


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


CONTESTANTS = {
    "decode": Decode,
    "memory": Decode,
    "prefill": Prefill,
    "start-up": Prefill,
    "forward": Forward,
    "capture": Capture,
}
