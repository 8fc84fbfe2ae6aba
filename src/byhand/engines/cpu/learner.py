"""Training on the cpu engine: forward and backward as one plan, and the optimiser's single pass."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from byhand.engines import reference
from byhand.engines.cpu.backward import Backward, Reverse, reversed_groups
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
from byhand.engines.cpu.optimiser import Optimiser
from byhand.engines.cpu.plan import MASKS, Plan, contiguous
from byhand.engines.cpu.reversal import REVERSALS, Place
from byhand.engines.cpu.team import Team, team
from byhand.engines.learning import LOSS, Parameters, Update
from byhand.engines.task import Steps, Task
from byhand.program import Program, Step

Array = np.ndarray[Any, Any]

PLANS = 4  # for batches of different shapes that are remembered


class LearningPlan(Plan):
    """A plan that goes on from the loss to the gradients of all parameters."""

    def __init__(
        self, task: Task, given: Mapping[str, Array | None], parameters: Parameters, resident: Resident, team: Team
    ) -> None:
        self.parameters, self.seed = parameters, np.zeros((), np.float32)
        super().__init__(task, given, resident, team)

    def group(self, task: Task) -> None:
        """Forward groups, then backward groups."""
        forward = grouped(task.steps, ())
        self.backward: Backward = reversed_groups(task.program, LOSS, forward)
        self.groups = [*forward, *self.backward.groups]
        self.stages = [*stages(forward, ()), *range(len(forward), len(self.groups))]
        shapes = task.shapes()
        self.shapes = {**shapes, **{f"d:{address}": shape for address, shape in shapes.items()}}
        self.homes = self.backward.homes

    def lay_out(self, task: Task) -> None:
        super().lay_out(task)
        self.arrays[f"d:{LOSS}"] = self.seed

    def lower(self, group: Any, task: Task, meet: bool) -> None:
        self.targets = group.targets if isinstance(group, Reverse) else {}
        super().lower(group, task, meet)

    def lower_group(self, group: Any) -> None:
        if not isinstance(group, Reverse):
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
        if target.address in self.parameters.gradients:
            return Place(self.parameters.gradients[target.address], Adding(not target.first) if target.first else True)
        return Place(self.arrays[f"d:{target.address}"], not target.first)

    def inner(self, address: str) -> Array | None:
        return None

    # --- running --------------------------------------------------------------------------------------------------

    def learn(self, task: Task, given: Mapping[str, Array | None], share: float, fresh: bool) -> float:
        self.seed[...] = share
        for job, place in self.builder.adding:
            job.set(place, int(not fresh))
        self.fresh = fresh
        return float(self.run(task, given)[LOSS])

    def compute(self, group: Any, task: Task) -> None:
        """A step, or its backward, by its operator's own NumPy code."""
        if not isinstance(group, Reverse):
            super().compute(group, task)
            return
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


class CpuLearner:
    """The cpu engine learns. Bits depend neither on the number of threads nor on which batches came before."""

    def __init__(self, program: Program, parameters: Parameters) -> None:
        self.program, self.parameters = program, parameters
        self.resident = Resident(parameters.weights)
        self.steps = Steps.of(program, program.needed([LOSS], lambda address: False))
        self.plans: OrderedDict[tuple[Any, ...], Plan] = OrderedDict()
        self.precision, self.optimiser = reference.precision("float32"), Optimiser(parameters)

    def learn(self, inputs: Mapping[str, Array], share: float = 1.0, fresh: bool = True) -> float:
        task, given = self.task(inputs), self.given(inputs)
        plan = self.planned("learn", task, given)
        assert isinstance(plan, LearningPlan)
        return plan.learn(task, given, share, fresh)

    def loss(self, inputs: Mapping[str, Array]) -> float:
        task, given = self.task(inputs), self.given(inputs)
        return float(self.planned("loss", task, given).run(task, given)[LOSS])

    def task(self, inputs: Mapping[str, Array]) -> Task:
        weights = self.parameters.weights
        inputs = {address: np.asarray(array) for address, array in inputs.items()}

        def look(address: str) -> Array:
            return inputs[address] if address in inputs else weights[address]

        def shapes() -> dict[str, tuple[int, ...]]:
            lengths = self.program.lengths({address: array.shape for address, array in inputs.items()})
            return self.program.shapes(**lengths)

        return Task(self.program, self.steps, weights, self.precision, look, look, {LOSS}, shapes)

    def given(self, inputs: Mapping[str, Array]) -> dict[str, Array | None]:
        return {address: np.asarray(inputs[address]) for address in self.steps.given}

    def planned(self, what: str, task: Task, given: Mapping[str, Array | None]) -> Plan:
        """The plan for batches of these shapes."""
        rules = self.program.inputs
        key = (
            what,
            team().size,
            *(
                (
                    address,
                    array.shape,
                    array.dtype.char,
                    address in rules and rules[address].rule in MASKS and contiguous(array),
                )
                for address, array in given.items()
                if array is not None
            ),
        )
        if key not in self.plans:
            self.plans[key] = (
                LearningPlan(task, given, self.parameters, self.resident, team())
                if what == "learn"
                else Plan(task, given, self.resident, team())
            )
            while len(self.plans) > PLANS:
                self.plans.popitem(last=False)
        self.plans.move_to_end(key)
        return self.plans[key]

    def length(self) -> float:
        return self.optimiser.length()

    def update(self, how: Update) -> None:
        self.optimiser.update(how)
