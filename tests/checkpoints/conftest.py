"""What the tests of file formats share."""

import tracemalloc
from contextlib import contextmanager

import pytest


@pytest.fixture
def peak():
    """``with peak() as used: ...``, then used() is the most bytes that Python and NumPy held inside the block."""

    @contextmanager
    def measured():
        tracemalloc.start()
        most = [0]
        try:
            yield lambda: most[0]
        finally:
            most[0] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()

    return measured
