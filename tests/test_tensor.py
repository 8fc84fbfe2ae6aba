"""Tensors: plain NumPy where one wants it, and axes that travel along."""

import numpy as np
import pytest

from byhand.errors import AddressError
from byhand.tensor import Tensor

ARRAY = np.arange(24.0).reshape(1, 2, 3, 4)
LABELS = {"T": ["a", "b", "c"], "S": ["w", "x", "y", "z"]}


@pytest.fixture
def weights():
    return Tensor(ARRAY, "BHTS", "blocks.0.attn.weights", LABELS)


def test_numpy_takes_it_as_its_array(weights):
    assert weights.shape == (1, 2, 3, 4) and weights.dtype == np.float64 and len(weights) == 1
    assert np.asarray(weights) is ARRAY or np.shares_memory(np.asarray(weights), ARRAY)
    assert not np.shares_memory(np.array(weights), ARRAY)
    assert np.asarray(weights, np.float32).dtype == np.float32
    assert (np.exp(weights) == np.exp(ARRAY)).all() and isinstance(np.exp(weights), np.ndarray)
    assert ((2 * weights + weights) / 3 == ARRAY).all() and (-weights == -ARRAY).all()
    assert (weights == ARRAY).all() and (weights > 3).sum() == 20
    assert np.sum(weights) == ARRAY.sum() and np.add.reduce(weights, axis=0).shape == (2, 3, 4)
    assert np.einsum("BHTS->H", weights).tolist() == [66, 210]
    assert np.array_equal(np.concatenate([weights, weights]), np.concatenate([ARRAY, ARRAY]))


def test_choosing_by_name_keeps_the_axes(weights):
    one = weights.at(head=1, query=-1)
    assert (one.axes, one.shape, one.address) == ("BS", (1, 4), "blocks.0.attn.weights")
    assert (one == ARRAY[:, 1, 2]).all() and one.labels["S"] == LABELS["S"]
    some = weights.at(key=slice(1, 3), position=slice(None, 2))
    assert some.axes == "BHTS" and some.labels == {"T": ["a", "b"], "S": ["x", "y"]}
    number = weights.at(batch=0, head=1, query=2, key=3)
    assert (number.axes, number.shape) == ("", ()) and float(number) == number.item() == 23.0
    assert weights.at(key=-1).at(query=0).array.tolist() == [[3.0, 15.0]]


def test_plain_indices_work_as_in_numpy(weights):
    assert weights[0].axes == "HTS" and weights[0, 1].axes == "TS" and weights[:, :, 1:].axes == "BHTS"
    assert weights[:, :, 1:].labels["T"] == ["b", "c"] and weights[0, np.int64(1), -1].axes == "S"
    for index in (..., None, [0], ARRAY > 3, (0, None), (0, [1, 0]), True):
        assert isinstance(weights[index], np.ndarray) and np.array_equal(weights[index], ARRAY[index])
    assert [head.axes for head in weights[0]] == ["TS", "TS"]
    with pytest.raises(IndexError):
        weights[0, 2]


def test_wrong_choices(weights):
    with pytest.raises(
        AddressError, match=r"blocks.0.attn.weights, head: index 2 is out of range; there are 2, so 0 … 1"
    ):
        weights.at(head=2)
    with pytest.raises(
        AddressError, match=r"blocks.0.attn.weights has axes BHTS, so no 'token'; it has: batch, position"
    ):
        weights.at(token=1)
    with pytest.raises(AddressError, match="this value has axes B"):
        Tensor(np.ones(1), "B").at(head=0)


def test_how_it_reads(weights):
    text = str(weights)
    assert text.startswith(
        "blocks.0.attn.weights  B=1 H=2 T=3 S=4  float64\nT: 'a' 'b' 'c'\nS: 'w' 'x' 'y' 'z'\n[[[[ 0."
    )
    assert "T:" not in str(weights.at(query=1)) and "S:" in str(weights.at(query=1))
    assert str(Tensor(np.array(2.5), "", "loss")) == "loss  a number  float64\n2.5"
