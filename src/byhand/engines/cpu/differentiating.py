"""A plan of the backward of one value, behind the forward groups where there are any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

from byhand.engines import reference
from byhand.engines.cpu.backward import Again, Reverse, recomputed, reversed_groups
from byhand.engines.cpu.builder import Adding, Resident
from byhand.engines.cpu.fusion import grouped, stages
from byhand.engines.cpu.kernels import (  # noqa: F401  (fill the table of reversals)
    elementwise_backward,
    embedding_backward,
    loss_backward,
    norms_backward,
    products_backward,
    rotary_backward,
    softmax_backward,
)
from byhand.engines.cpu.kernels.attention_backward import reverse_attention
from byhand.engines.cpu.kernels.elementwise_backward import clear
from byhand.engines.cpu.plan import Plan
from byhand.engines.cpu.reversal import REVERSALS, Place
from byhand.engines.cpu.team import Team
from byhand.engines.task import Task
from byhand.program import Step

Array = np.ndarray[Any, Any]


class BackwardPlan(Plan):
    """The gradients of a value of the task's program, and before them the task's steps if they are still to be run.

    into: where gradients of weights go that are not returned; keep of the task: values and ``d:`` gradients to return;
    again: values that are computed a second time rather than held until the backward reads them.
    """

    def __init__(
        self,
        task: Task,
        given: Mapping[str, Array | None],
        resident: Resident,
        team: Team,
        of: str,
        *,
        into: Mapping[str, Array] | None = None,
        again: frozenset[str] = frozenset(),
    ) -> None:
        self.of, self.into, self.again, self.forward = of, into or {}, again, of not in given
        self.seed = np.zeros(task.shapes()[of], np.float32)
        super().__init__(task, given, resident, team)

    def group(self, task: Task) -> None:
        forward = grouped(task.steps, ())
        backward = reversed_groups(task.program, self.of, forward, task.keep)
        self.homes = backward.homes
        before = forward if self.forward else []
        behind = recomputed(backward, self.again) if self.again else backward.groups
        self.groups = [*before, *behind]
        self.stages = [*stages(before, ()), *range(len(before), len(self.groups))]
        shapes = task.shapes()
        self.shapes = {f"{mark}{address}": shape for mark in ("", "d:", "again:") for address, shape in shapes.items()}

    def lay_out(self, task: Task) -> None:
        super().lay_out(task)
        self.arrays[f"d:{self.of}"] = self.seed

    def check(self) -> None:
        """Also let weights that the value does not depend on have gradient zero."""
        backward = (group for group in self.groups if isinstance(group, Reverse))
        reached = {target.address for group in backward for target in group.targets.values()}
        for address in self.into.keys() - reached:
            self.builder.call(clear, self.into[address].reshape(-1), Adding(0))
        super().check()

    def lower(self, group: Any, task: Task, meet: bool) -> None:
        self.targets = group.targets if isinstance(group, Reverse) else {}
        with self.standing_in(getattr(group, "again", ())):
            super().lower(group, task, meet)

    @contextmanager
    def standing_in(self, addresses: Any) -> Iterator[None]:
        """While this lasts, these values are those that were computed again."""
        before = {address: self.arrays.get(address) for address in addresses}
        self.arrays |= {address: self.arrays[f"again:{address}"] for address in addresses}
        yield
        for address, array in before.items():
            self.arrays.pop(address)
            self.arrays |= {} if array is None else {address: array}

    def lower_group(self, group: Any) -> None:
        if isinstance(group, Again):
            self.builder.changed()
            super().lower_group(group.group)
        elif not isinstance(group, Reverse):
            super().lower_group(group)
        elif group.fused:
            reverse_attention(self.builder, list(group.steps), self)
        else:
            REVERSALS[group.steps[0].operator.name](self.builder, group.steps[0], self)

    # --- what reversals ask for, see `reversal.Gradients` ---------------------------------------------------------

    def output(self, step: Step) -> Array:
        return self.arrays[f"d:{step.address}"]

    def to(self, step: Step, name: str) -> Place | None:
        target = self.targets.get((step.address, name))
        if target is None:
            return None
        if target.address in self.into:
            return Place(self.into[target.address], Adding(0) if target.first else 1)
        return Place(self.arrays[f"d:{target.address}"], int(not target.first))

    def inner(self, address: str) -> Array | None:
        return self.arrays.get(f"d:{address}")

    # --- running --------------------------------------------------------------------------------------------------

    def differentiate(
        self, task: Task, given: Mapping[str, Array | None], seed: Any, fresh: bool = True
    ) -> dict[str, Array]:
        """The kept values and gradients. fresh: whether gradients of weights take the place of those that are there."""
        with self.lock:
            self.seed[...] = seed
            self.fresh = fresh
            for job, place in self.builder.adding:
                job.set(place, int(not fresh))
            return self.run(task, given)

    def compute(self, group: Any, task: Task) -> None:
        """A step, or its backward, by its operator's own NumPy code."""
        with self.standing_in(getattr(group, "again", ())):
            if isinstance(group, Reverse):
                self.reverse(group, task)
            else:
                super().compute(group, task)

    def reverse(self, group: Reverse, task: Task) -> None:
        step = group.steps[0]

        def look(address: str) -> Array:
            address = address.removesuffix(reference.UNEDITED)
            return self.arrays[address] if address in self.arrays else task.look(address)

        parts = reference.reverse(step, self.output(step), look, task.precision)
        self.targets = group.targets
        for name, part in parts.items():
            place = self.to(step, name)
            if place is not None:
                add = not self.fresh if isinstance(place.add, Adding) else place.add
                place.array[...] = place.array + part if add else part

    def refuse_nan(self, task: Task, kept: Mapping[str, Array]) -> NoReturn:
        """Raise NotANumber, naming the first step forward or backward that made one."""
        if not self.forward:
            reference.backward(task.program.reverse(self.of), {self.of: self.seed}, task.look, task.precision)
        super().refuse_nan(task, kept)
