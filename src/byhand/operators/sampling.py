"""From logits to one chosen token. Ties are broken by the smaller token id, so every choice can be repeated."""

import numpy as np

from byhand.operators.attention import shares
from byhand.operators.record import operator


@operator
class temperature:
    """Sharpen (below 1) or flatten (above 1) the distribution.

    Ackley, Hinton and Sejnowski 1985.
    """

    shapes = "logits_BTV -> out_BTV"
    equation = "out = logits / degree"
    gradient = "d_logits = d_out / degree"
    arithmetic = """
        out[b,t,v] = logits[b,t,v] / degree
        ---
        d_logits[b,t,v] = d_out[b,t,v] / degree
    """

    def forward(logits_BTV, *, degree):
        return logits_BTV / degree

    def backward(d_out_BTV, *, degree):
        return (d_out_BTV / degree,)


@operator
class top_k:
    """Keep the `most` best tokens, rule out the others.

    Fan, Lewis and Dauphin 2018, "Hierarchical Neural Story Generation".
    """

    shapes = "logits_BTV -> out_BTV"
    equation = "out = logits where it is among the `most` largest, else -inf"
    gradient = "d_logits = d_out where kept, else 0"
    arithmetic = """
        W = V
        before[b,t,v,w] = where(logits[b,t,w] > logits[b,t,v] or (logits[b,t,w] == logits[b,t,v] and w < v), 1, 0)
        rank[b,t,v] = sum(w, before[b,t,v,w])
        out[b,t,v] = where(rank[b,t,v] < most, logits[b,t,v], -inf)
        ---
        d_logits[b,t,v] = where(out[b,t,v] > -inf, d_out[b,t,v], 0)
    """
    count = {"forward": "B * T * V", "backward": "0"}

    def forward(logits_BTV, *, most):
        return np.where(ranks(logits_BTV) < most, logits_BTV, -np.inf)

    def backward(d_out_BTV, out_BTV):
        # forward: out = logits where kept      what was ruled out has no influence
        return (np.where(out_BTV > -np.inf, d_out_BTV, 0),)


def ranks(logits_BTV):
    """The place of every token when sorted from best to worst, equal ones by id."""
    order_BTV = np.argsort(-logits_BTV, axis=-1, kind="stable")
    rank_BTV = np.empty_like(order_BTV)
    np.put_along_axis(rank_BTV, order_BTV, np.broadcast_to(np.arange(order_BTV.shape[-1]), order_BTV.shape), -1)
    return rank_BTV


@operator
class top_p:
    """Keep the best tokens until their probabilities reach `mass`, rule out the others.

    The best token is always kept, and a mass of 1 keeps all of them, whatever rounding makes of their sum.
    Holtzman et al. 2019, "The Curious Case of Neural Text Degeneration".
    """

    shapes = "logits_BTV -> out_BTV"
    equation = "out = logits where the better tokens' probabilities sum to less than `mass`, else -inf"
    gradient = "d_logits = d_out where kept, else 0"
    arithmetic = """
        W = V
        peak[b,t] = max(v, logits[b,t,v])
        total[b,t] = sum(v, exp(logits[b,t,v] - peak[b,t]))
        share[b,t,v] = exp(logits[b,t,v] - peak[b,t]) / total[b,t]
        better[b,t,v,w] = logits[b,t,w] > logits[b,t,v] or (logits[b,t,w] == logits[b,t,v] and w < v)
        before[b,t,v] = sum(w, where(better[b,t,v,w], share[b,t,w], 0))
        out[b,t,v] = where(before[b,t,v] == 0 or before[b,t,v] < mass or mass >= 1, logits[b,t,v], -inf)
        ---
        d_logits[b,t,v] = where(out[b,t,v] > -inf, d_out[b,t,v], 0)
    """
    count = {"forward": "5 * B * T * V", "backward": "0"}

    def forward(logits_BTV, *, mass):
        rank_BTV = ranks(logits_BTV)
        order_BTV = np.argsort(rank_BTV, axis=-1)
        sorted_BTV = np.take_along_axis(shares(logits_BTV), order_BTV, -1)
        before_BTV = np.take_along_axis(np.cumsum(sorted_BTV, -1) - sorted_BTV, rank_BTV, -1)
        return np.where((rank_BTV == 0) | (before_BTV < mass) | (mass >= 1), logits_BTV, -np.inf)

    def backward(d_out_BTV, out_BTV):
        # forward: out = logits where kept      what was ruled out has no influence
        return (np.where(out_BTV > -np.inf, d_out_BTV, 0),)


@operator
class draw:
    """Choose the token at which the running sum of probabilities passes a number drawn uniformly from [0, 1)."""

    shapes = "probs_BTV, uniform_BT -> token_BT"
    equation = "token = the first v at which probs[0] + ... + probs[v] > uniform"
    gradient = ""
    arithmetic = """
        W = V
        running[b,t,v] = sum(w, where(w <= v, probs[b,t,w], 0))
        passed[b,t] = sum(v, where(running[b,t,v] <= uniform[b,t], 1, 0))
        last[b,t] = max(v, where(probs[b,t,v] > 0, v, 0))
        token[b,t] = where(passed[b,t] < last[b,t], passed[b,t], last[b,t])
    """
    count = {"forward": "B * T * V", "backward": "0"}

    def forward(probs_BTV, uniform_BT):
        running_BTV = np.cumsum(probs_BTV, -1)
        passed_BT = (running_BTV <= uniform_BT[..., None]).sum(-1)
        # rounding may leave the last running sum a little below one: never pass the last possible token
        last_BT = probs_BTV.shape[-1] - 1 - (probs_BTV[..., ::-1] > 0).argmax(-1)
        return np.minimum(passed_BT, last_BT)

    def backward(d_token_BT):
        return None, None
