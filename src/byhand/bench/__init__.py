"""How fast it is: byhand, the machine's own limits and other programs at the same work, answers checked first."""

from byhand.bench.contest import Failed
from byhand.bench.measure import Measuring
from byhand.bench.results import Row
from byhand.bench.work import Work

__all__ = ["Failed", "Measuring", "Row", "Work"]
