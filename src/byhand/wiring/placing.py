"""Which values a variable can have at which position: so a head may know that no two of its keys can match."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from byhand.wiring.interpreter import interpret
from byhand.wiring.parts import Attending, Average, Deciding, Offset, Scores, Table

if TYPE_CHECKING:
    from byhand.wiring.wiring import Wiring

Possible = list[frozenset[Any]]  # by position


def alone(wiring: Wiring, where: Scores) -> bool:
    """Whether no query ever finds two best matches: every level of its table can occur at one position at most."""
    if where.key is None:
        return False
    says = [{where.key.places[value] for value in values} for values in possible(wiring)[where.key.name][1:]]
    levels = [Counter(level for some in says for level in {row[place] for place in some}) for row in where.levels]
    return all(count == 1 for found in levels for level, count in found.items() if level is not None)


def possible(wiring: Wiring) -> dict[str, Possible]:
    """The values that each variable or number may have at each position; some that it never has may be among them."""
    letters = frozenset(wiring.alphabet)
    found: dict[str, Possible] = {"tokens": [frozenset({wiring.begin})] + [letters] * (wiring.context - 1)}
    fixed, exact = placed(wiring), interpret(wiring, wiring.alphabet[0] * (wiring.context - 1))
    for layer in wiring.layers:
        for part in (*layer.heads, *layer.deciding):
            if part.out.name in fixed:
                found[part.out.name] = [frozenset({value}) for value in exact[part.out.name]]
            else:
                found[part.out.name] = decided(part, found) if isinstance(part, Deciding) else brought(part, found)
    return found


def brought(head: Attending, found: dict[str, Possible]) -> Possible:
    """What a head may bring to each position."""
    count = len(found["tokens"])
    if isinstance(head, Average):
        return [frozenset(head.out.values)] * count
    read, begin = found[head.read.name], frozenset({head.default}) if head.default is not None else frozenset()
    if isinstance(head.where, Offset):
        back = head.where.distance
        return [read[at - back] if at > back else begin or read[at] for at in range(count)]
    return [begin or read[0], *(begin | some for some in accumulate(read[1:], frozenset.union))]


def decided(part: Deciding, found: dict[str, Possible]) -> Possible:
    """What a feed-forward may write at each position."""
    reads = part.inputs if isinstance(part, Table) else tuple(part.form.terms)
    return [written(part, [found[each.name][at] for each in reads]) for at in range(len(found["tokens"]))]


def written(part: Deciding, given: list[frozenset[Any]]) -> frozenset[Any]:
    """What it may write where its inputs have one of the given values each."""
    if isinstance(part, Table):
        here = [{each.places[value] for value in values} for each, values in zip(part.inputs, given, strict=True)]
        fits = {rule.then for rule in part.rules if all(a & b for a, b in zip(here, rule.when, strict=True))}
        return frozenset(part.out.domain[place] for place in fits | {part.default})
    sums = {part.form.constant}
    for (read, numbers), values in zip(part.form.terms.items(), given, strict=True):
        each = {numbers[read.places[value]] for value in values}
        sums = {total + number for total in sums for number in each}
    return frozenset(part.out.domain[part.places[total]] for total in sums)


# --- what depends on the position alone -------------------------------------------------------------------------------


def placed(wiring: Wiring) -> set[str]:
    """The names of all variables and numbers that no text changes, such as a count of all positions so far."""
    found: set[str] = set()
    for layer in wiring.layers:
        found |= {head.out.name for head in layer.heads if heard(head) <= found}
        found |= {part.out.name for part in layer.deciding if reads(part) <= found}
    return found


def heard(head: Attending) -> set[str]:
    """The names of all that decides what a head brings."""
    where = head.where
    asked = [] if isinstance(where, Offset) else [where.query, where.key]
    return {each.name for each in (*asked, head.read) if each is not None}


def reads(part: Deciding) -> set[str]:
    return {each.name for each in (part.inputs if isinstance(part, Table) else part.form.terms)}
