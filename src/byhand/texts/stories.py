"""Small English stories without end: names, places and things that are referred back to, every fact consistent."""

from __future__ import annotations

from collections.abc import Iterator

from byhand.texts.chance import Chance
from byhand.texts.plots import PLOTS
from byhand.texts.telling import World


def stories(seed: int) -> Iterator[str]:
    """Stories of 60 to 220 words, a line each, without end; a seed from 0 on always gives the same ones."""
    chance = Chance(seed)
    while True:
        world = World(chance)
        chance.one(PLOTS)(world)
        yield " ".join(world.told)
