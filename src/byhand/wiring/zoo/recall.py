"""Associative recall: a3b1a5b?1 a text of keys with their values, and the latest value of the key before each "?"."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from byhand.wiring.parts import offset, scores
from byhand.wiring.verifying import Texts
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program

KEYS, VALUES = "abcdefgh", "01234567"


def recall(context: int = 48) -> Wiring:
    """Two layers: every value learns its key, the letter before it; then a key looks for its latest value.

    The begin token is predicted for a key without a value.
    """
    wiring = Wiring(KEYS + VALUES + "?", context=context, name="recall", example="a3b1a5a?5"[: context - 1])
    with wiring.layer():
        before = wiring.head("before", offset(-1), wiring.tokens, default=wiring.begin)
        pairs = [({before: key, wiring.tokens: set(VALUES)}, key) for key in KEYS]
        key = wiring.rules("key", pairs, default="none")
    with wiring.layer():
        same = scores(before, key, lambda asked, held: 1 if asked == held else None)
        wiring.predict(wiring.head("value", same, wiring.tokens, pick="latest", default=wiring.begin))
    return wiring


def follows(text: str) -> str | None:
    """The latest value of the key that is asked for."""
    if text[-1:] != "?" or text[-2:-1] not in tuple(KEYS):
        return None
    found = [value for key, value in pairwise(text) if key == text[-2] and value in VALUES]
    return found[-1] if found else "^"


def texts(context: int = 48) -> Texts:
    """Random pairs and, a third of the time, questions about a key that has a value, with their answers."""

    def text(rng: np.random.Generator) -> str:
        made, values = "", {}
        while len(made) + 3 < context:
            key = str(rng.choice(list(KEYS)))
            asks = key in values and rng.random() < 1 / 3
            values[key] = values[key] if asks else str(rng.choice(list(VALUES)))
            made += f"{key}{'?' * asks}{values[key]}"
        return made

    return text


PROGRAMS = {"recall": Program(recall, follows, texts())}
