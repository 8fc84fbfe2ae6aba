"""Products of activations with weights, and what is fused to them: the choice of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from byhand.engines.cpu.builder import Builder, lowers
from byhand.engines.cpu.kernels.elementwise import ACTIVATIONS
from byhand.engines.cpu.kernels.ending import Ending
from byhand.engines.cpu.kernels.integer import lower_int8
from byhand.engines.cpu.kernels.panels import ROWS, WIDTH, product_by_panels
from byhand.engines.cpu.kernels.rows import STRIP, product_of_columns, product_of_rows
from byhand.engines.cpu.kernels.widening import DEPTH, KINDS
from byhand.engines.cpu.matrix import Matrix
from byhand.engines.cpu.simd import LANES
from byhand.program import Step

Array = np.ndarray[Any, Any]

FEW = 8  # rows from which on a product is bound by arithmetic, not by reading the weight
BLOCK = 256  # rows that go through all panels' steps together: what is read of x stays in the second cache
STRETCH = 6144  # bytes of a row of the weight that a thread reads at most before it goes on to the next row
PIECES = 4  # for every thread, at least, that the work is cut into


@lowers("linear", "to_heads", "from_heads", "unembed")
def lower_alone(b: Builder, step: Step) -> None:
    lower_product(b, [step])


def lower_product(b: Builder, steps: Sequence[Step]) -> None:
    """A product and the steps that are fused to it, in order: an activation, a multiply, an add, each optional."""
    step = steps[0]
    table = step.operator.name == "unembed"
    axes_in = 2 if step.operator.name == "from_heads" else 1
    x, weight = (step.names[o.name] for o in step.operator.inputs[:2])
    matrix = b.matrix(weight, axes_in=axes_in, table=table)
    x_NK = b.array(x).reshape(-1, matrix.ins)
    ending = ending_of(b, steps, matrix.outs)
    if matrix.in_blocks and b.int8:
        lower_int8(b, matrix, x_NK, x, ending)
    else:
        lower_floats(b, matrix, x_NK, ending)


def ending_of(b: Builder, steps: Sequence[Step], outs: int) -> Ending:
    """What the steps behind a product ask of its kernel, and where the values in between go."""
    by_stage = {"activation" if s.operator.name in ACTIVATIONS else s.operator.name: s for s in steps[1:]}
    by_stage["product"] = steps[0]
    made = {s.address for s in steps}

    def operand(stage: str) -> Array | None:
        """What a stage reads beside what was made here."""
        reads = by_stage[stage].reads if stage in by_stage else ()
        others = [read for read in reads if read is not None and read not in made]
        return b.array(others[0]).reshape(-1, outs) if others else None

    place, places = b.array(steps[-1].address).reshape(-1, outs), []
    for stage in ("add", "multiply", "activation", "product"):
        wanted = b.out(by_stage[stage].address) if stage in by_stage else None
        place = place if wanted is None else wanted.reshape(-1, outs)
        places.insert(0, place)
    bias = steps[0].names.get("bias")
    return Ending(
        None if bias is None else b.vector(bias).reshape(-1),
        ACTIVATIONS[by_stage["activation"].operator.name] if "activation" in by_stage else 0,
        operand("multiply"),
        operand("add"),
        *places,
    )


def lower_floats(b: Builder, matrix: Matrix, x_NK: Array, ending: Ending) -> None:
    """The calls that multiply by the numbers of a weight as float32."""
    rows = max(ROWS, LANES)
    wide = b.scratch("widened", (b.threads, rows, DEPTH), np.float32)
    common = (*ending.arguments, x_NK, matrix.array, KINDS.index(matrix.kind), wide)
    if len(x_NK) >= FEW:
        panels = b.scratch("panels", (b.threads, DEPTH + ROWS, WIDTH), np.float32)
        b.call(product_by_panels, *common, matrix.outs_first, panels, block_of(b, len(x_NK), matrix.outs), 0)
    elif matrix.outs_first:
        lanes = 2 if len(x_NK) == 2 else -(-len(x_NK) // 4) * 4
        x_KR = b.scratch("lanes", (b.threads, matrix.ins // LANES, lanes * LANES), np.float32)
        b.call(product_of_rows, *common, x_KR)
    else:
        b.call(product_of_columns, *common, slab_of(b, matrix))


def slab_of(b: Builder, matrix: Matrix) -> int:
    """How many outputs a thread takes at a time where rows of the weight hold a term of each."""
    share, most = -(-matrix.outs // b.threads), STRETCH // matrix.array.itemsize
    return -(-min(share, most) // STRIP) * STRIP


def block_of(b: Builder, rows: int, outs: int) -> int:
    """How many rows are multiplied by a panel before the next: fewer where there would not be work for all threads."""
    block = BLOCK
    while block > 64 and -(-rows // block) * -(-outs // WIDTH) < PIECES * b.threads:
        block //= 2
    return block
