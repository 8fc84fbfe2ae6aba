"""byhand programs with one thing changed: planted mistakes, and other places to round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from byhand.operators import Operator
from byhand.program import Program, Step

from .harness import Twin


def changed(twin: Twin, change: Callable[[Step], Step]) -> Twin:
    """The twin whose byhand program has every step changed, and whose oracle stays as it was."""
    program = twin.model.program_with("targets" in twin.given)
    mutant = Program(program.name, program.sizes)
    mutant.inputs, mutant.weights = program.inputs, program.weights
    mutant.steps = [change(step) for step in program]
    mutant.producer = {address: step for step in mutant.steps for address in step.writes.values()}
    assert mutant.steps != program.steps, "nothing was changed"
    model = replace(twin.model, programs={True: mutant, False: mutant})
    return replace(twin, model=model)


def exchanged(twin: Twin, operators: Mapping[Operator, Operator]) -> Twin:
    """The twin in which other operators stand for some."""
    return changed(twin, lambda step: replace(step, operator=operators.get(step.operator, step.operator)))
