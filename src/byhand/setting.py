"""What a run is made with: everything but its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from byhand.addresses import axes_of
from byhand.engines import REFERENCE, Engine
from byhand.engines.reference import Precision
from byhand.program import Program
from byhand.shapes import Shape
from byhand.weights import Weights

Array = np.ndarray[Any, Any]


class Decoding(Protocol):
    """What writing tokens needs of a tokenizer."""

    def decode(self, ids: Sequence[int]) -> str: ...


@dataclass(frozen=True)
class Tokens:
    """How a run's token ids are written: by a tokenizer, or as numbers where there is none."""

    tokenizer: Decoding | None = None

    def text(self, token: int) -> str:
        return str(token) if self.tokenizer is None else self.tokenizer.decode([token])

    def labels(self, count: int) -> tuple[str, ...]:
        """The text of each of so many ids, also of those that only pad the vocabulary; none without a tokenizer."""
        return () if self.tokenizer is None else tuple(map(self.text, range(count)))


@dataclass(frozen=True)
class Setting:
    """The program, weights and inputs of a run, its precision, the addresses of the values to keep, its engine, and
    the model that was run, where it was one.
    """

    program: Program
    weights: Weights
    inputs: dict[str, Array]
    precision: Precision
    keep: frozenset[str]
    tokens: Tokens = field(default_factory=Tokens)
    engine: Engine = REFERENCE
    model: Any = None

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every value of the run, without running."""
        shapes = {address: array.shape for address, array in self.inputs.items()}
        return self.program.shapes(**self.program.lengths(shapes))

    def round(self, array: Array, like: Array) -> Array:
        """An array in the type that a value of this run has."""
        return self.precision.keep(array, wide=like.dtype == self.precision.computed)

    def labels(self, address: str) -> dict[str, list[Any]]:
        """The tokens along the position axes; a list for each text, where there are several."""
        source = "source." if address.removeprefix("d:").startswith("source.") else ""
        crossing = "source." if ".cross." in address or address.startswith("cross.") else source
        asking, asked = (self.texts.get(f"{prefix}tokens") for prefix in (source, crossing))
        if asking is None or asked is None:
            return {}
        names = {"T": asking, "S": asked}
        if any(each.rule == "cache" for each in self.program.inputs.values()):
            del names["S"]  # the keys are those of a cache, whose tokens are not known here
        if len(asking) == 1:
            return {letter: list(texts[0]) for letter, texts in names.items()}
        return {letter: list(texts) for letter, texts in names.items()} if "B" in axes_of(self.program, address) else {}

    @cached_property
    def texts(self) -> dict[str, list[list[str]]]:
        """The texts of the inputs that are tokens, token by token, by address."""
        given = {name: self.inputs[name] for name in ("tokens", "source.tokens") if name in self.inputs}
        return {name: [[self.tokens.text(int(t)) for t in text] for text in ids] for name, ids in given.items()}
