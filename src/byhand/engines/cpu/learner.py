"""Training on the cpu engine: forward and backward as one plan, and the optimiser's single pass."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from byhand.engines import reference
from byhand.engines.cpu.builder import Resident
from byhand.engines.cpu.differentiating import BackwardPlan
from byhand.engines.cpu.optimiser import Optimiser
from byhand.engines.cpu.plan import MASKS, Plan, contiguous
from byhand.engines.cpu.team import team
from byhand.engines.learning import LOSS, Parameters, Update
from byhand.engines.task import Steps, Task
from byhand.program import Program

Array = np.ndarray[Any, Any]

PLANS = 4  # for batches of different shapes that are remembered


class CpuLearner:
    """The cpu engine learns. Bits depend neither on the number of threads nor on which batches came before."""

    def __init__(self, program: Program, parameters: Parameters, again: frozenset[str] = frozenset()) -> None:
        self.program, self.parameters, self.again = program, parameters, again
        self.resident = Resident(parameters.weights)
        self.steps = Steps.of(program, program.needed([LOSS], lambda address: False))
        self.plans: OrderedDict[tuple[Any, ...], Plan] = OrderedDict()
        self.precision, self.optimiser = reference.precision("float32"), Optimiser(parameters)

    def learn(self, inputs: Mapping[str, Array], share: float = 1.0, fresh: bool = True) -> float:
        task, given = self.task(inputs), self.given(inputs)
        plan = self.planned(BackwardPlan, task, given)
        assert isinstance(plan, BackwardPlan)
        return float(plan.differentiate(task, given, share, fresh)[LOSS])

    def loss(self, inputs: Mapping[str, Array]) -> float:
        task, given = self.task(inputs), self.given(inputs)
        return float(self.planned(Plan, task, given).run(task, given)[LOSS])

    def length(self) -> float:
        return self.optimiser.length()

    def update(self, how: Update) -> None:
        self.optimiser.update(how)

    def task(self, inputs: Mapping[str, Array]) -> Task:
        weights = self.parameters.weights

        def look(address: str) -> Array:
            return inputs[address] if address in inputs else weights[address]

        def shapes() -> dict[str, tuple[int, ...]]:
            lengths = self.program.lengths({address: array.shape for address, array in inputs.items()})
            return self.program.shapes(**lengths)

        return Task(self.program, self.steps, weights, self.precision, look, look, {LOSS}, shapes)

    def given(self, inputs: Mapping[str, Array]) -> dict[str, Array | None]:
        return {address: inputs[address] for address in self.steps.given}

    def planned(self, kind: type[Plan], task: Task, given: Mapping[str, Array | None]) -> Plan:
        """The plan for batches of these shapes."""
        key = kind, team().size, *(self.form(address, array) for address, array in given.items() if array is not None)
        if key not in self.plans:
            if kind is BackwardPlan:
                into = self.parameters.gradients
                plan = BackwardPlan(task, given, self.resident, team(), LOSS, into=into, again=self.again)
            else:
                plan = Plan(task, given, self.resident, team())
            self.plans[key] = plan
            while len(self.plans) > PLANS:
                self.plans.popitem(last=False)
        self.plans.move_to_end(key)
        return self.plans[key]

    def form(self, address: str, array: Array) -> tuple[Any, ...]:
        """What two batches that share a plan have in common."""
        given = self.program.inputs.get(address)
        return address, array.shape, array.dtype.char, given is not None and given.rule in MASKS and contiguous(array)
