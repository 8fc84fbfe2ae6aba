"""Arithmetic written for people says exactly what the arithmetic is: it can be read back, and evaluated."""

from __future__ import annotations

import ast
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byhand.arithmetic import Evaluation, Line, Node, parse
from byhand.notation import Names, number, numbers

SIGNS = ["+", "-", "*", "/", "//", "%", "**"]


def expressions(leaves: st.SearchStrategy[str], signs: list[str]) -> st.SearchStrategy[str]:
    """Arithmetic with every bracket written, so that nothing depends on how tightly a sign binds."""

    def grown(smaller: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        joined = st.tuples(smaller, st.sampled_from(signs), smaller).map(lambda p: f"({p[0]}) {p[1]} ({p[2]})")
        return joined | smaller.map(lambda inner: f"-({inner})") | smaller.map(lambda inner: f"exp({inner})")

    return st.recursive(leaves, grown, max_leaves=8)


def one(text: str) -> Line:
    (line,) = parse(text)
    return line


def node_of(text: str, **arrays: object) -> Node:
    """The evaluated right side of ``out = text``."""
    operands = {name: np.asarray(array) for name, array in arrays.items()}
    return Evaluation((one(f"out = {text}"),), operands, {"S": 4, "T": 1}).element("out", ())


# --- in names -------------------------------------------------------------------------------------------------------


@given(expressions(st.sampled_from(["x", "y[t]", "2", "0.5"]), SIGNS))
def test_names_can_be_read_back_as_the_same_arithmetic(text: str) -> None:
    expression = ast.parse(text, mode="eval").body
    written = Names({}, {}, {}).expression(expression)
    assert ast.dump(ast.parse(written, mode="eval").body) == ast.dump(expression), written


@pytest.mark.parametrize(
    "text",
    ["a - b - c", "a - (b - c)", "a / b * c", "a / (b * c)", "(a + b) * c", "a ** b ** c", "(a ** b) ** c", "-a ** 2"],
)
def test_brackets_stand_only_where_they_are_needed(text: str) -> None:
    assert Names({}, {}, {}).expression(ast.parse(text, mode="eval").body) == text


def test_a_line_is_written_with_addresses_letters_and_settings() -> None:
    line = one("out[b,t,d] = sum(f, (x[b,t,f] + eps) * weight[f,d]) / F")
    names = Names({"x": "mlp.act", "weight": "down", "out": "mlp.out"}, {"d": "e", "F": 64}, {"eps": 1e-5})
    assert names.line(line) == "mlp.out[b,t,e] = sum[f]((mlp.act[b,t,f] + 1e-05) * down[f,e]) / 64"


def test_indices_may_be_numbers_and_expressions() -> None:
    line = one("out[b,2*j] = where(id[b] == v or id[b] < 0, x[b,h // R], max(x[b,0], -inf))")
    written = Names({}, {"b": 0, "j": 3, "v": 7}, {"R": 4}).line(line)
    assert written == "out[0,6] = where(id[0] == 7 or id[0] < 0, x[0,h//4], max(x[0,0], -inf))"


# --- in numbers -----------------------------------------------------------------------------------------------------


@given(expressions(st.sampled_from(["x", "y", "2", "0.1"]), ["+", "-", "*", "/"]))
def test_numbers_are_a_python_expression_of_the_same_value(text: str) -> None:
    node = node_of(text, x=-1.7, y=0.3)
    if math.isfinite(node.value):
        try:
            again = eval(numbers(node, 17, None), vars(math).copy())
        except (ZeroDivisionError, OverflowError):
            return  # Python gives up where the arithmetic went on with infinity
        assert again == node.value, numbers(node, 17, None)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("sum(s, x[s])", "1 + (-2) + 0.5 + 4"),
        ("sum(s, x[s] * 2) - 1", "1 * 2 + (-2) * 2 + 0.5 * 2 + 4 * 2 - 1"),
        ("2 - sum(s, x[s])", "2 - (1 + (-2) + 0.5 + 4)"),
        ("2 * sum(s, x[s])", "2 * (1 + (-2) + 0.5 + 4)"),
        ("max(s, x[s])", "max(1, -2, 0.5, 4)"),
        ("max(x[1], 0)", "max(-2, 0)"),
        ("x[1] ** 2", "(-2) ** 2"),
        ("-x[1]", "-(-2)"),
        ("-x[1] ** 2", "-(-2) ** 2"),
        ("exp(x[1])", "exp(-2)"),
        ("where(x[1] > 0, x[0], x[2] / 2)", "0.5 / 2"),
        ("sqrt(2 * pi) - inf", "sqrt(2 * pi) - inf"),
        ("sum(t, x[t])", "1"),
        ("max(t, x[t]) - 1", "1 - 1"),
    ],
)
def test_numbers(text: str, written: str) -> None:
    assert numbers(node_of(text, x=[1.0, -2.0, 0.5, 4.0])) == written


def test_long_sums_are_shortened_wherever_they_stand() -> None:
    node = node_of("2 * (sum(s, x[s]) - max(s, x[s]))", x=[1.0, -2.0, 0.5, 4.0])
    assert numbers(node, most=2) == "2 * (1 + (-2) + ... 2 more - max(1, -2, ... 2 more))"
    assert numbers(node, most=4) == numbers(node, most=None) == "2 * (1 + (-2) + 0.5 + 4 - max(1, -2, 0.5, 4))"


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [
        (0.1 + 0.2, 17, "0.30000000000000004"),
        (0.1 + 0.2, 6, "0.3"),
        (1024.0, 6, "1024"),
        (-3, 6, "-3"),
        (True, 6, "True"),
        (2.0**70, 17, "1.1805916207174113e+21"),
        (1e-5, 17, "1e-05"),
        (-math.inf, 6, "-inf"),
        (math.nan, 6, "nan"),
    ],
)
def test_number(value: float, digits: int, written: str) -> None:
    assert number(value, digits) == written


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_seventeen_digits_are_exact(value: float) -> None:
    assert float(number(value, 17)) == value


@pytest.mark.parametrize(
    ("index", "letters", "written"),
    [
        ("2 * j + 1", {"j": 1}, "a[3]"),
        ("g * R + r", {"g": 0, "R": 2}, "a[r]"),
        ("g * R + r", {"g": 2, "R": 2}, "a[4+r]"),
        ("g * R + r", {"R": 1}, "a[g+r]"),
        ("h // R", {"h": 3, "R": 2}, "a[1]"),
        ("h // R", {"R": 1}, "a[h]"),
        ("R * r + 0", {"R": 1}, "a[r]"),
        ("j + J", {"j": 2}, "a[2+J]"),
        ("j + J", {"j": "t"}, "a[t+J]"),
    ],
)
def test_what_is_known_of_an_index_is_worked_out(index, letters, written):
    names = Names({}, letters, {})
    assert names.expression(ast.parse(f"a[{index}]", mode="eval").body) == written
