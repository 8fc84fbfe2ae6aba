"""What is measured: one kind of work on one model, and the tokens that everybody gets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from byhand.errors import InputError

Array = np.ndarray[Any, Any]

KINDS = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8": "Q8_0", "q4": "Q4_0"}  # and what a GGUF file calls them
PROMPT = 16  # tokens that are read before the clock of decoding starts


@dataclass(frozen=True, kw_only=True)
class Work:
    """Some work: what, of which model in which kind of weights, and how much of it.

    model: its name for people; kind: of its weights, a key of KINDS; tokens: to decode, or in each of `batch` texts
    that are read; engine: what byhand computes with. Found out from these: family and config of the model; file, with
    the weights as GGUF; folder, the same as transformers loads them, where anybody needs it; bytes, that a step of
    decoding has to read.
    """

    what: str
    model: str
    kind: str
    tokens: int
    batch: int = 1
    family: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    engine: str = "cpu"
    threads: int = 1
    file: str = ""
    folder: str = ""
    bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def ids(self) -> Array:
        """The token ids [B,T] that are read: for decoding first PROMPT of them, then one after the other."""
        length = self.tokens + PROMPT if self.what in ("decode", "memory") else self.tokens
        drawn = np.random.default_rng(length).integers(0, self.config["vocabulary"], (self.batch, length))
        return drawn.astype(np.int64)

    @property
    def in_blocks(self) -> bool:
        """Whether products may round what they read to int8."""
        return self.kind.startswith("q")

    @property
    def room(self) -> int:
        """The positions that a cache needs."""
        return self.ids.shape[1]

    def check(self) -> None:
        """Raise InputError for texts that do not fit into the model."""
        if self.kind not in KINDS:
            raise InputError(f"--dtype is {self.kind!r}; give {', '.join(KINDS)}")
        if self.what == "train" and self.kind != "f32":
            raise InputError(f"--dtype is {self.kind}, but training is in f32")
        if self.room > self.config["context"]:
            most = self.config["context"] - (self.room - self.tokens)
            raise InputError(f"--tokens is {self.tokens}, but {self.model} has room for {most}")

    def __str__(self) -> str:
        size = (
            f"{self.batch}×{self.tokens}"
            if self.batch > 1 or self.what in ("forward", "capture", "train")
            else self.tokens
        )
        return f"{self.what} {size}, {self.model} {self.kind}"
