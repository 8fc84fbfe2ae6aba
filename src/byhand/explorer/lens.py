"""The stream looked at as if the model ended early, and one logit as the sum of what every part added to it.

The lens reads each layer's stream with the model's own end, the same steps and weights that read the last one
(nostalgebraist 2020, "interpreting GPT: the logit lens"); its last row is therefore the real logits, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from byhand.addresses import known
from byhand.arithmetic import exact_sum
from byhand.engines import Steps, silent
from byhand.errors import InputError
from byhand.explanation import ulps
from byhand.explorer.answer import Answer
from byhand.explorer.digits import bits, number
from byhand.explorer.jobs import Job
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.explorer.scene import Scene
from byhand.program import Program, Step
from byhand.run import Run
from byhand.shapes import Shape

if TYPE_CHECKING:
    from byhand.explorer.session import Session

Array = np.ndarray[Any, Any]

MOST_POSITIONS, MOST_TOP = 256, 5
NORMS = ("layer_norm", "rms_norm")
READ = ("logits", "probs")

POST_NORM = (
    "Every block of this model ends with a norm of its own, so its stream is no growing sum: each block scales it, "
    "and only the last was trained to be read. A row says what the model's end would read there, no more."
)
NO_SUM = (
    "Between this model's stream and its logits stands a step that is no sum, so what the blocks added cannot be told "
    "apart: its result is one part."
)
PRE_NORM = "A row says what the model would expect if it ended there: its own end reads the stream of that layer."


@dataclass(frozen=True)
class Readout:
    """How a model reads its logits off its stream. rows: where the stream stands, from the embedding to the last block;
    steps: from there to the logits.
    """

    rows: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def last(self) -> str:
        return self.rows[-1]


def readout(program: Program) -> Readout:
    """Raises InputError for a program without logits, and where more than the stream is needed for them."""
    if "logits" not in program.producer:
        raise InputError(f"{program.name} has no logits, so there is nothing to read its stream with")
    blocks = sorted((place, address) for address in program.producer if (place := block_of(address)) is not None)
    if not blocks:
        raise InputError(f"{program.name} has no blocks.0.out, so it is not known where its stream stands")
    last = blocks[-1][1]
    targets = [name for name in READ if name in program.producer]
    steps = program.needed(targets, lambda address: address == last)
    if any(step.address == last or is_input(program, step) for step in steps):
        raise InputError(f"the logits of {program.name} are read from more than {last}, so no other stream fits there")
    embedded = [name for name in ("embed.out",) if name in program.producer]
    return Readout((*embedded, *(address for _, address in blocks)), tuple(steps))


def word(run: Run, token: int) -> dict[str, Any]:
    """A token as the page names it."""
    return {"id": token, "text": run.setting.tokens.text(token)}


def short(value: float) -> str:
    """Six digits of a number that no run stores."""
    return f"{value:.6g}"


def block_of(address: str) -> int | None:
    """The block whose result this is."""
    first, _, rest = address.partition(".")
    number, _, name = rest.partition(".")
    return int(number) if first == "blocks" and name == "out" and number.isdigit() else None


def is_input(program: Program, step: Step) -> bool:
    return any(read in program.inputs for read in step.reads)


def read(run: Run, how: Readout, stream_BTD: Array, start: int, end: int) -> dict[str, Array]:
    """The logits and probabilities that the model's end reads off a stream, for positions from start to end."""
    edited = any(edit.address == step.address for step in how.steps for edit in run.edits)
    # an edit of the end says where in the whole text it holds; else each position stands alone
    window = slice(None) if edited else slice(start, end)
    piece_BTD = np.ascontiguousarray(stream_BTD[:, window])
    B, T, _ = piece_BTD.shape
    shapes = run.program.shapes(B, T)
    task = replace(
        run.task(Steps.of(run.program, how.steps), [name for name in READ if name in run.program.producer], silent),
        look=lambda address: piece_BTD if address == how.last else run.look(address),
        shapes=lambda: shapes,
    )
    made = run.setting.engine.forward(task)
    return {name: array[0, start:end] if edited else array[0] for name, array in made.items()}


@dataclass(frozen=True)
class Looked:
    """One row of the lens. best: the most likely tokens [T, most]; their logits and probabilities beside them; rank,
    logit and chance of the chosen token [T], if one was chosen.
    """

    best: Array
    logits: Array
    probs: Array
    rank: Array | None
    logit: Array | None
    chance: Array | None


def looked(made: dict[str, Array], token: int | None, most: int) -> Looked:
    """What is shown of a row's logits [T,V] and probabilities."""
    logits_TV, probs_TV = made["logits"], made["probs"]
    best = largest(logits_TV, most)
    found = Looked(
        best, np.take_along_axis(logits_TV, best, -1), np.take_along_axis(probs_TV, best, -1), None, None, None
    )
    if token is None:
        return found
    own = logits_TV[:, token, None]
    rank = (logits_TV > own).sum(-1) + (logits_TV[:, :token] == own).sum(-1)
    return replace(found, rank=rank, logit=own[:, 0], chance=probs_TV[:, token])


def largest(logits_TV: Array, most: int) -> Array:
    """The tokens with the largest logits, best first; of equal ones the smaller id. Sorting all would take long."""
    left_TV = logits_TV.astype(np.float32) if logits_TV.dtype.itemsize < 4 else logits_TV
    found = [left_TV.argmax(-1)]
    while len(found) < most:
        left_TV = left_TV if left_TV.flags.writeable and len(found) > 1 else left_TV.copy()
        np.put_along_axis(left_TV, found[-1][:, None], -np.inf, -1)
        found.append(left_TV.argmax(-1))
    return np.stack(found, axis=-1)


@operation("lens")
def lens(session: Session, read_from: Parameters, job: Job) -> Answer:
    """What the model's end reads off the stream of every layer, at positions from `from` to `to`.

    token: the one whose rank is told, or that which is expected after `position`.
    """
    scene = session.scene(read_from)
    run = session.run(scene.forward, job)
    how = readout(run.program)
    _, T, V = run.shape("logits")
    start = read_from.whole("from", 0, T - 1, 0)
    end = read_from.whole("to", start + 1, T, min(T, start + MOST_POSITIONS))
    token, position = read_from.whole("token", 0, V - 1, None), read_from.whole("position", 0, T - 1, None)
    if token is None and position is not None:
        token = int(run.look("logits")[0, position].astype(np.float64).argmax())
    most = read_from.whole("most", 1, min(MOST_TOP, V), 1)
    read_from.all_asked()
    end = min(end, start + MOST_POSITIONS)
    rows = list(every_row(session, scene.forward, how, (start, end, token, most), job))
    head = {
        "layers": list(how.rows),
        "readout": [step.address for step in how.steps],
        "note": POST_NORM if run.program.producer[how.last].operator.name in NORMS else PRE_NORM,
        "from": start,
        "to": end,
        "count": T,
        "tokens": [word(run, int(each)) for each in run.look("tokens")[0, start:end]],
        "token": None if token is None else word(run, token),
        "top": [top(run, row) for row, _ in rows],
        "norms": [[short(each) for each in norm_T] for _, norm_T in rows],
        "chosen": None if token is None else [chosen(row) for row, _ in rows],
    }
    arrays = {
        "probability": np.array([row.probs[:, 0] for row, _ in rows], np.float32),
        "norms": np.array([norm_T for _, norm_T in rows], np.float32),
    }
    return Answer(head, arrays)


def every_row(
    session: Session, scene: Scene, how: Readout, what: tuple[int, int, int | None, int], job: Job
) -> Iterator[tuple[Looked, Array]]:
    """Each row of the lens and the lengths of the stream's vectors there."""
    start, end, token, most = what
    run = session.run(scene, job)
    job.expect(len(how.rows), "lens")
    for address in how.rows:
        stream_BTD = session.look(scene, address, job)
        made = read(run, how, stream_BTD, start, end)
        yield looked(made, token, most), np.linalg.norm(stream_BTD[0, start:end].astype(np.float64), axis=-1)
        job.step()


def top(run: Run, row: Looked) -> list[list[dict[str, Any]]]:
    """For each position the most likely tokens."""
    return [
        [
            word(run, int(token)) | {"logit": number(logit), "bits": bits(logit), "probability": number(prob)}
            for token, logit, prob in zip(*each, strict=True)
        ]
        for each in zip(row.best, row.logits, row.probs, strict=True)
    ]


def chosen(row: Looked) -> list[dict[str, Any]]:
    """For each position where the chosen token stands: rank 0 is the most likely."""
    assert row.rank is not None and row.logit is not None and row.chance is not None
    return [
        {"rank": int(rank), "logit": number(logit), "bits": bits(logit), "probability": number(chance)}
        for rank, logit, chance in zip(row.rank, row.logit, row.chance, strict=True)
    ]


@operation("split")
def split(session: Session, read_from: Parameters, job: Job) -> Answer:
    """One logit as the sum of what every part of the model added to the stream, and how far from it the sum is."""
    scene = session.scene(read_from).forward
    run = session.run(scene, job)
    _, T, V = logits_shape(run)
    token, position = read_from.whole("token", 0, V - 1), read_from.whole("position", 0, T - 1, T - 1)
    read_from.all_asked()
    found = run.split(token, position)
    stored = run.look("logits")[found.index]
    head = {
        "token": word(run, token),
        "position": position,
        "address": found.address,
        "index": list(found.index),
        "parts": listed(run, found.parts),
        "blocks": listed(run, by_block(found.parts)),
        "total": number(found.total),
        "stored": {"text": number(stored), "bits": bits(stored), "dtype": stored.dtype.name},
        "error": short(abs(found.total - float(stored))),
        "ulp": short(ulps(float(stored), found.total, run.dtype)),
        "held": [held(run, address, position) for address in norms(run.program)],
        "note": "" if any(name.startswith(("blocks.", "logits")) for name in found.parts) else NO_SUM,
    }
    return Answer(head)


def logits_shape(run: Run) -> Shape:
    """Raises InputError where there are none."""
    if "logits" not in run.program:
        raise InputError(f"{run.program.name} has no logits; it stops at {run.program.steps[-1].address}")
    return run.shape("logits")


def listed(run: Run, parts: Mapping[str, float]) -> list[dict[str, Any]]:
    """Every part with its share of all sizes, with its sign, and the sum as far as it."""
    sizes, values = exact_sum([abs(value) for value in parts.values()]) or 1.0, list(parts.values())
    return [
        {
            "name": name,
            "address": name.split(" ")[0] if known(run.program, name.split(" ")[0]) else None,
            "head": int(name.rpartition(" head ")[2]) if " head " in name else None,
            "value": number(value),
            "short": short(value),
            "share": value / sizes,
            "running": short(exact_sum(values[: place + 1])),
        }
        for place, (name, value) in enumerate(parts.items())
    ]


def by_block(parts: Mapping[str, float]) -> dict[str, float]:
    """The parts added up: the embedding, every block's attention and feed-forward, what comes after them."""
    groups: dict[str, list[float]] = {}
    for name, value in parts.items():
        words = name.split(" ")[0].split(".")
        groups.setdefault(".".join(words[:3] if words[0] == "blocks" else words[:1]), []).append(value)
    return {name: exact_sum(values) for name, values in groups.items()}


def norms(program: Program) -> list[str]:
    """The norms whose scale the split holds at its value, in program order."""
    waiting, found = [program.producer["logits"].names["x"]], set[str]()
    while waiting:
        step = program.producer.get(waiting.pop())
        if step is None or step.operator.name not in (*NORMS, "add", "scale"):
            continue
        if step.operator.name in NORMS:
            found.add(step.address)
        waiting += [step.names[name] for name in ("x", "y") if name in step.names]
    return [address for address in program.producer if address in found]


def held(run: Run, address: str, position: int) -> dict[str, Any]:
    """One norm's scale at a position: where it stands, and its digits."""
    scale = run.program.producer[address].writes["rstd"]
    return {"norm": address, "address": scale, "index": [0, position], "text": number(run.look(scale)[0, position])}
