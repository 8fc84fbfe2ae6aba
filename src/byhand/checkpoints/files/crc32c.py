"""CRC-32C, the checksum of LevelDB's and TensorFlow's files, over many bytes at once.

The checksum of a text is a sum (exclusive or) of what each of its bytes gives, moved on by the bytes behind it. So a
long text is cut into lanes that are worked on side by side, and the lanes' checksums are moved on and added up.
Source: RFC 3720, appendix B.4 (the polynomial); the mask is LevelDB's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

POLYNOMIAL = 0x82F63B78  # its bits turned round
ONES = 0xFFFFFFFF
LANES = 1 << 14


def crc32c(data: Array) -> int:
    """The checksum of bytes, uint8 [bytes]."""
    length = len(data) // LANES
    body = data[: length * LANES].reshape(LANES, length)
    lanes = np.zeros(LANES, np.uint32)
    for column in range(length):
        lanes = stepped(lanes, body[:, column])
    state = int(np.bitwise_xor.reduce(lanes_moved(lanes, length))) if length else 0
    state ^= moved_by(ONES, length * LANES)
    for byte in data[length * LANES :].tolist():
        state = state >> 8 ^ WHOLE[(state ^ byte) & 0xFF]
    return state ^ ONES


def masked(checksum: int) -> int:
    """A checksum as it is stored, so that one over data with checksums in it stays useful."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & ONES


def made_table() -> Array:
    """What each byte gives, uint32 [256]."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = table >> 1 ^ np.where(table & 1, np.uint32(POLYNOMIAL), np.uint32(0))
    return table


TABLE = made_table()
WHOLE: list[int] = TABLE.tolist()


def stepped(state: Array, data: Array) -> Array:
    """Checksums after one more byte each."""
    return state >> 8 ^ TABLE[(state ^ data) & 0xFF]


def lanes_moved(lanes: Array, length: int) -> Array:
    """Each lane's checksum moved on by all lanes behind it, pair by pair: the left of a pair by one lane's length."""
    while len(lanes) > 1:
        pairs = lanes.reshape(-1, 2)
        lanes, length = applied(mover(length), pairs[:, 0]) ^ pairs[:, 1], 2 * length
    return lanes


def mover(length: int) -> Array:
    """What each of the 32 bits of a checksum becomes after so many zero bytes, uint32 [32]."""
    result = np.uint32(1) << np.arange(32, dtype=np.uint32)
    power = stepped(result, np.zeros(32, np.uint8))
    while length:
        if length & 1:
            result = applied(power, result)
        power, length = applied(power, power), length >> 1
    return result


def applied(bits: Array, states: Array) -> Array:
    """States changed by a mover: the sum of what their bits become."""
    out = np.zeros_like(states)
    for bit in range(32):
        out ^= np.where(states >> bit & 1, bits[bit], np.uint32(0))
    return out


def moved_by(state: int, length: int) -> int:
    return int(applied(mover(length), np.array([state], np.uint32))[0])
