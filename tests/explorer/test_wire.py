"""Answers as bytes: what arrives is what was sent, bit for bit, and other programs can read it."""

import struct

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from byhand.errors import InputError
from byhand.explorer.answer import MOST_BYTES, Answer
from byhand.explorer.digits import bits, number, texts
from byhand.explorer.wire import NAMES, decoded, encoded

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def sample(dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    raw = np.random.default_rng(3).integers(0, 2 if dtype == np.bool_ else 256, (*shape, dtype.itemsize), np.uint8)
    return raw.view(dtype).reshape(shape)


ARRAYS = {name: sample(dtype, (3, 5)) for dtype, name in NAMES.items()} | {"none": np.zeros((0, 4), np.float32)}


def test_what_arrives_is_what_was_sent():
    sent = Answer({"a": [1, None, "ä"], "b": {"c": 0.1}}, ARRAYS)
    got = decoded(encoded(sent))
    assert got.head == sent.head
    assert got.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (got.arrays[name].dtype, got.arrays[name].shape) == (array.dtype, array.shape)
        assert got.arrays[name].tobytes() == array.tobytes(), name


def test_safetensors_reads_it():
    safetensors = pytest.importorskip("safetensors.numpy")
    plain = {name: array for name, array in ARRAYS.items() if name != "BF16"}
    found = safetensors.load(encoded(Answer({}, plain)))
    for name, array in plain.items():
        assert found[name].tobytes() == array.tobytes(), name


def test_every_array_lies_at_a_multiple_of_its_width():
    data = encoded(Answer({"odd": "x"}, {"a": np.zeros(3, np.uint8), "b": np.zeros(1, np.float64)}))
    (length,) = struct.unpack("<Q", data[:8])
    assert (8 + length) % 8 == 0
    assert data[8 + length :] == bytes(11)
    assert b'"b":' in data and data.index(b'"b":') < data.index(b'"a":')


def test_an_answer_that_is_too_large_is_refused():
    encoded(Answer({}, {"a": np.zeros(MOST_BYTES, np.uint8)}))
    with pytest.raises(InputError, match="ask for less"):
        encoded(Answer({}, {"a": np.zeros(MOST_BYTES + 1, np.uint8)}))


def test_a_head_with_nan_is_a_mistake():
    with pytest.raises(ValueError):
        encoded(Answer({"a": float("nan")}))


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
@example(b"", 0, 0)
@example(b"\x02\0\0\0\0\0\0\0{}", 0, 0)
def test_damaged_bytes_are_refused(noise, place, byte):
    with pytest.raises(InputError):
        decoded(noise)
    data = bytearray(encoded(Answer({"a": 1}, {"b": np.arange(6, dtype=np.float32)})))
    data[place % len(data)] = byte
    try:
        decoded(bytes(data))
    except InputError as error:
        assert "\n" not in str(error)


# --- digits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.dtype(np.float32), np.dtype(np.float64), BFLOAT16], ids=str)
def test_digits_read_back_as_the_same_bits(dtype):
    raw = np.random.default_rng(1).integers(0, 256, (4000, dtype.itemsize), np.uint8).view(dtype).reshape(-1)
    with np.errstate(invalid="ignore"):
        finite = raw[np.isfinite(raw)]
    for each in finite:
        text = number(each)
        assert np.array(float(text), np.float64).astype(dtype) == each, text
        assert text == "-0" or np.signbit(each) == text.startswith("-")


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_no_digit_is_left_over(value):
    stored = np.float32(value)
    text = number(stored)
    mantissa = text.lstrip("-").partition("e")[0].replace(".", "").strip("0")
    assert len(mantissa) <= 9
    if len(mantissa) > 1:
        shorter = f"{float(stored):.{len(mantissa) - 1}g}"
        assert np.float32(float(shorter)) != stored, (text, shorter)


def test_numbers_as_they_are_written():
    assert [number(np.float32(x)) for x in (0.1, 1, -0.0, 1e-7, np.inf, -np.inf, np.nan)] == [
        "0.1",
        "1",
        "-0",
        "1e-07",
        "inf",
        "-inf",
        "nan",
    ]
    assert [number(BFLOAT16.type(x)) for x in (0.1, 3.14, 1.0078125, 2.0**-133)] == ["0.1", "3.14", "1.01", "9e-41"]
    assert number(BFLOAT16.type(-np.inf)) == "-inf"
    assert (number(np.True_), number(np.int64(-3)), number(7), number(2.5)) == ("true", "-3", "7", "2.5")
    assert number(0.1 + 0.2) == "0.30000000000000004"


def test_bits_are_those_of_the_number():
    assert bits(np.array(1, np.float32)) == "3f800000"
    assert bits(np.array([1, -2], np.float64)) == ["3ff0000000000000", "c000000000000000"]
    assert bits(np.array([[1.0, 0.0]]).astype(BFLOAT16)) == [["3f80", "0000"]]
    assert bits(np.array([True])) == ["01"]
    assert bits(np.array([-1], np.int64)) == ["ffffffffffffffff"]
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert bits(transposed) == bits(transposed.copy())
    assert texts(transposed) == [["0", "3"], ["1", "4"], ["2", "5"]]
