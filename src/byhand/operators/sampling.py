"""From logits to one chosen token. Ties are broken by the smaller token id, so every choice can be repeated."""

import numpy as np

from byhand.operators.attention import shares
from byhand.operators.record import operator


@operator
class repetition_penalty:
    """Make tokens that were seen before less likely: a penalty above 1 lowers their logits, whatever their sign.

    Keskar et al. 2019, "CTRL", section 4.1, where every logit is divided; a negative one is multiplied here, as
    transformers and others do, so that it falls too.
    """

    shapes = "logits_BTV, seen_BTV -> out_BTV"
    equation = "out = logits / penalty where seen and logits > 0, logits * penalty where seen and not, else logits"
    gradient = "d_logits = d_out / penalty where seen and logits > 0, d_out * penalty where seen and not, else d_out"
    arithmetic = """
        lowered[b,t,v] = where(logits[b,t,v] > 0, logits[b,t,v] / penalty, logits[b,t,v] * penalty)
        out[b,t,v] = where(seen[b,t,v], lowered[b,t,v], logits[b,t,v])
        ---
        d_lowered[b,t,v] = where(logits[b,t,v] > 0, d_out[b,t,v] / penalty, d_out[b,t,v] * penalty)
        d_logits[b,t,v] = where(seen[b,t,v], d_lowered[b,t,v], d_out[b,t,v])
    """

    def forward(logits_BTV, seen_BTV, *, penalty):
        lowered_BTV = np.where(logits_BTV > 0, logits_BTV / penalty, logits_BTV * penalty)
        return np.where(seen_BTV, lowered_BTV, logits_BTV)

    def backward(d_out_BTV, logits_BTV, seen_BTV, *, penalty):
        # forward: out = logits / penalty or logits * penalty where seen
        d_lowered_BTV = np.where(logits_BTV > 0, d_out_BTV / penalty, d_out_BTV * penalty)
        return np.where(seen_BTV, d_lowered_BTV, d_out_BTV), None


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
        count_BT = np.full(logits_BTV.shape[:-1], min(most, logits_BTV.shape[-1]))
        return np.where(best(logits_BTV, -np.sort(-logits_BTV, -1), count_BT), logits_BTV, -np.inf)

    def backward(d_out_BTV, out_BTV):
        # forward: out = logits where kept      what was ruled out has no influence
        return (np.where(out_BTV > -np.inf, d_out_BTV, 0),)


def best(logits_BTV, sorted_BTV, count_BT):
    """Which tokens are among so many of the best, equal ones by id. sorted: the logits from best to worst."""
    last_BT1 = np.take_along_axis(sorted_BTV, count_BT[..., None] - 1, -1)
    better_BTV, equal_BTV = logits_BTV > last_BT1, logits_BTV == last_BT1
    left_BT1 = (count_BT - better_BTV.sum(-1))[..., None]
    return better_BTV | (equal_BTV & (np.cumsum(equal_BTV, -1) <= left_BT1))


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
        sorted_BTV, share_BTV = -np.sort(-logits_BTV, -1), -np.sort(-shares(logits_BTV), -1)
        before_BTV = np.cumsum(share_BTV, -1) - share_BTV
        kept_BTV = (before_BTV < mass) | (mass >= 1)
        kept_BTV[..., 0] = True
        return np.where(best(logits_BTV, sorted_BTV, kept_BTV.sum(-1)), logits_BTV, -np.inf)

    def backward(d_out_BTV, out_BTV):
        # forward: out = logits where kept      what was ruled out has no influence
        return (np.where(out_BTV > -np.inf, d_out_BTV, 0),)


@operator
class min_p:
    """Keep tokens at least `share` times as probable as the best one, rule out the others.

    Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs".
    """

    shapes = "logits_BTV -> out_BTV"
    equation = "out = logits where exp(logits - max(logits)) >= share, else -inf"
    gradient = "d_logits = d_out where kept, else 0"
    arithmetic = """
        peak[b,t] = max(v, logits[b,t,v])
        ratio[b,t,v] = exp(logits[b,t,v] - peak[b,t])
        out[b,t,v] = where(ratio[b,t,v] >= share, logits[b,t,v], -inf)
        ---
        d_logits[b,t,v] = where(out[b,t,v] > -inf, d_out[b,t,v], 0)
    """

    def forward(logits_BTV, *, share):
        ratio_BTV = np.exp(logits_BTV - logits_BTV.max(-1, keepdims=True))
        return np.where(ratio_BTV >= share, logits_BTV, -np.inf)

    def backward(d_out_BTV, out_BTV):
        # forward: out = logits where kept      what was ruled out has no influence
        return (np.where(out_BTV > -np.inf, d_out_BTV, 0),)


@operator
class running_sum:
    """Add up the probabilities in the order of the tokens' ids, so that every token has its stretch between 0 and 1."""

    shapes = "probs_BTV -> running_BTV"
    equation = "running[v] = probs[0] + ... + probs[v]"
    gradient = "d_probs[v] = d_running[v] + ... + d_running[V-1]"
    arithmetic = """
        W = V
        running[b,t,v] = sum(w, where(w <= v, probs[b,t,w], 0))
        ---
        W = V
        d_probs[b,t,v] = sum(w, where(w >= v, d_running[b,t,w], 0))
    """
    count = {"forward": "B * T * V", "backward": "B * T * V"}
    wide = True

    def forward(probs_BTV):
        return np.cumsum(probs_BTV, -1)

    def backward(d_running_BTV):
        # forward: running[v] = probs[0] + ... + probs[v]      so a probability is in every sum from its own on
        return (np.cumsum(d_running_BTV[..., ::-1], -1)[..., ::-1],)


@operator
class draw:
    """Choose the token at which the running sum of probabilities passes a number drawn uniformly from [0, 1).

    Rounding may leave the last running sum below one, and the number above it: then the last token is chosen whose
    probability still raised the sum. A token of probability 0 is never chosen.
    """

    shapes = "running_BTV, uniform_BT -> token_BT"
    equation = "token = the first v at which running[v] > uniform or running[v] = running[V-1]"
    gradient = ""
    arithmetic = """
        token[b,t] = sum(v, where(running[b,t,v] <= uniform[b,t] and running[b,t,v] < running[b,t,V-1], 1, 0))
    """
    count = {"forward": "B * T * V", "backward": "0"}

    def forward(running_BTV, uniform_BT):
        passed_BTV = (running_BTV <= uniform_BT[..., None]) & (running_BTV < running_BTV[..., -1:])
        return passed_BTV.sum(-1)

    def backward(d_token_BT):
        return None, None


@operator
class argmax:
    """Choose the best token; of several equally good ones that with the smallest id."""

    shapes = "logits_BTV -> token_BT"
    equation = "token = the smallest v at which logits[v] = max(logits)"
    gradient = ""
    arithmetic = """
        peak[b,t] = max(v, logits[b,t,v])
        token[b,t] = V - max(v, where(logits[b,t,v] == peak[b,t], V - v, 0))
    """
    count = {"forward": "B * T * V", "backward": "0"}

    def forward(logits_BTV):
        return np.argmax(logits_BTV, -1)

    def backward(d_token_BT):
        return (None,)
