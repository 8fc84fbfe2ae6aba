"""How a program is computed. Every engine gives the values of the reference engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from byhand.engines import reference
from byhand.engines.learning import Learner, Parameters, ReferenceLearner, Update
from byhand.engines.task import Engine, Steps, Task, silent
from byhand.errors import InputError
from byhand.program import Program, Step

__all__ = [
    "ENGINES",
    "REFERENCE",
    "Engine",
    "Learner",
    "Parameters",
    "Steps",
    "Task",
    "Update",
    "engine",
    "silent",
]

ENGINES = ("cpu", "reference")


class Reference:
    """The reference engine as one that can be chosen."""

    name = "reference"
    precisions = ("float64", "float32", "bfloat16")

    def forward(self, task: Task) -> dict[str, reference.Array]:
        return reference.forward(
            task.steps, task.look, task.precision, task.keep, task.change, task.progress, task.stored
        )

    def repeated(self, task: Task) -> Callable[[], dict[str, reference.Array]]:
        return lambda: self.forward(task)

    def inner(self, steps: Sequence[Step], keep: Collection[str]) -> set[str]:
        return set()

    def backward(self, task: Task, of: str, seed: reference.Array) -> dict[str, reference.Array]:
        return reference.backward(task.program.reverse(of), {of: seed}, task.look, task.precision, task.passed)

    def learner(
        self, program: Program, parameters: Parameters, again: frozenset[str] = frozenset()
    ) -> ReferenceLearner:
        return ReferenceLearner(program, parameters, again)

    def saved(self, program: Program) -> set[str]:
        return program.saved()

    def __reduce__(self) -> str:
        return "REFERENCE"


REFERENCE = Reference()


def engine(name: str | None, dtype: str) -> Engine:
    """The engine of this name; without one, the fastest that computes in this precision.

    Raises InputError for an unknown engine, and for one that does not compute in the precision.
    """
    reference.precision(dtype)
    if name is None:
        name = "reference" if dtype in REFERENCE.precisions and dtype != "float32" else "cpu"
    if not isinstance(name, str) or name not in ENGINES:
        raise InputError(f"no engine {name!r:.40}; there are: {', '.join(ENGINES)}")
    found = REFERENCE if name == "reference" else fast()
    if dtype not in found.precisions:
        other = next(each for each in ENGINES if each != name)
        raise InputError(
            f"engine {name} computes in {' and '.join(found.precisions)}, not in {dtype}; use --engine {other}"
        )
    return found


def fast() -> Engine:
    """The cpu engine; it imports the compiler."""
    from byhand.engines.cpu.engine import CPU

    return CPU
