"""The way back from the loss to the logits: one look at each of them."""

from __future__ import annotations

from numba import float32, int64

from byhand.engines.cpu.builder import Builder
from byhand.engines.cpu.kernel import array, exact, given, kernel, take, whole
from byhand.engines.cpu.kernels.elementwise import ONE, STRETCH, ZERO, quotient
from byhand.engines.cpu.kernels.elementwise_backward import apart, put
from byhand.engines.cpu.kernels.loss import stretch_of
from byhand.engines.cpu.kernels.norms import rows, rows_at_once
from byhand.engines.cpu.reversal import Gradients, reverses
from byhand.engines.cpu.simd import exp
from byhand.program import Step


@exact
def column_of(target_N, n, first, width):
    """Where in a stretch of row n its target is, or -1. A negative one, which has no loss, is taken for 0."""
    column = max(target_N[n], 0) - first
    return column if 0 <= column < width else -1


@kernel
def surprises_backward(job, me):
    """d_logits = d_loss * (e^(logits - logsumexp) - onehot(target)), where a target below 0 has no d_loss.

    Without logits, what is in d_logits takes their place.
    """
    target_N, logsumexp_N, d_loss_N = array(job, 1, int64, 1), array(job, 2, float32, 1), array(job, 3, float32, 1)
    d_x_NV, add, each = array(job, 4, float32, 2), whole(job, 5) != 0, whole(job, 6)
    N, P = d_x_NV.shape[0], -(-d_x_NV.shape[1] // STRETCH)
    start = take(job, each)
    while start < N * P:
        for piece in range(start, min(start + each, N * P)):
            n, _, first, count = stretch_of(piece, P, d_x_NV.shape[1])
            made_V, logsumexp = d_x_NV[n, first : first + count], logsumexp_N[n]
            d_loss, right = d_loss_N[n] if target_N[n] >= 0 else ZERO, column_of(target_N, n, first, count)
            x_V = array(job, 0, float32, 2)[n, first : first + count] if given(job, 0) else made_V
            before, logit = (made_V[right], x_V[right]) if right >= 0 else (ZERO, ZERO)
            if given(job, 0):
                for v in range(len(made_V)):
                    made_V[v] = put(made_V[v], exp(x_V[v] - logsumexp) * d_loss, add)
            else:
                for v in range(len(made_V)):
                    made_V[v] = exp(made_V[v] - logsumexp) * d_loss
            if right >= 0:
                made_V[right] = put(before, (exp(logit - logsumexp) - ONE) * d_loss, add)
        start = take(job, each)


@kernel
def averaging_backward(job, me):
    """d_loss = d_mean / count where the target counts, else 0."""
    d_mean_1, target_N, d_loss_N = array(job, 0, float32, 1), array(job, 1, int64, 1), array(job, 2, float32, 1)
    add = whole(job, 3) != 0
    if take(job, 1) == 0:
        count = 0
        for n in range(len(target_N)):
            count += target_N[n] >= 0
        share = quotient(d_mean_1[0], float32(count))
        for n in range(len(target_N)):
            d_loss_N[n] = put(d_loss_N[n], share if target_N[n] >= 0 else ZERO, add)


@reverses("cross_entropy")
def reverse_cross_entropy(b: Builder, step: Step, d: Gradients) -> None:
    place = d.to(step, "logits")
    if place is None:
        return
    logits, d_x_NV = b.array(step.names["logits"]), rows(place.array)
    x_NV = None if apart(logits, place) is None else rows(logits)
    target_N, logsumexp_N = (b.array(step.names[name]).reshape(-1) for name in ("target", "logsumexp"))
    d_loss_N, each = d.output(step).reshape(-1), rows_at_once(d_x_NV.shape[1])
    b.call(surprises_backward, x_NV, target_N, logsumexp_N, d_loss_N, d_x_NV, place.add, each)


@reverses("mean_loss")
def reverse_mean_loss(b: Builder, step: Step, d: Gradients) -> None:
    place = d.to(step, "loss")
    if place is not None:
        target_N = b.array(step.names["target"]).reshape(-1)
        b.call(averaging_backward, d.output(step).reshape(-1), target_N, place.array.reshape(-1), place.add)
