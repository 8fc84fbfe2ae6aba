"""A matrix as a small PNG inside the page: blue below zero, red above, white at zero; what is no number is grey."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from html import escape
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

MOST_PIXELS = 512  # along each side
CELL = 12  # pixels of a cell, where there is room
BELOW, ZERO, ABOVE, NONE = (33, 102, 172), (247, 247, 247), (178, 24, 43), (128, 128, 128)


def heat(values: Array, what: str) -> str:
    """values [rows, columns]: an image with what it shows as its text. Long sides are cut into blocks, of which the
    number of largest magnitude is shown, and the text says so.
    """
    shown, factors = pooled(np.asarray(values, np.float64))
    size = max(1, min(CELL, MOST_PIXELS // max(shown.shape)))
    blocks = f"; a pixel is the largest of {factors[0]} x {factors[1]} numbers" if max(factors) > 1 else ""
    data = b64encode(png(coloured(shown))).decode()
    rows, columns = shown.shape
    return (
        f'<img alt="{escape(what + blocks)}" title="{escape(what + blocks)}" width="{columns * size}" '
        f'height="{rows * size}" src="data:image/png;base64,{data}">'
    )


def pooled(values: Array) -> tuple[Array, tuple[int, int]]:
    """At most MOST_PIXELS a side: of each block the number of largest magnitude, NaN where there is one."""
    factors = tuple(-(-size // MOST_PIXELS) for size in values.shape)
    for axis, factor in enumerate(factors):
        if factor > 1:
            starts = np.arange(0, values.shape[axis], factor)
            most, least = np.maximum.reduceat(values, starts, axis), np.minimum.reduceat(values, starts, axis)
            values = np.where(most >= -least, most, least)  # a NaN compares as false and is in both
    return values, (factors[0], factors[1])


def coloured(values: Array) -> Array:
    """[rows, columns] to colours [rows, columns, 3], by how large a number is beside the largest."""
    finite = np.isfinite(values)
    largest = np.abs(values, where=finite, out=np.zeros_like(values)).max(initial=0.0)
    share = np.clip(np.where(finite, values, 0.0) / (largest or 1.0), -1, 1)[..., None]
    end = np.where(share < 0, BELOW, ABOVE)
    made = np.array(ZERO) + np.abs(share) * (end - np.array(ZERO))
    return np.where(finite[..., None], made, NONE).round().astype(np.uint8)


def png(colours: Array) -> bytes:
    """Colours [rows, columns, 3] of 8 bits as a PNG file (ISO/IEC 15948): every row unfiltered, all deflated."""
    rows, columns, _ = colours.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = np.concatenate([np.zeros((rows, 1), np.uint8), colours.reshape(rows, -1)], axis=1)
    head = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
