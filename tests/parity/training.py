"""One model trained twice: by a learner of byhand's, and by torch.optim.AdamW on the oracle with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from byhand import inputs
from byhand.engines import Parameters, Update, engine
from byhand.inputs import NO_TARGET
from byhand.program import Program
from byhand.train import schedule
from byhand.train.settings import Settings

from .harness import Array, Twin, tensor

LOSS, WEIGHT = 1e-5, 1e-4
NO_SLOPE = ".k.bias"  # its gradient is rounding, see `Training.counted`


@dataclass(frozen=True)
class How:
    """How both are trained: the settings of byhand's own schedule, and what torch is told. parts: of a batch.

    eps: larger than usual. With 1e-8 the direction of a step is left to rounding wherever a gradient happens to be that
    small, and one such number in ten thousand is enough for weights to differ by the rate.
    """

    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-6
    decay: float = 0.1
    decayed: str = "matrices"
    clip: float = 0.0
    parts: int = 1

    @property
    def settings(self) -> Settings:
        own = {"rate": self.rate, "weight_decay": self.decay, "decayed": self.decayed, "clip": self.clip}
        return Settings(family="gpt2", data="none", warmup=0, **own)


class Training:
    """A twin before its first step. program: with a loss; noise: more that the program reads at a step."""

    def __init__(self, twin: Twin, kind: str, how: How, program: Program | None = None) -> None:
        self.twin, self.how, self.number = twin, how, 0
        run = twin.run("float32")
        self.oracle = twin.oracle(run)
        self.program = program or twin.model.program_with(True)
        weights = {address: run.look(address) for address in self.program.weights}
        self.learner = engine(kind, "float32").learner(self.program, Parameters(self.program, weights))
        self.decays = schedule.decay(how.settings, self.program)
        self.optimiser = torch.optim.AdamW(self.groups(), lr=how.rate, betas=how.betas, eps=how.eps)
        self.lengths = 0.0, 0.0

    def groups(self) -> list[dict[str, Any]]:
        """The oracle's parameters as everybody groups them: what has one axis does not decay, unless all does."""
        parameters, every = list(self.oracle.parameters()), self.how.decayed == "all"
        return [
            {"params": [each for each in parameters if each.ndim > 1 or every], "weight_decay": self.how.decay},
            {"params": [each for each in parameters if each.ndim < 2 and not every], "weight_decay": 0.0},
        ]

    # --- one step -------------------------------------------------------------------------------------------------

    def step(self, rate: float | None = None, noise: Mapping[str, Array] | None = None) -> tuple[float, float]:
        """The next step on both sides: byhand's loss and torch's."""
        self.number += 1
        draw(self.twin, self.number)
        rate = self.how.rate if rate is None else rate
        return self.ours(rate, noise or {}), self.theirs(rate)

    def ours(self, rate: float, noise: Mapping[str, Array]) -> float:
        loss = self.gradients(noise)
        length, (beta1, beta2) = self.learner.length(), self.how.betas
        scale = schedule.clipped(self.how.settings, length)
        self.lengths = length, self.lengths[1]
        self.learner.update(Update(self.number, rate, beta1, beta2, self.how.eps, self.decays, scale))
        return loss

    def gradients(self, noise: Mapping[str, Array] | None = None) -> float:
        """byhand's loss, whose gradient is then in its parameters, added up over parts of the batch."""
        given = {{"source": "source.tokens"}.get(name, name): array for name, array in self.twin.given.items()}
        total, loss = (given["targets"] != NO_TARGET).sum(), 0.0
        for i, rows in enumerate(np.array_split(np.arange(len(given["tokens"])), self.how.parts)):
            part = {name: array[rows] for name, array in given.items()}
            share = float((part["targets"] != NO_TARGET).sum() / total)
            made = inputs.prepare(self.twin.model.program_with(True), part)
            read = made | {name: array[rows] for name, array in (noise or {}).items()}
            loss += share * self.learner.learn(read, share, fresh=i == 0)
        return loss

    def theirs(self, rate: float) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss = loss_of(self.twin, self.oracle)
        loss.backward()
        length = torch.nn.utils.clip_grad_norm_(self.oracle.parameters(), self.how.clip or inf)
        self.lengths = self.lengths[0], float(length)
        self.optimiser.step()
        return float(loss.detach())

    # --- compared -------------------------------------------------------------------------------------------------

    def check(self, steps: int, what: str) -> list[float]:
        """Train for some steps; after each the losses agree, in the end the weights. Returns byhand's losses."""
        losses = []
        for _ in range(steps):
            ours, theirs = self.step()
            losses.append(ours)
            self.twin.record(f"{what}: loss", abs(ours - theirs))
            assert abs(ours - theirs) <= LOSS, f"at step {self.number} the losses are {ours:.7g} and {theirs:.7g}"
        self.check_weights(what)
        return losses

    def check_weights(self, what: str) -> None:
        """Every weight is the oracle's."""
        for name, parameter in self.oracle.named_parameters():
            view = self.twin.views[name]
            ours, theirs = view.build(self.learner.parameters.values.__getitem__), parameter.detach().numpy()
            assert ours.shape == theirs.shape
            difference = float((np.abs(ours - theirs) * self.counted(view)).max())
            self.twin.record(f"{what}: weights", difference)
            assert difference <= WEIGHT, f"after {self.number} steps {name} differs by {difference:.3g}"

    def counted(self, view: Any) -> Array:
        """1 for what can be compared. A bias of keys adds the same to all scores of a query, which softmax takes away:

        its gradient is nothing but rounding, of which AdamW makes steps as large as any.
        """
        shapes = self.learner.parameters.shapes
        return view.build(lambda address: np.full(shapes[address], 0.0 if address.endswith(NO_SLOPE) else 1.0))


def draw(twin: Twin, number: int, batches: int = 4) -> None:
    """Put the texts of a step into the twin's own arrays, which the oracle reads too: four batches, again and again."""
    drawn = np.random.default_rng(number % batches)
    for name in ("tokens", "source"):
        if name in twin.given:
            array = twin.given[name]
            array[...] = drawn.integers(0, twin.model.config.vocabulary, array.shape)
    targets = twin.given["targets"]
    hidden = drawn.random(targets.shape) < 0.2
    targets[...] = np.where(hidden, NO_TARGET, drawn.integers(0, twin.model.config.vocabulary, targets.shape))


def loss_of(twin: Twin, oracle: nn.Module) -> torch.Tensor:
    """torch's mean loss of the tokens that are to be predicted."""
    logits = twin.forward(oracle)
    targets = tensor(twin.given["targets"]).reshape(-1)
    return nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets, ignore_index=NO_TARGET)


@contextmanager
def wrong(change: Callable[..., None]) -> Iterator[None]:
    """Let the reference engine take its steps with another AdamW."""
    with patch("byhand.engines.learning.adamw", change):
        yield
