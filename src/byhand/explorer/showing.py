"""What a run can be asked to show: `run.explore()`, `run.figure()` and `run.report()`."""

from byhand.explorer.figures import figure

__all__ = ["figure"]
