"""From what was typed to a model and its run: texts, ids, edits, addresses, and progress while it takes long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import byhand
from byhand.changes import shown
from byhand.cli.arguments import Change, Place, Start, Token, change, ids, place, token_id
from byhand.cli.waiting import waiting
from byhand.errors import InputError
from byhand.model import Model
from byhand.run import Keep, Progress, Run
from byhand.shapes import part, pick
from byhand.tensor import Tensor
from byhand.train import tracing


def tokens_of(model: Model) -> Token:
    """How a token is read for this model. Raises InputError for what is not exactly one token."""

    def read(text: str) -> int:
        if model.tokenizer is None:
            raise InputError(f"{model.name} has no tokenizer, so {text!r} names no token; give its id")
        found = model.tokenizer.encode(text)
        if len(found) != 1:
            raise InputError(f"{text!r} is {len(found)} tokens of {model.name}; name exactly one")
        return found[0]

    return read


def start(asked: Start, text: str | None, keep: Keep = "all", word: str = "TEXT") -> tuple[Model, Run]:
    """The model and its run, without the edits. word: what the text is called in an error. Raises ByhandError."""
    if asked.traced and asked.ids is None and text is None:
        return tracing.read(Path(asked.model), asked.part)
    model = byhand.load(asked.model, seed=asked.seed)
    given, source = texts(asked, model, text, word)
    targets = None if asked.targets is None else [ids(asked.targets, "--targets")]
    with progress(f"running {model.name}", len(model.program)) as tick:
        run = model.run(
            given, source=source, targets=targets, dtype=asked.dtype, engine=asked.engine, keep=keep, progress=tick
        )
    return model, run


def texts(asked: Start, model: Model, text: str | None, word: str) -> tuple[Any, Any]:
    """The text, and the one to translate, each as text or as ids. Raises InputError."""
    translates = "source.tokens" in model.program.inputs
    return (
        given_text(model, text, asked.ids, word, "--ids"),
        given_text(model, asked.source, asked.source_ids, "--source", "--source-ids", needed=translates),
    )


def given_text(model: Model, text: str | None, listed: str | None, word: str, option: str, needed: bool = True) -> Any:
    """The text or the ids that were given, one of the two. Raises InputError."""
    if text is not None and listed is not None:
        raise InputError(f"got both {word} and {option}; give one of them")
    if listed is not None:
        return ids(listed, option)
    if text is None:
        if needed:
            raise InputError(f"{model.name} needs {word} or {option}, such as {option} 0,1,1")
        return None
    if model.tokenizer is None:
        last = model.program.sizes["V"] - 1
        raise InputError(f"{model.name} has no tokenizer; give token ids from 0 to {last}, such as {option} 0,1,1")
    return text


# --- edits, places, gradients -----------------------------------------------------------------------------------


def edited(model: Model, run: Run, edits: list[str]) -> Run:
    """The run with the edits made, in order; the run itself when there are none."""
    for each in changes(model, edits):
        at = each.place
        with progress(f"computing again from {at.address}"):
            run = run.edit(at.address, at.index, **at.choice, **{each.action: each.value})  # type: ignore[arg-type]
    return run


def changes(model: Model, edits: list[str]) -> list[Change]:
    read = tokens_of(model)
    return [change(text, read) for text in edits]


def placed(model: Model, text: str) -> Place:
    return place(text, tokens_of(model))


def part_of(run: Run, at: Place) -> tuple[Tensor, list[range]]:
    """A part of a value, under its name with the index, and the places it has along each axis that is left.

    Raises AddressError outside the array.
    """
    tensor = run[at.address]
    if at.index is None:
        full = pick(tensor.axes, tensor.shape, at.choice, at.address)
    else:
        full = part(tensor.axes, tensor.shape, at.index, at.address)
    places = [range(size)[i] for i, size in zip(full, tensor.shape, strict=True) if isinstance(i, slice)]
    return replace(tensor[full] if full else tensor, address=f"{at.address}{shown(full)}"), places


def read_token(model: Model, text: str) -> int:
    return token_id(text, tokens_of(model))


def differentiate(run: Run, of: Place | None) -> None:
    """Run backward from the loss, or from one number of a value; a traced step of a training has its gradients.

    Raises InputError when there is no loss.
    """
    if of is None and run.gradients is not None:
        return
    if of is None and "loss" not in run.program:
        raise InputError(f"there is no loss to go back from: {way_to_a_loss(run)}, or --of 'ADDR[..]'")
    with progress(f"running {run.program.name} backward") as tick:
        if of is None:
            run.backward(progress=tick)
        else:
            run.backward(of.address, of.index, **of.choice, progress=tick)  # type: ignore[arg-type]


def way_to_a_loss(run: Run) -> str:
    """What to give so that a run has a loss; a model that reads both sides has no next token to be right about."""
    if "logits" not in run.program:
        return "this model has no logits"
    causal = run.program.inputs["mask"].rule == "causal"
    return "give two tokens or more, or --targets" if causal else "give --targets"


# --- waiting ----------------------------------------------------------------------------------------------------


@contextmanager
def progress(what: str, steps: int | None = None) -> Iterator[Progress]:
    """Show which step is being computed; steps: how many calls will come, if known."""
    done = count(1)
    with waiting(what, steps) as update:
        yield lambda step: update(f"{what}: {step.address}", next(done))
