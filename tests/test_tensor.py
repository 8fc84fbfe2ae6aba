"""Tensors: plain NumPy where one wants it, and axes that travel along."""

import copy
import pickle

import numpy as np
import pytest

from byhand.errors import AddressError
from byhand.tensor import Tensor

ARRAY = np.arange(24.0).reshape(1, 2, 3, 4)
WRONG = {"axis H: index 2 is out of range; there are 2, so 0 … 1": (slice(None), 2), "axis B: index -2": -2}
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
    assert weights[:, :, 3:].shape == (1, 2, 0, 4) and weights[:, :, 3:].labels["T"] == []
    for wrong, index in WRONG.items():
        with pytest.raises(AddressError, match=f"^blocks.0.attn.weights, {wrong}"):
            weights[index]
    with pytest.raises(AddressError, match="^this value, axis S: index 9"):
        Tensor(np.ones(4), "S")[9]
    for index in ([7], (0, [7, 0]), (0, 0, 0, 0, 0), ARRAY[:, :1] > 3):
        with pytest.raises(IndexError):
            weights[index]


def test_it_has_what_an_array_has(weights):
    assert (weights.ndim, weights.size, weights.T.shape) == (4, 24, (4, 3, 2, 1))
    assert weights.tolist() == ARRAY.tolist() and weights.sum() == 276 and weights.argmax() == 23
    assert weights.mean(axis=-1).shape == (1, 2, 3) and np.mean(weights) == 11.5
    for made in (weights.astype("float32"), weights.reshape(6, 4), weights.transpose(0, 1, 3, 2), weights.max(0)):
        assert type(made) is np.ndarray
    assert {"mean", "at", "axes"} <= set(dir(weights))
    for name in ("hidden", "_private", "__array_interface__", "__index__"):
        assert not hasattr(weights, name)
    with pytest.raises(
        AttributeError, match="a Tensor has no 'meen'; it has at, axes, labels, address, and what an nd"
    ):
        _ = weights.meen
    assert not hasattr(Tensor.__new__(Tensor), "mean")
    for twin in (copy.copy(weights), copy.deepcopy(weights), pickle.loads(pickle.dumps(weights))):
        assert (twin == ARRAY).all() and (twin.axes, twin.labels) == (weights.axes, weights.labels)


def test_one_number_is_a_number(weights):
    number = weights[0, 1, 2, 3]
    assert f"{number:.2f}|{number:8.1e}" == "23.00| 2.3e+01" and f"{number}" == str(number)
    assert int(number) == 23 and number and not weights[0, 0, 0, 0] and f"{Tensor(np.array(7), ''):03d}" == "007"
    with pytest.raises(ValueError, match="ambiguous"):
        bool(weights)
    with pytest.raises(TypeError, match="unsupported format"):
        format(weights, ".2f")


def test_every_text_of_a_batch_has_its_labels():
    batch = Tensor(np.arange(24).reshape(3, 2, 4), "BTD", "x", {"T": [list("ab"), list("cd"), list("ef")]})
    assert batch[1].labels == batch.at(batch=1).labels == batch[-2].labels == {"T": ["c", "d"]}
    assert batch[1:].labels["T"] == [["c", "d"], ["e", "f"]] and batch[1:][1].labels["T"] == ["e", "f"]
    assert batch[:, 1:].labels["T"] == batch.at(position=slice(1, None)).labels["T"] == [["b"], ["d"], ["f"]]
    assert batch[2:].labels["T"] == ["e", "f"] and batch[2:].at(position=slice(1)).labels["T"] == ["e"]
    assert batch[0, 1:].labels["T"] == ["b"] and batch[:, 0].axes == "BD"
    assert [text.labels["T"][0] for text in batch] == ["a", "c", "e"]
    assert "T of text 0: 'a' 'b'\nT of text 1: 'c' 'd'\n" in str(batch) and "T" not in str(batch[:, 0])
    many = Tensor(np.zeros((5, 1)), "BT", "x", {"T": [["a"]] * 5})
    assert "text" not in str(many) and "T: 'a'" in str(many[4]) and many[5:].labels["T"] == []


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
