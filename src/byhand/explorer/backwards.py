"""Gradients: of which numbers they can be taken, how large they are where, and the backward program step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from byhand.errors import InputError
from byhand.explorer.answer import Answer
from byhand.explorer.digits import bits, number
from byhand.explorer.jobs import Job
from byhand.explorer.lens import block_of, short, word
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.memory import value_bytes
from byhand.program import BackwardStep
from byhand.run import Run

if TYPE_CHECKING:
    from byhand.explorer.session import Session

Array = np.ndarray[Any, Any]

MOST_POSITIONS, MOST_STEPS = 256, 400


@operation("losses")
def losses(session: Session, read: Parameters, job: Job) -> Answer:
    """The loss, and what each position adds to it: its token, what should come, and the probability that got."""
    run = session.run(session.scene(read).forward, job)
    if "losses" not in run.program:
        raise InputError("this run has no loss: a text of two tokens or more has one, if the model reads left to right")
    losses_T, targets_T, tokens_T = (run.look(name)[0] for name in ("losses", "targets", "tokens"))
    start = read.whole("from", 0, len(losses_T) - 1, 0)
    read.all_asked()
    head = {
        "loss": {"text": number(run.look("loss")[()]), "bits": bits(run.look("loss")[()])},
        "count": len(losses_T),
        "from": start,
        "rows": [
            {
                "position": t,
                "token": word(run, int(tokens_T[t])),
                "target": word(run, int(targets_T[t])) if targets_T[t] >= 0 else None,
                "loss": number(losses_T[t]),
                "bits": bits(losses_T[t]),
                "probability": number(run.look("probs")[0, t, targets_T[t]]) if targets_T[t] >= 0 else None,
            }
            for t in range(start, min(len(losses_T), start + MOST_POSITIONS))
        ],
    }
    return Answer(head)


@operation("gradients")
def gradients(session: Session, read: Parameters, job: Job) -> Answer:
    """How large the gradient of every value and weight is, in program order: its length and its largest number."""
    run = with_gradients(session, read, job)
    read.all_asked()
    made = run.grad.arrays
    return Answer(
        {
            "of": run.grad.of,
            "rows": [sized(run, address, made[address]) for address in run.program.addresses if address in made],
        }
    )


def with_gradients(session: Session, read: Parameters, job: Job) -> Run:
    """The run of a scene that says of what gradients are taken. Raises InputError for one that does not."""
    scene = session.scene(read)
    if scene.gradient is None:
        raise InputError("this scene has no gradients; choose the number of which they are taken")
    return session.run(scene, job)


def sized(run: Run, address: str, gradient: Array) -> dict[str, Any]:
    """One gradient's size and its largest element."""
    flat = gradient.reshape(-1)
    ends = [int(flat.argmax()), int(flat.argmin())] if flat.size else []
    at = max(ends, key=lambda place: abs(float(flat[place])), default=None)
    largest = None if at is None else flat[at]
    return {
        "address": f"d:{address}",
        "kind": "weight" if address in run.program.weights else "value",
        "shape": list(gradient.shape),
        "stream": address == "embed.out" or block_of(address) is not None,
        "length": short(length(flat)),
        "log": log_size(length(flat)),
        "largest": None if largest is None else number(largest),
        "bits": None if largest is None else bits(largest),
        "index": None if at is None else [int(i) for i in np.unravel_index(at, gradient.shape)],
    }


def length(flat: Array) -> float:
    """The length of an array as one vector."""
    return float(np.linalg.norm(flat.astype(np.float32) if flat.dtype.itemsize < 4 else flat))


def log_size(size: float) -> float | None:
    """Of ten, for bars over many magnitudes; None of zero."""
    return float(np.log10(size)) if 0 < size < np.inf else None


@operation("reverse")
def reverse(session: Session, read: Parameters, job: Job) -> Answer:
    """The backward program in order: each step, the gradients it reads and writes, and the saved values it needs."""
    run = with_gradients(session, read, job)
    start = read.whole("from", 0, 1_000_000, 0)
    read.all_asked()
    steps = run.grad.steps
    saved = list(saved_values(run))
    head = {
        "of": run.grad.of,
        "count": len(steps),
        "from": start,
        "steps": [written(run, each) for each in steps[start : start + MOST_STEPS]],
        "saved": saved,
        "bytes": sum(each["bytes"] for each in saved),
    }
    return Answer(head)


def written(run: Run, each: BackwardStep) -> dict[str, Any]:
    """One backward step as the page lists it."""
    return {
        "name": each.name,
        "step": each.step.address if each.step else None,
        "equation": lines(each.step.operator.gradient) if each.step else ["the sum of the parts"],
        "gradients": [address for address in each.reads if address.startswith("d:")],
        "saved": [address for address in each.reads if not address.startswith("d:")],
        "writes": list(each.writes.values()),
    }


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def saved_values(run: Run) -> Iterator[dict[str, Any]]:
    """Each value that the forward run must keep for the backward one, its bytes, and the steps that read it there."""
    readers: dict[str, list[str]] = {}
    for each in run.grad.steps:
        for address in each.step.saved if each.step else ():
            readers.setdefault(address, []).append(each.step.address if each.step else "")
    sizes = value_bytes(run.program, run.setting.shapes, run.setting.precision)
    for address in run.program.addresses:
        if address in readers and address not in run.program.weights:
            size = sizes[address] if address in sizes else run.look(address).nbytes
            yield {"address": address, "bytes": size, "readers": readers[address]}
