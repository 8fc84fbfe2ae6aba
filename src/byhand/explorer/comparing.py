"""What an edit did: two scenes side by side, from the first value that differs to what is expected next."""

from __future__ import annotations

from typing import Any

import numpy as np

from byhand.diff import Change, diff
from byhand.errors import InputError
from byhand.explorer.answer import Answer
from byhand.explorer.digits import bits, number
from byhand.explorer.jobs import Job
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.explorer.scene import Scene
from byhand.explorer.session import Session
from byhand.run import Run

Array = np.ndarray[Any, Any]

TOP = 10
LARGEST = 8


@operation("compare")
def compare(session: Session, read: Parameters, job: Job) -> Answer:
    """Scene and other: the values that differ, in program order, and what both expect after a position."""
    scene, other = session.scene(read), session.scene(read, "other")
    before, after = session.run(scene, job), session.run(other, job)
    predicts = "logits" in before.program
    token = read.whole("token", 0, before.program.sizes.get("V", 1) - 1, None)
    position = read.whole("position", -1, before.inputs["tokens"].shape[1] - 1, -1)
    read.all_asked()
    head: dict[str, Any] = {"same": scene.forward == other.forward, **differences(before, after)}
    if predicts:
        head |= outputs(session, scene, other, token, position)
    return Answer(head)


def differences(before: Run, after: Run) -> dict[str, Any]:
    """The values that differ; why there is no telling where the runs cannot be compared value by value."""
    try:
        found = diff(before, after)
    except InputError as error:
        return {"changes": [], "first": None, "largest": [], "reason": str(error), "complete": False}
    kept = before.kept.keys() & after.kept.keys()
    return {
        "changes": [described(each, after) for each in found.changes],
        "first": described(found.first, after) if found.first else None,
        "largest": [described(each, after) for each in found.largest(LARGEST)],
        "reason": None,
        "complete": len(kept) == len(before.program.producer),
    }


def described(change: Change, run: Run) -> dict[str, Any]:
    dtype = run.look(change.address).dtype
    return {
        "address": change.address,
        "index": list(change.index),
        "before": number(dtype.type(change.before)),
        "after": number(dtype.type(change.after)),
        "amount": number(dtype.type(change.amount)),
        "count": change.count,
        "size": change.size,
    }


# --- what comes next ---------------------------------------------------------------------------------------------


def outputs(session: Session, scene: Scene, other: Scene, token: int | None, position: int) -> dict[str, Any]:
    """The most likely tokens of both scenes, how far apart they are, and one token's logits."""
    ends = [end_of(session, each, position) for each in (scene, other)]
    one, two = (wide(session.look(each, "logits")[0, end]) for each, end in zip((scene, other), ends, strict=True))
    chosen = int(np.argmax(one)) if token is None else token
    kept = session.look(scene, "logits").dtype
    return {
        "position": ends[0],
        "token": chosen,
        "token_text": session.run(scene).setting.tokens.text(chosen),
        "before": top(session, scene, ends[0]),
        "after": top(session, other, ends[1]),
        "kl": number(divergence(one, two)),
        "logit": {
            "before": shown(session, scene, "logits", ends[0], chosen),
            "after": shown(session, other, "logits", ends[1], chosen),
            "difference": number(kept.type(two[chosen] - one[chosen])),
            "rank_before": rank(one, chosen),
            "rank_after": rank(two, chosen),
        },
    }


def end_of(session: Session, scene: Scene, position: int) -> int:
    """The position in this scene's text; from its end, if negative. Raises InputError."""
    T = session.run(scene).inputs["tokens"].shape[1]
    if not -T <= position < T:
        raise InputError(f"there is no position {position} in a text of {T} tokens")
    return position % T


def top(session: Session, scene: Scene, position: int) -> list[dict[str, Any]]:
    """The most likely tokens after a position, as stored."""
    logits_V = wide(session.look(scene, "logits")[0, position])
    write = session.run(scene).setting.tokens.text
    return [
        {
            "token": v,
            "text": write(v),
            "probability": shown(session, scene, "probs", position, v),
            "logit": shown(session, scene, "logits", position, v),
        }
        for v in map(int, np.argsort(-logits_V, kind="stable")[:TOP])
    ]


def shown(session: Session, scene: Scene, address: str, position: int, token: int) -> dict[str, Any]:
    """One stored number: its digits, its bits and where it is."""
    value = session.look(scene, address)[0, position, token]
    return {"text": number(value), "bits": bits(value), "address": address, "index": [0, position, token]}


def wide(array: Array) -> Array:
    return array.astype(np.float64)


def rank(logits_V: Array, token: int) -> int:
    """How many tokens are more likely."""
    return int((logits_V > logits_V[token]).sum())


def log_probabilities(logits_V: Array) -> Array:
    """In float64, of logits as they are stored."""
    less_V = wide(logits_V) - logits_V.max()
    return less_V - np.log(np.exp(less_V).sum())


def divergence(before_V: Array, after_V: Array) -> float:
    """Kullback and Leibler's, in nats, of what was expected before from what is expected after."""
    one_V, two_V = log_probabilities(before_V), log_probabilities(after_V)
    with np.errstate(invalid="ignore"):
        return float(max(0.0, np.where(np.exp(one_V) > 0, np.exp(one_V) * (one_V - two_V), 0.0).sum()))
