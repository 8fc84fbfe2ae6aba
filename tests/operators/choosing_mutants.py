"""Operators that choose, wrong on purpose, and for each the checks that must notice."""

from dataclasses import replace

import numpy as np

from byhand.operators import argmax, draw, min_p, repetition_penalty, running_sum

from . import checks, meanings
from .rewording import reworded


def last_of_the_best(logits_BTV):
    return logits_BTV.shape[-1] - 1 - np.argmax(logits_BTV[..., ::-1], -1)


def divided(logits_BTV, seen_BTV, *, penalty):
    return np.where(seen_BTV, logits_BTV / penalty, logits_BTV)


def divided_backward(d_out_BTV, seen_BTV, *, penalty):
    return np.where(seen_BTV, d_out_BTV / penalty, d_out_BTV), None


def above_share(logits_BTV, *, share):
    ratio_BTV = np.exp(logits_BTV - logits_BTV.max(-1, keepdims=True))
    return np.where(ratio_BTV > share, logits_BTV, -np.inf)


CHOOSING = {
    "argmax takes the last of equally good tokens": (
        replace(argmax, forward=last_of_the_best),
        [meanings.check_argmax],
    ),
    "a repetition penalty that raises negative logits": (
        replace(
            repetition_penalty,
            forward=divided,
            backward=divided_backward,
            arithmetic=reworded(repetition_penalty, ("* penalty", "/ penalty")),
        ),
        [meanings.check_repetition_penalty],
    ),
    "min_p leaves out what lies on the border": (
        replace(min_p, forward=above_share, arithmetic=reworded(min_p, (">= share", "> share"))),
        [meanings.check_min_p],
    ),
    "a running sum without the token itself": (
        replace(
            running_sum,
            forward=lambda probs_BTV: np.cumsum(probs_BTV, -1) - probs_BTV,
            arithmetic=reworded(running_sum, ("w <= v", "w < v")),
        ),
        [meanings.check_running_sum, checks.check_gradient],
    ),
    "draw counts from one": (
        replace(draw, forward=lambda running_BTV, uniform_BT: draw.forward(running_BTV, uniform_BT) + 1),
        [meanings.check_draw, checks.check_arithmetic],
    ),
}
