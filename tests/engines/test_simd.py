"""The vocabulary of kernels against NumPy: on this processor, on smaller ones, and as plain Python."""

import ctypes
import mmap
import os

import ml_dtypes
import numpy as np
import pytest

from byhand.engines.cpu.kernel import Job, array, given, kernel, real, take, whole
from byhand.engines.cpu.simd import (
    BYTES,
    GROUPS,
    LANES,
    as_bytes,
    as_float,
    as_lanes,
    bf16,
    bits_of,
    dot,
    flipped,
    float32,
    float64,
    float_of,
    fma,
    half,
    high_nibbles,
    highest,
    int8,
    int32,
    int64,
    larger,
    load,
    load_bf16,
    load_blocks,
    load_f16,
    load_scales,
    load_some,
    low_nibbles,
    nearest,
    product_of,
    repeat,
    rounded_bf16,
    store,
    store_fours,
    store_some,
    total,
    transposed,
    uint8,
    uint16,
    zeros,
)
from byhand.engines.cpu.team import Calls, Team

RNG = np.random.default_rng(7)
SPECIAL = np.array([0, -0.0, 1, -1, 1e-45, 1e-39, -1e-39, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan], np.float32)


def run(body, *arguments):
    Team(1).run(Calls([Job(body, *arguments)], [True]))


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def same(found, wanted):
    np.testing.assert_array_equal(found, wanted, strict=True)


def vectors(x_N, rows, cols, lanes=LANES):
    """Rows of numbers as the lanes of a tile that is loaded from their beginning."""
    return x_N[:rows, : cols * lanes]


# Jobs.


@kernel
def simd_arguments(job, me):
    x_MN, out_N = array(job, 0, float32, 2), array(job, 5, float64, 1)
    out_N[0] = x_MN.shape[0] * 1000 + x_MN.shape[1]
    out_N[1] = x_MN[1, 2]
    out_N[2] = whole(job, 1)
    out_N[3] = real(job, 2)
    out_N[4] = given(job, 3)
    out_N[5] = given(job, 4)
    out_N[6] = take(job, 5)
    out_N[7] = take(job, 2)
    out_N[8] = take(job, 1)
    flags_N, ids_N = array(job, 6, uint8, 1), array(job, 7, int64, 1)
    out_N[9] = flags_N[0] * 10 + flags_N[1]
    out_N[10] = ids_N[1]


def test_arguments():
    x_MN, out_N, flags_N, ids_N = normal(4, 9), np.zeros(11), np.array([False, True]), np.array([3, 2**40])
    run(simd_arguments, x_MN[:3, :8], -7, 0.1, None, np.zeros(1), out_N, flags_N, ids_N)
    same(out_N, np.array([3008, x_MN[1, 2], -7, 0.1, 0, 1, 0, 5, 7, 1, 2**40]))


def test_an_argument_that_was_moved():
    x_MN, moved_MN, out_MN = normal(4, 4), normal(4, 4), np.zeros((4, 4), np.float32)
    job = Job(simd_strides, x_MN[None, None], out_MN[None, None])
    job.point(0, moved_MN.ctypes.data)
    Team(1).run(Calls([job], [True]))
    same(out_MN, moved_MN)


@kernel
def simd_strides(job, me):
    x_ABCD, out_ABCD = array(job, 0, float32, 4), array(job, 1, float32, 4)
    for a in range(x_ABCD.shape[0]):
        for b in range(x_ABCD.shape[1]):
            for c in range(x_ABCD.shape[2]):
                for d in range(x_ABCD.shape[3]):
                    out_ABCD[a, b, c, d] = x_ABCD[a, b, c, d]


def test_arrays_of_any_strides_but_the_last():
    x_ABCD = normal(3, 4, 2, 6).transpose(1, 2, 0, 3)[::2, ::-1, :, 1:5]
    out_ABCD = np.zeros(x_ABCD.shape, np.float32)
    run(simd_strides, x_ABCD, out_ABCD)
    same(out_ABCD, np.ascontiguousarray(x_ABCD))


def test_an_array_whose_last_axis_is_not_contiguous_is_refused():
    with pytest.raises(AssertionError, match="simd_strides: argument 1 is not contiguous"):
        Job(simd_strides, normal(2, 2), normal(4, 6).T)


# Memory.


@kernel
def simd_memory(job, me):
    x_MN, out_MN = array(job, 0, float32, 2), array(job, 1, float32, 2)
    some, high, wide = whole(job, 2), whole(job, 3), whole(job, 4)
    store(out_MN, (0, 1), load(x_MN, (1, 2), 2, 3))
    store(out_MN, (2, 0), load_some(x_MN, (0, 1), some, 2, 2))
    store_some(out_MN, (4, 1), load(x_MN, (0, 0), 3, 2), high, wide)
    store(out_MN, (7, 0), repeat(x_MN, (2, 3), 2, 2))
    store(out_MN, (9, 0), zeros(float32, 1, 2))


@pytest.mark.parametrize("high", [-1, 0, 2, 3, 9])
@pytest.mark.parametrize("wide", [-1, 0, 1, LANES, LANES + 3, 2 * LANES, 2**40])
def test_load_and_store_patches(high, wide):
    x_MN, out_MN = normal(5, 4 * LANES), np.full((10, 4 * LANES), 9, np.float32)
    run(simd_memory, x_MN, out_MN, wide, high, wide)
    wanted_MN, w = np.full_like(out_MN, 9), min(max(wide, 0), 2 * LANES)
    wanted_MN[0:2, 1 : 1 + 3 * LANES] = x_MN[1:3, 2 : 2 + 3 * LANES]
    wanted_MN[2:4, : 2 * LANES] = 0
    wanted_MN[2:4, :w] = x_MN[0:2, 1 : 1 + w]
    h = min(max(high, 0), 3)
    wanted_MN[4 : 4 + h, 1 : 1 + w] = x_MN[:h, :w]
    for c in 0, 1:
        wanted_MN[7:9, c * LANES : (c + 1) * LANES] = x_MN[2:4, 3 + c, None]
    wanted_MN[9, : 2 * LANES] = 0
    same(out_MN, wanted_MN)


@kernel
def simd_last_numbers(job, me):
    x_N, out_N = array(job, 0, float32, 1), array(job, 1, float32, 1)
    store_some(out_N, len(x_N) - 3, load_some(x_N, len(x_N) - 3, 3), 1, 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system protects memory by another name")
def test_memory_beyond_an_array_is_not_touched():
    page = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    x_N = np.frombuffer(page, np.float32)[: mmap.PAGESIZE // 4]
    beyond = x_N.ctypes.data + mmap.PAGESIZE
    assert not ctypes.CDLL(None).mprotect(ctypes.c_void_p(beyond), mmap.PAGESIZE, 0)
    x_N[-3:] = 1, 2, 3
    run(simd_last_numbers, x_N, x_N)
    same(x_N[-3:], np.array([1, 2, 3], np.float32))


@kernel
def simd_small_types(job, me):
    i_N, u_N, w_N = array(job, 0, int8, 1), array(job, 1, uint8, 1), array(job, 2, int32, 1)
    io_N, uo_N, wo_N = array(job, 3, int8, 1), array(job, 4, uint8, 1), array(job, 5, int32, 1)
    store(io_N, 0, load(i_N, 1, 1, 2))
    store(uo_N, 0, load(u_N, 3))
    store(wo_N, 0, load(w_N, 2))
    store(io_N, 2 * BYTES, repeat(i_N, 5, 1, 2))
    store(uo_N, BYTES, repeat(u_N, 6))
    store(wo_N, LANES, repeat(w_N, 1))
    store_some(io_N, 4 * BYTES, load_some(i_N, 0, 5), 1, 7)
    store(uo_N, 2 * BYTES, zeros(uint8))


def test_small_types():
    i_N, u_N = RNG.integers(-128, 128, 9 * BYTES).astype(np.int8), RNG.integers(0, 256, 9 * BYTES).astype(np.uint8)
    w_N = RNG.integers(-(2**31), 2**31, 9 * LANES).astype(np.int32)
    io_N, uo_N = np.full(5 * BYTES, 9, np.int8), np.full(3 * BYTES, 9, np.uint8)
    wo_N = np.full(2 * LANES, 9, np.int32)
    run(simd_small_types, i_N, u_N, w_N, io_N, uo_N, wo_N)
    tail_N = np.full(BYTES, 9, np.int8)
    tail_N[:7] = [*i_N[:5], 0, 0]
    same(io_N, np.hstack([i_N[1 : 1 + 2 * BYTES], np.tile(i_N[5:9], LANES), np.tile(i_N[9:13], LANES), tail_N]))
    same(uo_N, np.hstack([u_N[3 : 3 + BYTES], np.tile(u_N[6:10], LANES), np.zeros(BYTES, np.uint8)]))
    same(wo_N, np.hstack([w_N[2 : 2 + LANES], np.tile(w_N[1], LANES)]))


@kernel
def simd_sixteen_bits(job, me):
    bits_N, f_N, b_N = array(job, 0, uint16, 1), array(job, 1, float32, 1), array(job, 2, float32, 1)
    f1_N, b1_N = array(job, 3, float32, 1), array(job, 4, float32, 1)
    for n in range(0, len(bits_N), LANES):
        store(f_N, n, load_f16(bits_N, n))
        store(b_N, n, load_bf16(bits_N, n))
    for n in range(len(bits_N)):
        f1_N[n] = half(bits_N[n])
        b1_N[n] = bf16(bits_N[n])


def test_all_sixteen_bit_floats():
    bits_N = np.arange(2**16).astype(np.uint16)
    found = [np.zeros(2**16, np.float32) for _ in range(4)]
    run(simd_sixteen_bits, bits_N, *found)
    halves_N, brains_N = bits_N.view(np.float16).astype(np.float32), (bits_N.astype(np.uint32) << 16).view(np.float32)
    for each, wanted_N in zip(found, [halves_N, brains_N] * 2, strict=True):
        same(each, wanted_N)
        sure = ~np.isnan(wanted_N)
        same(np.signbit(each[sure]), np.signbit(wanted_N[sure]))


# Tiles.


@kernel
def simd_arithmetic(job, me):
    x_MN, y_MN, out_MN = array(job, 0, float32, 2), array(job, 1, float32, 2), array(job, 2, float32, 2)
    t, u = load(x_MN, (0, 0), 2, 2), load(y_MN, (0, 0), 2, 2)
    row, column = load(y_MN, (0, 0), 1, 2), load(y_MN, (0, 0), 2, 1)
    store(out_MN, (0, 0), t + u)
    store(out_MN, (2, 0), t - row)
    store(out_MN, (4, 0), column * t)
    store(out_MN, (6, 0), t / u)
    store(out_MN, (8, 0), t * 3)
    store(out_MN, (10, 0), y_MN[0, 1] - t)
    store(out_MN, (12, 0), fma(t, y_MN[0, 0], u))
    store(out_MN, (14, 0), larger(t, u))
    store(out_MN, (16, 0), larger(t, 0))
    out_MN[18, 0] = total(t)
    out_MN[18, 1] = highest(t)


def test_arithmetic():
    x_MN, y_MN, out_MN = normal(2, 2 * LANES), normal(2, 2 * LANES), np.zeros((19, 2 * LANES), np.float32)
    run(simd_arithmetic, x_MN, y_MN, out_MN)
    column_MN = np.tile(y_MN[:, :LANES], 2)
    exact = [x_MN + y_MN, x_MN - y_MN[:1], column_MN * x_MN, x_MN / y_MN, x_MN * 3, y_MN[0, 1] - x_MN]
    same(out_MN[:12], np.vstack(exact))
    np.testing.assert_allclose(out_MN[12:14], x_MN * y_MN[0, 0] + y_MN, rtol=1e-6, atol=1e-6)
    same(out_MN[14:18], np.vstack([np.maximum(x_MN, y_MN), np.maximum(x_MN, 0)]))
    assert abs(out_MN[18, 0] - x_MN.sum(dtype=float)) < 1e-5
    assert out_MN[18, 1] == x_MN.max()


def test_infinity_and_nan_stay_in_their_lanes():
    x_MN, y_MN, out_MN = normal(2, 2 * LANES), normal(2, 2 * LANES), np.zeros((19, 2 * LANES), np.float32)
    x_MN[0, 1], x_MN[0, 2], y_MN[1, 3] = -np.inf, np.nan, 0
    run(simd_arithmetic, x_MN, y_MN, out_MN)
    with np.errstate(all="ignore"):
        same(out_MN[:2], x_MN + y_MN)
        same(out_MN[6:8], x_MN / y_MN)


@kernel
def simd_whole_arithmetic(job, me):
    x_N, y_N, out_MN = array(job, 0, int32, 1), array(job, 1, int32, 1), array(job, 2, int32, 2)
    t, u = load(x_N, 0), load(y_N, 0)
    store(out_MN, (0, 0), t + u)
    store(out_MN, (1, 0), t - u)
    store(out_MN, (2, 0), t * u)
    store(out_MN, (3, 0), larger(t, u))
    out_MN[4, 0] = total(t)
    out_MN[4, 1] = highest(t)
    store(array(job, 3, float32, 1), 0, as_float(t))


def test_whole_numbers_wrap_around():
    x_N, y_N = (RNG.integers(-(2**31), 2**31, LANES).astype(np.int32) for _ in range(2))
    out_MN, floats_N = np.zeros((5, LANES), np.int32), np.zeros(LANES, np.float32)
    run(simd_whole_arithmetic, x_N, y_N, out_MN, floats_N)
    same(out_MN[:4], np.stack([x_N + y_N, x_N - y_N, x_N * y_N, np.maximum(x_N, y_N)]))
    same(out_MN[4, :2], np.array([x_N.sum(dtype=np.int32), x_N.max()]))
    same(floats_N, x_N.astype(np.float32))


@kernel
def simd_bytes(job, me):
    u_MN, s_MN, out_MN = array(job, 0, uint8, 2), array(job, 1, int8, 2), array(job, 2, int32, 2)
    bytes_MN, signed_MN = array(job, 3, uint8, 2), array(job, 4, int8, 2)
    u, s = load(u_MN, (0, 0), 2), load(s_MN, (0, 0), 1, 2)
    acc = load(out_MN, (0, 0), 2, 2)
    store(out_MN, (0, 0), dot(acc, u, s))
    store(bytes_MN, (0, 0), low_nibbles(u))
    store(bytes_MN, (2, 0), high_nibbles(u))
    store(bytes_MN, (4, 0), flipped(load(s_MN, (0, 0))))
    store(signed_MN, (0, 0), flipped(u))


@pytest.mark.parametrize("extreme", [False, True])
def test_bytes(extreme):
    u_MN, s_MN = RNG.integers(0, 256, (2, BYTES)).astype(np.uint8), RNG.integers(-128, 128, (1, 2 * BYTES))
    s_MN = s_MN.astype(np.int8)
    if extreme:  # where an instruction that saturates would give itself away
        u_MN[:], s_MN[:] = 255, -128
    out_MN = RNG.integers(-1000, 1000, (2, 2 * LANES)).astype(np.int32)
    bytes_MN, signed_MN = np.zeros((5, BYTES), np.uint8), np.zeros((2, BYTES), np.int8)
    acc_MN = out_MN.copy()
    run(simd_bytes, u_MN, s_MN, out_MN, bytes_MN, signed_MN)
    products = u_MN.astype(np.int32)[:, None] * s_MN.reshape(1, 2, BYTES)
    same(out_MN, acc_MN + products.reshape(2, 2 * LANES, 4).sum(-1, dtype=np.int32))
    same(bytes_MN, np.vstack([u_MN & 15, u_MN >> 4, s_MN[:, :BYTES].astype(np.uint8) ^ 128]))
    same(signed_MN, (u_MN.astype(int) - 128).astype(np.int8))


@kernel
def simd_blocks(job, me):
    a_MN, high, wide = array(job, 0, uint8, 2), whole(job, 1), whole(job, 2)
    blocks, lanes = load_blocks(a_MN, (1, 2), 34, high, wide, 4), array(job, 3, uint8, 2)
    store(lanes, (0, 0), blocks)
    store(lanes, (4, 0), as_bytes(as_lanes(blocks)))
    store(array(job, 4, float32, 2), (0, 0), load_scales(a_MN, (1, 0), 34, high, wide, 4))
    store(array(job, 4, float32, 2), (4, 0), load_scales(a_MN, (1, 0), 34, high, GROUPS, 4))
    store_fours(array(job, 5, int32, 2), (1, 0), load(array(job, 6, int32, 2), (0, 0), LANES), 3, 5, wide)


@pytest.mark.parametrize("high, wide", sorted({(4, GROUPS), (4, 1), (2, GROUPS), (1, max(1, GROUPS - 1))}))
def test_blocks(high, wide):
    a_MN = RNG.integers(0, 256, (6, 34 * (GROUPS + 2))).astype(np.uint8)
    scales = normal(6, GROUPS + 2).astype(np.float16)
    for g in range(GROUPS + 2):
        a_MN[:, 34 * g : 34 * g + 2] = scales[:, g : g + 1].view(np.uint8)
    bytes_MN, floats_MN = np.zeros((8, BYTES), np.uint8), np.zeros((8, LANES), np.float32)
    fours_MN = np.zeros((5 * GROUPS + 4, LANES), np.int32)
    lanes_MN = RNG.integers(-99, 99, (LANES, LANES)).astype(np.int32)
    run(simd_blocks, a_MN, high, wide, bytes_MN, floats_MN, fours_MN, lanes_MN)
    for r in range(4):
        row, groups = 1 + (r if r < high else 0), [g if g < wide else 0 for g in range(GROUPS)]
        wanted_N = np.hstack([a_MN[row, 2 + 34 * g : 18 + 34 * g] for g in groups])
        same(bytes_MN[r], wanted_N)
        same(bytes_MN[4 + r], wanted_N)
        same(floats_MN[r], np.repeat(scales[row, groups], 4).astype(np.float32))
        same(floats_MN[4 + r], np.repeat(scales[row, :GROUPS], 4).astype(np.float32))
    rows = {1 + 5 * g + i: 4 * g + i for g in range(wide) for i in range(3)}
    for r, fours_N in enumerate(fours_MN):
        same(fours_N, lanes_MN[rows[r]] if r in rows else np.zeros(LANES, np.int32))


@kernel
def simd_transposed(job, me):
    x_MN, i_MN = array(job, 0, float32, 2), array(job, 2, int32, 2)
    store(array(job, 1, float32, 2), (0, 0), transposed(load(x_MN, (0, 0), LANES)))
    store(array(job, 3, int32, 2), (0, 0), transposed(load(i_MN, (0, 0), LANES)))


def test_transposed():
    x_MN, i_MN = normal(LANES, LANES), RNG.integers(-9, 9, (LANES, LANES)).astype(np.int32)
    out_NM, whole_NM = np.zeros_like(x_MN), np.zeros_like(i_MN)
    run(simd_transposed, x_MN, out_NM, i_MN, whole_NM)
    same(out_NM, np.ascontiguousarray(x_MN.T))
    same(whole_NM, np.ascontiguousarray(i_MN.T))


@kernel
def simd_numbers(job, me):
    x_N, near_N, short_N = array(job, 0, float32, 1), array(job, 1, int32, 1), array(job, 2, uint16, 1)
    bits_N, back_N, product_N = array(job, 3, int32, 1), array(job, 4, float32, 1), array(job, 5, float32, 1)
    for n in range(len(x_N)):
        if abs(x_N[n]) < 1e9:
            near_N[n] = nearest(x_N[n])
        short_N[n] = rounded_bf16(x_N[n])
        bits_N[n] = bits_of(x_N[n])
        back_N[n] = float_of(bits_of(x_N[n]) ^ 1)
        product_N[n] = product_of(x_N[n], float32(0.5), float32(1))


def test_numbers():
    halfway_N = np.arange(0x3F800000, 0x3F900000, 0x4000, dtype=np.uint32).view(np.float32)  # between two bfloat16
    x_N = np.hstack([SPECIAL, np.arange(-9, 9, 0.25, dtype=np.float32), 300 * normal(500), halfway_N])
    near_N, short_N, bits_N = np.zeros(len(x_N), np.int32), np.zeros(len(x_N), np.uint16), np.zeros(len(x_N), np.int32)
    back_N, product_N = np.zeros_like(x_N), np.zeros_like(x_N)
    run(simd_numbers, x_N, near_N, short_N, bits_N, back_N, product_N)
    inside = np.abs(x_N) < 1e9
    same(near_N[inside], np.rint(x_N[inside]).astype(np.int32))
    same(bits_N, x_N.view(np.int32))
    same(back_N, (x_N.view(np.int32) ^ 1).view(np.float32))
    np.testing.assert_allclose(product_N, x_N.astype(float) * 0.5 + 1, rtol=2e-7, atol=1e-7)
    sure = ~np.isnan(x_N)
    same(short_N[sure], x_N[sure].astype(ml_dtypes.bfloat16).view(np.uint16))
    assert np.isnan((short_N[~sure].astype(np.uint32) << 16).view(np.float32)).all()
