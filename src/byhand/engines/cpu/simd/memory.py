"""How a kernel reaches its job: arguments by place, and the work that is left."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj

from byhand.engines.cpu.simd.compiled import call

__all__ = ["LINE", "array", "given", "prefetch", "real", "take", "whole"]

LINE = 64  # bytes that come from memory at a time

WORD = ir.IntType(64)
WORDS, MOST_AXES = 8, 4  # as in kernel.py


def word(builder, job, place):
    """The address of a word of a job."""
    return builder.inttoptr(builder.add(job, WORD(8 * place)), WORD.as_pointer())


@intrinsic(prefer_literal=True)
def array(context, job, place, dtype, axes):
    """Argument `place` of a job: an array of this type with so many axes, contiguous in its last."""
    kind, first = types.Array(dtype.dtype, axes.literal_value, "A"), (place.literal_value + 1) * WORDS

    def generate(context, builder, sig, args):
        size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
        words = [builder.load(word(builder, args[0], first + i)) for i in range(WORDS)]
        made = context.make_array(kind)(context, builder)
        data = builder.inttoptr(words[0], context.get_data_type(kind.dtype).as_pointer())
        shape = words[1 : 1 + kind.ndim]
        strides = [*words[1 + MOST_AXES : MOST_AXES + kind.ndim], WORD(size)]
        arrayobj.populate_array(made, data, shape, strides, WORD(size), None)
        return made._getvalue()

    return kind(job, place, dtype, axes), generate


def argument(kind, read):
    @intrinsic(prefer_literal=True)
    def typed(context, job, place):
        first = (place.literal_value + 1) * WORDS

        def generate(context, builder, sig, args):
            return read(builder, word(builder, args[0], first))

        return kind(job, place), generate

    return typed


#: A number among the arguments, and whether an optional array is there.
whole = argument(types.int64, lambda builder, at: builder.load(at))
real = argument(types.float64, lambda b, at: b.load(b.bitcast(at, ir.DoubleType().as_pointer())))
given = argument(types.boolean, lambda builder, at: builder.icmp_unsigned("!=", builder.load(at), WORD(0)))


@intrinsic
def take(context, job, count):
    """Claim the next `count` pieces of a job's work; the number of the first. The same piece is never given twice."""

    def generate(context, builder, sig, args):
        many = context.cast(builder, args[1], sig.args[1], types.int64)
        return builder.atomic_rmw("add", word(builder, args[0], 0), many, "monotonic")

    return types.int64(job, count), generate


NUMBER = ir.IntType(32)
READ, KEPT, DATA = NUMBER(0), NUMBER(2), NUMBER(1)  # it will be read; into the second cache; it is not code


@intrinsic(prefer_literal=True)
def prefetch(context, job, place, row, byte):
    """Ask for the line with this byte of a row of argument `place`, an array of two axes. Nothing waits for it."""
    first = (place.literal_value + 1) * WORDS

    def generate(context, builder, sig, args):
        start, apart = (builder.load(word(builder, args[0], first + i)) for i in (0, 1 + MOST_AXES))
        n, offset = (context.cast(builder, args[i], sig.args[i], types.int64) for i in (2, 3))
        at = builder.add(builder.add(start, offset), builder.mul(n, apart))
        line = builder.inttoptr(at, ir.IntType(8).as_pointer())
        call(builder, "llvm.prefetch.p0", line, READ, KEPT, DATA, returns=ir.VoidType())
        return context.get_dummy_value()

    return types.void(job, place, row, byte), generate
