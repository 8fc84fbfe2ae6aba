"""Numbers for people: one, or many that stand together."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, isfinite, log10
from typing import Any

import numpy as np

from byhand.shapes import AXES
from byhand.tensor import Array
from byhand.tokenizer import quoted

LARGE = 1e6  # from here on a number is written with its power of ten


def count(number: int, billion: str = "G") -> str:
    """A count: exact below a million, then in four digits: ``count(124_439_808) == "124.4M"``."""
    if number < 1_000_000:
        return f"{number:,}"
    scaled = number / 1e6
    for unit in ("M", billion, "T"):
        if scaled < 999.95:
            return f"{scaled:.4g}{unit}"
        scaled /= 1000
    return f"{scaled:.4g}P"


def scalar(value: float, digits: int = 6) -> str:
    """One number in so many significant digits."""
    if isinstance(value, bool | int):
        return str(value)
    return "0" if value == 0 else f"{value:.{digits}g}"


def decimals(values: Array, digits: int) -> int:
    """Places after the point that show these numbers in so many significant digits, no more than they need."""
    usual = np.abs(values[np.isfinite(values) & (np.abs(values) < LARGE) & (values != 0)])
    if not usual.size:
        return 0
    most = max(0, digits - 1 - max(0, floor(log10(usual.max()))))
    for places in range(most):
        if np.allclose(usual, np.round(usual, places), rtol=1e-7, atol=0):
            return places
    return most


def cell(value: float, places: int) -> str:
    """A number of a matrix whose numbers have so many places after the point."""
    if isinstance(value, bool | int):
        return str(value)
    if not isfinite(value) or value == 0:
        return "0" if value == 0 else str(value)
    written = f"{value:.{places}f}"
    return f"{value:.2g}" if abs(value) >= LARGE or float(written) == 0 else written


def cells(values: Array, digits: int = 5) -> list[str]:
    """Numbers that stand together, all with the same places."""
    numeric = values.astype(np.float64) if values.dtype.kind not in "iub" else values
    places = decimals(np.asarray(numeric, np.float64), digits)
    return [cell(value, places) for value in numeric.ravel().tolist()]


def token_name(text: str) -> str:
    """A token as a label: itself when it can be seen, else in quotes."""
    return text if text.isprintable() and text.strip() == text and text else quoted(text)


def summary(array: Array, first: int = 3) -> dict[str, Any]:
    """The least, largest and mean number and the first few, in float64; NaN and infinities are not left out."""
    wide = array.astype(np.float64)
    with np.errstate(all="ignore"):
        return {
            "min": wide.min().item(),
            "max": wide.max().item(),
            "mean": wide.mean().item(),
            "first": wide.ravel()[:first].tolist(),
        }


def sizes(axes: str, shape: Sequence[int]) -> str:
    """``sizes("BHTS", (1, 1, 3, 3)) == "B=1 H=1 T=3 S=3"``; a scalar is "a number"."""
    return " ".join(f"{letter}={size}" for letter, size in zip(axes, shape, strict=True)) or "a number"


def described(axes: str) -> str:
    """What the letters mean: ``T position that asks, D model width``."""
    return ", ".join(f"{letter} {AXES[letter]}" for letter in dict.fromkeys(axes) if letter in AXES)
