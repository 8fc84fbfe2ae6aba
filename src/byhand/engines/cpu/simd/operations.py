"""What is done to tiles lane by lane, within their lanes, and across them: see `compiled` for the whole vocabulary."""

from __future__ import annotations

import functools
import operator

from llvmlite import ir
from numba import float32, int8, int32, uint8
from numba.core.errors import TypingError
from numba.extending import intrinsic, overload

from byhand.engines.cpu.simd.compiled import BYTES, FEATURES, LANES, Tile, call, fill, pack, unpack, vector

__all__ = ["as_float", "dot", "flipped", "fma", "high_nibbles", "highest", "larger"]
__all__ += ["low_nibbles", "total", "transposed"]

DOT = None  # the instruction for `dot`, where there is one: four products of bytes added to each lane
if ("avx512vnni" in FEATURES and "avx512vl" in FEATURES) or ("avxvnni" in FEATURES and LANES < 16):
    DOT = f"llvm.x86.avx512.vpdpbusd.{8 * BYTES}"
elif "i8mm" in FEATURES:
    DOT = "llvm.aarch64.neon.usdot.v4i32.v16i8"
PAIRS = {8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}.get(LANES)


def lanewise(*takes, gives=None):
    """Make an operation on tiles from one on vectors. Without `takes`, its operands share one element type."""

    def decorate(emit):
        @functools.wraps(emit)
        def typed(context, *operands):
            tiles = [t for t in operands if isinstance(t, Tile)]
            dtypes = takes or [t.dtype for t in tiles[:1]] * len(operands)
            rows, cols = max([t.rows for t in tiles], default=1), max([t.cols for t in tiles], default=1)
            for t, dtype in zip(operands, dtypes, strict=True):
                if isinstance(t, Tile) and (t.dtype != dtype or t.rows not in (1, rows) or t.cols not in (1, cols)):
                    raise TypingError(f"{emit.__name__} does not fit {operands}")

            def spread(context, builder, kind, value, dtype):
                if isinstance(kind, Tile):
                    return unpack(builder, kind, value, rows, cols)
                return [fill(builder, context.cast(builder, value, kind, dtype), vector(dtype).count)] * (rows * cols)

            def generate(context, builder, sig, args):
                columns = [spread(context, builder, *each) for each in zip(sig.args, args, dtypes, strict=True)]
                return pack(builder, [emit(builder, *vectors) for vectors in zip(*columns, strict=True)])

            return Tile(gives or dtypes[0], rows, cols)(*operands), generate

        return intrinsic(typed)

    return decorate


def floating(t):
    return t.type == vector(float32)


def plus(builder, t, u):
    return builder.fadd(t, u) if floating(t) else builder.add(t, u)


def less(builder, t, u):
    return builder.fsub(t, u) if floating(t) else builder.sub(t, u)


def times(builder, t, u):
    return builder.fmul(t, u) if floating(t) else builder.mul(t, u)


def over(builder, t, u):
    return builder.fdiv(t, u)


def most(builder, t, u):
    greater = builder.fcmp_ordered(">", t, u) if floating(t) else builder.icmp_signed(">", t, u)
    return builder.select(greater, t, u)


def operation(sign, emit):
    """Let a sign of Python work on tiles."""
    made = lanewise()(emit)

    @overload(sign)
    def operate(t, u):
        if isinstance(t, Tile) or isinstance(u, Tile):
            return lambda t, u: made(t, u)

    return made


for sign, emit in ((operator.add, plus), (operator.sub, less), (operator.mul, times), (operator.truediv, over)):
    operation(sign, emit)
larger = lanewise()(most)


@lanewise(float32, float32, float32)
def fma(builder, t, u, acc):
    return call(builder, f"llvm.fmuladd.v{LANES}f32", t, u, acc)


@lanewise(int32, uint8, int8)
def dot(builder, acc, u, s):
    if DOT:
        return call(builder, DOT, acc, u, s)
    if PAIRS:
        half_of = ir.VectorType(ir.IntType(16), 2 * LANES)
        eight, low = half_of([8] * half_of.count), half_of([255] * half_of.count)
        u, s = builder.bitcast(u, half_of), builder.bitcast(s, half_of)
        even = call(builder, PAIRS, builder.and_(u, low), builder.ashr(builder.shl(s, eight), eight), returns=acc.type)
        odd = call(builder, PAIRS, builder.lshr(u, eight), builder.ashr(s, eight), returns=acc.type)
        return builder.add(builder.add(acc, even), odd)
    number = vector(int32)
    u, s = builder.bitcast(u, number), builder.bitcast(s, number)
    for bit in 0, 8, 16, 24:  # the four bytes of each lane in turn
        byte = builder.and_(builder.lshr(u, number([bit] * LANES)), number([255] * LANES))
        signed = builder.ashr(builder.shl(s, number([24 - bit] * LANES)), number([24] * LANES))
        acc = builder.add(acc, builder.mul(byte, signed))
    return acc


@lanewise(uint8)
def low_nibbles(builder, t):
    return builder.and_(t, t.type([15] * BYTES))


@lanewise(uint8)
def high_nibbles(builder, t):
    return builder.lshr(t, t.type([4] * BYTES))


@intrinsic
def flipped(context, tile):
    gives = Tile(uint8 if tile.dtype == int8 else int8, tile.rows, tile.cols)

    def generate(context, builder, sig, args):
        vectors = unpack(builder, tile, args[0], tile.rows, tile.cols)
        return pack(builder, [builder.xor(v, v.type([-128] * BYTES)) for v in vectors])

    return gives(tile), generate


@lanewise(int32, gives=float32)
def as_float(builder, t):
    return builder.sitofp(t, vector(float32))


@intrinsic
def transposed(context, tile):
    """Each round puts neighbours side by side: after log2(LANES) rounds the matrix is transposed."""
    assert tile.rows == LANES and tile.cols == 1 and tile.dtype in (float32, int32)

    def generate(context, builder, sig, args):
        vectors = unpack(builder, tile, args[0], LANES, 1)
        step = LANES // 2
        while step:
            made = list(vectors)
            for r in range(LANES):
                if r & step:
                    continue
                low = [lane if not lane & step else LANES + lane - step for lane in range(LANES)]
                high = [lane + step if not lane & step else LANES + lane for lane in range(LANES)]
                mask = ir.VectorType(ir.IntType(32), LANES)
                made[r] = builder.shuffle_vector(vectors[r], vectors[r + step], mask(low))
                made[r + step] = builder.shuffle_vector(vectors[r], vectors[r + step], mask(high))
            vectors, step = made, step // 2
        return pack(builder, vectors)

    return tile(tile), generate


def reduced(combine):
    @intrinsic
    def typed(context, tile):
        def generate(context, builder, sig, args):
            vectors = unpack(builder, tile, args[0], tile.rows, tile.cols)
            v, width = functools.reduce(functools.partial(combine, builder), vectors), LANES
            while width > 1:  # fold the vector in the middle until one number is left
                width //= 2
                halves = [ir.VectorType(ir.IntType(32), width)(list(range(at, at + width))) for at in (0, width)]
                low, high = (builder.shuffle_vector(v, v, half_of) for half_of in halves)
                v = folded(combine, builder, low, high)
            return builder.extract_element(v, ir.IntType(32)(0))

        if tile.dtype in (float32, int32):
            return tile.dtype(tile), generate

    return typed


def folded(combine, builder, low, high):
    """`combine` for vectors of any width."""
    real_numbers = isinstance(low.type.element, ir.FloatType)
    if combine is plus:
        return builder.fadd(low, high) if real_numbers else builder.add(low, high)
    above = builder.fcmp_ordered(">", low, high) if real_numbers else builder.icmp_signed(">", low, high)
    return builder.select(above, low, high)


total, highest = reduced(plus), reduced(most)
