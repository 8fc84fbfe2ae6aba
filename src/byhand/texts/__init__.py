"""Texts to train on, made by rules and without end: small stories, sums and brackets, words to be turned around.

All are the same for a seed on every machine. GENERATORS has them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from byhand.texts.reversals import reversals
from byhand.texts.stories import stories
from byhand.texts.sums import sums

GENERATORS: dict[str, Callable[[int], Iterator[str] | Iterator[tuple[str, str]]]] = {
    "stories": stories,
    "sums": sums,
    "reversals": reversals,
}

__all__ = ["GENERATORS", "reversals", "stories", "sums"]
