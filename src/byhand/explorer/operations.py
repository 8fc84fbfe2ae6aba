"""What can be asked: every operation by name, as a function of the session, the request's parameters and its job."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from byhand.explorer.answer import Answer
from byhand.explorer.jobs import Job
from byhand.explorer.parameters import Parameters

if TYPE_CHECKING:
    from byhand.explorer.session import Session

Operation = Callable[["Session", Parameters, Job], Answer]
OPERATIONS: dict[str, Operation] = {}


def operation(name: str) -> Callable[[Operation], Operation]:
    """Under which name a function answers requests."""

    def registered(function: Operation) -> Operation:
        assert name not in OPERATIONS, name
        OPERATIONS[name] = function
        return function

    return registered
