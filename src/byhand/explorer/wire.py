"""Answers as bytes, in the layout of safetensors files: a length, a header in JSON, then the arrays as they are.

The head of the answer travels in the header's metadata. NaN and infinities cannot be written in JSON, so a head holds
numbers that may be such as text.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any

import ml_dtypes
import numpy as np

from byhand.errors import InputError
from byhand.explorer.answer import MOST_BYTES, Answer

Array = np.ndarray[Any, Any]

NAMES = {
    np.dtype(np.float64): "F64",
    np.dtype(np.float32): "F32",
    np.dtype(np.float16): "F16",
    np.dtype(ml_dtypes.bfloat16): "BF16",
    np.dtype(np.int64): "I64",
    np.dtype(np.int32): "I32",
    np.dtype(np.int8): "I8",
    np.dtype(np.uint8): "U8",
    np.dtype(np.bool_): "BOOL",
}
TYPES = {name: dtype for dtype, name in NAMES.items()}
ALIGNED = 8  # where the arrays begin, so that they can be looked at in place


def encoded(answer: Answer) -> bytes:
    """An answer as bytes. Raises InputError for one that is too large to send."""
    size = sum(array.nbytes for array in answer.arrays.values())
    if size > MOST_BYTES:
        raise InputError(f"the answer would have {size} bytes; ask for less, at most {MOST_BYTES} are sent at once")
    header: dict[str, Any] = {"__metadata__": {"head": json.dumps(answer.head, allow_nan=False)}}
    place = 0
    # the widest types first, so that each array lies at a multiple of its own width
    arrays = dict(sorted(answer.arrays.items(), key=lambda each: -each[1].dtype.itemsize))
    for name, array in arrays.items():
        offsets = [place, place + array.nbytes]
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data_offsets": offsets}
        place += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % ALIGNED)
    return b"".join([len(text).to_bytes(8, "little"), text, *(array.tobytes() for array in arrays.values())])


def decoded(data: bytes) -> Answer:
    """The answer that bytes hold. Raises InputError for bytes that hold none."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        head = json.loads(header.pop("__metadata__")["head"])
        body = data[8 + length :]
        return Answer(head, {name: array_in(body, **each) for name, each in header.items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"these {len(data)} bytes are no answer of byhand") from None


def array_in(body: bytes, dtype: str, shape: list[int], data_offsets: list[int]) -> Array:
    start, stop = data_offsets
    if stop - start != prod(shape) * TYPES[dtype].itemsize:
        raise ValueError(shape)
    return np.frombuffer(body[start:stop], TYPES[dtype]).reshape(shape)
