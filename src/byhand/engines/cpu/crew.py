"""What the threads of a team do: compiled, without Python's lock."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from byhand.engines.cpu.compiling import cache
from byhand.engines.cpu.simd.compiled import call
from byhand.engines.cpu.team import FUNCTION, JOB, MEET, TICKS

SIZE, READ, WRITE, ARRIVED, ROUND, TABLE, FIRST, LAST, BYTE = range(9)  # the words that the threads share
SPINS = 4096  # how often a thread looks for the others before it lets another process have its core
WORD = ir.IntType(64)
X86 = cpu_target.target_context.codegen().magic_tuple()[0].startswith(("x86", "i686"))


def at(builder, address):
    return builder.inttoptr(address, WORD.as_pointer())


@intrinsic
def peek(context, address):
    """A word that other threads write."""
    generate = lambda context, builder, sig, args: builder.load_atomic(at(builder, args[0]), "acquire", 8)  # noqa: E731
    return types.int64(types.int64), generate


@intrinsic
def poke(context, address, value):
    def generate(context, builder, sig, args):
        builder.store_atomic(args[1], at(builder, args[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def arrive(context, address):
    """Add one to a word; what it was before."""
    generate = lambda context, b, sig, args: b.atomic_rmw("add", at(b, args[0]), WORD(1), "acq_rel")  # noqa: E731
    return types.int64(types.int64), generate


@intrinsic
def invoke(context, function, job, me):
    """Call the kernel at an address."""

    def generate(context, builder, sig, args):
        kind = ir.FunctionType(ir.VoidType(), [WORD, WORD])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def ticks(context):
    """The processor's own clock."""
    return types.int64(), lambda context, b, sig, args: call(b, "llvm.readcyclecounter", returns=WORD)


@intrinsic
def rest(context):
    """Tell the processor that this is a loop that waits."""

    def generate(context, builder, sig, args):
        if X86:
            call(builder, "llvm.x86.sse2.pause", returns=ir.VoidType())
        return context.get_dummy_value()

    return types.void(), generate


yield_core = types.ExternalFunction("sched_yield", types.int32())
read_byte = types.ExternalFunction("read", types.int64(types.int32, types.int64, types.int64))
write_bytes = types.ExternalFunction("write", types.int64(types.int32, types.int64, types.int64))


def compiled(body: Any) -> Any:
    with cache(body):
        return numba.njit(body, nogil=True, cache=True)


@compiled
def meet(shared, size):
    """Wait until all threads have come here."""
    now = peek(shared + 8 * ROUND)
    if arrive(shared + 8 * ARRIVED) == size - 1:
        poke(shared + 8 * ARRIVED, 0)
        poke(shared + 8 * ROUND, now + 1)
        return
    spins = 0
    while peek(shared + 8 * ROUND) == now:
        spins += 1
        if spins < SPINS:
            rest()
        else:
            yield_core()


@compiled
def perform(shared, size, me):
    """Go through the calls that the shared words tell of."""
    table, last = peek(shared + 8 * TABLE), peek(shared + 8 * LAST)
    for c in range(peek(shared + 8 * FIRST), last):
        row = table + 32 * c
        invoke(peek(row + 8 * FUNCTION), peek(row + 8 * JOB), me)
        if peek(row + 8 * MEET) or c + 1 == last:
            meet(shared, size)
        if me == 0:
            poke(row + 8 * TICKS, ticks())


@compiled
def lead(state, table, first, last):
    """Start the others, take part, and return when all calls are done."""
    shared, size = state.ctypes.data, state[SIZE]
    for c in range(first, last):
        poke(table[c, JOB], 0)  # nothing of its work is taken yet
    poke(shared + 8 * TABLE, table.ctypes.data)
    poke(shared + 8 * FIRST, first)
    poke(shared + 8 * LAST, last)
    began = ticks()
    done = 0
    while done < size - 1:
        done += max(0, write_bytes(state[WRITE], shared + 8 * BYTE, min(8, size - 1 - done)))
    perform(shared, size, 0)
    return began


@compiled
def serve(state, me):
    """Take part in whatever the leader starts, for ever."""
    shared, size, byte = state.ctypes.data, state[SIZE], np.zeros(1, np.int64)
    while True:
        if read_byte(state[READ], byte.ctypes.data, 1) == 1:
            perform(shared, size, me)
