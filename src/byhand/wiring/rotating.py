"""The same model in another basis: every number of its stream mixed with all others, its function as it was.

The stream x becomes x Q with an orthogonal Q. Whatever writes into it is multiplied by Q, whatever reads it by Q's
inverse, which is its transpose. An RMS norm with one gain for all dimensions does not notice: it divides by the length,
which Q keeps. A layer norm also subtracts the mean, so there Q must leave the vector of ones as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from byhand.model import Model
from byhand.weights import given
from byhand.wiring.planning import Plan
from byhand.wiring.refusals import refuse

Array = np.ndarray[Any, Any]
READERS = ("attn.q.weight", "attn.k.weight", "attn.v.weight", "mlp.up.weight", "mlp.gate.weight")
WRITERS = ("attn.out.weight", "attn.out.bias", "mlp.down.weight", "mlp.down.bias")
TABLES = ("token.weight", "position.weight", "unembed.weight")  # their rows are vectors of the stream
CLEAN = 1e-5  # of the largest weight of a matrix: what turning back and forth leaves of a 0 is far below


def rotation(width: int, seed: int, centred: bool) -> Array:
    """A random orthogonal matrix [D, D]; centred: one that leaves the vector of ones as it is."""
    rng = np.random.default_rng(seed)
    free = width - 1 if centred else width
    made, upper = np.linalg.qr(rng.standard_normal((free, free)))
    made = made * np.sign(np.diag(upper))  # every rotation is then as likely as any other (Mezzadri 2007, section 5)
    if not centred:
        return made
    inner = np.eye(width)
    inner[1:, 1:] = made
    mirror = to_ones(width)
    return mirror @ inner @ mirror


def to_ones(width: int) -> Array:
    """The reflection that takes the first axis to the direction of the vector of ones, [D, D]."""
    normal = np.full(width, -1 / np.sqrt(width))
    normal[0] += 1
    return np.eye(width) - 2 * np.outer(normal, normal) / max(normal @ normal, 1e-300)


def turned(model: Model, basis: Array) -> Model:
    """The model with its stream multiplied by the basis. Raises WiringError for a norm with several gains or shifts."""
    arrays = {}
    for address, array in model.weights.items():
        name = address.partition(".")[2].partition(".")[2] if address.startswith("blocks.") else address
        if name in READERS:
            array = np.tensordot(basis.T, array.astype(np.float64), 1)
        elif name in (*WRITERS, *TABLES):
            array = array.astype(np.float64) @ basis
        elif name.endswith((".gain", ".shift")) and np.ptp(array):
            refuse(address, "its numbers differ, so a rotation would mix them; a norm needs one gain and one shift")
        arrays[address] = np.ascontiguousarray(array, np.float32)
    return replace(model, weights=given(model.program, arrays))


def turned_plan(made: Plan, basis: Array) -> Plan:
    """The plan of the turned model: what its feed-forwards write when no unit is on is turned too."""
    parts = [[replace(part, base=part.base @ basis) for part in some] for some in made.parts]
    return replace(made, parts=parts, basis=basis if made.basis is None else made.basis @ basis)


def turned_back(model: Model, basis: Array) -> Model:
    """The model in the plain basis, where what is left of zeros is taken away, so that one sees its circuit."""
    plain = turned(model, basis.T)
    arrays = {address: cleaned(array) for address, array in plain.weights.items()}
    return replace(plain, weights=given(plain.program, arrays))


def cleaned(array: Array) -> Array:
    return np.where(np.abs(array) < CLEAN * np.abs(array).max(initial=0), np.float32(0), array)
