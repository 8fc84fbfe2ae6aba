"""How the values of a variable are written as vectors: codebooks that a norm cannot tell apart.

A codebook is legal if all its rows have the same sum and the same sum of squares. The stream is a concatenation of such
rows, so its mean and variance are the same for every text, and a layer norm (or RMS norm) with the right gain and shift
gives back what it got.
"""

from __future__ import annotations

from math import ceil, log2
from typing import Any

import numpy as np

from byhand.wiring.refusals import refuse
from byhand.wiring.variables import Variable

Array = np.ndarray[Any, Any]
ALIKE = 1e-9  # how far two sums may differ and still count as the same


def matrix(variable: Variable) -> Array:
    """The codebook of a variable, [values, dimensions]. Raises WiringError for one that is not legal."""
    count, site = len(variable.domain), f"code of {variable.name!r}"
    if isinstance(variable.code, str):
        if variable.code not in CODES:
            refuse(site, f"{variable.code!r} is unknown; give {' or '.join(CODES)}, or an array")
        return CODES[variable.code](count)
    return checked(np.asarray(variable.code, np.float64), count, site)


def checked(made: Array, count: int, site: str) -> Array:
    if made.ndim != 2 or len(made) != count or not np.isfinite(made).all():
        refuse(site, f"it needs {count} rows of real numbers, one for each value, and has the shape {made.shape}")
    for what, sums in (("sums", made.sum(1)), ("sums of squares", (made**2).sum(1))):
        if np.ptp(sums) > ALIKE:
            refuse(site, f"its rows have different {what}, {sums.min():g} to {sums.max():g}: a norm would mix them up")
    if len(np.unique(made, axis=0)) < count:
        refuse(site, "two of its values have the same row")
    return made


def one_hot(count: int) -> Array:
    """A dimension for each value; 1 in that of the value that holds."""
    return np.eye(count)


def signs(count: int) -> Array:
    """The number of the value in binary, as +1 and -1, and the same mirrored, so that every row sums to 0."""
    bits = max(1, ceil(log2(count)))
    row = 2.0 * (np.arange(count)[:, None] >> np.arange(bits) & 1) - 1
    return np.concatenate([row, -row], axis=1)


CODES = {"one-hot": one_hot, "signs": signs}


def linear(codes: Array, wanted: Array) -> Array | None:
    """Weights [dimensions, columns] by which the codes [values, dimensions] give what is wanted [values, columns].

    None where no weights do, since the codes are not free enough.
    """
    identity = codes.shape[0] == codes.shape[1] and np.array_equal(codes, np.eye(len(codes)))
    weights = wanted if identity else np.linalg.pinv(codes) @ wanted
    return weights if np.abs(codes @ weights - wanted).max(initial=0) < ALIKE else None
