"""All attention of a run at once: a small picture and a few measures of every head, and the stages of one layer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isqrt
from typing import Any

import numpy as np

from byhand.errors import InputError
from byhand.explorer.answer import MOST_BYTES, Answer
from byhand.explorer.digits import number
from byhand.explorer.jobs import Job
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.explorer.pooling import factor, pooled
from byhand.explorer.scene import Scene
from byhand.explorer.session import Session
from byhand.operators import from_heads, mask, mix, rotary_halves, rotary_pairs
from byhand.program import Program, Step

Array = np.ndarray[Any, Any]

KINDS = ("self", "cross", "source")
PARTS = ("a", "b", "difference")
SIDE = 64  # the most rows and columns of a small picture
MEASURES = {
    "entropy": "bits, mean over the queries: 0 is one key, 1 two keys alike",
    "first key": "share that the first key gets, mean over the queries",
    "previous token": "share that the token just before gets, mean over the queries that have one",
    "induction": "share of the keys just after an earlier copy of the query's token, mean over the queries with one",
}


@dataclass(frozen=True)
class Stages:
    """The addresses of one attention, in the order they are computed; None where the program has no such step."""

    q: str
    k: str
    v: str
    q_rot: str | None
    k_rot: str | None
    scores: str
    masked: str | None
    weights: str
    heads: str
    out: str | None


def attentions(program: Program) -> dict[str, list[Stages]]:
    """Every attention of a program by kind, first layer first: found by what its steps read, not by their names."""
    found: dict[str, list[Stages]] = {}
    for step in program:
        if step.operator is mix:
            found.setdefault(kind_of(step.address), []).append(stages_of(program, step))
    return {kind: found[kind] for kind in KINDS if kind in found}


def kind_of(address: str) -> str:
    """What asks what: the text itself, the text the source text, or the source text itself."""
    return "source" if address.startswith("source.") else "cross" if ".cross." in address else "self"


def stages_of(program: Program, mixing: Step) -> Stages:
    weights, v = read_by(mixing)
    before = read_by(program.producer[weights])[0]
    masking = program.producer[before]
    masked = before if masking.operator is mask else None
    scores = read_by(masking)[0] if masked else before
    q, k = read_by(program.producer[scores])
    plain_q, plain_k = (unturned(program, each) for each in (q, k))
    out = (step.address for step in program.readers(mixing.address) if step.operator is from_heads)
    return Stages(
        q=plain_q,
        k=plain_k,
        v=v,
        q_rot=q if q != plain_q else None,
        k_rot=k if k != plain_k else None,
        scores=scores,
        masked=masked,
        weights=weights,
        heads=mixing.address,
        out=next(out, None),
    )


def read_by(step: Step) -> list[str]:
    return [read for read in step.reads if read is not None]


def unturned(program: Program, address: str) -> str:
    """What a rotary step turned; the value itself where none did."""
    step = program.producer.get(address)
    return read_by(step)[0] if step and step.operator in (rotary_pairs, rotary_halves) else address


def attention_of(session: Session, scene: Scene, kind: str, job: Job) -> list[Stages]:
    """The attention of one kind. Raises InputError when the model has none."""
    program = session.run(scene, job).program
    found = attentions(program)
    if kind not in found:
        raise InputError(f"{program.name} has no {kind} attention; it has: {', '.join(found) or 'none'}")
    return found[kind]


# --- every head --------------------------------------------------------------------------------------------------


@operation("heads")
def heads(session: Session, read: Parameters, job: Job) -> Answer:
    """A picture and the measures of every head of one kind, in one answer."""
    scene, kind = session.scene(read), read.text("kind", "self", one_of=KINDS)
    part = read.text("part", "a", one_of=PARTS)
    other = session.scene(read, "other") if part != "a" or "other" in read.given else scene
    read.all_asked()
    shown = {"a": [scene], "b": [other], "difference": [other, scene]}[part]
    layers, run = attention_of(session, scene, kind, job), session.run(shown[0], job)
    _, H, T, S = run.shape(layers[0].weights)
    job.expect(len(layers) * H, "looking at heads")
    maps, measured = zip(*(layer_of(session, shown, stages, len(layers), job) for stages in layers), strict=True)
    measures_LH = {name: np.array([each[name] for each in measured]) for name in measured[0]}
    head = {
        "kind": kind,
        "kinds": list(attentions(run.program)),
        "layers": len(layers),
        "heads": H,
        "groups": run.shape(layers[0].k)[2],
        "T": T,
        "S": S,
        "factor": list(factors(len(layers), H, T, S)),
        "addresses": [stages.weights for stages in layers],
        "labels": run.labels(layers[0].weights),
        "meanings": {name: MEASURES[name] for name in measures_LH},
        "measures": {name: texts(array) for name, array in measures_LH.items()},
        "ends": [number(np.min(maps)), number(np.max(maps))],
    }
    return Answer(head, {"maps": np.stack(maps), **measures_LH})


def layer_of(
    session: Session, shown: list[Scene], stages: Stages, layers: int, job: Job
) -> tuple[Array, dict[str, Array]]:
    """The pooled pictures [H,h,w] and the measures [H] of one layer; of two scenes the first less the second."""
    arrays = [session.look(scene, stages.weights, job)[0] for scene in shown]
    if len({array.shape for array in arrays}) > 1:
        sizes = " and ".join(str(each.shape[1:]) for each in arrays[::-1])
        raise InputError(f"the weights of A and B are {sizes} numbers; compare texts of equal length")
    copies = [copied(tokens_of(session, scene, stages.weights)) for scene in shown]
    blocks = factors(layers, *arrays[0].shape)
    pictures, found = [], []
    for one_head in zip(*arrays, strict=True):  # one at a time, so that little memory is touched
        wide = [weights_TS.astype(np.float64) for weights_TS in one_head]
        pictures.append(pooled(wide[0] if len(wide) == 1 else wide[0] - wide[1], blocks, "mean"))
        each = [measures(weights_TS, copy_TS) for weights_TS, copy_TS in zip(wide, copies, strict=True)]
        found.append(each[0] if len(each) == 1 else {name: each[0][name] - each[1][name] for name in each[0]})
        job.step()
    return np.stack(pictures), {name: np.array([head[name] for head in found]) for name in found[0]}


def tokens_of(session: Session, scene: Scene, weights: str) -> Array | None:
    """The tokens of both axes; None where queries and keys are of different texts."""
    kind = kind_of(weights)
    return None if kind == "cross" else session.run(scene).inputs["source.tokens" if kind == "source" else "tokens"][0]


def factors(layers: int, H: int, T: int, S: int) -> tuple[int, int]:
    """How many queries and keys become one cell, so that all pictures fit into one answer."""
    side = max(1, min(SIDE, isqrt(MOST_BYTES // (5 * layers * H))))
    return factor(T, side), factor(S, side)


def copied(tokens_T: Array | None) -> Array | None:
    """For every query [T,S] which keys come just after an earlier copy of its token; None where the texts differ."""
    if tokens_T is None:
        return None
    after_TS = np.zeros((len(tokens_T), len(tokens_T)), bool)
    after_TS[:, 1:] = np.tril(tokens_T[:, None] == tokens_T, -1)[:, :-1]
    return after_TS


def measures(weights_TS: Array, copied_TS: Array | None) -> dict[str, float]:
    """What kind of head it is; NaN where a measure does not apply. copied: see `copied`."""
    some = weights_TS[weights_TS > 0]
    entropy = -float((some * np.log2(some)).sum()) / len(weights_TS)
    found = {"entropy": max(0.0, entropy), "first key": float(weights_TS[:, 0].mean())}
    if copied_TS is None:
        return found
    previous_T, asking_T = np.diagonal(weights_TS, -1), copied_TS.any(-1)
    read = float(weights_TS[copied_TS].sum())
    return found | {
        "previous token": float(previous_T.mean()) if previous_T.size else np.nan,
        "induction": read / int(asking_T.sum()) if asking_T.any() else np.nan,
    }


def texts(array_LH: Array) -> list[list[str]]:
    return [["" if np.isnan(each) else f"{each:.3f}" for each in row] for row in array_LH]


# --- one layer -----------------------------------------------------------------------------------------------------


@operation("stages")
def stages(session: Session, read: Parameters, job: Job) -> Answer:
    """Where the values of one layer's attention are."""
    scene, kind = session.scene(read), read.text("kind", "self", one_of=KINDS)
    layers = attention_of(session, scene, kind, job)
    layer = read.whole("layer", 0, len(layers) - 1)
    read.all_asked()
    run = session.run(scene, job)
    found = layers[layer]
    (_, H, T, S), (_, _, G, K) = run.shape(found.weights), run.shape(found.k)
    head = {
        "addresses": asdict(found),
        "layer": layer,
        "kind": kind,
        "scale": f"1/√{K} = {number(K**-0.5)}",
        **{"H": H, "G": G, "K": K, "T": T, "S": S},
        "group_of": [h // (H // G) for h in range(H)],
        "labels": run.labels(found.weights),
        "hidden": hidden(run.look(read_by(run.program.producer[found.masked])[1])[0]) if found.masked else [],
    }
    return Answer(head)


def hidden(allowed_TS: Array) -> list[list[list[int]]]:
    """For every query the keys it may not see, as runs [from, to)."""
    found = []
    for row in allowed_TS.astype(bool):
        edges = np.flatnonzero(np.diff(np.concatenate(([True], row, [True]))))
        found.append(edges.reshape(-1, 2).tolist())
    return found
