"""Numbers as text: the fewest digits that read back as the stored bits, and those bits. Nothing else writes digits."""

from __future__ import annotations

from math import isfinite
from typing import Any

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, Any]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
MOST_DIGITS = 9  # of a float32, and so of a bfloat16


def number(value: Any) -> str:
    """The shortest decimal that reads back as this number in its own type: ``number(np.float32(0.1)) == "0.1"``."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if getattr(value, "dtype", None) == BFLOAT16:
        return plain(shortest(value))
    return plain(str(value) if isinstance(value, np.floating) else repr(float(value)))


def plain(text: str) -> str:
    return text.removesuffix(".0")


def shortest(value: Any) -> str:
    """The shortest decimal of a bfloat16, as Python writes numbers."""
    exact = float(value)
    if not isfinite(exact):
        return repr(exact)
    for digits in range(1, MOST_DIGITS):
        read = float(f"{exact:.{digits}g}")
        if isfinite(read) and BFLOAT16.type(read) == value:
            return repr(read)
    return repr(exact)


def texts(array: Array) -> Any:
    """Every number of an array as text, in lists as deep as the array has axes."""
    return [texts(each) for each in array] if array.ndim > 1 else [number(each) for each in array]


def bits(array: Array) -> Any:
    """The bits of every number in hexadecimal, the sign first: ``3f800000`` is 1 in float32, ``3f80`` in bfloat16."""
    whole = np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}").reshape(array.shape)
    return written(whole, 2 * array.dtype.itemsize)


def written(whole: Array, digits: int) -> Any:
    if whole.ndim == 0:
        return f"{int(whole):0{digits}x}"
    return [written(each, digits) for each in whole] if whole.ndim > 1 else [f"{i:0{digits}x}" for i in whole.tolist()]
