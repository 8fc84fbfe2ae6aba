"""Attention: how well does each query fit each key, which keys may be seen, how is attention shared, what is read.

When a text is read piece by piece, `append` puts the new keys and values beside those of the earlier pieces.

One form serves multi-head, grouped and multi-query attention: query head h reads key/value head h // (H / G), so G = H
is multi-head and G = 1 multi-query. The projections before and after are in linear.py.
"""

import math

import numpy as np

from byhand.operators.product import product, total
from byhand.operators.record import operator


def grouped(x_BTHK, groups):
    """Split the head axis into (G key/value heads, R query heads that share one)."""
    B, T, H, K = x_BTHK.shape
    return x_BTHK.reshape(B, T, groups, H // groups, K)


def grouped_rows(w_BHTS, groups):
    """The same split for arrays with one row per query head."""
    B, H, T, S = w_BHTS.shape
    return w_BHTS.reshape(B, groups, H // groups, T, S)


@operator
class append:
    """Put the keys (or values) of new tokens at their places among those of the tokens read before: the cache.

    Pope et al. 2022, "Efficiently Scaling Transformer Inference". A place that nobody has written yet holds anything;
    the mask hides it. Of several tokens at one place the last counts.
    """

    shapes = "past_BSGK, new_BTGK, place_BT -> out_BSGK"
    equation = "out = past, but out[place[t]] = new[t]"
    gradient = """
        d_past = d_out where no token was put, else 0
        d_new[t] = d_out[place[t]], 0 where a later token took the place
    """
    arithmetic = """
        last[b,s] = max(t, where(place[b,t] == s, t, -1))
        out[b,s,g,k] = where(last[b,s] >= 0, new[b,last[b,s],g,k], past[b,s,g,k])
        ---
        last[b,s] = max(t, where(place[b,t] == s, t, -1))
        d_past[b,s,g,k] = where(last[b,s] >= 0, 0, d_out[b,s,g,k])
        d_new[b,t,g,k] = where(last[b,place[b,t]] == t, d_out[b,place[b,t],g,k], 0)
    """
    count = {"forward": "0", "backward": "0"}

    def forward(past_BSGK, new_BTGK, place_BT):
        out_BSGK, text_B1 = past_BSGK.copy(), np.arange(len(place_BT))[:, None]
        last_BT = last_at(place_BT, past_BSGK.shape[1])[text_B1, place_BT]
        out_BSGK[text_B1, place_BT] = new_BTGK[text_B1, last_BT]
        return out_BSGK

    def backward(d_out_BSGK, place_BT):
        # forward: out[place] = new      what was there before is gone, and so is what a later token replaced
        last_BS, text_B1 = last_at(place_BT, d_out_BSGK.shape[1]), np.arange(len(place_BT))[:, None]
        stayed_BT = last_BS[text_B1, place_BT] == np.arange(place_BT.shape[1])
        d_past_BSGK = np.where(last_BS[:, :, None, None] >= 0, 0, d_out_BSGK)
        return d_past_BSGK, np.where(stayed_BT[:, :, None, None], d_out_BSGK[text_B1, place_BT], 0), None


def last_at(place_BT, slots):
    """For every one of the slots, the last t whose place it is, or -1."""
    B, T = place_BT.shape
    last_BS = np.full((B, slots), -1)
    np.maximum.at(last_BS, (np.arange(B)[:, None], place_BT), np.arange(T))
    return last_BS


@operator
class scores:
    """Measure how well every query fits every key: their dot product, divided by sqrt(K).

    Vaswani et al. 2017, section 3.2.1; grouped as in Ainslie et al. 2023, "GQA". In bfloat16 the dot product is rounded
    before it is divided, as Llama's own code and transformers do.
    """

    shapes = "query_BTHK, key_BSGK -> score_BHTS"
    equation = 'score = einsum("BTGRK,BSGK->BGRTS", query, key) / sqrt(K), H = G * R'
    gradient = """
        d_query = einsum("BGRTS,BSGK->BTGRK", d_score, key) / sqrt(K)
        d_key = einsum("BGRTS,BTGRK->BSGK", d_score, query) / sqrt(K)
    """
    arithmetic = """
        R = H // G
        score[b,h,t,s] = sum(k, query[b,t,h,k] * key[b,s,h // R,k]) / sqrt(K)
        ---
        R = H // G
        d_query[b,t,h,k] = sum(s, d_score[b,h,t,s] * key[b,s,h // R,k]) / sqrt(K)
        d_key[b,s,g,k] = sum(r, t, d_score[b,g * R + r,t,s] * query[b,t,g * R + r,k]) / sqrt(K)
    """

    def forward(query_BTHK, key_BSGK, *, rounded=lambda array: array):
        query_BTGRK = grouped(query_BTHK, key_BSGK.shape[2])
        score_BGRTS = product("BTGRK,BSGK->BGRTS", query_BTGRK, key_BSGK)
        B, G, R, T, S = score_BGRTS.shape
        return rounded(score_BGRTS).reshape(B, G * R, T, S) / math.sqrt(query_BTHK.shape[-1])

    def backward(d_score_BHTS, query_BTHK, key_BSGK):
        query_BTGRK = grouped(query_BTHK, key_BSGK.shape[2])
        # forward: score = query . key / sqrt(K)
        d_dot_BGRTS = grouped_rows(d_score_BHTS, key_BSGK.shape[2]) / math.sqrt(query_BTHK.shape[-1])
        d_query_BTGRK = np.einsum("BGRTS,BSGK->BTGRK", d_dot_BGRTS, key_BSGK, optimize=True)
        d_key_BSGK = np.einsum("BGRTS,BTGRK->BSGK", d_dot_BGRTS, query_BTGRK, optimize=True)
        return d_query_BTGRK.reshape(query_BTHK.shape), d_key_BSGK


@operator
class mask:
    """Hide what may not be seen: later positions (causal), padding, or any other pair, as `allowed` says.

    A hidden score is -inf, so its weight will be exactly zero. (The hand-made model hides with -1e10, which float64's
    exp also turns into zero.) Every query must be allowed something: a row of nothing but -inf has no softmax.
    """

    shapes = "score_BHTS, allowed_BTS -> masked_BHTS"
    equation = "masked = score where allowed, else fill"
    gradient = "d_score = d_masked where allowed, else 0"
    arithmetic = """
        masked[b,h,t,s] = where(allowed[b,t,s], score[b,h,t,s], fill)
        ---
        d_score[b,h,t,s] = where(allowed[b,t,s], d_masked[b,h,t,s], 0)
    """

    def forward(score_BHTS, allowed_BTS, *, fill=-np.inf):
        return np.where(allowed_BTS[:, None], score_BHTS, np.asarray(fill, score_BHTS.dtype))

    def backward(d_masked_BHTS, allowed_BTS):
        # forward: masked = score where allowed      a hidden score has no influence
        return np.where(allowed_BTS[:, None], d_masked_BHTS, 0), None


@operator
class softmax:
    """Turn every row of scores into positive weights that sum to one.

    The row's maximum is subtracted first: it changes nothing and keeps exp from overflowing.
    """

    shapes = "score_BHTS -> weight_BHTS"
    equation = "weight = softmax(score) over s = exp(score - max(score)) / sum(exp(score - max(score)))"
    gradient = "d_score = weight * (d_weight - sum(d_weight * weight))"
    arithmetic = """
        peak[b,h,t] = max(s, score[b,h,t,s])
        raised[b,h,t,s] = exp(score[b,h,t,s] - peak[b,h,t])
        total[b,h,t] = sum(s, raised[b,h,t,s])
        weight[b,h,t,s] = raised[b,h,t,s] / total[b,h,t]
        ---
        average[b,h,t] = sum(s, d_weight[b,h,t,s] * weight[b,h,t,s])
        d_score[b,h,t,s] = weight[b,h,t,s] * (d_weight[b,h,t,s] - average[b,h,t])
    """

    def forward(score_BHTS):
        return shares(score_BHTS)

    def backward(d_weight_BHTS, weight_BHTS):
        # forward: the weights sum to one, so raising one score lowers all other weights by their share
        average_BHT1 = (d_weight_BHTS * weight_BHTS).sum(-1, keepdims=True)
        return (weight_BHTS * (d_weight_BHTS - average_BHT1),)


def shares(score):
    """Softmax over the last axis."""
    exp = np.exp(score - score.max(-1, keepdims=True))
    return exp / total(exp)[..., None]


@operator
class mix:
    """Read: every head's average of the values, weighted by its attention."""

    shapes = "weight_BHTS, value_BSGK -> out_BTHK"
    equation = 'out = einsum("BGRTS,BSGK->BTGRK", weight, value), H = G * R'
    gradient = """
        d_weight = einsum("BTGRK,BSGK->BGRTS", d_out, value)
        d_value = einsum("BGRTS,BTGRK->BSGK", weight, d_out)
    """
    arithmetic = """
        R = H // G
        out[b,t,h,k] = sum(s, weight[b,h,t,s] * value[b,s,h // R,k])
        ---
        R = H // G
        d_weight[b,h,t,s] = sum(k, d_out[b,t,h,k] * value[b,s,h // R,k])
        d_value[b,s,g,k] = sum(r, t, weight[b,g * R + r,t,s] * d_out[b,t,g * R + r,k])
    """

    def forward(weight_BHTS, value_BSGK):
        weight_BGRTS = grouped_rows(weight_BHTS, value_BSGK.shape[2])
        out_BTGRK = product("BGRTS,BSGK->BTGRK", weight_BGRTS, value_BSGK)
        B, T, G, R, K = out_BTGRK.shape
        return out_BTGRK.reshape(B, T, G * R, K)

    def backward(d_out_BTHK, weight_BHTS, value_BSGK):
        d_out_BTGRK = grouped(d_out_BTHK, value_BSGK.shape[2])
        weight_BGRTS = grouped_rows(weight_BHTS, value_BSGK.shape[2])
        # forward: out = sum over s of weight * value
        d_weight_BGRTS = np.einsum("BTGRK,BSGK->BGRTS", d_out_BTGRK, value_BSGK, optimize=True)
        d_value_BSGK = np.einsum("BGRTS,BTGRK->BSGK", weight_BGRTS, d_out_BTGRK, optimize=True)
        return d_weight_BGRTS.reshape(weight_BHTS.shape), d_value_BSGK
