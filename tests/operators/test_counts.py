"""The count of operations against formulas worked out by hand; test_registry also counts every operator one by one."""

import pytest

from byhand.operators import REGISTRY, find

SIZES = {"B": 2, "T": 3, "S": 5, "D": 7, "F": 11, "V": 13, "H": 6, "G": 2, "K": 4, "J": 2}
B, T, S, D, F, V, H, G, K, J = SIZES.values()

BY_HAND = {
    ("linear", "forward"): 2 * B * T * D * F + B * T * F,  # a product and a sum each, then the bias
    ("linear", "backward"): 4 * B * T * D * F + B * T * F,  # d_x and d_weight are products of the same size
    ("to_heads", "forward"): 2 * B * T * D * H * K + B * T * H * K,
    ("from_heads", "forward"): 2 * B * T * H * K * D + B * T * D,
    ("unembed", "forward"): 2 * B * T * D * V + B * T * V,
    ("scores", "forward"): B * H * T * S * (2 * K + 2),  # then a root and a division
    ("mix", "forward"): B * T * H * K * 2 * S,
    ("mix", "backward"): 2 * (B * T * H * K * 2 * S),
    ("softmax", "forward"): B * H * T * 5 * S,  # maximum, difference, exp, sum, division
    ("softmax", "backward"): B * H * T * 4 * S,
    ("layer_norm", "forward"): B * T * ((D + 1) + (3 * D + 1) + 3 + 4 * D),  # mean, variance, rstd, out
    ("rms_norm", "forward"): B * T * ((2 * D + 1) + 3 + 2 * D),
    ("relu", "forward"): B * T * F,
    ("add", "forward"): B * T * D,
    ("add", "backward"): 0,
    ("rotary_pairs", "forward"): B * T * H * J * 2 * 5,  # two products, a sum, a sine and a cosine for each of two
    ("lookup", "forward"): 0,
    ("lookup", "backward"): B * T * D,  # not the V times as many of a one-hot product
}


@pytest.mark.parametrize(("name", "direction"), BY_HAND)
def test_a_count_is_what_one_counts_by_hand(name, direction):
    assert find(name).operations(SIZES, direction) == BY_HAND[name, direction]


def test_an_absent_bias_costs_nothing():
    absent = frozenset({"bias"})
    assert find("linear").operations(SIZES, "forward", absent) == 2 * B * T * D * F
    assert find("linear").operations(SIZES, "backward", absent) == 4 * B * T * D * F


@pytest.mark.parametrize("record", REGISTRY.values(), ids=str)
def test_every_operator_has_a_count(record):
    for direction in ("forward", "backward"):
        assert record.operations(SIZES, direction) >= 0
    assert record.count.keys() <= {"forward", "backward"}
