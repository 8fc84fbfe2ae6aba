"""Changes of a step that are worked out from the numbers: what eps, factor, order of heads or one weight would give
what the other side has. Each is only a proposal, to be tried like the usual ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from math import isclose
from typing import Any

import numpy as np

from byhand.compare.segment import Operands, Variant, plain
from byhand.compare.usual import Changed, in_order, scaled
from byhand.operators import mask, rotary_angles, rotary_angles_llama31
from byhand.operators.record import Operator
from byhand.program import Program, Step

Array = np.ndarray[Any, Any]
FACTORS = (8.0, 32.0, 16.0, 4.0, 2.0)  # by which rotary angles are slowed
HIDDEN = -1e4  # what other programs hide with is below this; here it is -inf
TRIED = 8  # elements of each weight that are tried as the one that was changed


def solved(step: Step, given: Operands, got: Array, expected: Array, program: Program) -> Iterator[Variant]:
    """Proposals for one step. given: its operands; got: what the other side has; expected: what the program gives."""
    if step.operator.name in ("layer_norm", "rms_norm"):
        yield from epsilons(step, given, got, expected)
    if step.operator.name.startswith("rotary_angles") and "theta" in step.attributes:
        yield from bases(step, given, got)
    if step.operator is mask:
        yield from sights(step, given, got)
    yield from orders(step, got, expected, program)
    yield from factors(step, got, expected, program)
    yield from single_weights(step, given, got, expected, program)


def epsilons(step: Step, given: Operands, got: Array, expected: Array) -> Iterator[Variant]:
    """The eps at which every vector has the length it has on the other side."""
    made, shift = plain(step, given), given.get("shift", np.zeros(1)).astype(np.float64)
    p, b = expected - shift, got - shift
    ratio_BT = (p * b).sum(-1) / (p * p).sum(-1)
    with np.errstate(all="ignore"):
        variance_BT = 1 / made["rstd"] ** 2 - step.attributes["eps"]
        eps_BT = 1 / (ratio_BT * made["rstd"]) ** 2 - variance_BT
    if not np.isfinite(eps_BT).all() or np.median(eps_BT) <= 0:
        return
    for digits in (1, 2, 4):
        eps = float(f"{np.median(eps_BT):.{digits}g}")
        change = partial(with_settings, step.operator.name, {"eps": eps})
        yield Variant("eps", f"eps={eps:g}", change)


def bases(step: Step, given: Operands, got: Array) -> Iterator[Variant]:
    """The theta that gives these angles."""
    J, position_BT = got.shape[-1], given["position"]
    with np.errstate(all="ignore"):
        theta_BTJ = (got / position_BT[..., None]) ** (-J / np.arange(J))
    known = theta_BTJ[np.isfinite(theta_BTJ) & (theta_BTJ > 1)]
    for digits in (2, 4) if known.size else ():
        theta = float(f"{np.median(known):.{digits}g}")
        yield Variant("theta", f"theta={theta:g}", partial(with_settings, step.operator.name, {"theta": theta}))
    yield from scalings(step, got)


def scalings(step: Step, got: Array) -> Iterator[Variant]:
    """Llama 3.1's scaling by the factor that the slowest pair shows, for every usual length of the original context."""
    if step.operator is not rotary_angles:
        return
    plainly = plain(step, {"position": np.arange(got.shape[1])[None]})["angle"]
    with np.errstate(all="ignore"):
        shown = round(float(np.nanmedian(plainly[..., -1] / got[..., -1])), 2)
    tried = sorted({shown, *FACTORS}) if shown > 1 else []
    for factor, context in product(tried, [2**k for k in range(17, 3, -1)]):
        settings = {**step.attributes, "factor": factor, "low": 1.0, "high": 4.0, "original_context": context}
        said = f"rope scaling by {factor:g} from a context of {context}"
        yield Variant("rope scaling", said, partial(as_operator, rotary_angles_llama31, settings))


def as_operator(operator: Operator, settings: dict[str, Any], step: Step, given: Operands) -> Changed | None:
    """Rotary angles by another operator."""
    return (replace(step, operator=operator, attributes=settings), given) if step.operator is rotary_angles else None


def sights(step: Step, given: Operands, got: Array) -> Iterator[Variant]:
    """The mask that hides what is hidden there, where all heads see the same."""
    seen_BHTS = got > HIDDEN
    seen_BTS: Array = seen_BHTS[:, 0]
    if seen_BTS.shape != given["allowed"].shape or (seen_BHTS != seen_BHTS[:, :1]).any():
        return
    T, S = given["allowed"].shape[1:]
    far_TS = np.arange(T)[:, None] - np.arange(S)
    most = int(far_TS[seen_BTS.any(0)].max(initial=0))
    window = bool((seen_BTS == ((far_TS >= 0) & (far_TS <= most))).all())
    said = f"every position seeing the last {most + 1} keys alone" if window else "the keys hidden that the other hides"
    yield Variant("mask", said, partial(seeing, step.operator, seen_BTS))


def seeing(operator: Operator, allowed: Array, step: Step, given: Operands) -> Changed | None:
    return (step, {**given, "allowed": allowed}) if step.operator is operator else None


def with_settings(name: str, settings: dict[str, Any], step: Step, given: Operands) -> Changed | None:
    if step.operator.name != name:
        return None
    return replace(step, attributes={**step.attributes, **settings}), given


def at_step(address: str, step: Step, given: Operands) -> Changed | None:
    """The step at this address as it is; what is done to its output is the variant's `after`."""
    return (step, given) if step.address == address else None


def orders(step: Step, got: Array, expected: Array, program: Program) -> Iterator[Variant]:
    """The order of heads in which each is nearest to one of the other side."""
    for letter in "HG":
        if letter not in step.axes or got.shape != expected.shape:
            continue
        axis = step.axes.index(letter) - len(step.axes)
        mine, theirs = (np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1) for array in (expected, got))
        with np.errstate(invalid="ignore"):
            distance = [[np.nan_to_num(np.abs(m - t)).max() for m in mine] for t in theirs]
        order = np.argmin(distance, axis=1)
        if (order == np.arange(len(order))).all() or len(set(order.tolist())) < len(order):
            continue
        moved = [int(h) for h in np.flatnonzero(order != np.arange(len(order)))]
        name, listed = step.address, order.tolist()
        pair = f"heads {moved[0]} and {moved[1]} of {name} swapped"
        said = pair if len(moved) == 2 else f"heads of {name} in the order {listed}"
        by_group = np.arange(len(order)).reshape(program.sizes["G"], -1).T.ravel() if letter == "H" else order
        turns = 1 < program.sizes["G"] < len(order) and any(
            (order == o).all() for o in (by_group, np.argsort(by_group))
        )
        kind = "grouping" if turns else "swapped heads"
        yield Variant(kind, said, partial(at_step, step.address), in_order(axis, order))


def factors(step: Step, got: Array, expected: Array, program: Program) -> Iterator[Variant]:
    """One factor for the whole result."""
    usable = np.isfinite(got) & np.isfinite(expected)
    if got.shape != expected.shape or not usable.any():
        return
    p, b = expected[usable], got[usable]
    factor = float((p * b).sum() / ((p * p).sum() or 1))
    if not factor:
        return
    named = next(
        (n for n in "DHKGL" if n in program.sizes and isclose(factor, program.sizes[n] ** 0.5, rel_tol=1e-4)), ""
    )
    exact = program.sizes[named] ** 0.5 if named else factor
    kind = "attention scale" if step.operator.name == "scores" else "factor"
    said = f"{step.address} times {f'sqrt({named})' if named else f'{factor:.6g}'}"
    yield Variant(kind, said, partial(at_step, step.address), scaled(exact))


def single_weights(step: Step, given: Operands, got: Array, expected: Array, program: Program) -> Iterator[Variant]:
    """One element of one weight, changed so that the result comes nearest to the other side's.

    The step's backward of the difference says which elements could make it; the most likely are tried.
    """
    if got.shape != expected.shape or not (np.isfinite(got) & np.isfinite(expected)).all():
        return
    found = []
    for name, address in step.names.items():
        if address in program.weights and name in step.operator.differentiable and name in given:
            found += changed_elements(step, given, name, got, expected)
    for _, name, place, before, after in sorted(found, key=lambda each: each[0])[:2]:
        said = f"{step.names[name]}[{','.join(map(str, place))}] = {after:.7g} instead of {before:.7g}"
        yield Variant("a weight changed", said, partial(with_element, step.address, name, place, after))


def changed_elements(step: Step, given: Operands, name: str, got: Array, expected: Array) -> list[tuple[Any, ...]]:
    """For the likeliest elements of a weight: what is left of the difference, its place, before and after."""
    wide = {n: array if array.dtype.kind in "iub" else array.astype(np.float64) for n, array in given.items()}
    saved = wide | plain(step, wide)
    named = {f"{o.name}_{o.axes}".rstrip("_"): saved[o.name] for o in operands_saved(step) if o.name in saved}
    settings = {key: step.attributes[key] for key in step.operator.backward_settings}
    gradients = step.operator.backward(got - expected, **named, **settings)
    gradient = gradients[[o.name for o in step.operator.inputs].index(name)] / length(step, wide, name)
    found = []
    for flat in np.argsort(-np.abs(gradient), axis=None)[:TRIED]:
        place = tuple(map(int, np.unravel_index(flat, gradient.shape)))
        before = float(wide[name][place])
        moved = plain(step, {**wide, name: with_one(wide[name], place, before + 1)})[step.operator.outputs[0].name]
        slope = moved - expected
        if not (power := float((slope * slope).sum())):
            continue
        by = float(((got - expected) * slope).sum()) / power
        left = float(np.abs(got - expected - by * slope).max())
        found.append((left, name, place, before, before + by))
    return found


def length(step: Step, given: Operands, name: str) -> Array:
    """How much each element of a weight is multiplied by: the length of what it meets in a product, else 1."""
    axes = {o.name: o.axes for o in step.operator.inputs}
    if "x" not in axes or len(axes[name]) < 2:
        return np.ones(())
    shared = [letter for letter in axes["x"] if letter in axes[name]]
    others = tuple(i for i, letter in enumerate(axes["x"]) if letter not in shared)
    lengths = np.sqrt((given["x"] ** 2).sum(others))
    places = tuple(slice(None) if letter in shared else None for letter in axes[name])
    return np.maximum(lengths[places], np.finfo(np.float32).tiny)


def operands_saved(step: Step) -> list[Any]:
    known = [*step.operator.inputs, *step.operator.outputs]
    return [o for o in known if o.name in step.operator.saved]


def with_one(array: Array, place: tuple[int, ...], value: float) -> Array:
    changed = array.copy()
    changed[place] = value
    return changed


def with_element(
    address: str, name: str, place: tuple[int, ...], value: float, step: Step, given: Operands
) -> Changed | None:
    """The step at this address with one element of an operand changed."""
    if step.address != address or name not in given:
        return None
    return step, {**given, name: with_one(given[name].astype(np.float64), place, value)}
