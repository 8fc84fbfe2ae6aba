"""The curve of the loss: as text for the terminal, and as a PNG where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

Curve = Sequence[tuple[int, float]]  # step and loss
SIGNS = "·o+x"
SIDE = 7  # columns of the numbers at the side
INCHES, DOTS = (7.0, 4.0), 120
FEW = 100  # points of a curve that are drawn as points too


def drawn(curves: Mapping[str, Curve], width: int = 72, height: int = 12) -> list[str]:
    """The curves as lines of text, later ones over earlier ones, with the largest and smallest loss at the side.

    A column shows the mean of its steps; width: of the lines, in columns; height: lines of the curves themselves.
    """
    there = {name: np.array(curve, float).T for name, curve in curves.items() if len(curve)}
    if not there:
        return []
    columns = max(10, width - SIDE - 2)
    all_steps = np.concatenate([steps for steps, _ in there.values()])
    first, last = float(all_steps.min()), float(all_steps.max())
    means = [averaged(steps, losses, columns, first, last) for steps, losses in there.values()]
    low, high = min(y.min() for _, y in means), max(y.max() for _, y in means)
    page = np.full((height, columns), " ")
    for sign, (x, y) in zip(SIGNS, means, strict=False):
        page[np.rint((high - y) / max(high - low, 1e-9) * (height - 1)).astype(int), x] = sign
    sides = {0: f"{high:.4g}", height - 1: f"{low:.4g}"}
    lines = [f"{sides.get(i, ''):>{SIDE}} │{''.join(row)}".rstrip() for i, row in enumerate(page)]
    names = ", ".join(f"{sign} {name}" for sign, name in zip(SIGNS, there, strict=False))
    ends = f"{first:.0f}", f"step {last:.0f}"
    below = f"{names:^{max(columns - sum(map(len, ends)), len(names) + 2)}}".join(ends)
    return [*lines, f"{'':{SIDE}} └{'─' * columns}", f"{'':{SIDE + 2}}{below}"]


def averaged(steps_N: Array, losses_N: Array, columns: int, first: float, last: float) -> tuple[Array, Array]:
    """The columns that have steps, and the mean loss in each."""
    places_N = ((steps_N - first) / max(last - first, 1) * (columns - 1)).round().astype(int)
    x = np.unique(places_N)
    return x, np.array([losses_N[places_N == column].mean() for column in x])


def png(path: Path, curves: Mapping[str, Curve]) -> bool:
    """Draw the curves into a file. False where matplotlib, which byhand does without, is not installed."""
    try:
        from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    figure = Figure(figsize=INCHES, dpi=DOTS, layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        if len(curve):
            steps, losses = np.array(curve, float).T
            width, marker = (1.8, "o") if len(curve) < FEW else (0.8, "")
            axes.plot(steps, losses, label=name, linewidth=width, marker=marker, markersize=3)
    axes.set(xlabel="step", ylabel="loss, nats a token")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)
    return True
