"""The number of ones so far modulo m, in one layer: "1101" gives 1, 2, 2, 0 modulo 3; modulo 2 it is the parity."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from byhand.wiring.parts import having
from byhand.wiring.verifying import Texts
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program


def modulo(m: int, context: int = 64) -> Wiring:
    """Counts, and forgets all but the remainder in the very same steps. Letters are the digits below m."""
    digits = "".join(map(str, range(m)))
    wiring = Wiring(digits, context=context, name=f"modulo-{m}" if m > 2 else "parity")
    with wiring.layer():
        ones = having(wiring.tokens, "1")
        wiring.predict(wiring.count("remainder", ones, most=context - 1, of=lambda number: str(number % m)))
    return wiring


def follows(m: int) -> Callable[[str], str]:
    """The number of ones modulo m."""
    return lambda text: str(text.count("1") % m)


def random_bits(context: int = 64) -> Texts:
    """Zeros and ones of full length; how many ones there are, any number is as likely as any other."""
    return lambda rng: "".join(np.where(rng.random(context - 1) < rng.random(), "1", "0"))


PROGRAMS = {
    "parity": Program(partial(modulo, 2), follows(2), random_bits()),
    "modulo": Program(partial(modulo, 3), follows(3), random_bits()),
}
