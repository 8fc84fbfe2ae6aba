"""Scalar arithmetic: parsing, evaluating single elements, falling apart into terms, and counting operations."""

import math

import numpy as np
import pytest

from byhand import arithmetic
from byhand.arithmetic import Evaluation, Node, exact_sum, parse, terms

ATTENTION = """
    R = H // G
    score[b,h,t,s] = sum(k, query[b,t,h,k] * key[b,s,h // R,k]) / sqrt(K)
    peak[b,h,t] = max(s, score[b,h,t,s])
    raised[b,h,t,s] = exp(score[b,h,t,s] - peak[b,h,t])
    total[b,h,t] = sum(s, raised[b,h,t,s])
    weight[b,h,t,s] = raised[b,h,t,s] / total[b,h,t]
"""
DRAW = np.random.default_rng(0)
SIZES = {"B": 1, "T": 3, "S": 4, "H": 4, "G": 2, "K": 5}
QUERY, KEY = DRAW.standard_normal((1, 3, 4, 5)), DRAW.standard_normal((1, 4, 2, 5))


def evaluation(text, operands=None, sizes=None, **attributes):
    return Evaluation(parse(text), operands or {}, sizes or {}, attributes)


def value(text, name="y", index=(), **given):
    return evaluation(text, **given).element(name, index).value


# --- evaluating ---------------------------------------------------------------------------------------------------


def test_attention_element_by_element():
    of = evaluation(ATTENTION, {"query": QUERY, "key": KEY}, SIZES)
    score_BHTS = np.einsum("BTHK,BSHK->BHTS", QUERY, KEY.repeat(2, axis=2)) / math.sqrt(5)
    weight_BHTS = np.exp(score_BHTS) / np.exp(score_BHTS).sum(-1, keepdims=True)
    for index in np.ndindex(weight_BHTS.shape):
        assert abs(of.element("score", index).value - score_BHTS[index]) < 1e-15
        assert abs(of.element("weight", index).value - weight_BHTS[index]) < 1e-15
    assert of.sizes["R"] == 2


def test_each_line_is_worked_out_once_and_in_the_order_of_need():
    of = evaluation(ATTENTION, {"query": QUERY, "key": KEY}, SIZES)
    first = of.element("weight", (0, 1, 2, 3))
    assert of.element("weight", (0, 1, 2, 3)) is first
    order = list(of.done)
    assert order[-1] == ("weight", (0, 1, 2, 3)) and order.index(("peak", (0, 1, 2))) < order.index(
        ("raised", (0, 1, 2, 3))
    )
    assert len(order) == 4 + 1 + 4 + 1 + 1


def test_a_node_holds_how_it_was_made():
    of = evaluation(
        "y[t] = sum(d, x[t,d] * w[d]) + 1", {"x": np.array([[2.0, 3.0]]), "w": np.array([5.0, 7.0])}, {"T": 1, "D": 2}
    )
    node = of.element("y", (0,))
    assert (node.kind, node.value) == ("+", 32.0)
    total, one = node.parts
    assert (total.kind, total.name, [part.value for part in total.parts]) == ("sum", "d", [10.0, 21.0])
    assert (one.kind, one.value) == ("number", 1)
    x, w = total.parts[1].parts
    assert (x.kind, x.name, x.index, x.value) == ("operand", "x", (0, 1), 3.0) and (w.name, w.index) == ("w", (1,))


def test_looking_up_keeps_the_id_as_an_operand():
    of = evaluation(
        "y[t,d] = table[id[t], d]", {"table": np.arange(6.0).reshape(3, 2), "id": np.array([2, 0])}, {"T": 2, "D": 2}
    )
    node = of.element("y", (0, 1))
    assert (node.value, node.index, node.parts[0].name, node.parts[0].value) == (5.0, (2, 1), "id", 2)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("y = 7 // 2 + 7 % 4 - 2 ** 3", -2),
        ("y = -(1 - 4) / 2", 1.5),
        ("y = max(2, 3) * sqrt(16)", 12),
        ("y = where(1 < 2 and 2 <= 2, 10, 20) + where(1 > 2 or 3 == 4, 1, 2)", 12),
        ("y = sin(pi / 2) + cos(0) + tanh(0) + erf(0) + exp(0) + log(1)", 3),
        ("y = factor * D + inf", math.inf),
    ],
)
def test_signs_and_functions(text, expected):
    assert value(text, sizes={"D": 4}, factor=0.5) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("y = exp(1000)", math.inf),
        ("y = 1 / (1 + exp(1000))", 0.0),
        ("y = 1 / x[0]", math.inf),
        ("y = -1 / x[0]", -math.inf),
        ("y = x[0] / x[0]", math.nan),
        ("y = log(x[0])", -math.inf),
        ("y = log(-1)", math.nan),
        ("y = sqrt(-1)", math.nan),
        ("y = sin(inf)", math.nan),
        ("y = 10.0 ** 400", math.inf),
        ("y = tanh(inf) + erf(-inf)", 0.0),
    ],
)
def test_where_python_raises_it_goes_on_as_ieee(text, expected):
    found = value(text, operands={"x": np.zeros(1)})
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_two_lines_may_share_a_name_by_their_left_sides():
    text = """
        y[t,2*j] = x[t,j]
        y[t,2*j+1] = -x[t,j]
    """
    of = evaluation(text, {"x": np.array([[1.0, 2.0]])}, {"T": 1, "J": 2})
    assert [of.element("y", (0, i)).value for i in range(4)] == [1, -1, 2, -2]
    halves = evaluation("y[j] = x[j]\ny[j+J] = -x[j]", {"x": np.array([1.0, 2.0])}, {"J": 2})
    assert [halves.element("y", (i,)).value for i in range(4)] == [1, 2, -1, -2]
    first = evaluation("y[b,0] = 5", sizes={"B": 1})
    assert first.element("y", (0, 0)).value == 5
    with pytest.raises(KeyError, match=r"no line defines y\[0, 1\]"):
        first.element("y", (0, 1))


def test_an_absent_operand_is_left_out():
    text = "y[d] = x[d] * 2 + bias[d]"
    with_bias = Evaluation(parse(text), {"x": np.ones(1), "bias": np.full(1, 5.0)}, {"D": 1})
    without = Evaluation(parse(text, frozenset({"bias"})), {"x": np.ones(1)}, {"D": 1})
    assert (with_bias.element("y", (0,)).value, without.element("y", (0,)).value) == (7, 2)


def test_what_is_not_in_the_notation_is_refused():
    for text in ("y = [1, 2]", "y = x if 1 else 2", "y = lambda: 1"):
        with pytest.raises(TypeError, match="not part of the notation"):
            value(text)
    with pytest.raises(AssertionError, match="not an assignment"):
        parse("x + 1")


# --- sums and terms -------------------------------------------------------------------------------------------------


def test_sums_are_exact():
    assert exact_sum([1e16, 1.0, -1e16]) == 1.0 and sum([1e16, 1.0, -1e16]) == 0.0
    assert exact_sum([]) == 0.0 and exact_sum([math.inf, 1.0]) == math.inf
    assert math.isnan(exact_sum([math.inf, -math.inf]))
    assert exact_sum([1e308, 1e308]) == math.inf
    assert value("y = sum(d, x[d])", operands={"x": np.array([1e16, 1.0, -1e16])}, sizes={"D": 3}) == 1.0


@pytest.mark.parametrize(
    "text, expected",
    [
        ("y = sum(d, x[d] * 2)", [2.0, 4.0, 8.0]),
        ("y = sum(d, x[d]) / 4 + 1", [0.25, 0.5, 1.0, 1]),
        ("y = 1 - sum(d, x[d]) * 3", [1, -3.0, -6.0, -12.0]),
        ("y = 2 * (x[0] - x[1])", [2.0, -4.0]),
        ("y = (x[0] - x[1]) * x[2] * 0.5 + x[0]", [2.0, -4.0, 1.0]),
        ("y = sum(d, x[d] + 1)", [1.0, 1, 2.0, 1, 4.0, 1]),
        ("y = (x[0] + x[1]) * (x[1] + x[2])", [18.0]),  # two sums: one term
        ("y = 1 / (x[0] + x[1])", [1 / 3]),
        ("y = exp(x[0] + x[1])", [math.exp(3)]),
        ("y = max(d, x[d])", [4.0]),
        ("y = where(x[0] > 0, x[1] + x[2], 0)", [6.0]),
    ],
)
def test_terms(text, expected):
    node = evaluation(text, {"x": np.array([1.0, 2.0, 4.0])}, {"D": 3}).element("y", ())
    assert [term.value for term in terms(node)] == expected
    assert math.fsum(term.value for term in terms(node)) == pytest.approx(node.value, rel=1e-15)


def test_terms_keep_their_operands():
    node = evaluation("y = sum(d, x[d]) / 2 - z", {"x": np.ones(2), "z": np.array(3.0)}, {"D": 2}).element("y", ())

    def operands(each: Node) -> list[str]:
        own = [f"{each.name}{list(each.index)}"] if each.kind == "operand" else []
        return own + [name for part in each.parts for name in operands(part)]

    assert [operands(term) for term in terms(node)] == [["x[0]"], ["x[1]"], ["z[]"]]


# --- counting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, count",
    [
        ("y[b,f] = sum(d, x[b,d] * w[d,f])", 2 * 3 * 4 * 5),
        ("y[b,f] = sum(d, x[b,d] * w[d,f]) + bias[f]", 2 * 3 * 4 * 5 + 3 * 4),
        ("y[b] = x[b]", 0),
        ("y[b] = table[id[b]]", 0),
        ("y[b,f] = exp(x[b,f] - peak[b])", 2 * 3 * 4),
        ("y[b,2*f] = -x[b,f] ** 2", 3 * 4),
        ("y[b] = where(x[b] > 0, x[b] * 2 + 1, x[b])", 2 * 3),
        ("y[b] = max(d, x[b,d])", 3 * 5),
        ("y = sum(b, d, x[b,d])", 15),
        ("R = F // 2\ny[b] = sum(r, x[b,r])", 3 * 2),
    ],
)
def test_operations_are_counted(text, count):
    assert arithmetic.operations(parse(text), {"B": 3, "F": 4, "D": 5}) == count
