"""Which numbers an average can be."""

from __future__ import annotations

from fractions import Fraction

from byhand.wiring.refusals import refuse


def possible(numbers: set[Fraction], begin: Fraction, weight: int, context: int, site: str) -> tuple[Fraction, ...]:
    """Every mean of up to context - 1 of the numbers and, `weight` times, the begin token's. Raises WiringError."""
    means, sums = set(), {begin * weight}
    for matches in range(context):
        means |= {total / (matches + weight) for total in sums}
        sums = {total + each for total in sums for each in numbers}
        if len(sums) * context > 2_000_000:
            refuse(site, "it can be too many different fractions; use fewer different numbers or a shorter context")
    return tuple(sorted(means))
