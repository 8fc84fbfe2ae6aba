"""The plan of the cpu engine in figures: what each group of fused steps moves, computes and takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from statistics import median
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from byhand.bench.costs import stored_bytes
from byhand.bench.own import Decode, Forward, Train
from byhand.bench.training import batch
from byhand.bench.work import Work
from byhand.program import Step
from byhand.weights import Weights

RUNS = 7  # of which the median time counts
MOVED, OPERATIONS = 7, 14  # numbers that AdamW reads and writes for each parameter, and its operations


class Fused(Protocol):
    """A group of steps as the plan has it."""

    @property
    def steps(self) -> Sequence[Step]: ...

    @property
    def reads(self) -> Sequence[str]: ...

    @property
    def writes(self) -> Sequence[str]: ...

    @property
    def direction(self) -> str:
        """forward, or backward where it makes the gradients of what its steps read."""
        ...


class Planned(Protocol):
    """A plan: its groups, the first and last call of each, the shapes of all values, and the clock of the last run."""

    @property
    def groups(self) -> Sequence[Fused]: ...

    @property
    def ranges(self) -> Sequence[tuple[int, int]]: ...

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    def seconds(self) -> Sequence[float]: ...


@dataclass(frozen=True)
class Group:
    """A group in figures. name: the same for groups that are the same in every block; calls: of kernels; bytes: that it
    has to read and write; flops: its operations; in_int8: whether its products may round what they read to int8.
    """

    name: str
    calls: int
    bytes: int
    flops: float
    seconds: float
    in_int8: bool = False

    def allowed(self, limits: Mapping[str, float]) -> float:
        """Seconds that the machine's limits allow: for its bytes or its operations, whichever takes longer."""
        peak = limits[f"{'int8' if self.in_int8 else 'float32'} operations a second"]
        return max(self.bytes / limits["bytes a second"], self.flops / peak)


@dataclass(frozen=True)
class Line:
    """Groups that are the same in every block, added up. allowed: seconds by the machine's limits."""

    name: str
    count: int
    calls: int
    bytes: int
    flops: float
    seconds: float
    allowed: float


def lines(groups: Sequence[Group], limits: Mapping[str, float]) -> list[Line]:
    """One line for all groups that are the same in every block, in the order in which they first come.

    limits: of the machine, see `limits.measured`.
    """
    alike: dict[str, list[Group]] = {}
    for group in groups:
        alike.setdefault(group.name, []).append(group)
    return [line(name, found, limits) for name, found in alike.items()]


def line(name: str, groups: Sequence[Group], limits: Mapping[str, float]) -> Line:
    return Line(
        name,
        len(groups),
        calls=sum(each.calls for each in groups),
        bytes=sum(each.bytes for each in groups),
        flops=sum(each.flops for each in groups),
        seconds=sum(each.seconds for each in groups),
        allowed=sum(each.allowed(limits) for each in groups),
    )


def general(name: str) -> str:
    """An address with the number of its block left open: "*.attn.q" of "blocks.3.attn.q"."""
    return re.sub(r"^\w+\.\d+\.", "*.", name)


def joined(addresses: Sequence[str]) -> str:
    """The addresses of a group, what they share written once."""
    first, *others = (general(each) for each in addresses)
    shared = (first.rpartition(".")[0] + ".", "*.")
    return " + ".join([first, *(each.removeprefix(shared[0]).removeprefix(shared[1]) for each in others)])


# --- of a plan ------------------------------------------------------------------------------------------------------


def groups_of(plan: Planned, weights: Weights, seconds: Sequence[float]) -> list[Group]:
    """The groups of a plan in figures."""
    return [
        figures(group, last - first, plan.shapes, weights, each)
        for group, (first, last), each in zip(plan.groups, plan.ranges, seconds, strict=True)
    ]


def figures(group: Fused, calls: int, shapes: Mapping[str, tuple[int, ...]], weights: Weights, seconds: float) -> Group:
    read = saved(group) if group.direction == "backward" else group.reads
    sizes = {name: stored_bytes(weights, name) for name in read if name in weights}
    tables = {str(step.names["table"]) for step in group.steps if step.operator.name == "lookup"}
    rows = {name: prod(shapes[group.writes[0]][:-1]) for name in tables}  # of a table, those that are looked up
    read = sum(
        size * rows[name] // weights_rows(weights, name) if name in rows else size for name, size in sizes.items()
    )
    inner = {name for step in group.steps[:-1] for name in step.writes.values()}
    values = [name for name in (*group.reads, *group.writes) if name in shapes and name not in (*weights, *inner)]
    flops = sum(step.operator.operations(step.sizes(shapes), group.direction, step.absent) for step in group.steps)
    in_int8 = any(size < prod(shapes[name]) * 2 for name, size in sizes.items())
    name = "d:" * (group.direction == "backward") + joined([step.address for step in group.steps])
    return Group(name, calls, read + sum(4 * prod(shapes[each]) for each in values), flops, seconds, in_int8)


def weights_rows(weights: Weights, name: str) -> int:
    return weights.sources[name].shape[0]


def saved(group: Fused) -> list[str]:
    """What the backward of a group reads of the forward run and of the weights."""
    return [name for step in group.steps for name in step.saved]


# --- timed ----------------------------------------------------------------------------------------------------------


def timed_plan(work: Work) -> list[Group]:
    """The groups of a step of decoding, of reading all tokens, or of a step of training.

    The processor's clock says how the time of a run is shared out; how long the run took is measured.
    """
    if work.what == "train":
        return timed_training(work)
    from byhand.engines.cpu.engine import prepared

    own = Decode(work) if work.what == "decode" else Forward(work)
    own.run()  # makes the plan
    plan = list(prepared(own.model.weights).plans.values())[-1]
    steps = work.tokens if work.what == "decode" else 1
    return groups_of(plan, own.model.weights, medians(plan, lambda: own.run() / steps))


def timed_training(work: Work) -> list[Group]:
    """Forward, backward, and the update of all parameters, which is no group of the plan."""
    own = Train(work)
    own.step()  # makes the plan
    given = own.prepared(*batch(work, 1))
    learner: Any = own.learner
    plan = list(learner.plans.values())[-1]
    found = groups_of(plan, own.parameters.weights, medians(plan, lambda: seconds_of(learner.learn, given)))
    count = len(own.parameters.values.flat)
    update = median(seconds_of(own.update) for _ in range(RUNS))
    return [*found, Group("update", 1, MOVED * 4 * count, OPERATIONS * count, update)]


def seconds_of(do: Callable[..., Any], *given: Any) -> float:
    start = perf_counter()
    do(*given)
    return perf_counter() - start


def medians(plan: Planned, run: Callable[[], float]) -> list[float]:
    """The median seconds of each group of a plan. run: runs it, and gives the seconds that took."""
    shares, seconds = [], []
    for _ in range(RUNS):
        seconds.append(run())
        ticks = np.array(plan.seconds())
        shares.append(ticks / max(ticks.sum(), 1e-30))
    return list(np.median(shares, axis=0) * median(seconds))
