"""What the explorer answers: a head of plain data, and arrays that travel as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# The most bytes of arrays in one answer: the page asks for windows of tensors, never for all of a large one.
MOST_BYTES = 4_000_000


@dataclass(frozen=True, eq=False)
class Answer:
    """head: plain data that JSON can hold; arrays: by name, little-endian, in all at most MOST_BYTES."""

    head: dict[str, Any]
    arrays: Mapping[str, Array] = field(default_factory=dict)
