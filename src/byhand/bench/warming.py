"""Compiling all kernels before they are needed."""

from __future__ import annotations

from collections.abc import Iterator

import byhand.engines.cpu.kernels  # noqa: F401  (fills the table of kernels)
from byhand.bench import limits  # noqa: F401
from byhand.engines.cpu.kernel import KERNELS


def warm() -> Iterator[tuple[str, int, int]]:
    """Compile every kernel, or read it from the cache. Before each: its name, how many are done, how many there are."""
    for i, (name, kernel) in enumerate(sorted(KERNELS.items())):
        yield name, i, len(KERNELS)
        _ = kernel.address
