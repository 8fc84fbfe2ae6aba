"""A proof as a table for people."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from byhand.model import Model
from byhand.wiring.proof import Proof, Site

WORDS = {"exact": "exact", "ok": "ok", "no": "NO"}


@dataclass(frozen=True)
class Report:
    """What a wired model is and how certain every decision in it is.

    sizes: in words; fingerprint: of all weights, in their bits; proof: every site in every precision.
    """

    name: str
    sizes: str
    fingerprint: str
    proof: Proof

    def rows(self) -> list[tuple[str, ...]]:
        """The table: site, what it selects, margin, noise, slack in float32, and a verdict for each precision."""
        columns = list(self.proof.sites)
        head = ("site", "selects", "margin", "noise", "slack", *columns)
        lines = zip(*(self.proof.sites[dtype] for dtype in columns), strict=True)
        return [head, *(row_of(each) for each in lines)]

    @property
    def worst(self) -> Site:
        """The decision with the least slack in float32."""
        return min((s for s in self.proof.sites["float32"] if s.margin is not None), key=lambda site: site.slack)

    def __str__(self) -> str:
        table = aligned(self.rows())
        worst = self.worst
        verdicts = ", ".join(f"{dtype} {WORDS[self.proof.verdict(dtype)]}" for dtype in self.proof.sites)
        ends = f"certain on every text up to the context: {verdicts}; least slack {worst.slack:.3g} at {worst.name}"
        return f"{self.name}: {self.sizes}, weights {self.fingerprint[:12]}\n{table}\n{ends}"


def row_of(sites: tuple[Site, ...]) -> tuple[str, ...]:
    first = sites[0]
    if first.margin is None:
        figures = ("", f"{first.noise:.1e}", "")
        return (first.name, first.selects, *figures, *("" for _ in sites))
    figures = (f"{first.margin:.4g}", f"{first.noise:.1e}", f"{first.slack:.2g}")
    return (first.name, first.selects, *figures, *(WORDS[site.verdict] for site in sites))


def aligned(rows: list[tuple[str, ...]]) -> str:
    """Columns of text under each other, a line under the first row."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def report(model: Model, proof: Proof) -> Report:
    arrays = {address: model.weights[address] for address in model.program.weights}
    hashed = sha256()
    for address in sorted(arrays):
        hashed.update(address.encode() + np.ascontiguousarray(arrays[address]).tobytes())
    nonzero = sum(int(np.count_nonzero(array)) for array in arrays.values())
    return Report(model.name, sizes(model.config, model.parameters, nonzero), hashed.hexdigest(), proof)


def sizes(config: Any, parameters: int, nonzero: int) -> str:
    family = type(config).__module__.rpartition(".")[2]
    heads = f"{config.heads} heads of {getattr(config, 'head_width', config.width // config.heads)}"
    width = f"width {config.width}, {heads}, hidden {config.hidden}, context {config.context}"
    head = "tied" if config.tied else "untied"
    return f"{family} ({head}), {config.layers} layers, {width}, {parameters:,} parameters ({nonzero:,} not 0)"


@dataclass(frozen=True)
class Grid:
    """A table with a title; the first row names the columns."""

    title: str
    rows: list[tuple[str, ...]]

    def __str__(self) -> str:
        return f"{self.title}\n{aligned(self.rows)}"
