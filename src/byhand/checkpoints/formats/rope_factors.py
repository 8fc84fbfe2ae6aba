"""Llama 3.1's scaling as a GGUF file has it: by what factor each rotary pair is slowed, without the rule behind it.

Source: generate_extra_tensors in llama.cpp's conversion/llama.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from byhand.families.llama import Scaling

Array = np.ndarray[Any, Any]
NEAR = 2e-5  # how far two factors may differ that come from the same rule, computed in float32


def turns(theta: float, J: int) -> Array:
    """How many radians each rotary pair turns from one position to the next, [J]."""
    return theta ** (-np.arange(J) / J)


def factors(scaling: Scaling, theta: float, J: int) -> Array:
    """By what each pair is slowed, float64 [J]: 1 where it is quick, scaling.factor where it is slow."""
    rounds_J = scaling.original_context * turns(theta, J) / (2 * np.pi)
    share_J = np.clip((rounds_J - scaling.low) / (scaling.high - scaling.low), 0, 1)
    return 1 / ((1 - share_J) / scaling.factor + share_J)


def scaling_of(given_J: Array, theta: float) -> Scaling | None:
    """A rule that gives these factors, or None if there is none. Different rules may give the same ones."""
    wanted_J = given_J.astype(np.float64)
    if not np.isfinite(wanted_J).all() or wanted_J.min() < 1 - NEAR:
        return None
    return next((each for each in candidates(wanted_J, theta) if fits(each, wanted_J, theta)), None)


def fits(scaling: Scaling, wanted_J: Array, theta: float) -> bool:
    return bool(np.allclose(factors(scaling, theta, len(wanted_J)), wanted_J, rtol=NEAR, atol=0))


def candidates(wanted_J: Array, theta: float) -> Iterator[Scaling]:
    """Rules that may be behind the factors, the published ones first."""
    for factor in (float(np.float32(wanted_J.max())), 8.0, 32.0):
        usual = Scaling(factor=factor)
        yield usual
        yield from fitted(usual, wanted_J, theta)
        yield from between(usual, wanted_J, theta)


def fitted(usual: Scaling, wanted_J: Array, theta: float) -> Iterator[Scaling]:
    """Rules through the pairs that are slowed in part: their share of quickness is a straight line over their turns."""
    partly_J = (wanted_J > 1 + NEAR) & (wanted_J < usual.factor * (1 - NEAR))
    turns_J = turns(theta, len(wanted_J))[partly_J] / (2 * np.pi)
    share_J = (1 / wanted_J[partly_J] - 1 / usual.factor) / (1 - 1 / usual.factor)
    for rounds, share in zip(turns_J, share_J, strict=True):
        context = (usual.low + share * (usual.high - usual.low)) / rounds
        yield replace(usual, original_context=max(1, round(context)))
    if len(turns_J) > 1 and turns_J[0] > turns_J[-1]:
        slope = (share_J[0] - share_J[-1]) / (turns_J[0] - turns_J[-1])
        start = share_J[0] - slope * turns_J[0]
        if slope > 0 > start > -1e6:
            yield replace(usual, high=round(1 - 1 / start, 6), original_context=max(1, round(-slope / start)))


def between(usual: Scaling, wanted_J: Array, theta: float) -> Iterator[Scaling]:
    """Rules for factors that jump: one between the last quick pair and the first slow one."""
    slow = turns(theta, len(wanted_J))[wanted_J > 1 + NEAR] / (2 * np.pi)
    if len(slow):
        yield replace(usual, original_context=max(1, int(usual.low / slow.max())))
