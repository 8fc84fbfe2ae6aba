"""The way back through softmax, over keys or over a vocabulary, and through a mask."""

from __future__ import annotations

from numba import float32, uint8

from byhand.engines.cpu.builder import Builder
from byhand.engines.cpu.kernel import array, function, kernel, take, whole
from byhand.engines.cpu.kernels.elementwise import ZERO
from byhand.engines.cpu.kernels.elementwise_backward import put
from byhand.engines.cpu.kernels.norms import rows, rows_at_once
from byhand.engines.cpu.reversal import Gradients, reverses
from byhand.program import Step


@function
def average_of(job, n):
    """The gradients of the shares of row n, averaged with the shares. The order follows from the row's length alone."""
    share_NS, d_share_NS, total = array(job, 0, float32, 2), array(job, 1, float32, 2), ZERO
    for s in range(share_NS.shape[1]):
        total += d_share_NS[n, s] * share_NS[n, s]
    return total


@kernel
def shares_backward(job, me):
    """d_x = share * (d_share - sum(d_share * share)), row by row."""
    share_NS, d_share_NS, d_x_NS = array(job, 0, float32, 2), array(job, 1, float32, 2), array(job, 2, float32, 2)
    add, each, (N, S) = whole(job, 3) != 0, whole(job, 4), d_x_NS.shape
    start = take(job, each)
    while start < N:
        for n in range(start, min(start + each, N)):
            average = average_of(job, n)
            for s in range(S):
                d_x_NS[n, s] = put(d_x_NS[n, s], share_NS[n, s] * (d_share_NS[n, s] - average), add)
        start = take(job, each)


@kernel
def unmask_rows(job, me):
    """d_score_BHTS = d_masked_BHTS where allowed_BTS, else 0."""
    d_masked_BHTS, allowed_BTS = array(job, 0, float32, 4), array(job, 1, uint8, 3)
    d_score_BHTS, add, each = array(job, 2, float32, 4), whole(job, 3) != 0, whole(job, 4)
    B, H, T, S = d_score_BHTS.shape
    start = take(job, each)
    while start < B * H * T:
        for row in range(start, min(start + each, B * H * T)):
            b, h, t = row // T // H, row // T % H, row % T
            from_S, allowed_S, made_S = d_masked_BHTS[b, h, t], allowed_BTS[b, t], d_score_BHTS[b, h, t]
            for s in range(S):
                made_S[s] = put(made_S[s], from_S[s] if allowed_S[s] else ZERO, add)
        start = take(job, each)


@reverses("softmax", "probabilities")
def reverse_shares(b: Builder, step: Step, d: Gradients) -> None:
    (name,) = (each.name for each in step.operator.inputs)
    place = d.to(step, name)
    if place is not None:
        share_NS, d_share_NS, d_x_NS = (rows(each) for each in (b.array(step.address), d.output(step), place.array))
        b.call(shares_backward, share_NS, d_share_NS, d_x_NS, place.add, rows_at_once(d_x_NS.shape[1]))


@reverses("mask")
def reverse_mask(b: Builder, step: Step, d: Gradients) -> None:
    place = d.to(step, "score")
    if place is not None:
        allowed_BTS, each = b.array(step.names["allowed"]), rows_at_once(place.array.shape[-1])
        b.call(unmask_rows, d.output(step), allowed_BTS, place.array, place.add, each)
