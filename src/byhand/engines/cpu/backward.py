"""The backward program in groups, and where each gradient lies.

Gradients are added up in place: the first part of one is written, later parts are added. Where an operator hands its
gradient on unchanged or number by number (a residual addition, an activation), what it hands on takes the memory of
what it got, if nobody reads that again. A saved value may be computed again when it is read, rather than held so long.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from byhand.engines.cpu.fusion import ATTENTION, Group, named
from byhand.engines.cpu.reversal import REVERSALS
from byhand.program import Program, Step

HANDED_ON = {"add"}  # operators whose inputs' gradients are that of the output
CHANGED = {"gelu_tanh", "gelu_erf", "relu", "silu", "tanh", "scale"}  # those that change it number by number


@dataclass(frozen=True)
class Target:
    """Where a part of a gradient goes: the address it belongs to, and whether it is the first part of it."""

    address: str
    first: bool


@dataclass(frozen=True)
class Reverse:
    """The backward of steps that were computed together, in forward order.

    targets: by a step's address and its name of the input; inner: gradients between the steps that somebody wants;
    again: what it reads that was computed again.
    """

    steps: tuple[Step, ...]
    targets: Mapping[tuple[str, str], Target]
    needs: tuple[str, ...]
    inner: tuple[str, ...] = ()
    again: frozenset[str] = frozenset()
    direction = "backward"

    @property
    def reads(self) -> list[str]:
        return [f"again:{address}" if address in self.again else address for address in self.needs]

    @property
    def name(self) -> str:
        return f"d:{self.steps[-1].address}"

    @property
    def fused(self) -> bool:
        return len(self.steps) > 1

    @property
    def foreign(self) -> bool:
        """Whether it is computed by the operator's own NumPy code."""
        return not self.fused and named(self.steps[0]) not in REVERSALS

    @property
    def writes(self) -> list[str]:
        return [*(f"d:{target.address}" for target in self.targets.values()), *self.inner]


@dataclass(frozen=True)
class Again:
    """A group of the forward program that is run a second time. again: what it reads and writes of such values."""

    group: Group
    again: frozenset[str]
    direction = "forward"

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.group.steps

    @property
    def name(self) -> str:
        return f"again:{self.group.name}"

    @property
    def foreign(self) -> bool:
        return self.group.foreign

    @property
    def reads(self) -> list[str]:
        """Also what it writes, so that all of that has a place, read or not."""
        read = [f"again:{address}" if address in self.again else address for address in self.group.reads]
        return [*read, *self.writes]

    @property
    def writes(self) -> list[str]:
        return [f"again:{address}" for address in self.group.writes]


@dataclass
class Backward:
    """The groups of a backward program in order, and the value whose memory each gradient shares, if not its own."""

    program: Program
    path: Sequence[Step]
    groups: list[Reverse] = field(default_factory=list)
    homes: dict[str, str] = field(default_factory=dict)

    def home(self, address: str) -> str:
        return self.homes.get(address, address)


def reversed_groups(program: Program, of: str, groups: Sequence[Group], kept: Collection[str] = ()) -> Backward:
    """The backward of a value that groups of steps compute. kept: gradients that somebody wants, by ``d:`` address."""
    path = program.path(of)
    made = Backward(program, path)
    wanted = {step.address for step in path}
    begun: set[str] = set()
    for steps in reversed(list(chunks(groups, wanted))):
        targets = {}
        for step, name, address in outward(steps):
            if address in wanted or address in program.weights or f"d:{address}" in kept:
                targets[step.address, name] = Target(address, address not in begun)
                begun.add(address)
        inner = tuple(f"d:{step.address}" for step in steps[:-1] if f"d:{step.address}" in kept)
        made.groups.append(Reverse(steps, targets, tuple(read_by(steps, targets, program)), inner))
    share_homes(made, kept)
    return made


def chunks(groups: Sequence[Group], wanted: Collection[str]) -> list[tuple[Step, ...]]:
    """Steps whose backward is computed together: whole attention, or one."""
    found: list[tuple[Step, ...]] = []
    for group in groups:
        if len(group.steps) > 1 and named(group.steps[0]) == ATTENTION[0]:
            found.append(group.steps)
        else:
            found += [(step,) for step in group.steps if step.address in wanted]
    return found


def outward(steps: Sequence[Step]) -> list[tuple[Step, str, str]]:
    """The gradients that leave these steps, in the order they are made: step, the input's name, its address."""
    made = {address for step in steps for address in step.writes.values()}
    parts = ((step, name, address) for step in reversed(steps) for name, address in step.gradients.items())
    return [(step, name, address) for step, name, address in parts if address not in made]


def read_by(steps: Sequence[Step], targets: Mapping[tuple[str, str], Target], program: Program) -> list[str]:
    """What the backward reads: the gradient of the last output, what the operators save, and gradients it adds to."""
    inner = {address for step in steps for address in step.writes.values()} if len(steps) > 1 else set()
    saved = [address for step in steps for address in step.saved if address not in inner]
    heads = [steps[-1].address] if len(steps) > 1 else []
    added = [f"d:{target.address}" for target in targets.values() if not target.first]
    values = [address for address in (*saved, *heads) if address not in program.weights]
    return [f"d:{steps[-1].address}", *values, *added]


def recomputed(backward: Backward, again: Collection[str]) -> list[Reverse | Again]:
    """The groups, and before each what it reads of these values, computed again from what is held."""
    held = {need for group in backward.groups for need in group.needs} - set(again)
    there: set[str] = set()
    found: list[Reverse | Again] = []
    for group in backward.groups:
        needed = set(again) & set(group.needs)
        for step in backward.program.needed(needed - there, lambda a: a in held or a in there):
            there.update(step.writes.values())
            found.append(Again(Group((step,)), frozenset(there & {*step.names.values()})))
        found.append(replace(group, again=frozenset(there & set(group.needs))))
    return found


def share_homes(made: Backward, kept: Collection[str]) -> None:
    """Let gradients take the memory of those they are made from, where nobody else reads it afterwards."""
    reads = {f"d:{group.steps[-1].address}": i for i, group in enumerate(made.groups)}
    adds: dict[str, list[int]] = {}
    for i, group in enumerate(made.groups):
        for target in group.targets.values():
            if not target.first:
                adds.setdefault(f"d:{target.address}", []).append(i)
    never = len(made.groups)
    living: dict[str, list[str]] = {}  # by home: the gradients that lie there
    for i, group in enumerate(made.groups):
        step = group.steps[0]
        source = f"d:{step.address}"
        if group.fused or source in kept or named(step) not in HANDED_ON | CHANGED | {"cross_entropy"}:
            continue
        for target in group.targets.values():
            address = f"d:{target.address}"
            if not target.first or target.address in made.program.weights or address in kept:
                continue
            home, later = made.home(source), adds.get(address, [])
            if named(step) == "cross_entropy":  # over the logits, which it alone reads
                home = step.names["logits"]
                if any(home in each.reads for each in made.groups[i + 1 :]):
                    continue
            others = [each for each in living.get(home, [source]) if each != source]
            changed = [i, *later] if named(step) in CHANGED else later
            if all(
                reads.get(other, -1) < min(changed, default=never)
                and reads.get(address, -1) < min((n for n in adds.get(other, []) if n > i), default=never)
                for other in others
            ):
                made.homes[address] = home
                living.setdefault(home, [source]).append(address)
