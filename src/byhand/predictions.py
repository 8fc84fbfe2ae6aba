"""What a run expected after each position, beside what came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from byhand.errors import InputError
from byhand.program import Program
from byhand.setting import Setting

Array = np.ndarray[Any, Any]


class Predicting(Protocol):
    """What a table of predictions needs to know of a run."""

    @property
    def program(self) -> Program: ...

    @property
    def setting(self) -> Setting: ...

    def look(self, address: str) -> Array: ...


@dataclass(frozen=True, eq=False)
class Prediction:
    """One position of a text: its token, the target (None where nothing is to be predicted), the probabilities and
    logits [V] of what may come, float64, and the loss (None without a target).
    """

    position: int
    token: int
    target: int | None
    probs_V: Array = field(repr=False)
    logits_V: Array = field(repr=False)
    loss: float | None

    @property
    def best(self) -> int:
        """The most likely token; the smallest id where several are."""
        return int(np.argmax(self.logits_V))

    @property
    def right(self) -> bool | None:
        return None if self.target is None else self.best == self.target

    def top(self, most: int) -> list[int]:
        """The most likely tokens, best first."""
        return np.argsort(-self.logits_V, kind="stable")[:most].tolist()


def predictions(run: Predicting, batch: int = 0) -> list[Prediction]:
    """One entry a position of one text. Raises InputError for a model without logits and for a text there is not."""
    if "logits" not in run.program:
        raise InputError(f"{run.program.name} has no logits, so it predicts nothing")
    B, T = run.look("tokens").shape
    if not 0 <= batch < B:
        raise InputError(f"there is no text {batch} in this run; there are {B}, so 0 … {B - 1}")
    tokens_T, logits_TV, probs_TV = (run.look(name)[batch] for name in ("tokens", "logits", "probs"))
    targets_T = run.look("targets")[batch] if "targets" in run.program else np.full(T, -1)
    losses_T = run.look("losses")[batch] if "losses" in run.program else np.zeros(T)
    return [
        Prediction(
            position=t,
            token=int(tokens_T[t]),
            target=int(targets_T[t]) if targets_T[t] >= 0 else None,
            probs_V=probs_TV[t].astype(np.float64),
            logits_V=logits_TV[t].astype(np.float64),
            loss=float(losses_T[t]) if targets_T[t] >= 0 else None,
        )
        for t in range(T)
    ]
