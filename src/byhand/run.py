"""One run of a program: every value and gradient by address, kept, looked at, explained, changed and compared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from byhand import aliases, contributions
from byhand.addresses import axes_of, is_side, known, matches, place, unknown
from byhand.changes import Edit, chosen
from byhand.diff import Diff, diff
from byhand.engines import reference
from byhand.engines.reference import Precision
from byhand.errors import AddressError, InputError, ShapeError
from byhand.explain import Explanation, explain
from byhand.memory import ALWAYS_KEPT, refuse_too_large
from byhand.program import BackwardStep, Program, Shape, Step
from byhand.shapes import complete, element
from byhand.tensor import Tensor
from byhand.weights import Weights

Array = np.ndarray[Any, Any]
Keep = str | Sequence[str]
Progress = Callable[[Step], None]


def silent(step: Step) -> None:
    """The progress nobody watches."""


@dataclass(frozen=True)
class Tokens:
    """How a run's token ids are written: one id's text, and the ids in order of the vocabulary."""

    text: Callable[[int], str] = str
    size: int = 0

    def labels(self) -> tuple[str, ...]:
        return tuple(self.text(token) for token in range(self.size))


@dataclass(frozen=True)
class Setting:
    """What a run was made with: everything but the values."""

    program: Program
    weights: Weights
    inputs: dict[str, Array]
    precision: Precision
    keep: frozenset[str]
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(eq=False)
class Run:
    """The values of one run. Make one with `execute` (or `model.run`); ask for values with ``run["address"]``.

    kept: arrays by address; others are computed again when asked for, with the same bits. edits: the changes that were
    made on the way, in order. `grad` is there after `backward`.
    """

    setting: Setting
    kept: dict[str, Array]
    edits: tuple[Edit, ...] = ()
    gradients: Gradients | None = None

    # --- looking ----------------------------------------------------------------------------------------------

    @property
    def program(self) -> Program:
        return self.setting.program

    @property
    def inputs(self) -> dict[str, Array]:
        return self.setting.inputs

    @property
    def dtype(self) -> str:
        return self.setting.precision.name

    def look(self, address: str) -> Array:
        """The plain array at an address: a value, a weight as this run used it, an input, or a ``d:`` gradient.

        Raises AddressError, with the nearest names, when there is none.
        """
        if address.startswith("d:"):
            return self.grad.look(address)
        if address in self.kept:
            return self.kept[address]
        if address in self.inputs:
            return self.inputs[address]
        if address in self.program.weights:
            return self.setting.precision.keep(self.setting.weights[address])
        if address in self.program.producer:
            return self.compute([address], silent)[address]
        raise unknown(self.program, address)

    def __getitem__(self, name: str) -> Tensor:
        """The value at an address or at another project's name for it (llm.c, TransformerLens, Hugging Face)."""
        view = None if known(self.program, name) else aliases.find(self.program, name)
        if view:
            return Tensor(view.build(self.look), view.axes, name)
        return Tensor(self.look(name), axes_of(self.program, name), name, self.labels(name))

    def __contains__(self, name: str) -> bool:
        return known(self.program, name) or aliases.find(self.program, name) is not None

    def matching(self, *patterns: str) -> dict[str, Tensor]:
        """All values whose address fits a pattern: ``run.matching("blocks.*.attn.weights")``."""
        return {address: self[address] for address in matches(self.program, patterns)}

    def labels(self, address: str) -> dict[str, list[str]]:
        """The tokens along the position axes, where there is one text."""
        source = "source." if address.removeprefix("d:").startswith("source.") else ""
        crossing = "source." if ".cross." in address or address.startswith("cross.") else source
        asking, asked = (self.inputs.get(f"{prefix}tokens") for prefix in (source, crossing))
        if asking is None or asked is None or len(asking) != 1:
            return {}
        write = self.setting.tokens.text
        return {"T": [write(int(t)) for t in asking[0]], "S": [write(int(t)) for t in asked[0]]}

    def compute(self, targets: Collection[str], progress: Progress) -> dict[str, Array]:
        """Run the steps that make these values from what is kept, and return them; nothing is kept."""
        steps = self.program.needed(targets, lambda address: address in self.kept)
        return reference.forward(steps, self.look, self.setting.precision, targets, self.change, progress)

    def change(self, address: str, array: Array) -> Array:
        """The value with this run's edits of it."""
        for each in self.edits:
            if each.address == address:
                array = self.setting.precision.keep(each.apply(array), wide=array.dtype == self.setting.precision.computed)
        return array

    # --- changing ---------------------------------------------------------------------------------------------

    def edit(
        self,
        address: str,
        index: Sequence[int | slice] | None = None,
        *,
        set: Any = None,
        add: Any = None,
        scale: Any = None,
        zero: bool = False,
        from_run: Run | None = None,
        **choice: int | slice,
    ) -> Run:
        """A new run with one weight, input or activation changed; only what depends on it is computed again.

        Say where with an index or named axes (head=, query=, key=, position=, dimension=, batch=, token=), and exactly one
        of: set= a number or array, add=, scale=, zero=True, from_run= another run to take the same part from. This run
        and its model stay as they are. Raises AddressError, ShapeError, InputError.
        """
        before = self.look(address)
        where = place(self.program, address, before.shape, index, choice)
        action, value = chosen({"set": set, "add": add, "scale": scale, "zero": zero, "from_run": from_run})
        source = f"that of another run of {from_run.program.name}" if from_run else ""
        if from_run:
            action, value = "set", taken(from_run.look(address), before.shape, where, address)
        elif zero:
            action, value = "set", 0.0
        each = Edit(address, where, action, np.asarray(value)[()], source)
        return self.edited(each, before)

    def edited(self, each: Edit, before: Array) -> Run:
        """The run with one more edit, made from the first value that it touches."""
        setting, program = self.setting, self.program
        if is_side(program, each.address):
            raise InputError(f"{each.address} is only looked at: nothing reads it; edit {program.producer[each.address].address}")
        edits = (*self.edits, each)
        if each.address in program.weights:
            changed = each.apply(before)
            setting = replace(setting, weights=setting.weights.replaced(each.address, changed))
        elif each.address in program.inputs:
            setting = replace(setting, inputs={**self.inputs, each.address: whole(each, before, program)})
        touched = program.dependents(each.address)
        kept = {address: array for address, array in self.kept.items() if address not in touched}
        new = Run(setting, kept, edits)
        if each.address in self.kept:
            # the value itself needs no step: it is what was kept, changed
            kept[each.address] = setting.precision.keep(each.apply(before), before.dtype == setting.precision.computed)
        kept |= new.compute([a for a in touched if a in setting.keep and a not in kept], silent)
        return new

    def diff(self, other: Run) -> Diff:
        """What changed from this run to another of the same program: first, largest, output before and after."""
        return diff(self, other, self.setting.tokens.labels())

    # --- gradients --------------------------------------------------------------------------------------------

    def backward(
        self, of: str = "loss", index: Sequence[int] | None = None, *, seed: Any = None, progress: Progress = silent, **choice: int
    ) -> Gradients:
        """Compute the gradient of one number with respect to every value and weight; it stays at `run.grad`.

        of: the loss, or any value with an index (or named axes) that says which of its numbers; or seed= an array of the
        value's shape to start from. Raises InputError when there is no loss or the number is not named.
        """
        if of == "loss" and "loss" not in self.program:
            raise InputError("this run has no loss: give two tokens or targets=, or name a value: backward('logits', ...)")
        value = self.look(of)
        start = start_at(of, axes_of(self.program, of), value, index, seed, choice)
        steps = self.program.reverse(of)
        read = {address for each in steps if each.step for address in each.step.saved}
        missing = [address for address in read if address in self.program.producer and address not in self.kept]
        extra = self.compute(missing, progress)
        seeds = {of: self.setting.precision.keep(start, value.dtype == self.setting.precision.computed)}
        arrays = reference.backward(
            steps, seeds, lambda a: extra[a] if a in extra else self.look(a), self.setting.precision, self.passed
        )
        self.gradients = Gradients(self, of, steps, arrays)
        return self.gradients

    def passed(self, address: str, gradient: Array) -> Array:
        """What of a value's gradient reaches the step that made it: all of it, except through this run's edits."""
        for each in reversed(self.edits):
            if each.address == address:
                gradient = each.gradient(gradient)
        return gradient

    @property
    def grad(self) -> Gradients:
        """The gradients of the last `backward`. Raises InputError before it."""
        if self.gradients is None:
            raise InputError("no gradients yet; call run.backward() first")
        return self.gradients

    def backward_step(self, address: str) -> BackwardStep | None:
        """The step that wrote a gradient; None for the one it started from."""
        return self.grad.written.get(address)

    # --- explaining -------------------------------------------------------------------------------------------

    def explain(self, address: str, index: Sequence[int] | None = None, **choice: int) -> Explanation:
        """One number taken apart. Say which with an index or named axes; axes of size one need no choice.

        address: of a value, weight or input; ``d:`` + address for a gradient. Raises AddressError, InputError.
        """
        array, axes = self.look(address), axes_of(self.program, address)
        if index is not None:
            return explain(self, address, element(axes, array.shape, tuple(index), address))
        return explain(self, address, complete(axes, array.shape, choice, address))

    def split(self, token: int, position: int = -1, batch: int = 0) -> contributions.Split:
        """One logit as the exact sum of what every part of the model added to the stream."""
        B, T, V = self.look("logits").shape
        return contributions.split(self, *element("BTV", (B, T, V), (batch, position, token), "logits"))


class Gradients(Mapping[str, Tensor]):
    """Gradients of one number by address, with or without ``d:``; ``d:x@step`` is the part one step adds."""

    def __init__(self, run: Run, of: str, steps: list[BackwardStep], arrays: dict[str, Array]) -> None:
        self.run, self.of, self.steps, self.arrays = run, of, steps, arrays
        self.written = {address: step for step in steps for address in step.writes.values()}

    def look(self, address: str) -> Array:
        """The plain array. Raises AddressError where `of` does not depend on the value, or it has no gradient."""
        name = address.removeprefix("d:")
        if name in self.arrays:
            return self.arrays[name]
        value, _, reader = name.partition("@")
        if f"d:{name}" in self.written:
            return self.part(self.written[f"d:{name}"], f"d:{name}")
        if reader == "edit" and value in self.arrays:
            return self.run.passed(value, self.arrays[value])
        if value not in self.run.program:
            raise unknown(self.run.program, value)
        raise AddressError(f"d:{name}: {self.of} does not depend on {value}, or it has no gradient")

    def part(self, each: BackwardStep, address: str) -> Array:
        """What one step adds to a gradient, computed again."""
        assert each.step is not None
        d_output = self.run.passed(each.step.address, self.arrays[each.step.address])
        parts = reference.reverse(each.step, d_output, self.run.look, self.run.setting.precision)
        return parts[next(name for name, written in each.writes.items() if written == address)]

    def __getitem__(self, name: str) -> Tensor:
        address = name.removeprefix("d:")
        if not known(self.run.program, address.partition("@")[0]):
            view = aliases.find(self.run.program, address)
            if view:
                return Tensor(view.build(self.look), view.axes, f"d:{address}")
        array = self.look(address)
        return Tensor(array, axes_of(self.run.program, address), f"d:{address}", self.run.labels(address))

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


# --- making runs ------------------------------------------------------------------------------------------------


def execute(
    program: Program,
    weights: Weights,
    inputs: dict[str, Array],
    precision: Precision,
    keep: Keep = "all",
    tokens: Tokens | None = None,
    progress: Progress = silent,
) -> Run:
    """Run a program. keep: "all", or addresses and patterns; logits and losses always stay.

    Raises MemoryRefused, before computing, when what is to be kept would not fit; AddressError for an unknown pattern.
    """
    addresses = frozenset(matches(program, (keep,) if isinstance(keep, str) else keep) if keep != "all" else program.producer)
    addresses |= {address for address in ALWAYS_KEPT if address in program.producer}
    B, T = inputs["tokens"].shape
    shapes = program.shapes(B, T, inputs["source.tokens"].shape[1] if "source.tokens" in inputs else None)
    refuse_too_large(program, shapes, addresses, precision, weights)
    run = Run(Setting(program, weights, inputs, precision, addresses, tokens or Tokens()), {})
    run.kept |= run.compute(addresses, progress)
    return run


def taken(other: Array, shape: Shape, where: tuple[int | slice, ...], address: str) -> Array:
    """The same part of another run's value."""
    if other.shape != shape:
        raise ShapeError(f"{address} has shape {other.shape} in the other run and {shape} here; run texts of equal length")
    return other[where]


def whole(each: Edit, before: Array, program: Program) -> Array:
    """An edited input; it keeps its type and, for token ids, the vocabulary. Raises InputError."""
    after = each.apply(before)
    wanted = np.asarray(each.value)
    if before.dtype.kind in "ib" and (wanted != wanted.astype(before.dtype)).any():
        raise InputError(f"{each.address} holds {before.dtype.name} values; {each.value} is none")
    if program.inputs[each.address].rule == "tokens" and not ((after >= 0) & (after < program.sizes["V"])).all():
        raise InputError(f"{each.address}: a token id lies outside the vocabulary 0 … {program.sizes['V'] - 1}")
    return after


def start_at(
    of: str, axes: str, value: Array, index: Sequence[int] | None, seed: Any, choice: Mapping[str, int]
) -> Array:
    """The gradient to start from: the caller's, or one at one element and zero elsewhere."""
    if seed is not None:
        seed = np.asarray(seed, np.float64)
        if seed.shape != value.shape:
            raise ShapeError(f"seed has shape {seed.shape}, {of} has {value.shape}; give an array of that shape")
        return seed
    one = np.zeros(value.shape)
    where = complete(axes, value.shape, choice, of) if index is None else element(axes, value.shape, tuple(index), of)
    one[where] = 1.0
    return one
