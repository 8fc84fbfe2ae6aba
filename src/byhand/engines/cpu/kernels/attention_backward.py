"""The backward of the operators of attention as calls of kernels: of scores and mix alone, or of all in one piece."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from byhand.engines.cpu.builder import Builder
from byhand.engines.cpu.kernels.attending import ROWS, WIDE
from byhand.engines.cpu.kernels.attending_backward import add_parts, attend_backward
from byhand.engines.cpu.kernels.attention import (
    BLOCK,
    BLOCK_NUMBERS,
    Operands,
    call_blocks,
    call_mask,
    call_softmax,
    up,
)
from byhand.engines.cpu.reversal import Gradients, Place, reverses
from byhand.engines.cpu.simd import LANES
from byhand.program import Step

Array = np.ndarray[Any, Any]

UNITS, PART = 12, 256  # pieces of work there should be, if they have so many rows


@dataclass(frozen=True, eq=False)
class Wanted:
    """The gradients that are there, and those to be made; of the scores it is one or the other."""

    out: Array | None = None
    query: Place | None = None
    key: Place | None = None
    value: Place | None = None
    score: Array | None = None
    masked: Array | None = None
    weight: Place | None = None

    @property
    def arguments(self) -> list[Any]:
        """What attend_backward reads of them."""
        places = self.query, self.key, self.value, self.weight
        query, key, value, weight = (None if each is None else each.array for each in places)
        by_head = [None if each is None else each.transpose(0, 2, 1, 3) for each in (key, value)]
        adds = [int(each is not None and each.add) for each in places]
        return [self.out, query, *by_head, self.score, self.masked, weight, *adds]

    def apart(self) -> list[Wanted]:
        """All at once; or one after the other, what is added last, where one array gets several of them."""
        places = {name: each for name in ("query", "key", "value") if (each := getattr(self, name)) is not None}
        if len({each.array.ctypes.data for each in places.values()}) == len(places):
            return [self]
        alone = replace(self, query=None, key=None, value=None)
        return [replace(alone, **{name: places[name]}) for name in sorted(places, key=lambda name: places[name].add)]


@reverses("scores")
def reverse_scores(b: Builder, step: Step, d: Gradients) -> None:
    o = Operands(query=b.array(step.names["query"]), key=b.array(step.names["key"]))
    reverse(b, o, Wanted(score=d.output(step), query=d.to(step, "query"), key=d.to(step, "key")))


@reverses("mix")
def reverse_mix(b: Builder, step: Step, d: Gradients) -> None:
    d_out_BTHK = d.output(step)
    o = Operands(weight=b.array(step.names["weight"]), value=b.array(step.names["value"]), out=d_out_BTHK)
    reverse(b, o, Wanted(out=d_out_BTHK, value=d.to(step, "value"), weight=d.to(step, "weight")))


def reverse_attention(b: Builder, steps: Sequence[Step], d: Gradients) -> None:
    """scores, perhaps mask, softmax and mix in one piece; the weights are computed again."""
    first, *masks, third, last = steps
    o = Operands(
        query=b.array(first.names["query"]), key=b.array(first.names["key"]), value=b.array(last.names["value"])
    )
    d_weight_BHTS = d.inner(third.address)
    wanted = Wanted(
        out=d.output(last),
        query=d.to(first, "query"),
        key=d.to(first, "key"),
        value=d.to(last, "value"),
        score=d.inner(first.address),
        masked=d.inner(masks[0].address) if masks else None,
        weight=None if d_weight_BHTS is None else Place(d_weight_BHTS, False),
    )
    if masks and masks[0].attributes.get("fill", -math.inf) != -math.inf:
        o = replace(o, weight=weights(b, masks[0], o), allowed=b.array(masks[0].names["allowed"]))
    elif masks:
        o = replace(o, **dict(zip(("ends", "allowed"), b.ends(masks[0].names["allowed"]), strict=True)))
    reverse(b, o, wanted)


def weights(b: Builder, mask: Step, o: Operands) -> Array:
    """All weights in memory: what a finite number hides may still have weight."""
    T, G, R, S, _, B = o.sizes
    score_BHTS, weight_BHTS = (b.scratch(f"attention.all_{i}", (B, G * R, T, S), np.float32) for i in range(2))
    call_blocks(b, Operands(query=o.query, key=o.key, score=score_BHTS))
    call_mask(b, mask, score_BHTS, weight_BHTS)
    call_softmax(b, weight_BHTS, weight_BHTS)
    return weight_BHTS


def reverse(b: Builder, o: Operands, wanted: Wanted) -> None:
    for each in wanted.apart():
        call(b, o, each)


def call(b: Builder, o: Operands, wanted: Wanted) -> None:
    _, G, _, S, K, B = o.sizes
    wide, long = up(K, WIDE), up(S, WIDE)
    block = min(max(ROWS, min(BLOCK, BLOCK_NUMBERS // long // ROWS * ROWS)), up(o.rows, ROWS))
    part = up(-(-o.rows // max(1, min(-(-UNITS // (B * G)), o.rows // PART))), block)
    parts = -(-o.rows // part)
    sums = (b.threads if parts == 1 else B * G * parts, long, wide)
    rows = (b.threads, block, long + LANES)  # rows of a power of two would all lie in the same few places of a cache
    shapes = {
        "panels": (b.threads * long // WIDE, wide, WIDE),
        "queries": (b.threads, block, wide),
        "scores": rows,
        "sums": (b.threads, block, wide),
        "key_rows": (b.threads, long, wide),
        "value_panels": (b.threads * long // WIDE, wide, WIDE),
        "d_outs": (b.threads, block, wide),
        "d_weights": rows,
        "d_keys": sums,
        "d_values": sums,
        "factors": (b.threads, ROWS),
    }
    scratch = {name: b.scratch(f"attention.{name}", shape, np.float32) for name, shape in shapes.items()}
    *memory, factor_XN = (scratch[name] for name in list(shapes)[4:])
    end_XN = b.scratch("attention.ends", (b.threads, block // ROWS), np.int64)
    arguments = [*o.arguments(scratch), *wanted.arguments, *memory, end_XN, factor_XN, parts, part]
    b.call(attend_backward, *arguments)
    if parts > 1:
        b.call(add_parts, *arguments)
