"""A served model that answers wrongly on purpose: what the tests of the page must notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from byhand.explorer import Answer, Session
from byhand.explorer.jobs import Job

from .serving import Explored, served

Spoil = Callable[[str, Answer], Answer]


class Spoiled(Session):
    """A session whose answers are changed before the page gets them."""

    spoil: Spoil

    def handle(self, op: str, params: Mapping[str, Any], job: Job | None = None) -> Answer:
        return self.spoil(op, super().handle(op, params, job))


def planted(real: Explored, spoil: Spoil) -> Explored:
    """The same model served with wrong answers; its arrays are the right ones."""
    session = Spoiled(real.session.model, first=real.session.first)
    session.spoil = spoil
    made = served(session, real.first)
    made.session = real.session
    return made
