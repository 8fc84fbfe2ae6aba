"""A run as a page for a notebook: the next token, and every kept value by block with its shape and range."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from byhand import markup
from byhand.diff import chances
from byhand.program import Program
from byhand.setting import Setting

Array = np.ndarray[Any, Any]

MOST_VALUES = 600  # listed one by one; a page stays below 200 kB
SAMPLE = 1 << 20  # numbers looked at for a value's range; of larger ones, as many spread over all


class Listed(Protocol):
    """What a listing needs to know of a run."""

    @property
    def program(self) -> Program: ...

    @property
    def setting(self) -> Setting: ...

    @property
    def kept(self) -> dict[str, Array]: ...


def html(run: Listed) -> str:
    """Tables and bars without a script."""
    kept = [address for address in run.program.producer if address in run.kept]
    folds = [
        markup.fold(f"{name} ({len(rows)} values)", markup.table(rows, ("value", "axes", "shape", "range"), words=3))
        for name, rows in blocks(run, kept[:MOST_VALUES])
    ]
    more = [markup.paragraph(f"and {len(kept) - MOST_VALUES} more")] * (len(kept) > MOST_VALUES)
    return markup.card(markup.paragraph(repr(run)), *output(run), *folds, *more)


def output(run: Listed) -> list[str]:
    """What is expected after the last token of the first text."""
    if "logits" not in run.kept:
        return []
    labels = run.setting.tokens.labels(run.program.sizes["V"])
    return [markup.bars(chances(run.kept["logits"][0, -1], labels), "next token")]


def blocks(run: Listed, addresses: list[str]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """The values block by block, and those before, between and behind them."""

    def block(address: str) -> str:
        words = address.split(".")
        place = next((i for i, word in enumerate(words) if word.isdigit()), -1)
        return ".".join(words[: place + 1]) if place >= 0 else words[0]

    for name, group in groupby(addresses, block):
        yield name, [row(run, address) for address in group]


def row(run: Listed, address: str) -> tuple[str, ...]:
    array = run.kept[address]
    sizes = " x ".join(map(str, array.shape)) or "a number"
    return address, run.program.axes(address) or "-", sizes, extent(array)


def extent(array: Array) -> str:
    """The least and largest number, and whether there are some that are none."""
    flat = array.reshape(-1)
    stride = -(-flat.size // SAMPLE) or 1
    seen = flat[::stride].astype(np.float64)
    finite = seen[np.isfinite(seen)]
    least, most = (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)
    odd = f", {finite.size - seen.size:+d}".replace("+", "").replace("-", "not finite: ") * (finite.size < seen.size)
    about = "about " * (stride > 1)
    return f"{about}{least:.4g} … {most:.4g}{odd}"
