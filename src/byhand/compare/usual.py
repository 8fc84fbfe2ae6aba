"""The usual reasons why two implementations of one step differ, each as a change of the step that can be tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from byhand.aliases.recipe import paired_last
from byhand.compare.segment import Operands, Variant
from byhand.compare.side import KINDS
from byhand.families.llama import Scaling
from byhand.families.readout import ACTIVATIONS
from byhand.operators import rotary_angles, rotary_angles_llama31, rotary_halves, rotary_pairs
from byhand.operators.record import Operator
from byhand.program import Program, Step

Array = np.ndarray[Any, Any]
Changed = tuple[Step, Operands]
MANY = 16  # heads, of which all pairs are tried
EPS = (1e-5, 1e-6, 1e-12, 1e-8, 1e-3, 0.0)
THETAS = (10_000.0, 500_000.0, 1_000_000.0)
SCALINGS = (Scaling(), Scaling(factor=32.0))
ROTARY = {"rotary_pairs": "pairs", "rotary_halves": "halves"}


def usual(steps: list[Step], program: Program) -> Iterator[Variant]:
    """Every usual change that touches one of these steps, the likelier first."""
    names = {step.operator.name for step in steps}
    for operators, make in MAKERS:
        if names & operators:
            yield from make(program)
    yield from biases(program)
    yield from roundings(program)


def only(names: set[str], change: Callable[[Step, Operands], Changed | None]) -> Callable[..., Changed | None]:
    """The change for steps of these operators."""
    return lambda step, given: change(step, given) if step.operator.name in names else None


def other_operator(operator: Operator, **attributes: Any) -> Callable[[Step, Operands], Changed | None]:
    """The step with another operator; attributes None keeps those the operator knows."""

    def change(step: Step, given: Operands) -> Changed | None:
        kept = {key: value for key, value in step.attributes.items() if key in operator.settings} | attributes
        return None if step.operator is operator and kept == step.attributes else (renamed(step, operator, kept), given)

    return change


def renamed(step: Step, operator: Operator, attributes: Mapping[str, Any]) -> Step:
    return replace(step, operator=operator, attributes=attributes)


def settings(**attributes: Any) -> Callable[[Step, Operands], Changed | None]:
    """The step with other settings."""

    def change(step: Step, given: Operands) -> Changed | None:
        new = {**step.attributes, **attributes}
        return None if new == step.attributes else (replace(step, attributes=new), given)

    return change


def operand(name: str, make: Callable[[Array], Array]) -> Callable[[Step, Operands], Changed | None]:
    """The step with one of its operands rearranged."""

    def change(step: Step, given: Operands) -> Changed | None:
        return (step, {**given, name: make(given[name])}) if name in given else None

    return change


# --- what each operator may have been instead -------------------------------------------------------------------------


def activations(program: Program) -> Iterator[Variant]:
    gelu = any(step.operator.name.startswith("gelu") for step in program)
    for name, operator in ACTIVATIONS.items():
        kind = "GELU form" if gelu and name.startswith("gelu") else "activation"
        yield Variant(kind, f"activation={name!r}", only(set(ACTIVATIONS), other_operator(operator)))


def rotary(program: Program) -> Iterator[Variant]:
    for operator in (rotary_pairs, rotary_halves):
        said = f"rotary={ROTARY[operator.name]!r}"
        yield Variant("rotary layout", said, only(set(ROTARY), other_operator(operator)))
    backwards = lambda angle: -angle  # noqa: E731
    yield Variant("rotary direction", "angles turned the other way", only(set(ROTARY), operand("angle", backwards)))


def norms(program: Program) -> Iterator[Variant]:
    for eps in EPS:
        yield Variant("eps", f"eps={eps:g}", only({"layer_norm", "rms_norm"}, settings(eps=eps)))
    more = operand("gain", lambda gain: gain.astype(np.float64) + 1)
    yield Variant("gain", "1 + gain instead of gain", only({"layer_norm", "rms_norm"}, more))


def angles(program: Program) -> Iterator[Variant]:
    both = {"rotary_angles", "rotary_angles_llama31"}
    for theta in THETAS:
        yield Variant("theta", f"theta={theta:g}", only(both, settings(theta=theta)))
    yield Variant("rope scaling", "no rope scaling", only(both, other_operator(rotary_angles)))
    for scaling in SCALINGS:
        said = f"rope scaling by {scaling.factor:g}"
        yield Variant("rope scaling", said, only(both, other_operator(rotary_angles_llama31, **vars(scaling))))


def grouping(program: Program) -> Iterator[Variant]:
    """Query head h reads key/value head h % G instead of h // R: as if the shared heads came in turn."""

    def in_turn(name: str) -> Callable[[Step, Operands], Changed | None]:
        def change(step: Step, given: Operands) -> Changed | None:
            if name not in given or not 1 < given[name].shape[2] < program.sizes["H"]:
                return None
            G, H = given[name].shape[2], program.sizes["H"]
            return step, {**given, name: given[name][:, :, np.arange(H) % G]}

        return change

    key, value = in_turn("key"), in_turn("value")
    said = "query head h reading key/value head h % G"
    yield Variant("grouping", said, lambda step, given: key(step, given) or value(step, given))


def scales(program: Program) -> Iterator[Variant]:
    K, D = program.sizes["K"], program.sizes["D"]
    for said, factor in (
        ("no division by sqrt(K)", K**0.5),
        ("division by K", K**-0.5),
        ("division by sqrt(D)", (K / D) ** 0.5),
    ):
        yield Variant("attention scale", said, only({"scores"}, lambda s, g: (s, g)), scaled(factor))


def scaled(factor: float) -> Callable[[Array], Array]:
    return lambda array: array * factor


def biases(program: Program) -> Iterator[Variant]:
    """Steps without what they add."""
    for names in (("bias",), ("shift",), ("bias", "shift")):
        yield Variant("bias", f"no {' and no '.join(names)}", partial(without, names))


def without(names: tuple[str, ...], step: Step, given: Operands) -> Changed | None:
    if not given.keys() & set(names):
        return None
    return step, {name: np.zeros_like(array) if name in names else array for name, array in given.items()}


def roundings(program: Program) -> Iterator[Variant]:
    """Every weight rounded before it is used."""
    for name in ("bfloat16", "float16"):

        def change(step: Step, given: Operands, kind: Any = KINDS[name]) -> Changed | None:
            own = [o for o, address in step.names.items() if address in program.weights and o in given]
            with np.errstate(all="ignore"):
                return (step, {**given, **{o: given[o].astype(kind).astype(np.float64) for o in own}}) if own else None

        yield Variant("rounded weights", f"weights rounded to {name}", change)


def masks(program: Program) -> Iterator[Variant]:
    for said, make in (
        ("no causal mask", np.ones_like),
        ("a causal mask", lambda allowed: np.tril(np.ones_like(allowed))),
        ("every position seeing the next one too", lambda allowed: np.tril(np.ones_like(allowed), 1)),
        ("no position seeing itself", lambda allowed: np.tril(np.ones_like(allowed), -1)),
    ):
        yield Variant("mask", said, only({"mask"}, operand("allowed", make)))


def segments(program: Program) -> Iterator[Variant]:
    def change(step: Step, given: Operands) -> Changed | None:
        return (step, {**given, "id": given["id"] * 0}) if step.names["id"] == "segments" else None

    yield Variant("segments", "every token in segment 0", only({"lookup"}, change))


def positions(program: Program) -> Iterator[Variant]:
    for offset in (1, 2):

        def change(step: Step, given: Operands, offset: int = offset) -> Changed | None:
            moved = given["id"] + offset
            fits = moved.max() < len(given["table"])
            return (step, {**given, "id": moved}) if step.names["id"] == "positions" and fits else None

        yield Variant("positions", f"positions from {offset} on", only({"lookup"}, change))


# --- how a weight may have been read ----------------------------------------------------------------------------------


def matrix(axes: str) -> tuple[str, str] | None:
    """The two groups of axes of a weight that make it a matrix: input and output."""
    groups = {"DF": ("D", "F"), "FD": ("F", "D"), "DD": ("D", "D"), "DHK": ("D", "HK"), "DGK": ("D", "GK")}
    return groups.get(axes) or {"HKD": ("HK", "D"), "VD": ("V", "D"), "PD": ("P", "D")}.get(axes)


def turned(array: Array, axes: str) -> Array:
    """A square matrix transposed, its heads side by side."""
    rows = array.shape[0] * array.shape[1] if axes == "HKD" else array.shape[0]
    return array.reshape(rows, -1).T.reshape(array.shape)


def square(array: Array, axes: str) -> bool:
    rows = array.shape[0] * array.shape[1] if axes == "HKD" else array.shape[0]
    return matrix(axes) is not None and rows * rows == array.size and rows > 1


def halves_of_pairs(array: Array) -> Array:
    return paired_last(array)


def pairs_of_halves(array: Array) -> Array:
    K = array.shape[-1]
    return array.reshape(*array.shape[:-1], 2, K // 2).swapaxes(-1, -2).reshape(array.shape)


def swapped(axis: int, i: int, j: int) -> Callable[[Array], Array]:
    def make(array: Array) -> Array:
        order = np.arange(array.shape[axis])
        order[[i, j]] = j, i
        return np.take(array, order, axis)

    return make


def in_order(axis: int, order: Array) -> Callable[[Array], Array]:
    return lambda array: np.take(array, order, axis)


class Rearranged(NamedTuple):
    """A way a weight may have been read by mistake.

    said: in words, {} for the weight; bias: whether the bias of the same heads may go with it.
    """

    kind: str
    said: str
    make: Callable[[Array], Array]
    bias: bool = False


def rearrangements(array: Array, axes: str, groups: int) -> Iterator[Rearranged]:
    """The ways a weight may have been read by mistake. groups: key/value heads."""
    if square(array, axes):
        yield Rearranged("transposed matrix", "{} transposed", partial(turned, axes=axes))
    if axes.endswith("K") and array.shape[-1] % 2 == 0 and array.shape[-1] > 2:
        yield Rearranged("rotary layout", "features of {} moved from pairs to halves", halves_of_pairs, True)
        yield Rearranged("rotary layout", "features of {} moved from halves to pairs", pairs_of_halves, True)
    for letter in "HG":
        if letter in axes:
            yield from other_heads(array.shape[axes.index(letter)], axes.index(letter) - len(axes), groups)


def other_heads(heads: int, axis: int, groups: int) -> Iterator[Rearranged]:
    """The heads in another order."""
    if 1 < groups < heads:
        by_group = np.arange(heads).reshape(groups, -1).T.ravel()
        for order in (by_group, np.argsort(by_group)):
            yield Rearranged("grouping", "heads of {} in the order of h % G", in_order(axis, order), True)
    for i in range(min(heads, MANY)):
        for j in range(i):
            yield Rearranged("swapped heads", f"heads {j} and {i} of {{}} swapped", swapped(axis, j, i), True)


def relatives(address: str, program: Program) -> Iterator[str]:
    """The weights that may have been read in place of one: those of its block, then the same of other blocks."""
    parts = address.split(".")
    block, last = parts[:2], parts[-1]
    if block[0] != "blocks":
        return
    for other in program.weights:
        its = other.split(".")
        if other != address and its[:2] == block and its[-1] == last:
            yield other
    for other in program.weights:
        its = other.split(".")
        if other != address and its[0] == "blocks" and its[2:] == parts[2:]:
            yield other


def others(step: Step, program: Program, look: Callable[[str], Array | None]) -> Iterator[Variant]:
    """The step with the weights of another."""
    own = {name: address for name, address in step.names.items() if address in program.weights}
    if not own:
        return
    place = next(iter(own.values())).rpartition(".")[0]
    for other in relatives(next(iter(own.values())), program):
        there = other.rpartition(".")[0]
        read = {name: look(address.replace(place, there, 1)) for name, address in own.items()}
        if all(array is not None and array.shape == shape_of(look, own[name]) for name, array in read.items()):
            yield Variant("another weight", in_place(there, place), partial(with_operands, step.address, read))


def in_place(there: str, place: str) -> str:
    """What was read instead, in words that fit all weights of a block, or the same of all blocks."""
    (_, m, *rest), (_, n, *own) = there.split("."), place.split(".")
    if m == n:
        return f"a block's {'.'.join(rest)} in place of its {'.'.join(own)}"
    return f"the weights of blocks.{m} in place of those of blocks.{n}"


def shape_of(look: Callable[[str], Array | None], address: str) -> tuple[int, ...] | None:
    array = look(address)
    return None if array is None else array.shape


def with_operands(address: str, read: Mapping[str, Any], step: Step, given: Operands) -> Changed | None:
    """The step at this address with other arrays as some of its operands."""
    return (step, {**given, **read}) if step.address == address else None


def weights(step: Step, program: Program, look: Callable[[str], Array | None]) -> Iterator[Variant]:
    """A step's weights as they may have been read by mistake, alone and with the bias of the same heads."""
    for name, address in step.names.items():
        if address not in program.weights or (array := look(address)) is None:
            continue
        for each in rearrangements(array, program.weights[address], program.sizes["G"]):
            yield Variant(each.kind, each.said.format(address), partial(read_as, step.address, (name,), each.make))
            if each.bias and name == "weight" and "bias" in step.names and step.operator.name == "to_heads":
                said = each.said.format(f"{address} and its bias")
                yield Variant(each.kind, said, partial(read_as, step.address, (name, "bias"), each.make))


def read_as(
    address: str, names: tuple[str, ...], make: Callable[[Array], Array], step: Step, given: Operands
) -> Changed | None:
    """The step at this address with some operands rearranged."""
    if step.address != address:
        return None
    return step, {name: make(array) if name in names else array for name, array in given.items()}


MAKERS: list[tuple[set[str], Callable[[Program], Iterator[Variant]]]] = [
    (set(ACTIVATIONS), activations),
    (set(ROTARY), rotary),
    ({"layer_norm", "rms_norm"}, norms),
    ({"rotary_angles", "rotary_angles_llama31"}, angles),
    ({"scores", "mix"}, grouping),
    ({"scores"}, scales),
    ({"mask"}, masks),
    ({"lookup"}, positions),
    ({"lookup"}, segments),
]
