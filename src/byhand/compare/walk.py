"""Step by step: does each side compute what the program says from what it read itself, up to rounding?

Nothing is compared by how far two results are apart, which grows with every layer. A step is judged on each side by
its own inputs: the program's step is computed from them in float64, and the side's result must be that, within the
bound of `rounding` for its precision. If it is, a difference in the result came in with the inputs. The first step
for which it is not is where the two part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from byhand.compare.alike import alike, common, farthest, narrower
from byhand.compare.rounding import UNITS, Bounded, Unit
from byhand.compare.segment import MANY_SAMPLES, SAMPLES, Variant, predicted, shake
from byhand.compare.side import KINDS, Side
from byhand.compare.solved import HIDDEN
from byhand.program import Program, Step
from byhand.shapes import Index

Array = np.ndarray[Any, Any]
SAME, ROUNDING, FOLLOWS, DIFFERS, SKIPPED = "same", "rounding", "follows", "differs", "skipped"
NEAR = 16.0  # times the usual bound


@dataclass(frozen=True)
class Gap:
    """How far two arrays are apart: where most, both numbers there, how many numbers differ; also: the other length."""

    index: Index
    a: float
    b: float
    count: int
    size: int
    also: str = ""

    @property
    def amount(self) -> float:
        return 0.0 if self.a == self.b else abs(self.a - self.b)


@dataclass(frozen=True)
class Checked:
    """One value of the program.

    state: same (every bit), rounding (each side is right for what it read itself), follows (so too, but something
    before it differs), differs (the step itself, its weights or an input), skipped (one side does not have it).
    gap: between the two sides; beyond: how many times the allowed rounding the result is away from what the step gives
    in float64 for the same inputs, allowed: that rounding there; weight: the one read here that differs; of: the side
    ("a" or "b") whose result is not the program's; through: the steps before it that a side does not show, so that they
    are judged together with it.
    """

    address: str
    operator: str
    state: str
    gap: Gap | None = None
    beyond: float = 0.0
    allowed: float = 0.0
    weight: str = ""
    of: str = ""
    why: str = ""
    through: tuple[str, ...] = ()


def gap(a: Array, b: Array, at: Array | None = None) -> Gap:
    """The largest difference; at: the place to report instead is where this is largest."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    differs = (wide_a != wide_b) & ~(np.isnan(wide_a) & np.isnan(wide_b))
    with np.errstate(invalid="ignore"):
        size = np.abs(wide_a - wide_b) if at is None else at
    size = np.where(differs, np.nan_to_num(size, nan=np.inf), 0)
    place = tuple(map(int, np.unravel_index(int(size.argmax()), size.shape)))
    return Gap(place, wide_a[place].item(), wide_b[place].item(), int(differs.sum()), differs.size)


@dataclass(eq=False)
class Walk:
    """The comparison of two sides along the program of `judge`, which must have all values and weights.

    usual: bounds that were worked out, by side and address. rounded: the weights that differ by rounding alone, by
    address: how far, and as a share of the number.
    """

    judge: Side
    other: Side
    program: Program
    usual: dict[tuple[str, str], Array] = field(default_factory=dict)
    rounded: dict[str, tuple[float, float]] = field(default_factory=dict)

    @cached_property
    def known(self) -> dict[str, frozenset[str]]:
        """The values that each side has, by the side's name."""
        return {
            side.name: frozenset(name for name in self.program.producer if side.find(name) is not None)
            for side in (self.judge, self.other)
        }

    # --- what a side has ------------------------------------------------------------------------------------------

    def look(self, side: Side, own: bool = True) -> Callable[[Step, str, str], Array]:
        """What a step reads on this side: its own value, input or weight, else the judge's.

        own: whether its own weights count, where it has any.
        """

        def found(step: Step, operand: str, address: str) -> Array:
            if address in self.program.inputs:
                return side.inputs.get(address, self.judge.inputs[address])
            if address in self.program.weights:
                return self.weight(side, step, operand, address, own)
            value = side.find(address)
            assert value is not None, address
            return value

        return found

    def weight(self, side: Side, step: Step, operand: str, address: str, own: bool = True) -> Array:
        """The weight this side read as this operand, else the judge's, rounded to the side's precision."""
        read = side.reads(step, operand) if own else None
        found = side.weight(read) if read is not None else None
        if found is not None and found.ndim == len(self.program.weights[address]):
            return found
        stored = self.judge.stored(address)
        assert stored is not None, address
        return stored.astype(KINDS[side.dtype], copy=False)

    def knows(self, side: Side, address: str) -> bool:
        return address in self.known[side.name]

    def visible(self, step: Step) -> Array | None:
        """Which scores are looked at, [B,1,T,S]; None where all are."""
        masks = [each for each in self.program.readers(step.address) if each.operator.name == "mask"]
        if step.operator.name not in ("scores", "mask") or not (masks or step.operator.name == "mask"):
            return None
        allowed = (step if step.operator.name == "mask" else masks[0]).names["allowed"]
        return self.judge.inputs[allowed][:, None] if allowed in self.judge.inputs else None

    # --- judging --------------------------------------------------------------------------------------------------

    def segment(self, side: Side, address: str) -> list[Step]:
        """The steps that make a value from what this side has."""
        known = self.known[side.name] - set(self.program.producer[address].writes.values())
        return self.program.needed([address], lambda name: name in known)

    def expected(
        self, side: Side, address: str, variant: Variant | None = None, own: bool = True, samples: int = SAMPLES
    ) -> Bounded:
        """What the program gives at an address for what this side read."""
        return predicted(self.segment(side, address), address, self.look(side, own), side.unit, variant, samples)

    def plainly(self, side: Side, address: str, variant: Variant) -> bool:
        """Whether a change brings a value anywhere near: a quick look, before its rounding is worked out."""
        key, got = (side.name, address), side.find(address)
        assert got is not None
        if key not in self.usual:
            self.usual[key] = self.expected(side, address).bound
        made = shake(self.segment(side, address), address, {}, self.look(side), variant, None)
        wide, value, _ = common(self.program.axes(address), got.astype(np.float64), made, address)
        bound = self.usual[key][tuple(map(slice, wide.shape))]
        bound = bound.max(-1, keepdims=True) if bound.ndim else bound
        with np.errstate(invalid="ignore"):
            off = np.where(wide == value, 0, np.abs(wide - value))
        off = self.seen(self.program.producer[address], np.nan_to_num(off, nan=np.inf), wide, value)
        return bool((off <= NEAR * bound).all())

    def excess(
        self, side: Side, address: str, variant: Variant | None = None, own: bool = True
    ) -> tuple[Array, Array, Array]:
        """How far a side's value is from what was expected: in multiples of the allowed rounding, the rounding, and
        the difference itself. Several steps judged together are looked at more closely before they are beyond it.
        """
        found = self.off(side, address, self.expected(side, address, variant, own))
        if found[0].max(initial=0) <= 1 or len(self.segment(side, address)) == 1:
            return found
        return self.off(side, address, self.expected(side, address, variant, own, MANY_SAMPLES))

    def off(self, side: Side, address: str, expected: Bounded) -> tuple[Array, Array, Array]:
        """The same for what is expected."""
        step, got = self.program.producer[address], side.find(address)
        assert got is not None
        wide, value, _ = common(self.program.axes(address), got.astype(np.float64), expected.value, address)
        bound = expected.bound[tuple(map(slice, wide.shape))]
        with np.errstate(invalid="ignore"):
            off = np.where(wide == value, 0, np.abs(wide - value))
        off = np.where(np.isnan(wide) != np.isnan(value), np.inf, np.where(np.isnan(wide), 0, off))
        off = self.seen(step, off, wide, value)
        return np.divide(off, bound, out=np.zeros_like(off), where=off > 0), bound, off

    def seen(self, step: Step, off: Array, got: Array, expected: Array) -> Array:
        """Without the differences nobody sees: of a score that is going to be hidden, and of the numbers that hide."""
        visible = self.visible(step)
        if visible is None:
            return off
        if step.operator.name == "scores":
            return np.where(visible, off, 0)
        hidden = (got <= HIDDEN) & (np.isneginf(expected) | (~visible & (expected <= HIDDEN)))
        return np.where(hidden, 0, off)

    def different_weights(self, step: Step) -> dict[str, str]:
        """The weights of a step that are stored with other numbers on the two sides: operands by address."""
        found = {}
        for operand, address in step.names.items():
            if address not in self.program.weights or address in found:
                continue
            mine, theirs = self.pair(step, operand, address)
            if mine is None or theirs is None or mine is theirs:
                continue
            a, b, _ = common(self.program.weights[address], mine, theirs, address)
            if not alike(a, b, self.unit_of(mine, theirs)) and not alike(a, b, self.unit_of(mine, theirs, self.narrow)):
                found[address] = operand
            elif (apart := farthest(a, b))[0]:
                self.rounded[address] = apart
        return found

    @cached_property
    def narrow(self) -> str:
        """The precision that one side's weights were rounded to, though they are stored in a wider one, or ""."""
        return narrower(self.program, self.judge.stored, self.other.stored)

    def unit_of(self, mine: Array, theirs: Array, narrow: str = "") -> Unit:
        """The rounding that two stored weights may be apart by."""
        names = {self.judge.weight_dtype(mine), self.other.weight_dtype(theirs), narrow} - {""}
        return max((UNITS[name] for name in names), key=lambda unit: unit.kept)

    def pair(self, step: Step, operand: str, address: str) -> tuple[Array | None, Array | None]:
        """A weight as each side stores it."""
        read = self.other.reads(step, operand)
        return self.judge.stored(address), None if read is None else self.other.stored(read)

    def sides(self) -> Iterator[tuple[str, Side]]:
        """The sides whose values must be checked; what the reference engine made of the program itself is right."""
        if not self.judge.right:
            yield "a", self.judge
        yield "b", self.other

    def check(self, step: Step, address: str, tainted: bool) -> Checked:
        """One value that both sides have."""
        a, b = self.judge.find(address), self.other.find(address)
        assert a is not None and b is not None
        a, b, also = common(self.program.axes(address), a, b, address)
        weight = next(iter(self.different_weights(step)), "") if address == step.address else ""
        worst, of, at, allowed = 0.0, "", None, 0.0
        for name, side in self.sides():
            beyond, bound, off = self.excess(side, address, own=not weight)
            place = np.unravel_index(int(beyond.argmax()), beyond.shape)
            if beyond[place] > worst:
                worst, at, allowed = float(beyond[place]), off, float(bound[place])
                of = name if worst > 1 else ""
        at = self.moved(address) if weight else at
        visible = self.visible(step)
        shown_b = b if visible is None else np.where(self.hidden(step, a, b, visible), a.astype(np.float64), b)
        found = gap(a, shown_b, at if of or weight else None)
        if also:
            found = Gap(found.index, found.a, found.b, found.count, found.size, also)
        own = bool(of or weight or (also and step.operator.name == "unembed"))
        state = DIFFERS if own else SAME if not found.count and not also else FOLLOWS if tainted else ROUNDING
        through = tuple(each.address for each in self.segment(self.other, address)[:-1])
        return Checked(address, step.operator.name, state, found, worst, allowed, weight, of, through=through)

    def moved(self, address: str) -> Array | None:
        """How far the other side's own weights move its value, on its own inputs; None where they do not."""
        axes = self.program.axes(address)
        mine, theirs = (self.expected(self.other, address, own=own).value for own in (False, True))
        mine, theirs, _ = common(axes, mine, theirs, address)
        return np.abs(mine - theirs) if (mine != theirs).any() else None

    def hidden(self, step: Step, a: Array, b: Array, visible: Array) -> Array:
        """Where both hide a score, each with its own number, or where it is going to be hidden."""
        if step.operator.name == "scores":
            return np.broadcast_to(~visible, a.shape)
        return np.broadcast_to(~visible, a.shape) & (b.astype(np.float64) < HIDDEN)

    def inputs(self) -> Iterator[Checked]:
        """The inputs that differ."""
        for address, axes in ((name, given.axes) for name, given in self.program.inputs.items()):
            mine, theirs = self.judge.inputs.get(address), self.other.inputs.get(address)
            if mine is None or theirs is None or (mine.shape == theirs.shape and (mine == theirs).all()):
                continue
            mine, theirs, _ = common(axes, mine, theirs, address)
            yield Checked(address, "input", DIFFERS, gap(mine, theirs))

    def steps(self, progress: Callable[[Step], None]) -> list[Checked]:
        """Every input that differs and every value of the program, in order."""
        found = list(self.inputs())
        tainted = {each.address for each in found}
        for step in self.program:
            progress(step)
            spoilt = bool(tainted.intersection(read for read in step.reads if read is not None))
            for address in step.writes.values():
                missing = [side.name for side in (self.judge, self.other) if not self.knows(side, address)]
                if missing:
                    found.append(Checked(address, step.operator.name, SKIPPED, why=f"not in {' and '.join(missing)}"))
                    state = SKIPPED
                else:
                    found.append(self.check(step, address, spoilt))
                    state = found[-1].state
                if state == DIFFERS or (spoilt and state != SAME):
                    tainted.add(address)
        return found


def first_of(checked: Sequence[Checked]) -> Checked | None:
    """The first value that differs of itself."""
    return next((each for each in checked if each.state == DIFFERS), None)
