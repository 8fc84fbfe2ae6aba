"""The model, a text as tokens, a scene's run; and how far a request is."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from time import perf_counter
from typing import Any

import numpy as np

from byhand.checkpoints.files.quantized import Quantized
from byhand.explorer.answer import Answer
from byhand.explorer.digits import number
from byhand.explorer.jobs import Job
from byhand.explorer.operations import operation
from byhand.explorer.outline import in_order
from byhand.explorer.parameters import Parameters
from byhand.explorer.pythoning import python_of
from byhand.explorer.scene import DTYPES, limited
from byhand.explorer.session import Session
from byhand.program import Program
from byhand.run import Run


@operation("model")
def model(session: Session, read: Parameters, job: Job) -> Answer:
    """What is explored."""
    of = session.model
    program = of.program
    in_blocks = any(isinstance(each, Quantized) for each in of.weights.sources.values())
    head = {
        "name": of.name,
        "family": of.family.__name__.rpartition(".")[2],
        "parameters": of.parameters,
        "sizes": program.sizes,
        "vocabulary": program.sizes.get("V"),
        "context": of.config.context,
        "dtypes": [each for each in DTYPES if each != "int8" or in_blocks],
        "causal": program.inputs["mask"].rule == "causal",
        "has_tokenizer": of.tokenizer is not None,
        "has_source": "source.tokens" in program.inputs,
        "encoder_only": "logits" not in program or program.inputs["mask"].rule != "causal",
        "first": session.first and session.first.plain(),
        "version": version("byhand"),
    }
    return Answer(head)


@operation("tokenize")
def tokenize(session: Session, read: Parameters, job: Job) -> Answer:
    """A text as the tokens that the model would read."""
    text = limited(read.text("text"), "text")
    return Answer({"tokens": tokens(session, session.model.token_ids(text or "")[0])})


def tokens(session: Session, ids: Sequence[Any] | np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    """Token ids with their texts."""
    write = session.model.tokens.text
    return [{"id": int(each), "text": write(int(each))} for each in ids]


@operation("run")
def run(session: Session, read: Parameters, job: Job) -> Answer:
    """Make a scene's run, or find it; what it is, and what its last edit touched."""
    scene = session.scene(read)
    start = perf_counter()
    made = session.run(scene, job)
    program = made.program
    touched = touched_by(made)
    seconds = perf_counter() - start
    source = made.inputs.get("source.tokens")
    head = {
        "id": scene.key,
        "tokens": tokens(session, made.inputs["tokens"][0]),
        "source_tokens": None if source is None else tokens(session, source[0]),
        "seconds": round(seconds, 6),
        "kept": len(made.kept),
        "values": len(program.producer),
        "bytes": sum(each.nbytes for each in made.kept.values()),
        "keeps_all": len(made.kept) == len(program.producer),
        "loss": loss_of(made),
        "changes": [str(edit) for edit in made.edits],
        "python": python_of(session, scene),
        "touched": touched,
        "from_step": first_step(program, touched),
        "steps_done": job.done,
    }
    return Answer(head)


def loss_of(run: Run) -> str | None:
    return number(run.look("loss")[()]) if "loss" in run.program else None


def touched_by(run: Run) -> list[str]:
    """What depends on the last edit, that value first, in the order of the program; nothing without edits."""
    if not run.edits:
        return []
    touched = run.program.dependents(run.edits[-1].address)
    return [address for address in in_order(run.program) if address in touched]


def first_step(program: Program, touched: Sequence[str]) -> int:
    """The place in the program of the first step that an edit touches; the program's length where it touches none."""
    written = set(touched)
    return next((i for i, step in enumerate(program) if written.intersection(step.writes.values())), len(program))


@operation("progress")
def progress(session: Session, read: Parameters, job: Job) -> Answer:
    """How far another request is."""
    other = session.jobs.find(read.text("of"))
    if other is None:
        return Answer({"running": False, "done": 0, "total": 0, "doing": ""})
    return Answer({"running": True, "done": other.done, "total": other.total, "doing": other.doing})


@operation("cancel")
def cancel(session: Session, read: Parameters, job: Job) -> Answer:
    """Stop another request; it ends before its next step."""
    other = session.jobs.find(read.text("of"))
    if other is not None:
        other.stop.set()
    return Answer({"stopped": other is not None})
