"""The weights that a new model begins to learn from.

Sources: Nguyen and Salazar 2019, "Transformers without Tears", section 2.2 (the standard deviation √(2/5D), which is
the 0.02 of GPT and BERT where they are 1000 wide, and more where a model is narrow); Radford et al. 2019, section 2.3
(what is added to the stream begins smaller); Glorot and Bengio 2010, equation 12, for the transformer of 2017, whose
table is multiplied by √width where it is read (Vaswani et al. 2017, section 3.4).
"""

from __future__ import annotations

from math import prod, sqrt
from typing import Any
from zlib import crc32

import numpy as np

from byhand.model import Model
from byhand.shapes import Shape
from byhand.weights import Weights

Array = np.ndarray[Any, Any]
ADDED = (".attn.out.weight", ".cross.out.weight", ".mlp.down.weight")


def weights(model: Model, seed: int) -> Weights:
    """Random matrices and tables, each from the seed and its own address; gains of 1; biases and shifts of 0."""
    shapes, glorot = model.program.shapes(), model.family.__name__.endswith("original")
    layers, width = model.config.layers, model.config.width

    def one(address: str, axes: str) -> Array:
        shape = shapes[address]
        if address.endswith((".bias", ".shift", ".gain")):
            return np.full(shape, float(address.endswith(".gain")), np.float32)
        if glorot:
            spread = shape[1] ** -0.5 if axes == "VD" else sqrt(2 / sum(sides(axes, shape)))
        else:
            spread = sqrt(2 / (5 * width))
            spread /= sqrt(2 * layers) if address.endswith(ADDED) else 1
        rng = np.random.default_rng([seed, crc32(address.encode())])
        return rng.standard_normal(shape, np.float32) * np.float32(spread)

    return Weights({address: one(address, axes) for address, axes in model.program.weights.items()})


def sides(axes: str, shape: Shape) -> tuple[int, int]:
    """How many numbers a matrix reads and how many it gives, over all heads."""
    reads = 2 if axes == "HKD" else 1
    return prod(shape[:reads]), prod(shape[reads:])
