"""What learning from a batch takes: operations, and memory, both read off the program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from byhand.memory import fit
from byhand.program import Program

PIECES = 4  # numbers for each parameter: its value, its gradient and two moments
NUMBER = 4  # bytes


def operations(program: Program, lengths: Mapping[str, int]) -> float:
    """Operations of learning from one batch, forward and backward; lengths: of its axes, see `Program.lengths`.

    Of attention that reads left to right half is counted: what a position does not see need not be computed.
    """
    shapes, half = program.shapes(**lengths), set(left_to_right(program))
    back = {step.address for step in program.path("loss")}
    total = 0.0
    for step in program.needed(["loss"], program.inputs.__contains__):
        sizes = step.sizes(shapes)
        count = step.operator.operations(sizes, "forward", step.absent)
        count += step.operator.operations(sizes, "backward", step.absent) if step.address in back else 0
        total += count / 2 if step.address in half else count
    return total


def left_to_right(program: Program) -> Iterator[str]:
    """The steps that compare each position with all others, of which they use those before it."""
    for step in program:
        seen = program.inputs.get(str(step.reads[1])) if step.operator.name == "mask" else None
        if seen is not None and seen.rule == "causal":
            yield from (str(step.reads[0]), step.address)
            for softmax in program.readers(step.address):
                yield from (softmax.address, *(each.address for each in program.readers(softmax.address)))


def refuse_too_large(program: Program, B: int, T: int) -> None:
    """Raise MemoryRefused if parameters, their moments, and what backward reads of a batch would not fit."""
    shapes = program.shapes(B, T)
    kept = sum(prod(shapes[address]) for address in program.saved() if address in program.producer)
    largest = max(prod(shapes[step.address]) for step in program)
    fit(
        NUMBER * (PIECES * program.parameters + kept + 2 * largest),
        f"training {program.name} ({program.parameters:,} parameters) on {B} x {T} tokens at once",
        "give a smaller batch and accumulate more of them, a shorter length, or a smaller model",
    )
