"""Merging written out: the pair that comes first in the list of merges is joined, again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise
from math import inf

NEVER = inf  # the rank of a pair that is not merged

Rank = Callable[[str, str], float]


@dataclass(frozen=True)
class Merge:
    """One merge: the symbols `left` and `right` at the places `at` and `at + 1` became one.

    rank: the place in the list of merges, or minus the score of the piece; the lowest goes first.
    """

    rank: float
    at: int
    left: str
    right: str


def merges(symbols: list[str], rank: Rank) -> Iterator[Merge]:
    """Join the pair of the lowest rank, of several the leftmost, until no pair has a rank; changes `symbols`."""
    ranks = [rank(left, right) for left, right in pairwise(symbols)]
    while ranks and (lowest := min(ranks)) < NEVER:
        at = ranks.index(lowest)
        left, right = symbols[at : at + 2]
        symbols[at : at + 2] = [left + right]
        del ranks[at]
        for place in (at - 1, at):
            if 0 <= place < len(ranks):
                ranks[place] = rank(symbols[place], symbols[place + 1])
        yield Merge(lowest, at, left, right)


def merged(symbols: list[str], rank: Rank) -> list[str]:
    """The same result as after all `merges`, for long texts: a queue of pairs instead of a search for each merge."""
    after = [*range(1, len(symbols)), -1]
    before = [*range(-1, len(symbols) - 1)]
    joined: list[str | None] = list(symbols)
    queue = [(rank(*pair), at, *pair) for at, pair in enumerate(pairwise(symbols))]
    queue = [entry for entry in queue if entry[0] < NEVER]
    heapify(queue)

    def offer(at: int) -> None:
        left, right = joined[at], joined[after[at]]
        assert left is not None and right is not None
        if (value := rank(left, right)) < NEVER:
            heappush(queue, (value, at, left, right))

    while queue:
        _, at, left, right = heappop(queue)
        following = after[at]
        if joined[at] != left or following < 0 or joined[following] != right:
            continue  # one of the two has been merged meanwhile
        joined[at], joined[following] = left + right, None
        after[at] = after[following]
        if after[at] >= 0:
            before[after[at]] = at
            offer(at)
        if before[at] >= 0:
            offer(before[at])
    return [symbol for symbol in joined if symbol is not None]


@dataclass(frozen=True)
class Match:
    """One longest match of a word's rest: `piece` is in the vocabulary, `tried` longer ones were not."""

    piece: str
    tried: int


def longest_matches(word: str, known: Callable[[str], bool], prefix: str) -> list[Match] | None:
    """Cut a word into the longest pieces that are known, from its start; a piece inside carries the prefix.

    None when some rest of the word begins with nothing known: then the whole word is unknown.
    """
    found: list[Match] = []
    start = 0
    while start < len(word):
        lead = prefix if start else ""
        end = next((end for end in range(len(word), start, -1) if known(lead + word[start:end])), None)
        if end is None:
            return None
        found.append(Match(lead + word[start:end], len(word) - end))
        start = end
    return found
