"""The curve of the loss: as text for the terminal, and as a PNG where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

Curve = Sequence[tuple[int, float]]  # step and loss
SIGNS = "·o+x"
INCHES, DOTS = (7.0, 4.0), 120


def drawn(curves: Mapping[str, Curve], width: int = 72, height: int = 12) -> list[str]:
    """The curves as lines of text, later ones over earlier ones, with the largest and smallest loss at the side.

    A column shows the mean of its steps; width: of the lines, in columns; height: lines of the curves themselves.
    """
    there = {name: np.array(curve, float).T for name, curve in curves.items() if len(curve)}
    if not there:
        return []
    columns = max(10, width - 9)
    first, last = (float(edge([steps for steps, _ in there.values()])) for edge in (lowest, highest))
    low, high = (float(edge([of_columns(*each, columns, first, last)[1] for each in there.values()])) for edge in EDGES)
    page = np.full((height, columns), " ")
    for sign, (steps, losses) in zip(SIGNS, there.values(), strict=False):
        x, y = of_columns(steps, losses, columns, first, last)
        share = (high - y) / (high - low) if high > low else np.zeros_like(y)
        page[np.rint(share * (height - 1)).astype(int), x] = sign
    sides = {0: f"{high:7.4g}", height - 1: f"{low:7.4g}"}
    lines = [f"{sides.get(i, ''):>7} │{''.join(row)}".rstrip() for i, row in enumerate(page)]
    ends = f"{first:.0f}", f"step {last:.0f}"
    named = ", ".join(f"{sign} {name}" for sign, name in zip(SIGNS, there, strict=False))
    gap = columns - sum(map(len, ends))
    return [*lines, f"{'':7} └{'─' * columns}", f"{'':9}{ends[0]}{named:^{max(gap, len(named) + 2)}}{ends[1]}"]


def lowest(arrays: Sequence[np.ndarray]) -> float:
    return min(array.min() for array in arrays)


def highest(arrays: Sequence[np.ndarray]) -> float:
    return max(array.max() for array in arrays)


EDGES = (lowest, highest)


def of_columns(
    steps: np.ndarray, losses: np.ndarray, columns: int, first: float, last: float
) -> tuple[np.ndarray, np.ndarray]:
    """The columns that have steps, and the mean loss in each."""
    place = ((steps - first) / max(last - first, 1) * (columns - 1)).round().astype(int)
    x = np.unique(place)
    return x, np.array([losses[place == column].mean() for column in x])


def png(path: Path, curves: Mapping[str, Curve]) -> bool:
    """Draw the curves into a file. False where matplotlib, which byhand does without, is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=INCHES, dpi=DOTS, layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        if len(curve):
            steps, losses = np.array(curve, float).T
            few = len(curve) < 100
            axes.plot(
                steps, losses, label=name, linewidth=1.8 if few else 0.8, marker="o" if few else None, markersize=3
            )
    axes.set(xlabel="step", ylabel="loss, nats a token")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)
    return True
