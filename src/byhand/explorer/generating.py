"""One more token: chosen, written behind the text, and what that makes of the keys and values kept from before."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from byhand.decoding import Decoding
from byhand.errors import InputError
from byhand.explorer.answer import Answer
from byhand.explorer.choosing import asked, drawn
from byhand.explorer.digits import number
from byhand.explorer.jobs import Job
from byhand.explorer.lens import short, word
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.explorer.scene import Scene
from byhand.generate import endings
from byhand.model import Model
from byhand.run import Run

if TYPE_CHECKING:
    from byhand.explorer.session import Session

Array = np.ndarray[Any, Any]


@operation("step")
def step(session: Session, read: Parameters, job: Job) -> Answer:
    """Choose the token after a position and give the scene whose text ends with it; none if the context is full."""
    start, scene, model = perf_counter(), session.scene(read).forward, session.model
    if not continues(model):
        raise InputError(f"{model.name} does not read left to right, so it cannot continue a text")
    what = asked(session, scene, read, job)
    read.all_asked()
    before = shown_tokens(session, scene)[: what.position + 1]
    longer = replace(scene, text=None, tokens=(*before, what.choice.token))
    ends, _ = endings(what.settings, model.program.sizes["V"], model.tokenizer)
    full = len(before) >= model.config.context
    head = {
        "token": word(what.run, what.choice.token),
        "probability": number(what.choice.probability),
        "chance": number(what.choice.chance),
        "drawn": drawn(what),
        "scene": None if full else longer.plain(),
        "stopped": f"the model reads {model.config.context} tokens at most" if full else ends.get(what.choice.token),
        "seconds": short(perf_counter() - start),
    }
    return Answer(head)


def continues(model: Model) -> bool:
    """Whether a model can continue a text."""
    return model.program.inputs["mask"].rule == "causal" and "logits" in model.program


def shown_tokens(session: Session, scene: Scene) -> list[int]:
    """The tokens of a scene's text, before its edits."""
    return list(scene.tokens) if scene.tokens is not None else session.model.token_ids(scene.text or "")[0].tolist()


@operation("cache")
def cache(session: Session, read: Parameters, job: Job) -> Answer:
    """What reading the last token of a text does to the keys and values that generating keeps: the rows of the tokens
    before it, compared bit for bit with what they were, and its own, which is new.
    """
    scene = session.scene(read).forward
    read.all_asked()
    if not continues(session.model):
        raise InputError(f"{session.model.name} does not read left to right, so it keeps nothing for later tokens")
    run = session.run(scene, job)
    decoding = decoding_of(session, run)
    *before, last = run.look("tokens")[0].tolist()
    job.expect(2, "reading with a cache")
    if before:
        decoding.feed([before])
    was = {name: array[:, : len(before)].copy() for name, array in decoding.cache.items()}
    job.step()
    decoding.feed([[last]])
    job.step()
    kept = [kept_rows(run, name, was.get(name), array) for name, array in decoding.cache.items()]
    lasting = [{"address": name, "rows": array.shape[1]} for name, array in decoding.lasting.items()]
    return Answer(
        {"cache": kept, "lasting": lasting, "rows": len(before) + 1, "bytes": sum(each["bytes"] for each in kept)}
    )


def decoding_of(session: Session, run: Run) -> Decoding:
    """What `Model.generate` would read the run's text with, the run's edits in place. Raises InputError."""
    source = run.inputs.get("source.tokens")
    generation = session.model.generate(
        run.look("tokens")[0].tolist(),
        source=None if source is None else source[0].tolist(),
        engine=run.engine,
        dtype=run.dtype,
        edits=[edit for edit in run.edits if edit.address not in run.inputs],
    )
    assert isinstance(generation.decoding, Decoding)
    return generation.decoding


def kept_rows(run: Run, name: str, was: Array | None, now: Array) -> dict[str, Any]:
    """One cache [1, places, G, K] after the last token: how many rows stayed as they were, and how near they are to
    those of the run, which reads the whole text at once.
    """
    address = name.removeprefix("cache.")
    in_run = run.look(address)[0]
    count = len(in_run)
    rows, before = bytes_of(now[0, :count]), bytes_of(was[0]) if was is not None else np.zeros((0, 1), np.uint8)
    same = int((rows[: len(before)] == before).all(axis=1).sum()) if len(before) else 0
    off = np.abs(now[0, :count].astype(np.float64) - in_run.astype(np.float64)).max()
    return {
        "address": address,
        "rows": count,
        "same": same,
        "changed": len(before) - same,
        "new": [len(before), count],
        "bytes": rows.size,
        "off": short(off),
    }


def bytes_of(rows_SGK: Array) -> Array:
    """Each row's bytes: equal bytes are equal bits."""
    return np.ascontiguousarray(rows_SGK).reshape(len(rows_SGK), -1).view(np.uint8)
