"""What a conversion did to a model: how each weight is stored, how far its numbers moved, and what the model lost.

The new file is read back and held against the model it was made from, so the report is of what was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf, prod, sqrt
from typing import Any, NamedTuple

import numpy as np

from byhand.checkpoints.blocks import axes_in_blocks, row_of, why_not
from byhand.checkpoints.files.quantized import Quantized, dequantized
from byhand.compare.order import in_order_of
from byhand.errors import InputError
from byhand.layouts.layout import placed
from byhand.model import Model
from byhand.weights import AT_ONCE, Weights

Array = np.ndarray[Any, Any]
Told = Callable[[str, float], None]  # what is being looked at, and how much of all is done

LENGTH, MOST = 256, 1024  # tokens of a text that are run at once, and in all
WRITTEN = 64  # tokens that a model writes where no text is given


def unseen(what: str, done: float) -> None:
    """The progress nobody watches."""


class Weight(NamedTuple):
    """One weight. stored: Q8_0, float32, ...; before, after: its bytes; relative: the rms of what it moved by as a
    share of its own rms; largest: the most that a number moved by; why: it is not in blocks, where others are.
    """

    address: str
    stored: str
    before: int
    after: int
    relative: float
    largest: float
    why: str = ""


class Effect(NamedTuple):
    """What a model's answer changed by. what: "loss", or an address for a model that has none; before, after: the loss,
    else the largest number of the answer and the most that one moved by; tokens: that were read; text: whose they are.
    """

    what: str
    before: float
    after: float
    tokens: int
    text: str

    @property
    def relative(self) -> float:
        """The change of the loss, or of the answer, as a share of what it was."""
        change = self.after - self.before if self.what == "loss" else self.after
        return change / self.before if self.before else 0.0


@dataclass(frozen=True)
class Conversion:
    """Every weight that both models have, and the effect, None where it was not asked for."""

    weights: tuple[Weight, ...]
    effect: Effect | None

    @property
    def exact(self) -> bool:
        return all(each.largest == 0 for each in self.weights)


def conversion(
    before: Model,
    after: Model,
    text: Any = None,
    *,
    effect: bool = True,
    seed: int = 0,
    engine: str | None = None,
    known: Conversion | None = None,
    progress: Told = unseen,
) -> Conversion:
    """Hold a converted model against the one it was made from.

    text: what the loss is of, a text or ids; None for tokens that the model writes itself, chosen with the seed, or for
    random ones where it does not read left to right. effect: whether to run the models, and engine: on which; known:
    the weights, where they were compared before. Raises InputError for a text that is too short, and what a run raises.
    """
    weights = known.weights if known else tuple(changes(before, after, progress))
    if not effect:
        return Conversion(weights, None)
    given: dict[str, Any] = {"engine": engine}
    if "source.tokens" in before.program.inputs:
        given["source"] = random_ids(before, seed + 1)
    return Conversion(weights, effect_of((before, after), text, seed, given, progress))


# --- weights --------------------------------------------------------------------------------------------------------


def changes(before: Model, after: Model, progress: Told = unseen) -> Iterator[Weight]:
    """What became of each weight that both have in the same shape."""
    moved = in_order_of(after, before) or after
    some = any(isinstance(each, Quantized) for each in after.weights.sources.values())
    common = [address for address in before.weights if address in moved.weights]
    sizes = before.program.shapes()
    for place, address in enumerate(common):
        progress(f"comparing {address}", place / len(common))
        if moved.program.shapes()[address] == sizes[address]:
            why = why_not(before.program, address) if some else ""
            yield Weight(
                address,
                kind_of(after.weights, address),
                bytes_of(before.weights, address, prod(sizes[address])),
                bytes_of(after.weights, address, prod(sizes[address])),
                *moved_by(before, moved, address),
                why=why,
            )


def kind_of(weights: Weights, address: str) -> str:
    source = weights.sources[address]
    return source.kind if isinstance(source, Quantized) else weights.dtype(address).name


def bytes_of(weights: Weights, address: str, count: int) -> int:
    """The bytes that a weight takes where it is stored."""
    source = weights.sources[address]
    return source.blocks.nbytes if isinstance(source, Quantized) else count * weights.dtype(address).itemsize


def moved_by(before: Model, after: Model, address: str) -> tuple[float, float]:
    """The rms of the difference over the rms of the weight, and the largest difference, some rows at a time."""
    ways = [rows_of(each, address) for each in (before, after)]
    count, columns = ways[0].shape
    step = max(1, AT_ONCE // columns)
    squares = total = largest = 0.0
    for start in range(0, count, step):
        old, new = (way.take(slice(start, start + step)) for way in ways)
        wide = np.float64 if np.float64 in (old.dtype, new.dtype) else np.float32
        old, new = (np.ascontiguousarray(each, wide).ravel() for each in (old, new))
        apart = new - old
        squares += float(apart @ apart)
        total += float(old @ old)
        largest = max(largest, float(np.abs(apart).max()))
    if not squares:
        return 0.0, largest
    return (sqrt(squares / total) if total else inf), largest


class Rows(NamedTuple):
    """A weight as a matrix. take: gives a slice of its rows."""

    shape: tuple[int, int]
    take: Callable[[slice], Array]


def rows_of(model: Model, address: str) -> Rows:
    """A weight as it lies in blocks, a row for each output; others with their first axis as rows."""
    source, axes = model.weights.sources[address], axes_in_blocks(model.program).get(address)
    size = model.program.shapes()[address]
    if isinstance(source, Quantized) and axes == source.axes:
        rows = len(source.blocks)
        return Rows((rows, prod(size) // rows), lambda part: dequantized(source.kind, source.blocks[part]))
    whole = model.weights[address]
    if axes is None:
        matrix = whole.reshape(len(whole), -1)
    else:
        matrix = placed(row_of(address, axes), lambda _: whole, model.program, address)
    return Rows(matrix.shape, matrix.__getitem__)


# --- the effect -----------------------------------------------------------------------------------------------------


def effect_of(
    models: tuple[Model, Model], text: Any, seed: int, given: dict[str, Any], progress: Told = unseen
) -> Effect:
    """The loss of both on one text; for a model that does not read left to right, how far its answer moved."""
    before, program = models[0], models[0].program
    if program.inputs["mask"].rule != "causal" or "logits" not in program:
        ids = random_ids(before, seed) if text is None else before.token_ids(text)[0].tolist()
        return answer(models, ids, "chosen at random" if text is None else "of the given text", given)
    if text is None:
        ids, whose = written(before, seed, given, progress), "written by the model itself"
    else:
        ids, whose = before.token_ids(text, most=inf)[0].tolist()[:MOST], "of the given text"
    if len(ids) < 2:
        raise InputError(f"the text has {len(ids)} tokens; a loss needs two or more")
    losses = []
    for place, model in enumerate(models):
        share = 0.2 + 0.4 * place
        losses.append(loss(model, ids, given, lambda what, done, share=share: progress(what, share + 0.4 * done)))
    return Effect("loss", losses[0], losses[1], len(ids), whose)


def written(model: Model, seed: int, given: dict[str, Any], progress: Told) -> list[int]:
    """Tokens that the model writes from what its texts begin with, chosen as likely as it finds them."""
    start = [*(model.tokenizer.begin if model.tokenizer else ())] or [0]
    most = min(WRITTEN, model.config.context - len(start))
    writing = model.generate(start, max_tokens=most, temperature=1.0, seed=seed, stop_at_end=False, **given)
    for place, _ in enumerate(writing):
        progress("writing a text", 0.2 * place / most)
    return [*start, *writing.tokens]


def random_ids(model: Model, seed: int) -> list[int]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, model.program.sizes["V"], min(WRITTEN, model.config.context)).tolist()


def loss(model: Model, ids: Sequence[int], given: dict[str, Any], progress: Told = unseen) -> float:
    """The mean loss over a text, in pieces that the model can read; each predicts all of its tokens but the first."""
    length = min(LENGTH, model.config.context)
    pieces = [ids[start : start + length] for start in range(0, len(ids), length)]
    total = count = 0
    for place, piece in enumerate(piece for piece in pieces if len(piece) > 1):
        progress(f"the loss of {model.name}", place / len(pieces))
        total += float(model.run(piece, keep=["loss"], **given).look("loss")) * (len(piece) - 1)
        count += len(piece) - 1
    return total / count


def answer(models: tuple[Model, Model], ids: Sequence[int], whose: str, given: dict[str, Any]) -> Effect:
    """How far the last value moved."""
    program = models[0].program
    address = "logits" if "logits" in program else program.steps[-1].address
    old, new = (each.run(ids, keep=[address], **given).look(address).astype(np.float64) for each in models)
    return Effect(address, float(np.abs(old).max()), float(np.abs(new - old).max()), len(ids), whose)
