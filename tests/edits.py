"""Edits of every kind, as a caller writes them and as plain NumPy does them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from byhand.program import Program

from .small_models import Array, Patch

DRAW = np.random.default_rng(0)
ALL = slice(None)
ACTIONS = {"set": lambda old, new: new, "add": lambda old, new: old + new, "scale": lambda old, new: old * new}


@dataclass(frozen=True)
class Case:
    """An edit as a caller writes it (where and change), and the same as a plain index, an action and a value."""

    name: str
    address: str
    where: dict[str, Any]
    change: dict[str, Any]
    index: tuple[Any, ...]
    given: tuple[Any, ...] | None = None  # an index instead of named axes

    def edit(self, of):
        return of.edit(self.address, self.given, **self.where, **self.change)

    def patch(self, address, array):
        """The independent edit of a plain array."""
        if address != self.address:
            return array
        ((action, value),) = self.change.items()
        copy = np.array(array)
        copy[self.index] = 0 if action == "zero" else ACTIONS[action](copy[self.index], value)
        return copy

    def __str__(self):
        return " ".join([self.name, *self.change, self.address, *self.where])


STEPS = [
    Case("gpt2-tiny", "blocks.0.attn.heads", {"head": 2}, {"set": 0.0}, (ALL, ALL, 2)),
    Case(
        "gpt2-tiny",
        "blocks.0.attn.weights",
        {"head": 1, "query": -1, "key": slice(0, 2)},
        {"scale": 2.5},
        (ALL, 1, -1, slice(0, 2)),
    ),
    Case("gpt2-tiny", "blocks.0.attn.masked", {"query": 3, "key": 1}, {"set": -np.inf}, (ALL, ALL, 3, 1)),
    Case(
        "gpt2-tiny", "blocks.1.mlp.act", {}, {"add": DRAW.standard_normal((2, 128))}, (0, slice(1, 3)), (0, slice(1, 3))
    ),
    Case("gpt2-tiny", "embed.out", {"position": 2}, {"zero": True}, (ALL, 2)),
    Case(
        "gpt2-tiny",
        "blocks.1.mid",
        {"position": -2, "dimension": slice(None, None, 2)},
        {"scale": -1.0},
        (ALL, -2, slice(None, None, 2)),
    ),
    Case("gpt2-tiny", "blocks.0.norm1.out", {"T": 1, "D": 30}, {"add": 3}, (ALL, 1, 30)),
    Case("gpt2-tiny", "logits", {"token": 5, "position": 1}, {"set": 4.25}, (ALL, 1, 5)),
    Case("gpt2-tiny", "probs", {"token": slice(3, 6)}, {"scale": 0.5}, (ALL, ALL, slice(3, 6))),
    Case("gpt2-tiny", "loss", {}, {"scale": 2.0}, (...,)),
    Case("llama-tiny", "blocks.1.attn.k", {"group": 1, "position": 0}, {"scale": 1.5}, (ALL, 0, 1)),
    Case("llama-tiny", "rotary.angle", {"pair": 1}, {"scale": 0.5}, (..., 1)),
    Case("llama-tiny-halves", "blocks.0.attn.q_rot", {"head": 0, "dimension": -1}, {"set": 1.0}, (ALL, ALL, 0, -1)),
    Case("llama 3.1", "blocks.0.mlp.gated", {"neuron": 17}, {"set": DRAW.standard_normal((1, 5))}, (ALL, ALL, 17)),
    Case("bert-tiny", "pooler.pre", {"dimension": 3}, {"add": -1.0}, (ALL, 0, 3)),
    Case("bert-tiny", "blocks.0.mlp.pre", {"position": 4}, {"zero": True}, (ALL, 4)),
    Case("original-tiny", "source.blocks.1.out", {"position": 6}, {"zero": True}, (ALL, 6)),
    Case("original-tiny", "blocks.0.cross.weights", {"head": 3, "key": 2}, {"set": 1.0}, (ALL, 3, ALL, 2)),
    Case("aab", "blocks.0.attn.scores", {"query": 2}, {"scale": 0.0}, (..., 2, ALL)),
]
WEIGHTS = [
    Case("gpt2-tiny", "token.weight", {"token": 41}, {"scale": 0.3}, (41,)),  # tied: looked up and scored with
    Case("gpt2-tiny", "blocks.0.attn.q.weight", {"head": 3}, {"zero": True}, (ALL, 3)),
    Case("gpt2-tiny", "blocks.1.norm2.gain", {}, {"add": 0.1}, (...,)),
    Case("gpt2-tiny", "blocks.1.attn.out.weight", {}, {"set": DRAW.standard_normal((8, 32))}, (1,), (1,)),
    Case("llama-tiny", "unembed.weight", {"token": 3, "D": slice(4, 9)}, {"set": 0.1}, (3, slice(4, 9))),
    Case("bert-tiny", "pooler.weight", {}, {"set": 5.0}, (1, 2), (1, 2)),  # both axes are D
    Case("bert-tiny", "segment.weight", {}, {"scale": 2}, (1,), (1,)),
    Case("original-tiny", "source.blocks.0.mlp.up.bias", {"neuron": 3}, {"add": 1.0}, (3,)),
    Case("aab", "token.weight", {"token": 1}, {"scale": -1.0}, (1,)),
]
INPUTS = [
    Case("gpt2-tiny", "tokens", {"position": 1}, {"set": 7}, (ALL, 1)),
    Case("gpt2-tiny", "mask", {"query": 3, "key": 1}, {"set": False}, (ALL, 3, 1)),
    Case("gpt2-tiny", "mask", {"query": 0}, {"set": True}, (ALL, 0)),
    Case("gpt2-tiny", "positions", {}, {"add": 3}, (...,)),
    Case("gpt2-tiny", "targets", {"position": 2}, {"set": -1}, (ALL, 2)),
    Case("llama-tiny", "positions", {"position": 4}, {"set": 60}, (ALL, 4)),
    Case("bert-tiny", "segments", {"position": slice(1, 3)}, {"set": [1, 0]}, (ALL, slice(1, 3))),
    Case("original-tiny", "source.tokens", {}, {"set": 9}, (0, -1), (0, -1)),
    Case("original-tiny", "cross.mask", {"key": 0}, {"set": 0}, (..., 0)),
]
CASES = STEPS + WEIGHTS + INPUTS


def depending(program: Program, address: str) -> set[str]:
    """The value and everything computed from it."""
    found = {address}
    for step in program.steps:
        if found & set(step.reads):
            found |= set(step.writes.values())
    return found


def chained(chain: list[Case]) -> Patch:
    """The independent edits of a plain array, one after the other."""

    def patch(address: str, array: Array) -> Array:
        for case in chain:
            array = case.patch(address, array)
        return array

    return patch
