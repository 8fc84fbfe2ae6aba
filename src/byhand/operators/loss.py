"""From logits to probabilities, and how surprised the model was by what came."""

import numpy as np

from byhand.operators.attention import shares
from byhand.operators.record import operator


@operator
class probabilities:
    """Turn the scores of all tokens into probabilities: softmax over the vocabulary."""

    shapes = "logits_BTV -> probs_BTV"
    equation = "probs = softmax(logits) over v = exp(logits - max(logits)) / sum(exp(logits - max(logits)))"
    gradient = "d_logits = probs * (d_probs - sum(d_probs * probs))"
    arithmetic = """
        peak[b,t] = max(v, logits[b,t,v])
        raised[b,t,v] = exp(logits[b,t,v] - peak[b,t])
        total[b,t] = sum(v, raised[b,t,v])
        probs[b,t,v] = raised[b,t,v] / total[b,t]
        ---
        average[b,t] = sum(v, d_probs[b,t,v] * probs[b,t,v])
        d_logits[b,t,v] = probs[b,t,v] * (d_probs[b,t,v] - average[b,t])
    """
    wide = True

    def forward(logits_BTV):
        return shares(logits_BTV)

    def backward(d_probs_BTV, probs_BTV):
        # forward: the probabilities sum to one, so raising one logit lowers all others by their share
        average_BT1 = (d_probs_BTV * probs_BTV).sum(-1, keepdims=True)
        return (probs_BTV * (d_probs_BTV - average_BT1),)


@operator
class cross_entropy:
    """Minus the logarithm of the probability that was given to the right token; 0 where the target is negative.

    A negative target marks a place that is not to be predicted (padding, the last position).
    """

    shapes = "logits_BTV, target_BT -> loss_BT, logsumexp_BT"
    equation = "loss = log(sum(exp(logits))) - logits[target], 0 where target < 0"
    gradient = "d_logits = d_loss * (softmax(logits) - onehot(target)), 0 where target < 0"
    arithmetic = """
        peak[b,t] = max(v, logits[b,t,v])
        logsumexp[b,t] = peak[b,t] + log(sum(v, exp(logits[b,t,v] - peak[b,t])))
        loss[b,t] = where(target[b,t] >= 0, logsumexp[b,t] - logits[b,t,target[b,t]], 0)
        ---
        share[b,t,v] = exp(logits[b,t,v] - logsumexp[b,t])
        right[b,t,v] = where(target[b,t] == v, 1, 0)
        d_logits[b,t,v] = where(target[b,t] >= 0, d_loss[b,t] * (share[b,t,v] - right[b,t,v]), 0)
    """
    wide = True

    def forward(logits_BTV, target_BT):
        peak_BT = logits_BTV.max(-1)
        logsumexp_BT = peak_BT + np.log(np.exp(logits_BTV - peak_BT[..., None]).sum(-1))
        right_BT = np.take_along_axis(logits_BTV, np.maximum(target_BT, 0)[..., None], -1)[..., 0]
        return np.where(target_BT >= 0, logsumexp_BT - right_BT, 0), logsumexp_BT

    def backward(d_loss_BT, logits_BTV, target_BT, logsumexp_BT):
        # forward: loss = logsumexp - logits[target]      the slope of logsumexp is softmax
        d_logits_BTV = np.exp(logits_BTV - logsumexp_BT[..., None])
        right_BT1 = np.maximum(target_BT, 0)[..., None]
        share_BT1 = np.take_along_axis(d_logits_BTV, right_BT1, -1)
        np.put_along_axis(d_logits_BTV, right_BT1, share_BT1 - 1, -1)
        return d_logits_BTV * np.where(target_BT >= 0, d_loss_BT, 0)[..., None], None


@operator
class mean_loss:
    """The average loss over the places that were to be predicted."""

    shapes = "loss_BT, target_BT -> mean"
    equation = "mean = sum(loss) / count(target >= 0)"
    gradient = "d_loss = d_mean / count(target >= 0) where target >= 0, else 0"
    arithmetic = """
        count = sum(b, t, where(target[b,t] >= 0, 1, 0))
        mean = sum(b, t, where(target[b,t] >= 0, loss[b,t], 0)) / count
        ---
        count = sum(b, t, where(target[b,t] >= 0, 1, 0))
        d_loss[b,t] = where(target[b,t] >= 0, d_mean / count, 0)
    """
    wide = True

    def forward(loss_BT, target_BT):
        counted_BT = target_BT >= 0
        return np.where(counted_BT, loss_BT, 0).sum() / int(counted_BT.sum())

    def backward(d_mean, target_BT):
        counted_BT = target_BT >= 0
        # forward: mean = sum of loss / count
        return np.where(counted_BT, d_mean / int(counted_BT.sum()), 0), None
