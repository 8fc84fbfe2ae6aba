"""Looking for numbers that are none."""

from byhand.engines.cpu.kernel import array, exact, kernel, take
from byhand.engines.cpu.simd import float32, int64

STRETCH = 65536


@exact
def has_nan(x_N, start, stop):
    found = False
    for n in range(start, stop):
        found |= x_N[n] != x_N[n]
    return found


@kernel
def find_nan(job, me):
    """Set flag_1 to 1 where one of x_N is NaN."""
    x_N, flag_1 = array(job, 0, float32, 1), array(job, 1, int64, 1)
    start = take(job, STRETCH)
    while start < len(x_N):
        if has_nan(x_N, start, min(start + STRETCH, len(x_N))):
            flag_1[0] = 1
        start = take(job, STRETCH)
