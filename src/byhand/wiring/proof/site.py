"""One line of a report: a place where something is decided, how clearly, and how far rounding can blur it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

ZERO = 104.0  # below exp(-104) a float32 is 0
CLEAR = 12.0  # a gap of scores from which what leaks is small enough to be followed on


@dataclass(frozen=True)
class Site:
    """margin: by how much the decision is clear at least; noise: by how much rounding can change it at most.

    kind: norm, head, average, decision or output; selects: in words; error: how far what is written can be from its
    code. Norms decide nothing: their margin is None, and their noise is how far they are from the identity.
    """

    name: str
    kind: str
    selects: str
    margin: float | None
    noise: float
    error: float = 0.0

    @property
    def slack(self) -> float:
        """How many times the noise fits into the margin."""
        if self.margin is None:
            return inf
        return inf if not self.noise and self.margin > 0 else self.margin / max(self.noise, 1e-300)

    @property
    def certainty(self) -> tuple[int, float]:
        """Grows with how sure it is."""
        return ("no", "ok", "exact").index(self.verdict), self.slack if self.margin is not None else -self.noise

    @property
    def verdict(self) -> str:
        """exact: what is not selected has the weight 0; ok: decided, and what leaks is followed on; no: undecided."""
        if self.margin is None:
            return "ok"
        left = self.margin - self.noise
        if self.kind in ("head", "average"):
            return "exact" if left >= ZERO else "ok" if left >= CLEAR else "no"
        return "exact" if left > 0 else "no"
