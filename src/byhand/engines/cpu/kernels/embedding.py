"""Rows of a table for token ids, positions as waves, and the first row of every text."""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int64, uint8, uint16

from byhand.engines.cpu.builder import Array, Builder, lowers
from byhand.engines.cpu.kernel import array, exact, kernel, take
from byhand.engines.cpu.kernels.elementwise import NAN, made, quotient
from byhand.engines.cpu.kernels.norms import rows
from byhand.engines.cpu.matrix import Matrix
from byhand.engines.cpu.simd import bf16, cos, half, sin
from byhand.program import Step
from byhand.shapes import split_evenly


@exact
def row_of(id, count):
    """The row that an id means, counted from the end if it is negative, or -1 if there is none."""
    row = id + count if id < 0 else id
    return row if 0 <= row < count else -1


@exact
def blank(job, n):
    """NaN for an id that the table does not have; whoever looks for NaN finds the step."""
    out_ND = array(job, 2, float32, 2)
    for d in range(out_ND.shape[1]):
        out_ND[n, d] = NAN


# A plain table has a last axis of one number, so that the other two may lie in memory in either order.


@kernel
def rows_of_f32(job, me):
    id_N, table_VD1, out_ND = array(job, 0, int64, 1), array(job, 1, float32, 3), array(job, 2, float32, 2)
    n = take(job, 1)
    while n < len(id_N):
        v = row_of(id_N[n], len(table_VD1))
        if v < 0:
            blank(job, n)
        else:
            for d in range(out_ND.shape[1]):
                out_ND[n, d] = table_VD1[v, d, 0]
        n = take(job, 1)


@kernel
def rows_of_f16(job, me):
    id_N, table_VD1, out_ND = array(job, 0, int64, 1), array(job, 1, uint16, 3), array(job, 2, float32, 2)
    n = take(job, 1)
    while n < len(id_N):
        v = row_of(id_N[n], len(table_VD1))
        if v < 0:
            blank(job, n)
        else:
            for d in range(out_ND.shape[1]):
                out_ND[n, d] = half(table_VD1[v, d, 0])
        n = take(job, 1)


@kernel
def rows_of_bf16(job, me):
    id_N, table_VD1, out_ND = array(job, 0, int64, 1), array(job, 1, uint16, 3), array(job, 2, float32, 2)
    n = take(job, 1)
    while n < len(id_N):
        v = row_of(id_N[n], len(table_VD1))
        if v < 0:
            blank(job, n)
        else:
            for d in range(out_ND.shape[1]):
                out_ND[n, d] = bf16(table_VD1[v, d, 0])
        n = take(job, 1)


@exact
def block_scale(block_XY, v, at):
    """The float16 with which a block of row v begins, at this byte."""
    return half(uint16(block_XY[v, at]) | uint16(block_XY[v, at + 1]) << 8)


@kernel
def rows_of_q8_0(job, me):
    """Of 32 numbers each: a float16 scale, then their int8."""
    id_N, table_VX, out_ND = array(job, 0, int64, 1), array(job, 1, uint8, 2), array(job, 2, float32, 2)
    n = take(job, 1)
    while n < len(id_N):
        v = row_of(id_N[n], len(table_VX))
        if v < 0:
            blank(job, n)
        else:
            for block in range(out_ND.shape[1] // 32):
                scale = block_scale(table_VX, v, 34 * block)
                for i in range(32):
                    byte = int64(table_VX[v, 34 * block + 2 + i])
                    out_ND[n, 32 * block + i] = scale * float32(byte - 256 if byte > 127 else byte)
        n = take(job, 1)


@kernel
def rows_of_q4_0(job, me):
    """Of 32 numbers each: a float16 scale, then 16 bytes whose low halves come first; a half is 8 more than meant."""
    id_N, table_VX, out_ND = array(job, 0, int64, 1), array(job, 1, uint8, 2), array(job, 2, float32, 2)
    n = take(job, 1)
    while n < len(id_N):
        v = row_of(id_N[n], len(table_VX))
        if v < 0:
            blank(job, n)
        else:
            for block in range(out_ND.shape[1] // 32):
                scale = block_scale(table_VX, v, 18 * block)
                for i in range(16):
                    byte = int64(table_VX[v, 18 * block + 2 + i])
                    out_ND[n, 32 * block + i] = scale * float32((byte & 15) - 8)
                    out_ND[n, 32 * block + 16 + i] = scale * float32((byte >> 4) - 8)
        n = take(job, 1)


ROWS_OF = {"f32": rows_of_f32, "f16": rows_of_f16, "bf16": rows_of_bf16, "q8_0": rows_of_q8_0, "q4_0": rows_of_q4_0}


@kernel
def waves(job, me):
    """Sine and cosine of position / wavelength in turn; the angle is a float64, as positions may be large."""
    position_N, wavelength_I = array(job, 0, int64, 1), array(job, 1, float64, 1)
    out_ND = array(job, 2, float32, 2)
    n = take(job, 1)
    while n < len(position_N):
        for i in range(len(wavelength_I)):
            angle = quotient(float64(position_N[n]), wavelength_I[i])
            out_ND[n, 2 * i] = sin(angle)
            out_ND[n, 2 * i + 1] = cos(angle)
        n = take(job, 1)


@kernel
def first_rows(job, me):
    x_BTD, out_BD = array(job, 0, float32, 3), array(job, 1, float32, 2)
    b = take(job, 1)
    while b < len(x_BTD):
        for d in range(out_BD.shape[1]):
            out_BD[b, d] = x_BTD[b, 0, d]
        b = take(job, 1)


def rows_of(table: Matrix) -> Array:
    """The array of a table that its kernel reads: row v is that of token v."""
    if table.in_blocks:
        return table.array
    return (table.array if table.outs_first else table.array.T)[:, :, None]


@lowers("lookup")
def lower_lookup(b: Builder, step: Step) -> None:
    table = b.matrix(step.names["table"], table=True)
    b.call(ROWS_OF[table.kind], b.array(step.names["id"]).reshape(-1), rows_of(table), rows(made(b, step)))


@lowers("sinusoidal_positions")
def lower_sinusoidal_positions(b: Builder, step: Step) -> None:
    out_ND = rows(made(b, step))
    split_evenly(out_ND.shape[1], 2, "width", "waves (sine and cosine)")
    D, base = out_ND.shape[1], step.attributes.get("base", step.operator.settings["base"])
    wavelength_I = base ** (2 * np.arange(D // 2) / D)
    b.call(waves, b.array(step.names["position"]).reshape(-1), wavelength_I, out_ND)


@lowers("first_position")
def lower_first_position(b: Builder, step: Step) -> None:
    b.call(first_rows, b.array(step.names["x"]), rows(made(b, step)))
