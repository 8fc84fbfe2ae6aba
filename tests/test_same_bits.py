"""An element's bits do not depend on how many texts, positions or keys stand beside it."""

from dataclasses import replace
from importlib import import_module
from inspect import Parameter

import numpy as np
import pytest

from byhand.operators import REGISTRY, linear, mix, probabilities, scores, softmax
from byhand.operators.product import KEYS, ROWS, product, total
from byhand.operators.record import Operator

from .operators.examples import CONTENT, SETTINGS, Array, Example, letters
from .small_models import TEXTS, model, same_bits

SIZES = [
    {"B": 3, "T": 37, "S": 21, "D": 26, "F": 19, "K": 10, "V": 45},
    {"B": 2, "T": ROWS, "S": KEYS, "D": 64, "F": 33, "K": 32, "V": 101},
    {"B": 4, "T": 2 * ROWS + 1, "S": 2 * KEYS + 3, "D": 10, "F": 64, "K": 2, "V": 17},
    {"B": 2, "T": 70, "S": 2 * KEYS - 1, "D": 130, "F": 1, "K": 14, "V": 2},
]
POSITIONWISE = [record for record in REGISTRY.values() if "T" in record.outputs[0].axes]
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def example(record: Operator, sizes: dict[str, int], dtype: type) -> Example:
    """A call of an operator at sizes larger than those of the other tests, so that libraries change their ways."""
    rng = np.random.default_rng(sizes["T"])
    every = {"G": 2, "H": 6, "J": sizes["K"] // 2, **sizes}
    own = {letter: every.get(letter, 5) for letter in letters(record)} | {"1": 1}
    inputs = {}
    for operand in record.inputs:
        shape = tuple(own[letter] for letter in operand.axes)
        content = CONTENT.get(operand.name)
        array = content(rng, shape, own) if content else 2 * rng.standard_normal(shape)
        inputs[operand.name] = array.astype(dtype) if array.dtype.kind == "f" else array
    missing = {name for name, default in record.settings.items() if default is Parameter.empty}
    settings = {name: own[name] if name in own else SETTINGS[name] for name in missing}
    return Example(record, own, inputs, {**record.settings, **settings})


def part_of(array: Array, axes: str, chosen: dict[str, slice]) -> Array:
    return np.ascontiguousarray(array[tuple(chosen.get(letter, slice(None)) for letter in axes)])


def check_alone(record: Operator, sizes: dict[str, int], dtype: type) -> None:
    """A few positions of one text give the bits that they have among all positions of all texts."""
    each = example(record, sizes, dtype)
    outputs = each.forward()
    for b in range(sizes["B"]):
        for start, count in ((0, 1), (1, 1), (3, 2), (5, 7), (ROWS - 1, 1), (sizes["T"] - 1, 1), (0, ROWS), (1, ROWS)):
            chosen = {"B": slice(b, b + 1), "T": slice(start, start + count)}
            inputs = {o.name: part_of(each.inputs[o.name], o.axes, chosen) for o in record.inputs}
            alone = replace(each, inputs=inputs).forward()
            for o in record.outputs:
                expected = part_of(outputs[o.name], o.axes, chosen)
                assert same_bits(alone[o.name], expected), f"{record}: {o.name}, text {b}, positions {start}+{count}"


@DTYPES
@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"T={sizes['T']}")
@pytest.mark.parametrize("record", POSITIONWISE, ids=str)
def test_positions_and_texts_do_not_touch_each_other(record, sizes, dtype):
    check_alone(record, sizes, dtype)


def einsum_linear(x_BTD, weight_DF, bias_F=None):
    return np.einsum("BTD,DF->BTF", x_BTD, weight_DF, optimize=True)


def einsum_scores(query_BTHK, key_BSGK, *, rounded):
    return np.einsum("BTHK,BSHK->BHTS", query_BTHK, np.repeat(key_BSGK, 3, 2), optimize=True)


@pytest.mark.parametrize("mutant", [replace(linear, forward=einsum_linear), replace(scores, forward=einsum_scores)])
def test_an_ordinary_product_is_caught(mutant):
    with pytest.raises(AssertionError, match="positions"):
        for sizes in SIZES:
            check_alone(mutant, sizes, np.float32)
            check_alone(mutant, sizes, np.float64)


# --- keys that cannot be seen -----------------------------------------------------------------------------------


def attention(S: int, places: int, dtype: type) -> tuple[Array, Array, Array]:
    """Scores, weights and mixed values of 9 queries over S keys with room for more, which hold something hidden."""
    rng = np.random.default_rng(S)
    query_BTHK, key_BSGK, value_BSGK = (
        rng.standard_normal(s).astype(dtype) for s in [(2, 9, 4, 6), *[(2, S, 2, 6)] * 2]
    )
    garbage = 9 * np.random.default_rng(places).standard_normal((2, places - S, 2, 6)).astype(dtype)
    key_BSGK, value_BSGK = (np.concatenate([known, garbage], axis=1) for known in (key_BSGK, value_BSGK))
    score_BHTS = scores.forward(query_BTHK, key_BSGK)
    score_BHTS[..., S:] = -np.inf
    weight_BHTS = softmax.forward(score_BHTS)
    return score_BHTS[..., :S], weight_BHTS[..., :S], mix.forward(weight_BHTS, value_BSGK)


@DTYPES
@pytest.mark.parametrize("S", [*range(1, 40), *range(KEYS - 1, KEYS + 2), *range(127, 132)])
def test_room_for_more_keys_changes_nothing(S, dtype):
    for places in (S + 1, S + 15, 64 * (S // 64 + 1), 200, 3 * KEYS):
        for small, large in zip(attention(S, S, dtype), attention(S, places, dtype), strict=True):
            assert same_bits(small, large), f"{S} keys with room for {places}"


def pairwise(spec: str, x: Array, y: Array) -> Array:
    """A product whose sum over S is NumPy's own, which halves its terms as their number has it."""
    if spec.startswith("BT"):
        return product(spec, x, y)
    terms_BGRTKS = x[:, :, :, :, None] * y.transpose(0, 2, 3, 1)[:, :, None, None]
    return np.ascontiguousarray(terms_BGRTKS).sum(-1).transpose(0, 3, 1, 2, 4)


@pytest.mark.parametrize(("name", "wrong"), [("total", lambda array: array.sum(-1)), ("product", pairwise)])
def test_sums_in_another_order_are_caught(monkeypatch, name, wrong):
    monkeypatch.setattr(import_module("byhand.operators.attention"), name, wrong)
    with pytest.raises(AssertionError, match="keys with room for"):
        for S in (30, 100, 130):
            test_room_for_more_keys_changes_nothing(S, np.float32)


def test_zeros_at_the_end_of_a_sum_change_nothing():
    rng = np.random.default_rng(0)
    for length in (1, 2, 15, 16, 17, 100, 1000):
        array = rng.random((3, 2, length), dtype=np.float32)
        longer = np.concatenate([array, np.zeros((3, 2, 77), np.float32)], axis=-1)
        assert same_bits(total(array), total(longer))
        assert np.abs(total(array) - array.sum(-1, dtype=np.float64)).max() < 1e-4
    assert same_bits(total(array[1]), total(array)[1])
    assert probabilities.forward(array).dtype == np.float32


# --- what it computes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", ["BTD,DF->BTF", "BTD,DHK->BTHK", "BTHK,HKD->BTD", "BTD,VD->BTV", "BTGRK,BSGK->BGRTS", "BGRTS,BSGK->BTGRK"]
)
def test_a_product_is_what_einsum_says(spec):
    rng = np.random.default_rng(0)
    for sizes in ({"B": 2, "T": 5, "S": 70}, {"B": 1, "T": 1, "S": 1}, {"B": 3, "T": 40, "S": 128}):
        every = {"D": 6, "F": 7, "H": 3, "K": 4, "V": 11, "G": 2, "R": 3, **sizes}
        x, y = (rng.standard_normal([every[letter] for letter in axes]) for axes in spec.split("->")[0].split(","))
        assert np.allclose(product(spec, x, y), np.einsum(spec, x, y), rtol=1e-12, atol=1e-12)


def test_the_filling_makes_no_nan():
    """One text's infinity stays with it, and zeros that fill a tile never meet it."""
    x_BTD, weight_DF = np.ones((2, 3, 4)), np.ones((4, 5))
    x_BTD[0, 1, 2] = np.inf
    out_BTF = product("BTD,DF->BTF", x_BTD, weight_DF)
    assert (out_BTF[0, 1] == np.inf).all() and np.isfinite(np.delete(out_BTF.reshape(6, 5), 1, axis=0)).all()
    value_BSGK = np.ones((1, 3, 1, 2))
    value_BSGK[0, 0] = np.inf
    assert (mix.forward(np.ones((1, 1, 4, 3)), value_BSGK) == np.inf).all()


# --- whole models -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_in_a_batch_is_the_text_alone(name, dtype):
    """Every value, in every family; of left-to-right ones also of the text's beginning."""
    of = model(name)
    V, rng = of.program.sizes["V"], np.random.default_rng(0)
    T = min(of.config.context, 19)
    tokens_BT, given = rng.integers(0, V, (3, T)), {}
    if "source.tokens" in of.program.inputs:
        given["source"] = rng.integers(0, V, (3, 23))
    whole = of.run(tokens_BT, dtype=dtype, **given)
    for b in range(3):
        alone = of.run(tokens_BT[b], dtype=dtype, **{key: array[b] for key, array in given.items()})
        for address in alone.kept:
            if "B" in of.program_with(True).axes(address):
                assert same_bits(whole[address].array[b : b + 1], alone[address].array), f"{address} of text {b}"
        if of.program.inputs["mask"].rule == "causal":
            first = of.run(tokens_BT[b, : T // 2], dtype=dtype, **{key: array[b] for key, array in given.items()})
            assert same_bits(alone["logits"].array[:, : T // 2], first["logits"].array)
