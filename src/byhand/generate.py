"""Continuing a text, one token after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from byhand.errors import InputError
from byhand.shapes import whole
from byhand.tensor import Array


def greedy(logits: Callable[[list[int]], Array], tokens: Sequence[int], max_tokens: int, context: int) -> Iterator[int]:
    """The most likely token, appended, again and again; the smallest id where several are equally likely.

    logits: the last position's logits [V] of a text; context: the most tokens the model reads; of a longer text it sees
    the last ones. Raises InputError, before anything is computed, when max_tokens is no whole number from 0 on.
    """
    if whole(max_tokens) is None or max_tokens < 0:
        raise InputError(f"max_tokens is {max_tokens!r}; give a whole number, 0 or more")
    return continued(logits, list(tokens), max_tokens, context)


def continued(logits: Callable[[list[int]], Array], text: list[int], count: int, context: int) -> Iterator[int]:
    for _ in range(count):
        text.append(int(np.argmax(logits(text[-context:]))))
        yield text[-1]
