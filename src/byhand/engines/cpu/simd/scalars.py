"""Operations on plain numbers that Python has no sign for: see `compiled` for the whole vocabulary."""

from __future__ import annotations

import functools

from llvmlite import ir
from numba import float32, int32, uint16
from numba.extending import intrinsic

from byhand.engines.cpu.simd.compiled import call, widened_f16

__all__ = ["bf16", "bits_of", "float_of", "half", "nearest", "product_of", "rounded_bf16"]


def scalar(takes, gives, emit):
    @functools.wraps(emit)  # Numba reads the names of the operands off it
    def typed(context, *operands):
        def generate(context, builder, sig, args):
            given = zip(args, sig.args, takes, strict=True)
            return emit(builder, *(context.cast(builder, *each) for each in given))

        return gives(*operands), generate

    return intrinsic(typed)


def widened(builder, bits):
    wide = builder.shl(builder.zext(bits, ir.IntType(32)), ir.IntType(32)(16))
    return builder.bitcast(wide, ir.FloatType())


def shortened(builder, x):
    """To the nearest, halves to even; a NaN stays one."""
    word = ir.IntType(32)
    bits = builder.bitcast(x, word)
    odd = builder.and_(builder.lshr(bits, word(16)), word(1))
    near = builder.lshr(builder.add(bits, builder.add(odd, word(0x7FFF))), word(16))
    quiet = builder.or_(builder.lshr(bits, word(16)), word(0x40))
    return builder.trunc(builder.select(builder.fcmp_unordered("uno", x, x), quiet, near), ir.IntType(16))


def nearest_whole(builder, x):
    return builder.fptosi(call(builder, "llvm.rint.f32", x), ir.IntType(32))


half = scalar([uint16], float32, lambda builder, u: widened_f16(builder, u))
bf16 = scalar([uint16], float32, widened)
rounded_bf16 = scalar([float32], uint16, shortened)
bits_of = scalar([float32], int32, lambda b, x: b.bitcast(x, ir.IntType(32)))
float_of = scalar([int32], float32, lambda b, i: b.bitcast(i, ir.FloatType()))
nearest = scalar([float32], int32, nearest_whole)
product_of = scalar([float32] * 3, float32, lambda b, x, y, z: call(b, "llvm.fmuladd.f32", x, y, z))
