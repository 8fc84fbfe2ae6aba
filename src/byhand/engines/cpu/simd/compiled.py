"""Small matrices of vector registers, for kernels to compute with: a `Tile` is rows x cols vectors of LANES numbers.

A tile is an ordinary value in a compiled function: assign it, carry it round a loop, return it. Operations work lane by
lane and broadcast rows and columns as NumPy does; a plain number fills every lane. The processor keeps tiles in
registers.

    zeros(dtype, rows, cols)               all zero
    load(a, index, rows, cols)             the patch of array `a` that starts at `index`: rows down, cols vectors across
    load_bf16, load_f16                    the same from 16-bit floats, held as uint16, widened to float32
    load_some(a, index, count, rows, cols) as load, but only `count` numbers across are there; the rest are zero
    repeat(a, index, rows, cols)           the four bytes at `index` (a float32, an int32 or four int8) in every lane
    store(a, index, t), store_some(a, index, t, high, wide)   back into memory; only the first rows and numbers across
    t + u, t - u, t * u, t / u, fma(t, u, acc), larger(t, u)  lane by lane; fma is t * u + acc
    dot(acc, u, s)                         acc + u * s for uint8 u and int8 s, four neighbouring products to a lane
    low_nibbles(t), high_nibbles(t)        four bits of each byte, as bytes
    flipped(t)                             the highest bit of each byte turned over: int8 to uint8 128 larger and back
    as_float(t)                            int32 to float32
    transposed(t)                          LANES x 1 vectors as a matrix of 32-bit lanes, transposed
    total(t), highest(t)                   the sum, and the largest, of all lanes as a plain number

and of plain numbers: half(u) float32 of the bits of a float16, bf16(u) of a bfloat16, rounded_bf16(x) the bits of the
nearest bfloat16, bits_of(x), float_of(i), nearest(x) the nearest int32 (halves to even), product_of(x, y, z) x * y + z;
exp, log, tanh, erf, logistic, sin and cos are in `functions`, and how a kernel reaches its job in `memory`.

rows and cols default to 1 and must be constants. LANES follows the processor: one source serves AVX-512, AVX2, SSE and
NEON. NUMBA_CPU_NAME with NUMBA_CPU_FEATURES selects another processor, and with it another entry of the cache.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import float32, int8, int32, types, uint8, uint16
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.extending import intrinsic, models, register_model

__all__ = ["BYTES", "LANES", "load", "load_bf16", "load_f16", "load_some", "repeat", "store", "store_some", "zeros"]

target: Any = cpu_target.target_context
PROCESSOR, _, features = target.codegen().magic_tuple()
FEATURES = set(features.replace("+", "").split(","))
LANES = 16 if "avx512bw" in FEATURES else 8 if "avx2" in FEATURES else 4
BYTES = 4 * LANES


class Tile(types.Type):
    """The Numba type of a tile."""

    def __init__(self, dtype, rows=1, cols=1):
        self.dtype, self.rows, self.cols = dtype, rows, cols
        super().__init__(f"Tile({dtype}, {rows}, {cols})")


@register_model(Tile)
class TileModel(models.PrimitiveModel):
    """What a tile is to LLVM: an array of vectors, which its optimiser takes apart into registers."""

    def __init__(self, manager, tile):
        super().__init__(manager, tile, ir.ArrayType(vector(tile.dtype), tile.rows * tile.cols))


def vector(dtype):
    element = ir.FloatType() if dtype == float32 else ir.IntType(dtype.bitwidth)
    return ir.VectorType(element, 8 * BYTES // dtype.bitwidth)


def pack(builder, vectors):
    tile = ir.ArrayType(vectors[0].type, len(vectors))(ir.Undefined)
    for i, v in enumerate(vectors):
        tile = builder.insert_value(tile, v, i)
    return tile


def unpack(builder, tile, value, rows, cols):
    """The vectors of a tile, row by row, broadcast to rows x cols."""
    return [
        builder.extract_value(value, r % tile.rows * tile.cols + c % tile.cols)
        for r in range(rows)
        for c in range(cols)
    ]


def fill(builder, value, width):
    """A vector with `value` in every lane."""
    lane = builder.insert_element(ir.VectorType(value.type, width)(ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(lane, lane, ir.VectorType(ir.IntType(32), width)([0] * width))


def call(builder, name, *args, returns=None, **options):
    kind = ir.FunctionType(returns or args[0].type, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args, **options)


def size(n):
    """Read a constant rows or cols: its value, and the type Numba wants in the signature."""
    if isinstance(n, int):
        return n, types.Omitted(n)
    return (n.value if isinstance(n, types.Omitted) else n.literal_value), n


@intrinsic(prefer_literal=True)
def zeros(context, dtype, rows=1, cols=1):
    (rows, rows_type), (cols, cols_type) = size(rows), size(cols)
    tile = Tile(dtype.dtype, rows, cols)
    return tile(dtype, rows_type, cols_type), lambda context, builder, sig, args: context.get_value_type(tile)(None)


def reader(bits, kinds):
    """Make a load from one that reads a single vector. Columns lie `bits` apart; `kinds` maps array to tile dtypes."""

    def decorate(fetch):
        def typed(context, array, index, rows=1, cols=1):
            (rows, rows_type), (cols, cols_type) = size(rows), size(cols)
            fits = array.ndim == getattr(index, "count", 1) and (rows == 1 or array.ndim > 1)
            if array.dtype not in kinds or not fits:
                raise TypingError(f"cannot {fetch.__name__} {rows} x {cols} from {array} at {index}")
            tile = Tile(kinds[array.dtype], rows, cols)

            def generate(context, builder, sig, args):
                places = addresses(context, builder, sig, args, tile, bits // array.dtype.bitwidth)
                return pack(builder, [fetch(builder, place, vector(tile.dtype)) for place in places])

            return tile(array, index, rows_type, cols_type), generate

        typed.__name__ = fetch.__name__
        return intrinsic(prefer_literal=True)(typed)

    return decorate


def addresses(context, builder, sig, args, tile, step):
    """Where each vector of a tile lies in an array: rows step its last index but one, columns its last."""
    kind, index_type = sig.args[:2]
    array = context.make_array(kind)(context, builder, args[0])
    if kind.ndim == 1:
        start = [context.cast(builder, args[1], index_type, types.intp)]
    else:
        index = context.cast(builder, args[1], index_type, types.UniTuple(types.intp, kind.ndim))
        start = cgutils.unpack_tuple(builder, index)
    for r in range(tile.rows):
        for c in range(tile.cols):
            moves = ([0] * kind.ndim + [r, c * step])[-kind.ndim :]
            index = [builder.add(i, i.type(n)) for i, n in zip(start, moves, strict=True)]
            yield cgutils.get_item_pointer(context, builder, kind, array, index, wraparound=False)


def read(builder, place, kind):
    return builder.load(builder.bitcast(place, kind.as_pointer()), align=1)


PLAIN = {dtype: dtype for dtype in (float32, int32, int8, uint8)}


@reader(8 * BYTES, PLAIN)
def load(builder, place, kind):
    return read(builder, place, kind)


@reader(16 * LANES, {uint16: float32})
def load_bf16(builder, place, kind):
    wide = builder.zext(read(builder, place, ir.VectorType(ir.IntType(16), LANES)), vector(int32))
    return builder.bitcast(builder.shl(wide, wide.type([16] * LANES)), kind)


@reader(16 * LANES, {uint16: float32})
def load_f16(builder, place, kind):
    return widened_f16(builder, read(builder, place, ir.VectorType(ir.IntType(16), LANES)))


def widened_f16(builder, bits):
    """The bits of float16s as float32: one number or a vector."""

    def alike(element):
        return ir.VectorType(element, bits.type.count) if isinstance(bits.type, ir.VectorType) else element

    def constant(n):
        return words([n] * words.count if isinstance(words, ir.VectorType) else n)

    kind, words = alike(ir.FloatType()), alike(ir.IntType(32))
    if "f16c" in FEATURES or not PROCESSOR.startswith(("x86", "i686")):
        return builder.fpext(builder.bitcast(bits, alike(ir.HalfType())), kind)
    # Older processors of this family lack the instruction: shift the bits to their places, and scale what then has an
    # exponent that is 112 too small. Multiplying also puts right the numbers that have no leading one.
    wide = builder.zext(bits, words)
    size = builder.shl(builder.and_(wide, constant(0x7FFF)), constant(13))
    finite = builder.fmul(builder.bitcast(size, kind), builder.bitcast(constant((127 + 112) << 23), kind))
    endless = builder.or_(size, constant(0x7F800000))  # infinity or not a number
    beyond = builder.icmp_unsigned(">=", size, constant(0x7C00 << 13))
    found = builder.select(beyond, endless, builder.bitcast(finite, words))
    sign = builder.shl(builder.and_(wide, constant(0x8000)), constant(16))
    return builder.bitcast(builder.or_(found, sign), kind)


@reader(32, PLAIN)
def repeat(builder, place, kind):
    return builder.bitcast(fill(builder, read(builder, place, ir.IntType(32)), LANES), kind)


@intrinsic
def store(context, array, index, tile):
    def generate(context, builder, sig, args):
        places = addresses(context, builder, sig, args, tile, 8 * BYTES // tile.dtype.bitwidth)
        vectors = unpack(builder, tile, args[2], tile.rows, tile.cols)
        for place, v in zip(places, vectors, strict=True):
            builder.store(v, builder.bitcast(place, v.type.as_pointer()), align=1)
        return context.get_dummy_value()

    if array.dtype == tile.dtype and array.ndim == getattr(index, "count", 1):
        return types.void(array, index, tile), generate


def inside(builder, at, count, width):
    """For each lane of the vector that begins at number `at` of a row: whether it is among the first `count`."""
    lanes = ir.VectorType(ir.IntType(64), width)
    here = builder.add(fill(builder, ir.IntType(64)(at), width), lanes(list(range(width))))
    return builder.icmp_signed("<", here, fill(builder, count, width))


@intrinsic(prefer_literal=True)
def load_some(context, array, index, count, rows=1, cols=1):
    (rows, rows_type), (cols, cols_type) = size(rows), size(cols)
    tile = Tile(array.dtype, rows, cols)

    def generate(context, builder, sig, args):
        kind = vector(tile.dtype)
        many = context.cast(builder, args[2], sig.args[2], types.int64)
        vectors = []
        for i, place in enumerate(addresses(context, builder, sig, args, tile, kind.count)):
            mask = inside(builder, i % cols * kind.count, many, kind.count)
            at = builder.bitcast(place, kind.as_pointer())
            name = f"llvm.masked.load.v{kind.count}{'f' if tile.dtype == float32 else 'i'}{tile.dtype.bitwidth}.p0"
            vectors.append(call(builder, name, at, ir.IntType(32)(1), mask, kind(None), returns=kind))
        return pack(builder, vectors)

    return tile(array, index, count, rows_type, cols_type), generate


@intrinsic
def store_some(context, array, index, tile, high, wide):
    def generate(context, builder, sig, args):
        kind = vector(tile.dtype)
        tall, many = (context.cast(builder, args[i], sig.args[i], types.int64) for i in (3, 4))
        places = addresses(context, builder, sig, args, tile, kind.count)
        vectors = unpack(builder, tile, args[2], tile.rows, tile.cols)
        for i, (place, v) in enumerate(zip(places, vectors, strict=True)):
            row = builder.icmp_signed(">", tall, tall.type(i // tile.cols))
            mask = builder.and_(
                inside(builder, i % tile.cols * kind.count, many, kind.count), fill(builder, row, kind.count)
            )
            name = f"llvm.masked.store.v{kind.count}{'f' if tile.dtype == float32 else 'i'}{tile.dtype.bitwidth}.p0"
            at = builder.bitcast(place, kind.as_pointer())
            call(builder, name, v, at, ir.IntType(32)(1), mask, returns=ir.VoidType())
        return context.get_dummy_value()

    if array.dtype == tile.dtype and array.ndim == getattr(index, "count", 1):
        return types.void(array, index, tile, high, wide), generate
