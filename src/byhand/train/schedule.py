"""How fast it is learned at each step, and which weights are drawn towards zero.

Sources: Goyal et al. 2017, section 2.2 (the rate warms up); Loshchilov and Hutter 2017, "SGDR", equation 5 (cosine).
"""

from __future__ import annotations

from math import cos, pi

from byhand.program import Program
from byhand.train.settings import Settings

VECTORS = (".bias", ".gain", ".shift")  # small numbers among them say no less


def rate(settings: Settings, step: int) -> float:
    """The learning rate of a step, counted from 1: up in a line while it warms up, then down to last_rate × rate."""
    warming = settings.warming
    if step <= warming:
        return settings.rate * step / warming
    if settings.decay == "none":
        return settings.rate
    done = min(1.0, (step - warming) / max(1, settings.steps - warming))
    left = (1 + cos(pi * done)) / 2 if settings.decay == "cosine" else 1 - done
    return settings.rate * (settings.last_rate + (1 - settings.last_rate) * left)


def decay(settings: Settings, program: Program) -> dict[str, float]:
    """The weight decay of each weight by address: matrices and tables, or all; none of what the loss does not reach."""
    every = settings.decayed == "all"
    reached = {address for step in program.path("loss") for address in step.gradients.values()}
    names = [name for name in program.weights if name in reached and (every or not name.endswith(VECTORS))]
    return dict.fromkeys(names, float(settings.weight_decay))


def clipped(settings: Settings, length: float) -> float:
    """What gradients are multiplied by, so that the length of all together is `clip` at most (Pascanu et al. 2013)."""
    return settings.clip / length if 0 < settings.clip < length else 1.0
