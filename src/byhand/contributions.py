"""Splitting a logit exactly into what each part of the model added to the residual stream.

A logit is a dot product with the final stream. Going back from it, an addition hands the same direction to both of its
sides, a norm whose statistics are held at their values is a linear map, and anything else is a part: its contribution is
the dot product of the direction with what it wrote. Nothing is approximated; the parts sum to the logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from byhand.arithmetic import exact_sum
from byhand.errors import InputError
from byhand.explain import Values
from byhand.program import Step

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Split:
    """A number as a sum of parts: contribution by name, the stored number, and their difference in float64."""

    address: str
    index: tuple[int, ...]
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
        return "\n".join([*lines, f"{'sum':<{width}}  {self.total:+.6f}   ({self.address}[{place}] = {self.stored:+.6f})"])


def split(run: Values, batch: int, position: int, token: int) -> Split:
    """Split one logit, at [batch, position, token], over everything that was added to the stream it was read from.

    Head contributions are separate (``blocks.0.attn.out head 3``). Raises InputError for a program without logits.
    """
    step = run.program.producer.get("logits")
    if step is None:
        raise InputError(f"{run.program.name} has no logits to split")
    index = (batch, position, token)
    parts: dict[str, float] = {}
    if "bias" in step.names:
        parts[step.names["bias"]] = float(run.look(step.names["bias"])[token])
    direction_D = run.look(step.names["table"])[token].astype(np.float64)
    queue = [(step.names["x"], direction_D)]
    while queue:
        address, direction_D = queue.pop()
        made = run.program.producer[address]
        if made.operator.name in STREAM:
            queue += STREAM[made.operator.name](run, made, direction_D, (batch, position), parts)
        else:
            leaf(run, made, direction_D, (batch, position), parts)
    order = {name: place for place, name in enumerate(run.program.producer)}
    ordered = sorted(parts.items(), key=lambda part: order.get(part[0].split(" ")[0], len(order)))
    return Split("logits", index, float(run.look("logits")[index]), dict(ordered))


def through_add(run: Values, step: Step, direction_D: Array, at: tuple[int, int], parts: dict[str, float]):
    """An addition hands the direction to both sides, less what an edit put in their place."""
    if edited(run, step):
        return leaf(run, step, direction_D, at, parts)
    return [(step.names["x"], direction_D), (step.names["y"], direction_D)]


def through_scale(run: Values, step: Step, direction_D: Array, at: tuple[int, int], parts: dict[str, float]):
    if edited(run, step):
        return leaf(run, step, direction_D, at, parts)
    return [(step.names["x"], direction_D * step.attributes["factor"])]


def through_norm(run: Values, step: Step, direction_D: Array, at: tuple[int, int], parts: dict[str, float]):
    """A norm with its mean and scale held fixed: linear in what it reads, plus its shift."""
    if edited(run, step):
        return leaf(run, step, direction_D, at, parts)
    x_D, gain_D = run.look(step.names["x"])[at].astype(np.float64), run.look(step.names["gain"]).astype(np.float64)
    eps = step.attributes["eps"]
    if step.operator.name == "layer_norm":
        parts[step.names["shift"]] = parts.get(step.names["shift"], 0.0) + float(direction_D @ run.look(step.names["shift"]))
        inner_D = direction_D * gain_D / np.sqrt(x_D.var() + eps)
        return [(step.names["x"], inner_D - inner_D.mean())]
    return [(step.names["x"], direction_D * gain_D / np.sqrt((x_D**2).mean() + eps))]


def leaf(run: Values, step: Step, direction_D: Array, at: tuple[int, int], parts: dict[str, float]) -> list[Any]:
    """What a step wrote, along the direction; an output projection head by head."""
    def put(name: str, value: float) -> None:
        parts[name] = parts.get(name, 0.0) + value

    if step.operator.name == "from_heads" and not edited(run, step):
        heads_HK, weight_HKD = run.look(step.names["x"])[at], run.look(step.names["weight"])
        each_H = np.einsum("HK,HKD,D->H", heads_HK.astype(float), weight_HKD.astype(float), direction_D)
        for head, value in enumerate(each_H):
            put(f"{step.address} head {head}", float(value))
        if "bias" in step.names:
            put(step.names["bias"], float(direction_D @ run.look(step.names["bias"]).astype(float)))
    else:
        put(step.address, float(direction_D @ run.look(step.address)[at].astype(float)))
    return []


def edited(run: Values, step: Step) -> bool:
    return any(edit.address == step.address for edit in run.edits)


STREAM = {"add": through_add, "scale": through_scale, "layer_norm": through_norm, "rms_norm": through_norm}
