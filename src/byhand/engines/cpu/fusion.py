"""Which steps of a program are computed together, so that what passes between them need not go through memory.

A product takes with it what follows number by number (an activation, a gate, the residual), and attention goes from
scores to what the heads read in one piece. An inner value that somebody asked for is written on the way, with the same
bits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from byhand.engines.cpu.builder import LOWERINGS
from byhand.operators.record import REGISTRY
from byhand.program import Step

PRODUCTS = {"linear", "to_heads", "from_heads", "unembed"}
ACTIVATIONS = {"gelu_tanh", "gelu_erf", "relu", "silu", "tanh"}
FOLLOWING = (ACTIVATIONS, {"multiply"}, {"add"})  # what a product can take with it, in this order
ATTENTION = ("scores", "mask", "softmax", "mix")


@dataclass(frozen=True)
class Group:
    """Steps that are computed together, in order; each but the first reads the one before."""

    steps: tuple[Step, ...]
    direction = "forward"

    @property
    def name(self) -> str:
        """The addresses of the steps, what they share written once."""
        addresses = [step.address for step in self.steps]
        shared = addresses[0].rpartition(".")[0] + "."
        return " + ".join([addresses[0], *(address.removeprefix(shared) for address in addresses[1:])])

    @property
    def foreign(self) -> bool:
        """Whether it is computed by the operator's own NumPy code, there being no kernel for it."""
        return named(self.steps[0]) not in LOWERINGS

    @property
    def reads(self) -> list[str]:
        """What it reads that it does not make."""
        made = {address for step in self.steps for address in step.writes.values()}
        return [read for step in self.steps for read in step.reads if read is not None and read not in made]

    @property
    def writes(self) -> list[str]:
        return [address for step in self.steps for address in step.writes.values()]


def named(step: Step) -> str:
    """The name of a step's operator; "" for one of somebody's own, even if it is called like one of these."""
    name = step.operator.name
    return name if REGISTRY.get(name) is step.operator else ""


def grouped(steps: Sequence[Step], edited: Collection[str]) -> list[Group]:
    """The steps in groups. A group ends with a value that is edited, since what follows reads the edited one."""
    waiting = {address for step in steps for address in step.writes.values()}
    readers: dict[str, list[Step]] = {}
    for step in steps:
        for read in step.reads:
            readers.setdefault(read or "", []).append(step)
    groups: list[Group] = []
    taken: set[str] = set()
    for step in steps:
        if step.address in taken:
            continue
        chain = [step]
        if named(step) in PRODUCTS:
            following(chain, waiting, readers, edited)
        elif named(step) == "scores":
            attention(chain, waiting, readers, edited)
        taken.update(each.address for each in chain)
        groups.append(Group(tuple(chain)))
        waiting.difference_update(groups[-1].writes)
    return groups


def stages(groups: Sequence[Group], edited: Collection[str]) -> list[int]:
    """The number of the stage that each group belongs to: in one, threads need not wait for each other.

    These are products of one and the same value, such as queries, keys and values.
    """
    numbers: list[int] = []
    for i, group in enumerate(groups):
        before = groups[i - 1]
        beside = bool(i) and all(named(each.steps[0]) in PRODUCTS for each in (before, group))
        same = beside and before.steps[0].reads[0] == group.steps[0].reads[0]
        made = {write for each, n in zip(groups, numbers, strict=False) if n == numbers[-1] for write in each.writes}
        apart = made.isdisjoint(group.reads) and made.isdisjoint(edited)
        numbers.append(numbers[-1] if same and apart else i)
    return numbers


def unseen(groups: Sequence[Group], keep: Collection[str]) -> set[str]:
    """The values that pass inside a group and are not kept: they never lie in memory."""
    read = {read for group in groups for read in group.reads}
    return {address for group in groups for address in group.writes if address not in read and address not in keep}


def following(
    chain: list[Step],
    waiting: Collection[str],
    readers: Mapping[str, list[Step]],
    edited: Collection[str],
) -> None:
    """Let a product take with it the steps that read it number by number, if all else they read is there before it."""
    for operators in FOLLOWING:
        last = chain[-1].address
        if last in edited:
            return
        for step in readers.get(last, ()):
            others = [read for read in step.reads if read != last]
            if named(step) in operators and not any(read in waiting for read in others):
                chain.append(step)
                break


def attention(
    chain: list[Step],
    waiting: Collection[str],
    readers: Mapping[str, list[Step]],
    edited: Collection[str],
) -> None:
    """Scores, mask (where there is one), weights and what is read, if it is there: all of them, or the scores alone."""
    found = list(chain)
    for name in ATTENTION[1:]:
        last = found[-1].address
        if last in edited:
            return
        step = next((step for step in readers.get(last, ()) if named(step) == name), None)
        if step is not None:
            if any(read in waiting for read in step.reads if read != last):
                return
            found.append(step)
        elif name != "mask":
            return
    chain[:] = found
