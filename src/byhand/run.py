"""One run of a program: every value and gradient by address, kept, looked at, explained, changed and compared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from byhand import aliases, contributions, listing
from byhand.addresses import axes_of, base, is_side, known, located, matches, place, resolve, unknown
from byhand.changes import Edit, numbers, planned, taken
from byhand.checkpoints.files.quantized import Quantized
from byhand.diff import Diff, diff
from byhand.engines import REFERENCE, Engine, Steps, Task, reference, silent
from byhand.engines.reference import UNEDITED, Precision
from byhand.errors import AddressError, InputError, ShapeError
from byhand.explain import explain
from byhand.explanation import Explanation
from byhand.gradients import Gradients
from byhand.inputs import changed_input
from byhand.memory import ALWAYS_KEPT, refuse_edit, refuse_gradients, refuse_too_large
from byhand.predictions import Prediction, predictions
from byhand.program import BackwardStep, Program, Step
from byhand.setting import Setting, Tokens
from byhand.shapes import Shape
from byhand.tensor import Tensor
from byhand.weights import Weights, frozen

Array = np.ndarray[Any, Any]
Keep = str | Sequence[str]
Progress = Callable[[Step], None]


@dataclass(eq=False, repr=False)
class Run:
    """The values of one run. Make one with `execute` (or `model.run`); ask for values with ``run["address"]``.

    kept: arrays by address, read-only; others are computed again when asked for, with the same bits. edits: the changes
    that were made on the way, in order. `grad` is there after `backward`.
    """

    setting: Setting
    kept: dict[str, Array]
    edits: tuple[Edit, ...] = ()
    gradients: Gradients | None = None
    views: ClassVar[dict[str, Callable[..., Any]]] = {}  # what shows runs, entered by the layers that can

    def __repr__(self) -> str:
        B, T = self.inputs["tokens"].shape
        edits = f", {len(self.edits)} edit{'s' * (len(self.edits) > 1)}" * bool(self.edits)
        return f"<run of {self.program.name}: {B} x {T} tokens, {self.dtype}, {len(self.kept)} values kept{edits}>"

    def _repr_html_(self) -> str:
        return listing.html(self)

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

    @property
    def engine(self) -> str:
        return self.setting.engine.name

    def look(self, address: str) -> Array:
        """The plain array at an address: a value, a weight as this run used it, an input, or a ``d:`` gradient.

        ``x@unedited`` is what the step gave for x before this run's edits of it. Raises AddressError, with the nearest
        names, when there is none.
        """
        if address.startswith("d:"):
            return self.grad.look(address)
        if address in self.kept:
            return self.kept[address]
        if address in self.inputs:
            return self.inputs[address]
        if address in self.program.weights:
            return frozen(self.setting.precision.keep(self.stored(address)))
        if address in self.program.producer:
            return self.compute([address], silent)[address]
        if address.endswith(UNEDITED) and base(address) in self.program.producer:
            return self.unedited(base(address))
        raise unknown(self.program, address)

    def stored(self, address: str) -> Array:
        """As `look`, but a weight as the model holds it, in a type of its own and perhaps still on the disk."""
        return self.setting.weights[address] if address in self.program.weights else self.look(address)

    def shape(self, address: str) -> Shape:
        """The shape of the array at an address, without computing it."""
        if base(address) not in self.setting.shapes:
            raise unknown(self.program, address)
        return self.setting.shapes[base(address)]

    def unedited(self, address: str) -> Array:
        """What the step gave for a value, before this run's edits of it."""
        if not self.edits_of(address):
            return self.look(address)
        task = replace(self, edits=()).task([self.program.producer[address]], [address], silent)
        return self.setting.engine.forward(replace(task, look=self.look, stored=self.stored))[address]

    def remark(self, address: str) -> str:
        """How a value was computed otherwise than its formula says; "" where it was not."""
        step = self.program.producer.get(address)
        read = [self.setting.weights.sources.get(each) for each in step.reads if each is not None] if step else []
        rounded = self.dtype == "int8" and step and not step.operator.picks
        if rounded and any(isinstance(each, Quantized) for each in read):
            return "what was multiplied by the weight was rounded to int8, in groups of 32 with one scale each"
        return ""

    def edits_of(self, address: str) -> list[Edit]:
        return [edit for edit in self.edits if edit.address == address]

    def __getitem__(self, name: str) -> Tensor:
        """The value at an address or at another project's name for it (llm.c, TransformerLens, Hugging Face)."""
        if not isinstance(name, str):
            raise AddressError(f"a run is asked for a value by its address, such as run['logits']; got {name!r}")
        if any(sign in name for sign in "*?"):
            raise AddressError(f"{name!r} is a pattern, which may name several values: use run.matching({name!r})")
        if name.startswith("d:"):
            return self.grad[name]
        view = None if known(self.program, name) else aliases.find(self.program, name)
        if view:
            return Tensor(view.build(self.look), view.axes, name, self.labels(view.addresses[0]))
        return Tensor(self.look(name), axes_of(self.program, name), name, self.labels(name))

    def __iter__(self) -> Iterator[str]:
        """All addresses: inputs, what the steps write in order, weights."""
        return iter(self.program.addresses)

    def keys(self) -> list[str]:
        return self.program.addresses

    def __contains__(self, name: str) -> bool:
        if name.startswith("d:"):
            return self.gradients is not None and name in self.gradients
        return known(self.program, name) or aliases.find(self.program, name) is not None

    def matching(self, *patterns: str) -> dict[str, Tensor]:
        """All values whose address fits a pattern: ``run.matching("blocks.*.attn.weights", "d:blocks.0.*")``."""
        values = matches(self.program, [pattern for pattern in patterns if not pattern.startswith("d:")])
        gradients = [found for pattern in patterns if pattern.startswith("d:") for found in self.grad.matching(pattern)]
        return {address: self[address] for address in [*values, *gradients]}

    def labels(self, address: str) -> dict[str, list[Any]]:
        """The tokens along the position axes; a list for each text, where there are several."""
        return self.setting.labels(address)

    def compute(self, targets: Collection[str], progress: Progress) -> dict[str, Array]:
        """Run the steps that make these values from what is kept, and return them; nothing is kept."""
        steps = self.program.needed(targets, lambda address: address in self.kept)
        made = self.setting.engine.forward(self.task(steps, targets, progress))
        return {address: frozen(array) for address, array in made.items()}

    def task(self, steps: Iterable[Step], keep: Collection[str], progress: Progress) -> Task:
        """What an engine is asked for."""
        return Task(
            self.program,
            steps if isinstance(steps, Steps) else Steps.of(self.program, steps),
            self.setting.weights,
            self.setting.precision,
            self.look,
            self.stored,
            keep,
            lambda: self.setting.shapes,
            self.change,
            frozenset(edit.address for edit in self.edits),
            progress,
        )

    def change(self, address: str, array: Array) -> Array:
        """The value with this run's edits of it."""
        for each in self.edits_of(address):
            array = self.setting.round(each.apply(array), array)
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

        Say where with an index or named axes (head=, query=, key=, position=, dimension=, batch=, token=), and exactly
        one of: set= a number or array, add=, scale=, zero=True, from_run= another run to take the same part from. Of an
        edited activation, ``d:x`` is the gradient after the edit and ``d:x@unedited`` what of it reaches the step that
        made it. Editing tokens leaves the targets as they are. This run and its model stay as they are.
        Raises AddressError, ShapeError, InputError, MemoryRefused, NotANumber.
        """
        address = resolve(self.program, address)
        if address not in self.setting.shapes:
            raise InputError(f"{address} cannot be edited; edit {base(address)}")
        if is_side(self.program, address):
            main = self.program.producer[address].address
            raise InputError(f"{address} is only looked at: no later step reads it; edit {main}")
        shape = self.setting.shapes[address]
        where = place(self.program, address, shape, index, choice)
        actions = {"set": set, "add": add, "scale": scale, "zero": zero}
        if from_run is not None and not isinstance(from_run, Run):
            raise InputError(f"from_run must be another run, got {type(from_run).__name__}")
        if from_run is not None:
            actions["from_run"] = taken(from_run.look(address), shape, where, address)
        return self.edited(planned(address, where, actions))

    def edited(self, each: Edit, progress: Progress = silent) -> Run:
        """The run with one more edit, made from the first value that it touches."""
        setting, program, address = self.setting, self.program, each.address
        touched = program.dependents(address)
        again = touched & setting.keep
        refuse_edit(program, setting.shapes, again, setting.precision, address)
        if address in program.weights:
            setting = replace(setting, weights=setting.weights.edited(each))
        elif address in program.inputs:
            setting = replace(
                setting, inputs={**self.inputs, address: changed_input(each, self.inputs[address], program)}
            )
        kept = {name: array for name, array in self.kept.items() if name not in touched}
        new = Run(setting, kept, (*self.edits, each))
        if address in self.kept:
            # the value itself needs no step: it is what was kept, changed
            kept[address] = frozen(setting.round(each.apply(self.kept[address]), self.kept[address]))
        kept |= new.compute([name for name in again if name not in kept], progress)
        return new

    def diff(self, other: Run) -> Diff:
        """What changed from this run to another of the same program: first, largest, output before and after."""
        if not isinstance(other, Run):
            raise InputError(f"a run is compared with another run, got {type(other).__name__}")
        return diff(self, other, self.setting.tokens.labels(self.program.sizes.get("V", 0)))

    # --- gradients --------------------------------------------------------------------------------------------

    def backward(
        self,
        of: str = "loss",
        index: Sequence[int] | None = None,
        *,
        seed: Any = None,
        progress: Progress = silent,
        **choice: int,
    ) -> Gradients:
        """Compute the gradient of one number with respect to every value and weight; it stays at `run.grad`.

        of: the loss, or any value with an index (or named axes) that says which of its numbers; or seed= an array of
        the value's shape to start from. Raises InputError when there is no loss or the number is not named, ShapeError,
        MemoryRefused, NotANumber.
        """
        if of == "loss" and "loss" not in self.program:
            mask = self.program.inputs.get("mask")
            more = "" if mask is None else f"give {'two tokens or ' * (mask.rule == 'causal')}targets=, or "
            raise InputError(f"this run has no loss: {more}name a value: backward('logits', ...)")
        if seed is None:
            of, index = located(self.program, self.setting.shapes, of, index, choice)
        of, program, setting = resolve(self.program, of), self.program, self.setting
        if of not in program.producer or is_side(program, of):
            raise InputError(f"{of} is not what a step gives on, so nothing has a gradient of it; name another value")
        if seed is not None and (index is not None or choice):
            raise InputError(f"backward of {of}: got seed= and also which number; give one of the two")
        start, path = self.start(of, index, seed), program.path(of)
        read = {base(address) for step in path for _, address in reference.saved_operands(step)}
        missing = read & program.producer.keys() - self.kept.keys()
        refuse_gradients(program, setting.shapes, path, missing, setting.precision)
        with_missing = replace(self, kept=self.kept | self.compute(missing, progress))
        arrays = setting.engine.backward(replace(with_missing.task(path, (), silent), passed=self.passed), of, start)
        frozen_arrays = {address: frozen(array) for address, array in arrays.items()}
        self.gradients = Gradients(self, of, program.reverse(of), frozen_arrays)
        return self.gradients

    def start(self, of: str, index: Sequence[int] | None, seed: Any) -> Array:
        """The gradient to start from: the caller's, or one at one element and zero elsewhere."""
        shape = self.setting.shapes[of]
        if seed is None:
            start = np.zeros(shape)
            start[tuple(index or ())] = 1.0
        else:
            start = np.asarray(numbers(seed, of), np.float64)
            if start.shape != shape:
                raise ShapeError(f"seed has shape {start.shape}, {of} has {shape}; give an array of that shape")
        return self.setting.round(start, self.look(of))

    def passed(self, address: str, gradient: Array) -> Array:
        """What of a value's gradient reaches the step that made it: all of it, except through this run's edits."""
        for each in reversed(self.edits_of(address)):
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
        return explain(self, *located(self.program, self.setting.shapes, address, index, choice))

    def predictions(self, batch: int = 0) -> list[Prediction]:
        """What was expected after every position of one text: token, target, probabilities, logits, loss.

        Raises InputError for a model without logits.
        """
        return predictions(self, batch)

    def split(self, token: int, position: int = -1, batch: int = 0) -> contributions.Split:
        """One logit as the exact sum of what every part of the model added to the stream. Raises AddressError."""
        return contributions.split(self, batch, position, token)

    # --- showing ----------------------------------------------------------------------------------------------

    def explore(self, **settings: Any) -> Any:
        """The page of this run: in a notebook a widget, see `explorer.explore`. Raises InputError."""
        return self.views["explore"](self, **settings)

    def figure(self, what: str, *index: Any, **choice: Any) -> Any:
        """A picture of a value, or of the next token, see `explorer.figure`; it has `save`. Raises InputError."""
        return self.views["figure"](self, what, *index, **choice)

    def report(self, path: Any, views: Any = None, **settings: Any) -> Any:
        """One HTML file that shows chosen values without Python, see `explorer.report`. Raises InputError."""
        return self.views["report"](self, path, views, **settings)


# --- making runs ------------------------------------------------------------------------------------------------


def execute(
    program: Program,
    weights: Weights,
    inputs: dict[str, Array],
    precision: Precision,
    keep: Keep = "all",
    tokens: Tokens | None = None,
    progress: Progress = silent,
    engine: Engine = REFERENCE,
) -> Run:
    """Run a program. keep: "all", or addresses and patterns; logits and losses always stay.

    Raises MemoryRefused, before computing, when what is to be kept would not fit; AddressError for an unknown pattern.
    """
    addresses = to_keep(program, keep)
    setting = Setting(
        program, weights, {name: frozen(array) for name, array in inputs.items()}, precision, addresses, engine=engine
    )
    refuse_too_large(program, setting.shapes, addresses, precision, weights, engine)
    run = Run(replace(setting, tokens=tokens or Tokens()), {})
    run.kept |= run.compute(addresses, progress)
    return run


def to_keep(program: Program, keep: Keep) -> frozenset[str]:
    """The addresses of the values that a run keeps. Raises AddressError for a pattern that fits nothing."""
    if not isinstance(keep, str | Iterable) or not all(isinstance(each, str) for each in keep):
        raise InputError(f"keep is {keep!r}; give 'all', or a list of addresses and patterns")
    patterns = ("*",) if keep == "all" else (keep,) if isinstance(keep, str) else keep
    if any(pattern.startswith("d:") for pattern in patterns):
        raise InputError("keep= is for values; gradients are made, all of them, by run.backward()")
    return frozenset(matches(program, patterns)) & program.producer.keys() | program.producer.keys() & ALWAYS_KEPT
