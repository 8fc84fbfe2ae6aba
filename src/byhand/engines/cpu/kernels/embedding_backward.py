"""The way back to a table from the rows that tokens looked up, and to all positions from the first."""

from __future__ import annotations

from numba import float32, int64

from byhand.engines.cpu.builder import Builder
from byhand.engines.cpu.kernel import array, kernel, take, whole
from byhand.engines.cpu.kernels.elementwise import ZERO
from byhand.engines.cpu.kernels.elementwise_backward import clear, put
from byhand.engines.cpu.kernels.embedding import row_of
from byhand.engines.cpu.kernels.norms import rows
from byhand.engines.cpu.reversal import Gradients, reverses
from byhand.program import Step

COLUMNS = 128  # of the table that a thread takes at a time, for all tokens: it adds their rows up in order


@kernel
def gather_rows(job, me):
    """d_table[id] += d_out for every token. An id that the table does not have is passed over."""
    id_N, d_out_ND, d_table_VD = array(job, 0, int64, 1), array(job, 1, float32, 2), array(job, 2, float32, 2)
    first = take(job, COLUMNS)
    while first < d_table_VD.shape[1]:
        for n in range(len(id_N)):
            v = row_of(id_N[n], len(d_table_VD))
            if v >= 0:
                from_D, row_D = d_out_ND[n, first : first + COLUMNS], d_table_VD[v, first : first + COLUMNS]
                for d in range(len(row_D)):
                    row_D[d] += from_D[d]
        first = take(job, COLUMNS)


@kernel
def spread_first(job, me):
    """d_x = d_first at the first position, 0 elsewhere."""
    d_first_BD, d_x_BTD, add = array(job, 0, float32, 2), array(job, 1, float32, 3), whole(job, 2) != 0
    b = take(job, 1)
    while b < len(d_x_BTD):
        from_D = d_first_BD[b]
        for t in range(d_x_BTD.shape[1]):
            made_D = d_x_BTD[b, t]
            for d in range(len(made_D)):
                made_D[d] = put(made_D[d], from_D[d] if t == 0 else ZERO, add)
        b = take(job, 1)


@reverses("lookup")
def reverse_lookup(b: Builder, step: Step, d: Gradients) -> None:
    place = d.to(step, "table")
    if place is not None:
        b.call(clear, place.array.reshape(-1), place.add)
        b.call(gather_rows, b.array(step.names["id"]).reshape(-1), rows(d.output(step)), place.array)


@reverses("first_position")
def reverse_first_position(b: Builder, step: Step, d: Gradients) -> None:
    place = d.to(step, "x")
    if place is not None:
        b.call(spread_first, rows(d.output(step)), place.array, place.add)
