"""Why a step differs: each usual reason is tried, and only one that makes the two agree is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from byhand.compare.alike import common
from byhand.compare.segment import Operands, Variant, operands, plain
from byhand.compare.side import Side
from byhand.compare.solved import solved
from byhand.compare.stored import Change, change_of
from byhand.compare.usual import ROTARY, Changed, others, usual, weights
from byhand.compare.walk import DIFFERS, Checked, Walk
from byhand.families.readout import ACTIVATIONS
from byhand.program import Step

Array = np.ndarray[Any, Any]
MOST = 5  # causes told; after that the rest is only counted
LONG = 12  # steps judged together; of more, the weights are not tried one by one
AGREES = 1.0


@dataclass(frozen=True)
class Cause:
    """A reason that was tried. kind: one of the usual causes, "none", or "not told" of those behind the first few;
    said: the change in words; largest: the largest difference that is left with it; explains: the addresses that then
    agree within rounding; of: "A" or "B", the side that was changed to try it; unlike: the other addresses without a
    cause.
    """

    address: str
    kind: str
    said: str
    largest: float = 0.0
    explains: tuple[str, ...] = ()
    of: str = "A"
    unlike: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.kind == "none" and self.address == "tokens":
            return (
                "the token ids differ, and not only by what begins or ends the text; both were then run on the same ids"
            )
        if self.kind in ("none", "not told"):
            return self.unexplained()
        more = len(self.explains) - 1
        also = f", and so {'does' if more == 1 else 'do'} {more} other step{'s' * (more > 1)}" if more > 0 else ""
        left = f"(largest difference {self.largest:.1g})"
        if self.address == "tokens" and not self.explains:
            return f"{self.kind}: with {self.said}, the tokens agree, but not all that follows"
        what = "every value" if self.address == "tokens" else f"{self.of}'s {self.address}"
        return f"{self.kind}: with {self.said}, {what} agrees {left}{also}"

    def unexplained(self) -> str:
        n = len(self.unlike)
        steps = f"{n} other step{'s' * (n > 1)}"
        if self.kind == "not told":
            return f"{steps} differ{'s' * (n == 1)} too, from {self.unlike[0]} on; no cause is told"
        return f"none of the usual causes makes {self.address} agree" + (f", or {steps}" if n else "")


def find_causes(walk: Walk, checked: Sequence[Checked]) -> tuple[Cause, ...]:
    """A cause for every step that differs of itself, or that there is none; steps with one cause together."""
    left = [each for each in checked if each.state == DIFFERS and each.operator != "input"]
    left = [each for i, each in enumerate(left) if not any(beside(walk, each, other) for other in left[:i])]
    order = [each.address for each in left]
    found, rest = weight_causes(walk, [each for each in left if each.weight])
    left = [each for each in left if not each.weight or each in rest]
    most = MOST
    while left and most:
        first = left[0]
        cause, variant = cause_of(walk, first)
        same = [each.address for each in left[1:] if variant and tried(walk, each, variant) is not None]
        left = [each for each in left[1:] if each.address not in same]
        explains = (first.address, *same) if cause.kind != "none" else ()
        most -= not joined(found, replace(cause, explains=explains))
    found.sort(key=lambda cause: order.index(cause.address))
    told = {address for cause in found[:MOST] for address in (cause.address, *cause.explains, *cause.unlike)}
    late = tuple(address for address in order if address not in told)
    return (*found[:MOST], *([Cause("", "not told", "", unlike=late)] if late else []))


def joined(found: list[Cause], cause: Cause) -> bool:
    """Put a cause to the others: with one that says the same where there is one, which is then made larger."""
    for i, other in enumerate(found):
        if (other.kind, other.said) == (cause.kind, cause.said):
            both, largest = other.explains + cause.explains, max(other.largest, cause.largest)
            unlike = (*other.unlike, cause.address) if cause.kind == "none" else ()
            found[i] = replace(other, explains=both, largest=largest, unlike=unlike)
            return cause.kind != "none"
    found.append(cause)
    return False


def beside(walk: Walk, each: Checked, first: Checked) -> bool:
    """Whether this is a side value of the same step."""
    return walk.program.producer[each.address] is walk.program.producer[first.address]


def cause_of(walk: Walk, each: Checked) -> tuple[Cause, Variant | None]:
    """The first cause that makes the two agree, with the change it is, if it can be tried on other steps."""
    if each.gap and each.gap.also:
        return padded(walk, each), None
    if each.weight:
        return weight_cause(walk, each), None
    for variants in (own_step(walk, each), usual_ones(walk, each), worked_out(walk, each), reread(walk, each)):
        best = nearest(walk, each, variants)
        if best:
            left, variant = best
            return Cause(each.address, variant.kind, variant.said, left), variant
    return Cause(each.address, "none", ""), None


def side_of(walk: Walk, each: Checked) -> Side:
    return walk.judge if each.of == "a" else walk.other


def tried(walk: Walk, each: Checked, variant: Variant) -> tuple[float, float] | None:
    """How far the two are apart with the change, in allowed roundings and as a number; None where beyond rounding."""
    try:
        if not walk.plainly(side_of(walk, each), each.address, variant):
            return None
        beyond, _, off = walk.excess(side_of(walk, each), each.address, variant)
    except (ValueError, IndexError, KeyError):  # the change gives arrays that do not fit together
        return None
    worst = float(beyond.max(initial=0))
    return (worst, float(off.max(initial=0))) if worst <= AGREES else None


def nearest(walk: Walk, each: Checked, variants: Iterable[Variant]) -> tuple[float, Variant] | None:
    """Of the changes that make the two agree, and are of the kind of the first that does, the one that does best."""
    best: tuple[float, float, Variant] | None = None
    for variant in variants:
        if best and variant.kind != best[2].kind:
            break
        result = tried(walk, each, variant)
        if result and (best is None or result[0] < best[0]):
            best = (*result, variant)
    return (best[1], best[2]) if best else None


# --- proposals --------------------------------------------------------------------------------------------------------


def own_step(walk: Walk, each: Checked) -> Iterator[Variant]:
    """The step as the other side's own program has it."""
    own = walk.other.program.producer.get(each.address) if walk.other.program and each.of == "b" else None
    step = walk.program.producer[each.address]
    if own is None or own.address != step.address or same_step(own, step):
        return

    def change(tried: Step, given: Operands) -> Changed | None:
        if (tried.operator, tried.attributes) != (step.operator, step.attributes):
            return None
        extra = {name: address for name, address in own.names.items() if name not in step.names}
        added = {
            name: walk.other.weight(address) for name, address in extra.items() if address not in own.writes.values()
        }
        kept = {name: array for name, array in given.items() if name in own.names}
        if added and tried.address != step.address:
            return None
        made = (
            own if tried.address == step.address else replace(tried, operator=own.operator, attributes=own.attributes)
        )
        return made, kept | {name: array for name, array in added.items() if array is not None}

    yield Variant(*difference(step, own), change)


def same_step(own: Step, step: Step) -> bool:
    return (own.operator, own.attributes, own.absent) == (step.operator, step.attributes, step.absent)


def difference(step: Step, own: Step) -> tuple[str, str]:
    """What one step has and the other has not: a usual cause, and in words."""
    if own.operator is not step.operator:
        name = own.operator.name
        if name in ROTARY:
            return "rotary layout", f"rotary={ROTARY[name]!r}"
        if name in ACTIVATIONS:
            both = name.startswith("gelu") and step.operator.name.startswith("gelu")
            return "GELU form" if both else "activation", f"activation={name!r}"
        if name.startswith("rotary_angles"):
            factor = own.attributes.get("factor")
            return "rope scaling", "no rope scaling" if factor is None else f"rope scaling by {factor:g}"
        return "operator", f"{name} instead of {step.operator.name}"
    if own.absent != step.absent:
        added, missing = step.absent - own.absent, own.absent - step.absent
        return "bias", " and ".join([f"a {name}" for name in added] + [f"no {name}" for name in missing])
    changed = {key: value for key, value in own.attributes.items() if step.attributes.get(key) != value}
    said = ", ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in changed.items()
    )
    kind = next(iter(changed), "settings")
    return kind if kind in ("eps", "theta") else "rope scaling" if kind in ("factor", "low", "high") else kind, said


def usual_ones(walk: Walk, each: Checked) -> Iterator[Variant]:
    yield from usual(walk.segment(side_of(walk, each), each.address), walk.program)


def worked_out(walk: Walk, each: Checked) -> Iterator[Variant]:
    """Changes of the last step that follow from the numbers."""
    side = side_of(walk, each)
    steps, got = walk.segment(side, each.address), side.find(each.address)
    step = steps[-1]
    if len(steps) > LONG or got is None or each.address != step.address:
        return
    values: dict[str, Array] = {}
    for earlier in steps[:-1]:
        made = plain(earlier, operands(earlier, values, walk.look(side)))
        values |= {earlier.writes[name]: array for name, array in made.items()}
    given = operands(step, values, walk.look(side))
    expected = plain(step, given)[step.operator.outputs[0].name]
    yield from solved(step, given, got.astype(np.float64), expected, walk.program)


def reread(walk: Walk, each: Checked) -> Iterator[Variant]:
    """Weights read by mistake, where the side does not show its own."""
    steps = walk.segment(side_of(walk, each), each.address)
    for step in steps if len(steps) <= LONG else ():
        yield from weights(step, walk.program, walk.judge.stored)
        yield from others(step, walk.program, walk.judge.stored)


# --- weights that both sides show -------------------------------------------------------------------------------------


def weight_causes(walk: Walk, left: Sequence[Checked]) -> tuple[list[Cause], list[Checked]]:
    """What was done to the weights that differ, alike ones together, and the steps that they do not explain alone.

    Tried by putting the other side's weights into each step.
    """
    groups: dict[tuple[str, str], Group] = {}
    rest = []
    for each in left:
        beyond, _, off = walk.excess(walk.other, each.address)
        if beyond.max(initial=0) > AGREES or (each.gap and each.gap.also):
            rest.append(each)
            continue
        for address, change in changes_of(walk, each).items():
            key = (change.kind, change.said if change.together else address)
            group = groups.setdefault(key, Group(change, {}, []))
            group.weights[address] = change.off
            group.steps.append((each.address, float(off.max(initial=0))))
    return [group.cause() for group in groups.values()], rest


@dataclass(frozen=True)
class Group:
    """Weights to which the same was done: how far each is off, and the steps that read them, with what is left."""

    change: Change
    weights: dict[str, float]
    steps: list[tuple[str, float]]

    def cause(self) -> Cause:
        said = self.change.said.format(listed(list(self.weights)))
        if self.change.off:
            low, high = (f"{pick(self.weights.values()):.2g}" for pick in (min, max))
            size = "its root mean square" if len(self.weights) == 1 else "their root mean squares"
            said += f", off by {low if low == high else f'{low} to {high}'} of {size}"
        addresses = tuple(dict.fromkeys(address for address, _ in self.steps))
        return Cause(addresses[0], self.change.kind, said, max(left for _, left in self.steps), addresses)


def listed(names: Sequence[str]) -> str:
    if len(names) < 3:
        return " and ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2} more weight{'s' * (len(names) > 3)}"


def changes_of(walk: Walk, each: Checked) -> dict[str, Change]:
    """What was done to each weight of a step that differs."""
    step, found = walk.program.producer[each.address], {}
    for address, operand in walk.different_weights(step).items():
        mine, theirs = walk.pair(step, operand, address)
        assert mine is not None and theirs is not None
        read = walk.other.reads(step, operand)
        if read != address:
            found[address] = Change("tied or untied", f"{read} in place of {{}}")
        else:
            unit = walk.unit_of(mine, theirs, walk.narrow)
            found[address] = change_of(address, mine, theirs, walk.program, walk.judge.stored, unit)
    return found


def weight_cause(walk: Walk, each: Checked) -> Cause:
    """Where a step's weight differs and more than that: what else, with the other side's weights put in."""
    cause, _ = cause_of(walk, replace(each, weight="", of="b"))
    if cause.kind == "none":
        return cause
    changed = " and ".join(change.said.format(address) for address, change in changes_of(walk, each).items())
    return replace(cause, said=f"{changed} and {cause.said}")


def padded(walk: Walk, each: Checked) -> Cause:
    """More rows in one table: tried by leaving them out."""
    beyond, _, _ = walk.excess(walk.other, each.address)
    assert each.gap is not None
    more = each.gap.also
    if beyond.max(initial=0) > AGREES or each.weight:
        return Cause(each.address, "none", "")
    a, b = walk.judge.find(each.address), walk.other.find(each.address)
    assert a is not None and b is not None
    a, b, _ = common(walk.program.axes(each.address), a, b, each.address)
    largest = float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max(initial=0))
    return Cause(each.address, "padded vocabulary", f"only the rows that both have ({more})", largest)
