"""Tiles from rows of blocks: 32 numbers that share a scale, as GGUF has them, with several blocks in one register.

A register takes 16 bytes of each of GROUPS neighbouring blocks, so four lanes of 32 bits belong to one block.

    load_blocks(a, (m, at), apart, high, wide, rows)   16 bytes at `at`, at + apart, … of row m and of the rows below it
    load_scales(a, (m, at), apart, high, wide, rows)   the float16 at the same places, as float32, each in four lanes
    as_bytes(t)                                        the bytes of int32 lanes
    as_lanes(t)                                        the other way round
    store_fours(a, (r, c), t, keep, apart, wide)       the first `keep` of every four rows of t, each four `apart` on
    store_nearest(a, index, t)                         the nearest int8 of each lane of a single vector of float32
    store_totals(a, (n, m), t, high, wide)             the sum of each vector of t; rows of t go across, its cols down

Only the first `high` rows and `wide` blocks are there; the others repeat the first. `a` holds bytes.
"""

from __future__ import annotations

from llvmlite import ir
from numba import float32, int8, int32, types, uint8
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from byhand.engines.cpu.simd.compiled import (
    BYTES,
    LANES,
    Tile,
    addresses,
    call,
    pack,
    read,
    size,
    unpack,
    vector,
    widened_f16,
)

__all__ = [
    "GROUPS",
    "as_bytes",
    "as_lanes",
    "load_blocks",
    "load_scales",
    "store_fours",
    "store_nearest",
    "store_totals",
]

GROUPS = LANES // 4
WORD = ir.IntType(64)


def from_blocks(gives, fetch):
    """Make a load from rows of blocks. fetch: makes the vector of one row from the place where it begins."""

    def typed(context, array, index, apart, high, wide, rows=1):
        rows, rows_type = size(rows)
        if array.dtype not in (uint8, int8) or array.ndim != 2 or index.count != 2:
            raise TypingError(f"no blocks in {array} at {index}")
        tile, step = Tile(gives or array.dtype, rows), apart.literal_value
        full = getattr(wide, "literal_value", 0) == GROUPS

        def generate(context, builder, sig, args):
            high, wide = (context.cast(builder, args[i], sig.args[i], types.int64) for i in (3, 4))
            begins = beginnings(context, builder, sig, args, rows, high)
            return pack(builder, [fetch(builder, begin, step, None if full else wide) for begin in begins])

        return tile(array, index, apart, high, wide, rows_type), generate

    typed.__name__ = fetch.__name__
    return intrinsic(prefer_literal=True)(typed)


def beginnings(context, builder, sig, args, rows, high):
    """Where the first block of each row begins."""
    array = context.make_array(sig.args[0])(context, builder, args[0])
    index = context.cast(builder, args[1], sig.args[1], types.UniTuple(types.intp, 2))
    start = cgutils.unpack_tuple(builder, index)
    first = cgutils.get_item_pointer(context, builder, sig.args[0], array, start, wraparound=False)
    below = cgutils.unpack_tuple(builder, array.strides, 2)[0]
    return [builder.gep(first, [builder.mul(below, upto(builder, r, high))]) for r in range(rows)]


def each(builder, begin, apart, wide, kind):
    """What lies at the beginning of each block."""
    numbers = [WORD(g) if wide is None else upto(builder, g, wide) for g in range(GROUPS)]
    return [read(builder, builder.gep(begin, [builder.mul(g, WORD(apart))]), kind) for g in numbers]


def upto(builder, i, count):
    """i where it is less than the count, else 0."""
    return builder.select(builder.icmp_signed(">", count, WORD(i)), WORD(i), WORD(0))


def joined(builder, begin, apart, wide):
    """16 bytes of each block, end to end."""
    parts = each(builder, begin, apart, wide, ir.VectorType(ir.IntType(8), 16))
    while len(parts) > 1:
        mask = numbers(range(2 * parts[0].type.count))
        parts = [builder.shuffle_vector(low, high, mask) for low, high in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def widened(builder, begin, apart, wide):
    """The numbers of 16 bits at the beginning of the blocks as float32, each in four lanes."""
    kind = ir.VectorType(ir.IntType(16), 2 * LANES)
    if wide is None and GROUPS > 1:  # in two loads, which are quicker than one for each block
        second = builder.gep(begin, [WORD(BYTES)])
        low, high = read(builder, begin, kind), read(builder, second, kind) if apart == 34 else kind(ir.Undefined)
        halves = builder.shuffle_vector(low, high, numbers(lane // 4 * apart // 2 for lane in range(LANES)))
    else:
        low = kind(ir.Undefined)
        for g, bits in enumerate(each(builder, begin, apart, wide, ir.IntType(16))):
            low = builder.insert_element(low, bits, ir.IntType(32)(g))
        halves = builder.shuffle_vector(low, low, numbers(lane // 4 for lane in range(LANES)))
    return widened_f16(builder, halves)


def numbers(which):
    """A constant vector that says which elements a shuffle takes."""
    which = list(which)
    return ir.VectorType(ir.IntType(32), len(which))(which)


load_blocks, load_scales = from_blocks(None, joined), from_blocks(float32, widened)


def seen_as(dtype):
    """Make the operation that takes the bits of a tile for numbers of another type."""

    @intrinsic
    def typed(context, tile):
        def generate(context, builder, sig, args):
            vectors = unpack(builder, tile, args[0], tile.rows, tile.cols)
            return pack(builder, [builder.bitcast(v, vector(dtype)) for v in vectors])

        return Tile(dtype, tile.rows, tile.cols)(tile), generate

    return typed


as_bytes, as_lanes = seen_as(uint8), seen_as(int32)


@intrinsic(prefer_literal=True)
def store_fours(context, array, index, tile, keep, apart, wide):
    def generate(context, builder, sig, args):
        many = context.cast(builder, args[5], sig.args[5], types.int64)
        vectors = unpack(builder, tile, args[2], tile.rows, 1)
        made = context.make_array(array)(context, builder, args[0])
        start = context.cast(builder, args[1], index, types.UniTuple(types.intp, 2))
        row, column = cgutils.unpack_tuple(builder, start)
        for g in range(tile.rows // 4):
            with builder.if_then(builder.icmp_signed(">", many, WORD(g))):
                for i in range(keep.literal_value):
                    at = builder.add(row, WORD(g * apart.literal_value + i))
                    place = cgutils.get_item_pointer(context, builder, array, made, [at, column], wraparound=False)
                    v = vectors[4 * g + i]
                    builder.store(v, builder.bitcast(place, v.type.as_pointer()), align=1)
        return context.get_dummy_value()

    if array.dtype == tile.dtype and array.ndim == index.count == 2 and tile.cols == 1:
        return types.void(array, index, tile, keep, apart, wide), generate


@intrinsic
def store_nearest(context, array, index, tile):
    def generate(context, builder, sig, args):
        (place,) = addresses(context, builder, sig, args, tile, 0)
        near = call(builder, f"llvm.rint.v{LANES}f32", builder.extract_value(args[2], 0))
        made = builder.trunc(builder.fptosi(near, vector(int32)), ir.VectorType(ir.IntType(8), LANES))
        builder.store(made, builder.bitcast(place, made.type.as_pointer()), align=1)
        return context.get_dummy_value()

    if array.dtype == int8 and tile == Tile(float32) and array.ndim == index.count:
        return types.void(array, index, tile), generate


@intrinsic
def store_totals(context, array, index, tile, high, wide):
    def generate(context, builder, sig, args):
        tall, many = (context.cast(builder, args[i], sig.args[i], types.int64) for i in (3, 4))
        vectors = unpack(builder, tile, args[2], tile.rows, tile.cols)
        places = addresses(context, builder, sig, args, Tile(float32, tile.cols, tile.rows), 1)
        for i, place in enumerate(places):
            down, across = divmod(i, tile.rows)
            there = [builder.icmp_signed(">", count, WORD(at)) for count, at in ((tall, down), (many, across))]
            with builder.if_then(builder.and_(*there)):
                builder.store(summed(builder, vectors[across * tile.cols + down]), place)
        return context.get_dummy_value()

    if array.dtype == tile.dtype == float32 and array.ndim == 2:
        return types.void(array, index, tile, high, wide), generate


def summed(builder, v):
    """Fold a vector in the middle until one number is left."""
    width = v.type.count
    while width > 1:
        width //= 2
        v = builder.fadd(*(builder.shuffle_vector(v, v, numbers(range(at, at + width))) for at in (0, width)))
    return builder.extract_element(v, ir.IntType(32)(0))
