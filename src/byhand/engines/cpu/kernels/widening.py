"""Reading weights of any kind as float32.

The jobs of products have, behind their ending: 8 x_NK, 9 the weight as it lies, 10 its kind, 11 rows of scratch memory
[threads, rows, DEPTH] that a thread may write what it widens to.
"""

from __future__ import annotations

from numba import float32, int8, uint8, uint16, uint64

from byhand.engines.cpu.kernel import array, function, whole
from byhand.engines.cpu.simd import bf16, half

KINDS = ("f32", "f16", "bf16", "q8_0", "q4_0")
F32, F16, BF16, Q8_0, Q4_0 = range(5)
BLOCK = 32  # numbers that share a scale
ITEMSIZE, BLOCK_BYTES = (4, 2, 2, 1, 1), (0, 0, 0, 34, 18)
DEPTH = 512  # how many numbers of a sum are added up before they join the others


@function
def number(job, i, j):
    """Number j of row i of a weight that is not in blocks."""
    kind = whole(job, 10)
    if kind == F32:
        return array(job, 9, float32, 2)[i, j]
    bits = array(job, 9, uint16, 2)[i, j]
    return half(bits) if kind == F16 else bf16(bits)


@function
def widen(job, me, r, i, k0, k1):
    """Numbers k0 … k1-1 of row i of the weight into row r of the scratch memory. In blocks, k0 and k1 begin one."""
    kind = whole(job, 10)
    if kind == Q8_0:
        widen_q8_0(job, me, r, i, k0, k1)
    elif kind == Q4_0:
        widen_q4_0(job, me, r, i, k0, k1)
    else:
        wide_K = array(job, 11, float32, 3)[me, r]
        for k in range(k1 - k0):
            wide_K[k] = number(job, i, k0 + k)


# Only where no index can be negative, so has no sign, does the compiler make vector code of a loop. And only where
# it does not know how long the loop is: one of 32 it writes out number by number.


@function
def scale_at(bytes_B, at):
    return half(bytes_B[at] | bytes_B[at + 1] << 8)


@function
def widen_q8_0(job, me, r, i, k0, k1):
    """A block is a float16 scale and 32 whole numbers of 8 bits."""
    bytes_B, signed_B = array(job, 9, uint8, 2)[i], array(job, 9, int8, 2)[i]
    wide_K = array(job, 11, float32, 3)[me, r]
    for k in range(0, k1 - k0, BLOCK):
        at = (k0 + k) // BLOCK * BLOCK_BYTES[Q8_0]
        scale = scale_at(bytes_B, at)
        for j in range(min(BLOCK, k1 - k0 - k)):
            wide_K[uint64(k + j)] = scale * float32(signed_B[uint64(at + 2 + j)])


@function
def widen_q4_0(job, me, r, i, k0, k1):
    """A block is a float16 scale and 16 bytes: the low four bits are the first 16 numbers, each 8 too large."""
    bytes_B, wide_K = array(job, 9, uint8, 2)[i], array(job, 11, float32, 3)[me, r]
    for k in range(0, k1 - k0, BLOCK):
        at = (k0 + k) // BLOCK * BLOCK_BYTES[Q4_0]
        scale = scale_at(bytes_B, at)
        for j in range(min(BLOCK // 2, k1 - k0 - k)):
            wide_K[uint64(k + j)] = scale * float32((bytes_B[uint64(at + 2 + j)] & 15) - 8)
            wide_K[uint64(k + 16 + j)] = scale * float32((bytes_B[uint64(at + 2 + j)] >> 4) - 8)
