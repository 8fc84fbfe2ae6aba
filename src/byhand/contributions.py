"""Splitting a logit exactly into what each part of the model added to the residual stream.

A logit is a dot product with the final stream. Going back from it, an addition hands the same direction to both of its
sides, a norm whose scale is held at its value is a linear map, and anything else is a part: it contributes the dot
product of the direction with what it wrote. Nothing is approximated; the parts sum to the logit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from byhand.arithmetic import exact_sum
from byhand.errors import InputError
from byhand.explanation import Values
from byhand.program import Step
from byhand.shapes import Index, element

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, repr=False)
class Split:
    """A number as a sum of parts: contribution by name, the stored number, and their difference in float64."""

    address: str
    index: Index
    stored: float
    parts: dict[str, float]

    @property
    def total(self) -> float:
        return exact_sum(list(self.parts.values()))

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "index": list(self.index), "total": self.total}

    def __str__(self) -> str:
        width = max(map(len, self.parts))
        place = ",".join(map(str, self.index))
        lines = [f"{name:<{width}}  {value:+.6f}" for name, value in self.parts.items()]
        total = f"{'sum':<{width}}  {self.total:+.6f}   ({self.address}[{place}] = {self.stored:+.6f})"
        return "\n".join([*lines, total])

    __repr__ = __str__


def split(run: Values, batch: int, position: int, token: int) -> Split:
    """Split one logit, at [batch, position, token], over everything that was added to the stream it was read from.

    Head contributions are separate (``blocks.0.attn.out head 3``); a value that was edited there is a part by itself.
    Raises InputError for a program without logits and AddressError outside them.
    """
    step = run.program.producer.get("logits")
    if step is None:
        raise InputError(f"{run.program.name} has no logits to split; it stops at {run.program.steps[-1].address}")
    index = element("BTV", run.shape("logits"), (batch, position, token), "logits")
    parts = Parts(run, index[:2])
    if covered(run, "logits", index):
        parts.put("logits", float(run.look("logits")[index]))
    else:
        table_D = run.look(step.names["table"])[index[2]].astype(np.float64)
        if "bias" in step.names:
            parts.put(step.names["bias"], run.look(step.names["bias"])[index[2]])
        parts.follow(step.names["x"], table_D)
    order = {name: place for place, name in enumerate(run.program.producer)}
    ordered = sorted(parts.found.items(), key=lambda part: order.get(part[0].split(" ")[0], len(order)))
    return Split("logits", index, float(run.look("logits")[index]), dict(ordered))


@dataclass
class Parts:
    """The parts found so far, by name, on the way back from one position of one text."""

    run: Values
    at: Index
    found: dict[str, float] = field(default_factory=dict)

    def put(self, name: str, value: Any) -> None:
        self.found[name] = self.found.get(name, 0.0) + float(value)

    def follow(self, address: str, direction_D: Array) -> None:
        """Put the parts that a value's product with the direction is made of."""
        step = self.run.program.producer[address]
        through = THROUGH.get(step.operator.name, written)
        (written if covered(self.run, address, self.at) else through)(self, step, direction_D)


def covered(run: Values, address: str, at: Index) -> bool:
    """Whether something there was edited, so that it is not what its step made."""
    return any(edit.address == address and edit.covers(at, run.shape(address)) for edit in run.edits)


def numbers(run: Values, address: str) -> Array:
    return run.look(address).astype(np.float64)


def through_add(parts: Parts, step: Step, direction_D: Array) -> None:
    """An addition hands the direction to both sides."""
    parts.follow(step.names["x"], direction_D)
    parts.follow(step.names["y"], direction_D)


def through_scale(parts: Parts, step: Step, direction_D: Array) -> None:
    parts.follow(step.names["x"], direction_D * step.attributes["factor"])


def through_norm(parts: Parts, step: Step, direction_D: Array) -> None:
    """A norm with its scale held fixed: linear in what it reads, plus its shift."""
    x_D, eps = numbers(parts.run, step.names["x"])[parts.at], step.attributes["eps"]
    inner_D = direction_D * numbers(parts.run, step.names["gain"])
    if step.operator.name == "layer_norm":
        if "shift" in step.names:
            parts.put(step.names["shift"], direction_D @ numbers(parts.run, step.names["shift"]))
        inner_D = inner_D / np.sqrt(x_D.var() + eps)
        parts.follow(step.names["x"], inner_D - inner_D.mean())
    else:
        parts.follow(step.names["x"], inner_D / np.sqrt((x_D**2).mean() + eps))


def through_heads(parts: Parts, step: Step, direction_D: Array) -> None:
    """An output projection is a sum over heads."""
    heads_HK, weight_HKD = numbers(parts.run, step.names["x"])[parts.at], numbers(parts.run, step.names["weight"])
    for head, value in enumerate(np.einsum("HK,HKD,D->H", heads_HK, weight_HKD, direction_D)):
        parts.put(f"{step.address} head {head}", value)
    if "bias" in step.names:
        parts.put(step.names["bias"], direction_D @ numbers(parts.run, step.names["bias"]))


def written(parts: Parts, step: Step, direction_D: Array) -> None:
    """What a step wrote, as one part."""
    parts.put(step.address, direction_D @ numbers(parts.run, step.address)[parts.at])


THROUGH = {
    "add": through_add,
    "scale": through_scale,
    "layer_norm": through_norm,
    "rms_norm": through_norm,
    "from_heads": through_heads,
}
