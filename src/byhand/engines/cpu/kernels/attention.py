"""The operators of attention as calls of kernels: alone, or from scores to mix in one piece."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from byhand.engines.cpu.builder import Builder, lowers
from byhand.engines.cpu.kernel import Kernel, array, exact, kernel, real, take, whole
from byhand.engines.cpu.kernels.attending import (
    CHUNK,
    HIDDEN,
    ROWS,
    WIDE,
    attend,
    copy,
    fill,
    lay_out,
    softmax,
)
from byhand.engines.cpu.kernels.attending_chunks import add_chunks, mix_chunks, score_chunks, share_rows
from byhand.engines.cpu.simd import float32, int64, rounded_bf16, uint8, uint16
from byhand.program import Step

Array = np.ndarray[Any, Any]

FEW = 32  # rows for a key/value head up to which the threads share its keys instead of the rows
BLOCK, BLOCK_NUMBERS = 64, 1 << 17  # rows a thread takes at once, and how many of their scores it may hold
NO_FLOATS, NO_SHORTS = np.zeros((1, 1, 1, 1), np.float32), np.zeros((1, 1, 1, 1), np.uint16)


# --- kernels of single steps ------------------------------------------------------------------------------------------


AT_ONCE = 4096  # numbers that a thread copies before it asks for more work


@kernel
def mask_rows(job, me):
    """masked_BHTS = score_BHTS where allowed_BTS, else the fill."""
    score_BHTS, allowed_BTS = array(job, 0, float32, 4), array(job, 1, uint8, 3)
    hidden, masked_BHTS = np.float32(real(job, 2)), array(job, 3, float32, 4)
    B, H, T, _ = score_BHTS.shape
    row = take(job, 1)
    while row < B * H * T:
        b, h, t = row // T // H, row // T % H, row % T
        choose(score_BHTS[b, h, t], allowed_BTS[b, t], hidden, masked_BHTS[b, h, t])
        row = take(job, 1)


@exact
def choose(score_S, allowed_S, hidden, masked_S):
    for s in range(len(score_S)):
        masked_S[s] = score_S[s] if allowed_S[s] else hidden


@kernel
def softmax_rows(job, me):
    """weight_NS = softmax of every row of score_NS; a row of row_XS for each thread to work in."""
    score_NS, weight_NS, row_XS = array(job, 0, float32, 2), array(job, 1, float32, 2), array(job, 2, float32, 2)
    S = score_NS.shape[1]
    n = take(job, 1)
    while n < score_NS.shape[0]:
        row_S = row_XS[me]
        copy(score_NS[n], row_S[:S])
        fill(row_S[S:], HIDDEN)
        softmax(row_S)
        copy(row_S[:S], weight_NS[n])
        n = take(job, 1)


@kernel
def copy_cache(job, me):
    """out_BSGK = past_BSGK, of floats or of 16 bits."""
    past_BSGK, past16_BSGK = array(job, 0, float32, 4), array(job, 1, uint16, 4)
    out_BSGK, out16_BSGK = array(job, 2, float32, 4), array(job, 3, uint16, 4)
    B, S, G, _ = out_BSGK.shape if whole(job, 4) == 0 else out16_BSGK.shape
    row = take(job, 1)
    while row < B * S:
        b, s = row // S, row % S
        for g in range(G):
            if whole(job, 4):
                copy_bits(past16_BSGK[b, s, g], out16_BSGK[b, s, g])
            else:
                copy(past_BSGK[b, s, g], out_BSGK[b, s, g])
        row = take(job, 1)


@exact
def copy_bits(x_K, out_K):
    for k in range(len(x_K)):
        out_K[k] = x_K[k]


@kernel
def append_rows(job, me):
    """Write new_BTGK to its places in a cache of floats, or of 16 bits; in order, so that the last token counts."""
    new_BTGK, place_BT = array(job, 0, float32, 4), array(job, 1, int64, 2)
    out_BSGK, out16_BSGK = array(job, 2, float32, 4), array(job, 3, uint16, 4)
    B, T, G, K = new_BTGK.shape
    each = AT_ONCE // (T * K) + 1
    start = take(job, each)
    while start < B * G:
        for bg in range(start, min(start + each, B * G)):
            b, g = bg // G, bg % G
            for t in range(T):
                if whole(job, 4):
                    shorten(new_BTGK[b, t, g], out16_BSGK[b, place_BT[b, t], g])
                else:
                    copy(new_BTGK[b, t, g], out_BSGK[b, place_BT[b, t], g])
        start = take(job, each)


@exact
def shorten(x_K, out_K):
    for k in range(len(x_K)):
        out_K[k] = rounded_bf16(x_K[k])


# --- lowerings --------------------------------------------------------------------------------------------------------


@lowers("append")
def lower_append(b: Builder, step: Step) -> None:
    past_BSGK, new_BTGK = b.array(step.names["past"]), b.array(step.names["new"])
    out_BSGK, short = past_BSGK, int(past_BSGK.dtype == np.uint16)
    if not b.in_place(step.names["past"]):
        out_BSGK = wanted(b.out(step.address))
        b.call(copy_cache, *pair(past_BSGK), *pair(out_BSGK), short)
    b.call(append_rows, new_BTGK, b.array(step.names["place"]), *pair(out_BSGK), short)


@lowers("mask")
def lower_mask(b: Builder, step: Step) -> None:
    call_mask(b, step, b.array(step.names["score"]), wanted(b.out(step.address)))


def call_mask(b: Builder, step: Step, score_BHTS: Array, masked_BHTS: Array) -> None:
    fill = float(step.attributes.get("fill", -math.inf))
    b.call(mask_rows, score_BHTS, b.array(step.names["allowed"]), fill, masked_BHTS)


@lowers("softmax")
def lower_softmax(b: Builder, step: Step) -> None:
    call_softmax(b, b.array(step.names["score"]), wanted(b.out(step.address)))


def call_softmax(b: Builder, score_BHTS: Array, weight_BHTS: Array) -> None:
    S = score_BHTS.shape[-1]
    row_XS = b.scratch("attention.row", (b.threads, up(S, WIDE)), np.float32)
    b.call(softmax_rows, score_BHTS.reshape(-1, S), weight_BHTS.reshape(-1, S), row_XS)


@lowers("scores")
def lower_scores(b: Builder, step: Step) -> None:
    names = step.names
    call_blocks(b, Operands(query=b.array(names["query"]), key=b.array(names["key"]), score=b.out(step.address)))


@lowers("mix")
def lower_mix(b: Builder, step: Step) -> None:
    names = step.names
    call_blocks(b, Operands(weight=b.array(names["weight"]), value=b.array(names["value"]), out=b.out(step.address)))


def lower_attention(b: Builder, steps: Sequence[Step]) -> None:
    """scores, perhaps mask, softmax and mix in one piece. What b.out gives of the values between is written, too."""
    first, *masks, third, last = steps
    o = Operands(
        query=b.array(first.names["query"]),
        key=b.array(first.names["key"]),
        value=b.array(last.names["value"]),
        score=b.out(first.address),
        masked=b.out(masks[0].address) if masks else None,
        weight=b.out(third.address),
        out=wanted(b.out(last.address)),
    )
    if masks and masks[0].attributes.get("fill", -math.inf) != -math.inf:
        call_one_by_one(b, masks[0], o)
        return
    if masks:
        o = replace(o, **dict(zip(("ends", "allowed"), b.ends(masks[0].names["allowed"]), strict=True)))
    (call_chunks if o.rows <= FEW else call_blocks)(b, o)


# --- the calls of attending.py ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Operands:
    """The arrays of attention, of which some are absent; keys and values may be bfloat16, as uint16."""

    query: Array | None = None
    key: Array | None = None
    value: Array | None = None
    ends: Array | None = None
    allowed: Array | None = None
    score: Array | None = None
    masked: Array | None = None
    weight: Array | None = None
    out: Array | None = None

    @cached_property
    def sizes(self) -> tuple[int, int, int, int, int, int]:
        """T, G, R, S, K and B."""
        B, T, H, K = wanted(self.query if self.out is None else self.out).shape
        _, S, G, _ = wanted(self.value if self.key is None else self.key).shape
        return T, G, H // G, S, K, B

    @property
    def rows(self) -> int:
        """Queries for each key/value head of a text."""
        T, _, R, _, _, _ = self.sizes
        return T * R

    def arguments(self, scratch: Mapping[str, Array | None]) -> list[Any]:
        """What all kernels of attending.py read."""
        short = [int(each is not None and each.dtype == np.uint16) for each in (self.key, self.value)]
        seen = [self.ends, self.allowed, self.score, self.masked, self.weight, self.out]
        memory = [scratch.get(name) for name in ("stretch", "panels", "values", "queries", "scores", "sums")]
        return [
            self.query,
            *by_head(self.key),
            *by_head(self.value),
            *seen,
            *memory,
            *self.sizes,
            *short,
            1 / math.sqrt(self.sizes[4]),
        ]


def call_blocks(b: Builder, o: Operands) -> None:
    """Rows shared by blocks: scores alone, mix alone, or all from scores to mix."""
    _, G, _, S, K, B = o.sizes
    wide, long = up(K, WIDE), up(S, CHUNK)
    most = max(ROWS, min(BLOCK, BLOCK_NUMBERS // long // ROWS * ROWS))
    block = min(most, up(-(-o.rows * B * G // b.threads), ROWS), up(o.rows, ROWS))
    shapes = {
        "stretch": (b.threads, CHUNK, wide),
        "panels": (B * G * long // WIDE, wide, WIDE),
        "values": (B * G, long, wide),
        "queries": (b.threads, block, wide),
        "scores": (b.threads, block, long),
        "sums": (b.threads, block, wide),
    }
    call(b, o, shapes, lay_out, attend)


def call_chunks(b: Builder, o: Operands) -> None:
    """Keys shared by chunks, for few rows."""
    _, G, _, S, K, B = o.sizes
    wide, long, rows = up(K, WIDE), up(S, CHUNK), up(o.rows, ROWS)
    shapes = {
        "stretch": (b.threads, CHUNK, wide),
        "panels": (b.threads, wide, WIDE),
        "queries": (b.threads, rows, wide),
        "scores": (B * G, rows, long),
        "sums": (B * G * long // CHUNK, rows, wide),
    }
    call(b, o, shapes, score_chunks, share_rows, mix_chunks, add_chunks)


def call(b: Builder, o: Operands, shapes: Mapping[str, tuple[int, ...]], *kernels: Kernel) -> None:
    scratch = {name: b.scratch(f"attention.{name}", shape, np.float32) for name, shape in shapes.items()}
    for each in kernels:
        b.call(each, *o.arguments(scratch))


def call_one_by_one(b: Builder, mask: Step, o: Operands) -> None:
    """Step by step with all scores in memory: what a finite number hides may still have weight."""
    T, G, R, S, _, B = o.sizes
    score_BHTS, weight_BHTS = (
        b.scratch(f"attention.all_{i}", (B, G * R, T, S), np.float32) if each is None else each
        for i, each in enumerate((o.score, o.weight))
    )
    masked_BHTS = weight_BHTS if o.masked is None else o.masked
    call_blocks(b, Operands(query=o.query, key=o.key, score=score_BHTS))
    call_mask(b, mask, score_BHTS, masked_BHTS)
    call_softmax(b, masked_BHTS, weight_BHTS)
    call_blocks(b, Operands(weight=weight_BHTS, value=o.value, out=o.out))


def wanted(array: Array | None) -> Array:
    """An array that must be there."""
    assert array is not None
    return array


def pair(array_BSGK: Array | None) -> tuple[Array, Array]:
    """The arguments for an array of float32 or of 16 bits: itself, and a stand-in for the other kind."""
    if array_BSGK is None:
        return NO_FLOATS, NO_SHORTS
    return (NO_FLOATS, array_BSGK) if array_BSGK.dtype == np.uint16 else (array_BSGK, NO_SHORTS)


def by_head(array_BSGK: Array | None) -> tuple[Array, Array]:
    """The same as [B, G, S, K], so that what a head reads are rows."""
    return pair(None if array_BSGK is None else array_BSGK.transpose(0, 2, 1, 3))


def up(n: int, step: int) -> int:
    """The next multiple of step."""
    return -(-n // step) * step
