"""The explorer: every number of a run seen, explained and changed, in a page, a notebook or a report."""

from byhand.explorer import (  # noqa: F401  (they register what they answer)
    ablations,
    attention,
    backwards,
    choosing,
    comparing,
    exporting,
    generating,
    lens,
    numbers,
    outline,
    pythoning,
    running,
    sweeping,
    trust,
    windows,
)
from byhand.explorer.answer import Answer
from byhand.explorer.operations import OPERATIONS
from byhand.explorer.scene import Scene
from byhand.explorer.session import Session

__all__ = ["OPERATIONS", "Answer", "Scene", "Session"]
