"""Pictures of values, for papers and slides, drawn by matplotlib: PNG, SVG and PDF."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from byhand.addresses import place
from byhand.checkpoints.files.saving import beside
from byhand.errors import InputError
from byhand.predictions import predictions
from byhand.run import Run
from byhand.tensor import Tensor

Array = np.ndarray[Any, Any]

SUFFIXES = (".png", ".svg", ".pdf")
MOST_PANELS, MOST_NAMES, MOST_NEXT = 16, 40, 10
INCHES, DOTS = 3.2, 150


@dataclass(frozen=True, eq=False)
class Figure:
    """A picture. matplotlib: its own figure, to change it before it is saved."""

    matplotlib: Any

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write it as what the path ends with: .png, .svg or .pdf. Raises InputError where something is already."""
        path = Path(path)
        if path.suffix not in SUFFIXES:
            raise InputError(
                f"{path} ends with {path.suffix or 'nothing'!r}; a figure is written as {', '.join(SUFFIXES)}"
            )
        with beside(path, force) as new:
            new.write_bytes(self.bytes(path.suffix[1:]))
        return path

    def bytes(self, kind: str) -> bytes:
        file = BytesIO()
        self.matplotlib.savefig(file, format=kind, dpi=DOTS)
        return file.getvalue()

    def _repr_png_(self) -> bytes:
        return self.bytes("png")


def figure(
    run: Run, what: str, index: Any = None, *, other: Run | None = None, batch: int = 0, **choice: int | slice
) -> Figure:
    """A value of a run with its tokens, or "next", the most likely next tokens.

    index or named axes (head=3) choose a part; two axes that are left are a picture, one is a curve, three are
    a picture for each of the first. other: draw what is added to get to another run's value. batch: which text.
    Raises InputError, AddressError; InputError where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure as Drawn
    except ImportError:
        raise InputError(
            "figures are drawn by matplotlib, which is not installed; pip install 'byhand[plot]'"
        ) from None
    drawn = Drawn(layout="constrained")
    if what == "next":
        next_tokens(drawn, run, batch)
        return Figure(drawn)
    tensor = run[what]
    if other is not None:
        tensor = Tensor(difference(tensor, other[what]), tensor.axes, tensor.address, tensor.labels)
    if index is None and "B" in tensor.axes:
        choice = {"batch": batch, **choice}
    part = tensor[place(run.program, tensor.address, tensor.shape, index, choice)]
    panels(drawn, part, " − before" * (other is not None))
    return Figure(drawn)


def difference(before: Tensor, after: Tensor) -> Array:
    if before.shape != after.shape:
        raise InputError(f"{before.address} has shape {before.shape} here and {after.shape} in the other run")
    return after.array.astype(np.float64) - before.array.astype(np.float64)


def panels(drawn: Any, part: Tensor, note: str) -> None:
    """One picture, or one for each place of the first of three axes, all with the same colours."""
    if part.array.ndim > 3 or (part.array.ndim == 3 and len(part) > MOST_PANELS):
        sizes = " ".join(f"{letter}={size}" for letter, size in zip(part.axes, part.shape, strict=True))
        raise InputError(
            f"{part.address} has {sizes} left; choose until two are, or three with up to {MOST_PANELS} first"
        )
    drawn.suptitle(part.address + note, fontsize=10, family="monospace")
    if part.array.ndim < 2:
        curve(drawn.subplots(), part)
        return
    several = [(f"{part.axes[0]} {i}", part[i]) for i in range(len(part))] if part.array.ndim == 3 else [("", part)]
    columns = min(4, len(several))
    rows = -(-len(several) // columns)
    drawn.set_size_inches(INCHES * columns + 1, INCHES * rows + 0.6)
    grid = drawn.subplots(rows, columns, squeeze=False).flat
    low, high = limits(part.array)
    for axes, (name, each) in zip(grid, several, strict=False):
        axes.set_title(name, fontsize=9)
        colours = "viridis" if low >= 0 else "RdBu_r"
        image = axes.imshow(each.array.astype(np.float64), cmap=colours, vmin=low, vmax=high, aspect="auto")
        name_axes(axes, each)
    for axes in list(grid):
        axes.set_visible(False)
    drawn.colorbar(image, ax=drawn.axes[: len(several)], shrink=0.8)


def limits(values: Array) -> tuple[float, float]:
    """Where the colours end: 0 to the largest, or as far below zero as above; what is not finite does not count."""
    finite = values[np.isfinite(values.astype(np.float64))].astype(np.float64)
    largest = float(np.abs(finite).max(initial=0.0)) or 1.0
    return (0.0 if finite.min(initial=0.0) >= 0 else -largest), largest


def name_axes(axes: Any, part: Tensor) -> None:
    """Tokens along the positions where there is room for them, else numbers."""
    for letter, side, size in zip(part.axes, (axes.yaxis, axes.xaxis), part.shape, strict=True):
        names = part.labels.get(letter, [])
        side.set_label_text(letter)
        if len(names) == size and size <= MOST_NAMES:
            turned = {"rotation": 90} if side is axes.xaxis else {}
            side.set_ticks(range(size), [plain(name) for name in names], fontsize=7, **turned)


def plain(name: str) -> str:
    """A token as matplotlib writes it as it is: a dollar would begin a formula."""
    return repr(name)[1:-1].replace("$", r"\$")


def curve(axes: Any, part: Tensor) -> None:
    values = np.atleast_1d(part.array.astype(np.float64))
    axes.plot(values, linewidth=1, marker="." if values.size <= MOST_NAMES else "")
    axes.axhline(0, linewidth=0.5, color="0.6")
    names = part.labels.get(part.axes, [])
    axes.set_xlabel(part.axes)
    if len(names) == values.size <= MOST_NAMES:
        axes.set_xticks(range(values.size), [plain(name) for name in names], rotation=90, fontsize=7)


def next_tokens(drawn: Any, run: Run, batch: int) -> None:
    """Bars of the most likely tokens after one text."""
    last = predictions(run, batch)[-1]
    best = last.top(MOST_NEXT)[::-1]
    axes = drawn.subplots()
    names = [plain(run.setting.tokens.text(token)) for token in best]
    bars = axes.barh(range(len(best)), last.probs_V[best])
    axes.bar_label(bars, [f"{last.probs_V[token]:.1%}" for token in best], padding=3, fontsize=8)
    axes.set_yticks(range(len(best)), names, family="monospace")
    axes.set(xlabel="probability", title="next token", xlim=(0, 1.12 * float(last.probs_V[best].max())))
