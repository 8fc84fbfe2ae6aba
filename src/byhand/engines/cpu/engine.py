"""The cpu engine: the same values as the reference engine's, by planned memory and compiled kernels."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import byhand.engines.cpu.kernels  # noqa: F401  (fills the table of lowerings)
from byhand.checkpoints.files.quantized import Quantized
from byhand.engines import REFERENCE
from byhand.engines.cpu.builder import Resident
from byhand.engines.cpu.fusion import grouped, unseen
from byhand.engines.cpu.plan import MASKS, Plan, contiguous
from byhand.engines.cpu.team import team
from byhand.engines.learning import LOSS, Learner, Parameters
from byhand.engines.task import Task
from byhand.program import Program, Step
from byhand.weights import Weights

Array = np.ndarray[Any, Any]

PLANS, PLAN_BYTES = 8, 2**28  # of one model that are remembered: so many, or so much memory, but always the last


class Prepared:
    """What is remembered for one model's weights: how they lie for kernels, and the last plans."""

    def __init__(self, weights: Weights) -> None:
        self.resident = Resident(weights)
        self.plans: OrderedDict[tuple[Any, ...], Plan] = OrderedDict()


PREPARED: dict[int, Prepared] = {}
PLANNING = threading.RLock()


class Cpu:
    """The engine as one that can be chosen."""

    name = "cpu"
    precisions = ("float32", "int8")

    def forward(self, task: Task) -> dict[str, Array]:
        """The values to keep by address. Raises ShapeError and NotANumber, naming the step."""
        given = given_to(task)
        return planned(task, given).run(task, given)

    def repeated(self, task: Task) -> Callable[[], dict[str, Array]]:
        """`forward` of one task again and again, for what `look` gives then, in the same shapes."""
        plan = planned(task, given_to(task))
        return lambda: plan.run(task, given_to(task))

    def inner(self, steps: Sequence[Step], keep: Collection[str]) -> set[str]:
        """Addresses of the values that never lie in memory, when these are kept."""
        return unseen(grouped(steps, ()), keep)

    def backward(self, task: Task, of: str, seed: Array) -> dict[str, Array]:
        """The gradient of every value and weight by address; through edits, and weights in blocks, in NumPy."""
        weights = task.weights.sources.values()
        if task.edited or task.precision.name != "float32" or any(isinstance(each, Quantized) for each in weights):
            return REFERENCE.backward(task, of, seed)
        return differentiated(task, of, seed)

    def learner(self, program: Program, parameters: Parameters, again: frozenset[str] = frozenset()) -> Learner:
        from byhand.engines.cpu.learner import CpuLearner

        return CpuLearner(program, parameters, again)

    def saved(self, program: Program) -> set[str]:
        from byhand.engines.cpu.backward import reversed_groups

        groups = grouped(program.needed([LOSS], lambda address: False), ())
        needs = {need for group in reversed_groups(program, LOSS, groups).groups for need in group.needs}
        return needs & program.producer.keys()

    def __reduce__(self) -> str:
        return "CPU"


CPU = Cpu()


def differentiated(task: Task, of: str, seed: Array) -> dict[str, Array]:
    """The backward of a run whose values are there."""
    from byhand.engines.cpu.differentiating import BackwardPlan

    path = task.program.path(of)
    saved = {a: task.look(a) for step in path for a in step.saved if a not in task.program.weights}
    heads = {step.address: task.look(step.address) for step in path if step.operator.name == "mix"}
    given = {of: seed, **saved, **heads}  # a step may save its own output, the value itself
    keep = {f"d:{address}" for step in path for address in step.gradients.values()}
    task = replace(task, keep=keep - {f"d:{of}"}, edited=frozenset())
    plan = BackwardPlan(task, given, prepared(task.weights).resident, team(), of)
    made = plan.differentiate(task, given, seed)
    return {of: seed, **{address.removeprefix("d:"): array for address, array in made.items()}}


def planned(task: Task, given: dict[str, Array | None]) -> Plan:
    """The plan for a task: one that was made before for the same steps and shapes, or a new one."""
    key = key_of(task, given)
    with PLANNING:
        plans = prepared(task.weights).plans
        plan = plans.get(key)
        if plan is not None:
            plans.move_to_end(key)
            return plan
        plan = plans[key] = Plan(task, given, prepared(task.weights).resident, team())
        while len(plans) > PLANS or (len(plans) > 1 and sum(each.nbytes for each in plans.values()) > PLAN_BYTES):
            plans.popitem(last=False)
        return plan


def prepared(weights: Weights) -> Prepared:
    if id(weights) not in PREPARED:
        PREPARED[id(weights)] = Prepared(weights)
        weakref.finalize(weights, PREPARED.pop, id(weights), None)
    return PREPARED[id(weights)]


def given_to(task: Task) -> dict[str, Array | None]:
    """What the steps read that neither they nor the weights are, by address; None for a mask that follows its rule."""
    return {address: task.look(address) for address in task.steps.given}


def key_of(task: Task, given: dict[str, Array | None]) -> tuple[Any, ...]:
    """What two tasks that can share a plan have in common. A plan holds its steps, so an id stays theirs."""
    inputs = task.program.inputs
    shapes = tuple(
        (address, *forms(array, address in inputs and inputs[address].rule in MASKS))
        for address, array in given.items()
    )
    return task.steps.identity, shapes, frozenset(task.keep), task.edited, task.own, task.precision.name, team().size


def forms(array: Array | None, mask: bool) -> tuple[Any, ...]:
    if array is None:
        return (None,)
    return (array.shape, array.dtype.char, array.strides if array.ndim == 4 else (), mask and contiguous(array))
