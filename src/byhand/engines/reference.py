"""The reference engine: the program, one step at a time, in NumPy. What it gives is the definition of correct."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np

from byhand.errors import InputError, NotANumber
from byhand.operators.record import Operand
from byhand.program import BackwardStep, Step

Array = np.ndarray[Any, Any]
Look = Callable[[str], Array]
UNEDITED = "@unedited"  # after an address: the value as its step made it, and the gradient of that


@dataclass(frozen=True)
class Precision:
    """How numbers are kept between steps, and how they are computed inside one."""

    name: str
    kept: np.dtype[Any]
    computed: np.dtype[Any]

    def keep(self, array: Any, wide: bool = False) -> Array:
        """Round a result to what is kept; whole numbers and truth values stay as they are.

        It lies in C order, so that the bits of what is computed from it depend on its numbers alone.
        """
        array = np.asarray(array)
        whole = array.dtype.kind in "iub"
        return array.astype(array.dtype if whole else self.computed if wide else self.kept, order="C", copy=False)

    def load(self, array: Array) -> Array:
        """A kept array in the precision of the arithmetic."""
        return array if array.dtype.kind in "iub" else array.astype(self.computed, copy=False)

    def rounded(self, array: Array) -> Array:
        """What a model of this precision would hold of an intermediate value inside an operator."""
        return self.load(self.keep(array))


PRECISIONS = {
    "float64": Precision("float64", np.dtype(np.float64), np.dtype(np.float64)),
    "float32": Precision("float32", np.dtype(np.float32), np.dtype(np.float32)),
    "bfloat16": Precision("bfloat16", np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32)),
    # float32 but where a product with weights in blocks reads: there rounded to int8, in groups with a scale
    "int8": Precision("int8", np.dtype(np.float32), np.dtype(np.float32)),
}


def precision(name: str) -> Precision:
    """The precision of this name. Raises InputError listing the names there are."""
    if not isinstance(name, str) or name not in PRECISIONS:
        raise InputError(f"no dtype {name!r:.60}; there are: {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


def forward(
    steps: Sequence[Step],
    look: Look,
    precision: Precision,
    keep: Collection[str],
    change: Callable[[str, Array], Array] = lambda address, array: array,
    progress: Callable[[Step], None] = lambda step: None,
    stored: Look | None = None,
) -> dict[str, Array]:
    """Run steps in order and return the kept values by address.

    look: gives what no step here writes (weights, inputs, values of an earlier run); keep: addresses to return, others
    are let go after their last reader; change: may replace a value as soon as it is made (edits); progress: told of
    each step before it runs; stored: as look, but weights as they are held, not rounded to the precision yet, for steps
    that pick a few of their numbers. Raises ShapeError and NotANumber, naming the step.
    """
    values: dict[str, Array] = {}
    last = {read: step for step in steps for read in step.reads if read is not None}

    def found(address: str, look: Look = look) -> Array:
        return values[address] if address in values else look(address)

    picked = partial(found, look=stored or look)
    for step in steps:
        progress(step)
        values.update(changed(compute(step, picked if step.operator.picks else found, precision), change))
        used = {*step.reads, *step.writes.values()}
        for address in used.intersection(values):
            if address not in keep and last.get(address, step) is step:
                del values[address]
    return values


def changed(made: dict[str, Array], change: Callable[[str, Array], Array]) -> dict[str, Array]:
    return {address: change(address, array) for address, array in made.items()}


def compute(step: Step, look: Look, precision: Precision) -> dict[str, Array]:
    """The outputs of one step by address."""
    kept = {read: look(read) for read in step.reads if read is not None}
    step.sizes({address: array.shape for address, array in kept.items()})
    loaded = kept if step.operator.picks else {read: precision.load(array) for read, array in kept.items()}
    arrays = [None if read is None else loaded[read] for read in step.reads]
    inside = {"rounded": precision.rounded} if step.operator.rounds_inside else {}
    with np.errstate(all="ignore"):
        results = step.operator.forward(*arrays, **step.attributes, **inside)
    results = results if isinstance(results, tuple) else (results,)
    made = {
        address: alone(precision.keep(result, step.operator.wide or address != step.address))
        for address, result in zip(step.writes.values(), results, strict=True)
    }
    refuse_nan(step, kept, made)
    return made


def alone(array: Array) -> Array:
    """The array, or a copy if it is a piece of a larger one, which would stay in memory with it."""
    whole = array.base
    return array.copy() if isinstance(whole, np.ndarray) and whole.nbytes > array.nbytes else array


def refuse_nan(step: Step, kept: Mapping[str, Array], made: Mapping[str, Array]) -> None:
    """Raise NotANumber when a step made NaN, naming the step and the array that brought it."""
    for address, array in made.items():
        if not (first := first_nan(array)):
            continue
        brought = [(read, at) for read, given in kept.items() if (at := first_nan(given))]
        cause = f"{', '.join(kept)} hold none, so it was made here from infinities (inf - inf, 0 * inf); "
        cause += "look for huge values, or a row in which all is hidden"
        if brought:
            read, at = brought[0]
            cause = f"{read} holds {int(np.isnan(kept[read]).sum())} NaN, the first at {at}; mend that weight or edit"
        raise NotANumber(f"{address}{first} is the first NaN (step {step.address}, {step.operator.name}): {cause}")


def first_nan(array: Array) -> str:
    """The index of the first NaN as one would type it; "" where there is none."""
    if array.dtype.kind in "iub" or not (bad := np.isnan(array)).any():
        return ""
    return f"[{','.join(map(str, np.argwhere(bad)[0]))}]"


def backward(
    steps: Sequence[BackwardStep],
    seed: Mapping[str, Array],
    look: Look,
    precision: Precision,
    passed: Callable[[str, Array], Array] = lambda address, gradient: gradient,
) -> dict[str, Array]:
    """Run a reversed program and return every gradient by the address it belongs to, without ``d:``.

    seed: the gradient to start from, by address; look: gives weights and the values the forward run saved, as `reverse`
    says; passed: what of a value's gradient reaches the step that made it (less where it was edited).
    """
    gradients = dict(seed)
    for each in steps:
        if each.step is None:
            continue  # the parts were added as they came
        d_output = passed(each.step.address, gradients[each.step.address])
        parts = reverse(each.step, d_output, look, precision)
        for name, part in parts.items():
            address = each.step.names[name]
            gradients[address] = precision.keep(gradients[address] + part) if address in gradients else part
    return gradients


def reverse(step: Step, d_output: Array, look: Look, precision: Precision) -> dict[str, Array]:
    """The gradients of one step's inputs, by the operator's names for them, from the gradient of its output.

    look is asked for the step's own outputs as it made them, under their address + UNEDITED. Raises NotANumber.
    """
    saved = {o: (address, look(address)) for o, address in saved_operands(step)}
    arrays = {f"{o.name}_{o.axes}".rstrip("_"): precision.load(array) for o, (_, array) in saved.items()}
    settings = {key: step.attributes[key] for key in step.operator.backward_settings}
    with np.errstate(all="ignore"):
        gradients = step.operator.backward(precision.load(d_output), **arrays, **settings)
    named = zip((o.name for o in step.operator.inputs), gradients, strict=True)
    made = {name: precision.keep(gradient, step.operator.wide) for name, gradient in named if name in step.gradients}
    read = {f"d:{step.address}": d_output, **dict(saved.values())}
    refuse_nan(step, read, {f"d:{step.gradients[name]}": gradient for name, gradient in made.items()})
    return made


def saved_operands(step: Step) -> list[tuple[Operand, str]]:
    """The inputs and outputs that the operator's backward reads, with their addresses."""
    inputs = [(o, step.names[o.name]) for o in step.operator.inputs if o.name in step.operator.saved]
    outputs = [(o, step.writes[o.name] + UNEDITED) for o in step.operator.outputs if o.name in step.operator.saved]
    return inputs + outputs
