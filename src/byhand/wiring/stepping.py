"""One position of one text: what every head looked at and every feed-forward decided there, with live numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from byhand.errors import InputError
from byhand.run import Run
from byhand.wiring.layout import NEXT
from byhand.wiring.parts import Attending, Average
from byhand.wiring.report import Grid

if TYPE_CHECKING:
    from byhand.wiring.compiling import Wired

Array = np.ndarray[Any, Any]


class Step:
    """A run in float32, seen from one position: 0 is the begin token, -1 the last. text: without the begin token."""

    def __init__(self, wired: Wired, text: str, position: int = -1) -> None:
        self.wired, self.tokens = wired, [wired.wiring.begin, *text]
        if not -len(self.tokens) <= position < len(self.tokens):
            raise InputError(f"there is no position {position}; the text has 0 to {len(self.tokens) - 1}")
        self.at = position % len(self.tokens)
        self.run: Run = wired.model.run(text)

    def __str__(self) -> str:
        return str(self.grid())

    def grid(self) -> Grid:
        """Every site in order: what it saw, what it wrote into the stream, and how clear that was."""
        rows = [("site", "looked at", "wrote", "gap"), *self.rows()]
        return Grid(f"position {self.at} ({self.tokens[self.at]}) of {''.join(self.tokens)}", rows)

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        for layer, (parts, declared) in enumerate(zip(self.wired.wiring.layers, self.wired.plan.declared, strict=True)):
            mid, out = (self.run.look(f"blocks.{layer}.{half}")[0, self.at] for half in ("mid", "out"))
            scores_HS = self.run.look(f"blocks.{layer}.attn.masked")[0, :, self.at, : self.at + 1]
            for place, head in enumerate(parts.heads):
                looked, gap = self.seen(head, scores_HS[place], layer, place)
                yield f"layer {layer} {head.name}", looked, self.value(head.out.name, mid), gap
            for part in declared:
                yield f"layer {layer} {part.name}", "", self.value(part.out.name, out), ""
        logits = np.sort(self.run.look("logits")[0, self.at])
        token = self.wired.wiring.tokens.domain[int(self.run.look("logits")[0, self.at].argmax())]
        yield "output", "", str(token), f"{logits[-1] - logits[-2]:.4g}"

    def seen(self, head: Attending, scores: Array, layer: int, place: int) -> tuple[str, str]:
        """The position with the highest score and its lead over the next; for an average, how many take part."""
        if isinstance(head, Average):
            weights = self.run.look(f"blocks.{layer}.attn.weights")[0, place, self.at]
            least = 1 / (len(weights) + head.weight)  # what one of all positions would get, were all to match
            return f"{int((weights > least / 2).sum())} positions", ""
        order = np.sort(scores)
        best = int(scores.argmax())
        lead = f"{order[-1] - order[-2]:.4g}" if len(order) > 1 else ""
        return f"{best} ({self.tokens[best]})", lead

    def value(self, name: str, stream: Array) -> str:
        """The value whose code lies nearest in the stream."""
        slot = self.wired.plan.layout.slots[name]
        tokens = self.wired.plan.layout.slots["tokens"]
        here = stream[slot.dims]
        if name == NEXT or (slot.first == tokens.first and name != "tokens"):
            here = here - tokens.codes[self.wired.wiring.tokens.places[self.tokens[self.at]]]
        return str(slot.values[int(np.abs(slot.codes - here).max(1).argmin())])
