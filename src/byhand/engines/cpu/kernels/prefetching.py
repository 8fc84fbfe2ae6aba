"""Asking the memory for what will be needed soon."""

from __future__ import annotations

from byhand.engines.cpu.simd import COMPILED

LINE = 64  # bytes that come at a time

if COMPILED:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    from byhand.engines.cpu.simd.compiled import call
    from byhand.engines.cpu.simd.memory import MOST_AXES, WORDS, word

    WORD, NUMBER = ir.IntType(64), ir.IntType(32)
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

else:

    def prefetch(job, place, row, byte):
        """There is nothing to ask for."""
