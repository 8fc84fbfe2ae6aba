"""The same Llama in the other rotary order: put into one order first, so that only what really differs is found.

A Hugging Face folder holds the features of a query or key head in another order than Meta's files and GGUF do. Both
give the same scores, but no query is the same number by number.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from byhand.layouts.layout import reordered, rotary_of
from byhand.model import Model
from byhand.weights import Lazy, Weights

Array = np.ndarray[Any, Any]


def in_order_of(model: Model, like: Model) -> Model | None:
    """The model with its rotary features where the other has them; None if they lie there, or if that explains nothing.

    Weights that are read in the wrong order are a mistake to be found, so features are moved only where the queries of
    the first block come nearer to the other's.
    """
    before, after = rotary_of(model.program), rotary_of(like.program)
    if not before or not after or before == after:
        return None
    first = "blocks.0.attn.q.weight"
    if first not in model.weights or model.weights[first].shape != like.weights[first].shape:
        return None
    own, others = (each.weights[first].astype(np.float64) for each in (model, like))
    moved = reordered(own, model.program.axes(first), before, after)
    if np.abs(moved - others).sum() >= np.abs(own - others).sum():
        return None
    turning = [address for address in model.weights if address.endswith((".attn.q.weight", ".attn.k.weight"))]
    weights = Weights({**model.weights.sources, **{address: turned(model, address, after) for address in turning}})
    return replace(model, config=replace(model.config, rotary=after), weights=weights, programs={})


def turned(model: Model, address: str, after: str) -> Lazy:
    """A weight with its features in the other order, made when it is asked for."""
    shape = tuple(model.program.sizes[letter] for letter in model.program.axes(address))
    return Lazy(shape, model.weights.dtype(address), partial(moved_weight, model, address, after))


def moved_weight(model: Model, address: str, after: str) -> Array:
    return reordered(model.weights[address], model.program.axes(address), rotary_of(model.program), after)
