"""Gradients that a dump has, held against the gradients of the same loss in float64."""

from __future__ import annotations

import numpy as np

from byhand.compare.alike import common
from byhand.compare.walk import DIFFERS, FOLLOWS, ROUNDING, SAME, Checked, Gap, Walk, gap
from byhand.engines.reference import precision
from byhand.run import Run, execute

NARROW = {"float16": "bfloat16"}  # the reference engine's precision that is at least as coarse
TIMES = 16.0  # another order of sums moves a gradient by less than this many times what rounding itself does


def gradient_steps(walk: Walk, tainted: bool) -> list[Checked]:
    """Every gradient the other side has. tainted: whether a value before it differs.

    A gradient gathers the rounding of all steps forward and backward, so it is judged by what rounding does to it: the
    root mean square of its change when the same program runs in the other side's precision instead of float64.
    """
    if walk.judge.run is None or "loss" not in walk.program:
        return []
    exact, rounded = (
        reran(walk.judge.run, dtype) for dtype in ("float64", NARROW.get(walk.other.dtype, walk.other.dtype))
    )
    found = []
    for name, theirs in walk.other.gradients.items():
        address = name.removeprefix("d:")
        if name not in exact.grad:
            continue
        mine, near = (np.asarray(run.grad.look(name), np.float64) for run in (exact, rounded))
        axes = walk.program.axes(address)
        a, b, _ = common(axes, mine, theirs.astype(np.float64), name)
        moved = float(np.sqrt(((near - mine) ** 2).mean()))
        size = float(np.abs(mine).max(initial=0))
        allowed = TIMES * max(moved * np.sqrt(2 * np.log(max(mine.size, 2))), np.finfo(np.float32).tiny)
        allowed = max(allowed, size * 2.0**-52)
        between: Gap = gap(a, b)
        off = between.amount / allowed
        state = DIFFERS if off > 1 and not tainted else FOLLOWS if tainted else ROUNDING if between.count else SAME
        found.append(Checked(name, "gradient", state, between, off, allowed, of="b" if state == DIFFERS else ""))
    return found


def reran(run: Run, dtype: str) -> Run:
    """The run in another precision, with the gradients of its loss."""
    setting = run.setting
    made = execute(setting.program, setting.weights, run.inputs, precision(dtype), "all", setting.tokens)
    made.backward()
    return made
