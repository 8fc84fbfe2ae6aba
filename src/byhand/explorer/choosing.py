"""The next token: every token of the vocabulary, what each setting leaves of it, the number drawn and where it fell.

A choice is a program of its own (`sampling.program`), so each of its numbers explains like any other number of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from byhand import sampling
from byhand.errors import InputError
from byhand.explorer.answer import Answer
from byhand.explorer.bounds import agrees
from byhand.explorer.digits import bits, number
from byhand.explorer.jobs import Job
from byhand.explorer.lens import logits_shape, short, word
from byhand.explorer.numbers import described
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.explorer.scene import Scene
from byhand.explorer.windows import element_of, known
from byhand.model import Model
from byhand.operators.attention import shares
from byhand.run import Run
from byhand.sampling import Choice, Chooser, Settings

if TYPE_CHECKING:
    from byhand.explorer.session import Session

Array = np.ndarray[Any, Any]

MOST_ROWS, BINS = 400, 48
SETTINGS = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")


@dataclass(frozen=True)
class Asked:
    """Which choice is looked at: after which position of a scene's text, with which settings, and how many numbers were
    drawn for the text before.
    """

    run: Run
    position: int
    settings: Settings
    before: int

    @cached_property
    def choice(self) -> Choice:
        """The choice, as `Model.generate` makes it."""
        logits_V = self.run.look("logits")[0, self.position]
        chooser = Chooser(
            self.settings, sampling.program(self.settings, len(logits_V)), self.run.setting.tokens, index=0
        )
        chooser.numbers.random(self.before)
        return chooser.choose(logits_V, self.run.look("tokens")[0, : self.position + 1].tolist())

    def look(self, address: str) -> Array:
        """A value of the choice, for the whole vocabulary."""
        return self.choice.run.look(address)[0, 0]


def asked(session: Session, scene: Scene, read: Parameters, job: Job) -> Asked:
    """The choice that a request names. begun: how many tokens the text had when it began to be continued."""
    run = session.run(scene.forward, job)
    _, T, _ = logits_shape(run)
    position = read.whole("position", 0, T - 1, T - 1)
    begun = read.whole("begun", 0, T, position + 1)
    return Asked(run, position, read_settings(read.get("settings", {})), max(0, position + 1 - begun))


def read_settings(given: Any) -> Settings:
    """Settings from a request, each of which may be missing or null. Raises InputError."""
    if not isinstance(given, dict):
        raise InputError(f"settings are {given!r:.60}; give an object")
    for name in given:
        if name not in SETTINGS:
            raise InputError(f"settings have no {name!r:.40}; they have: {', '.join(SETTINGS)}")
    return sampling.settings({name: value for name, value in given.items() if value is not None})


@lru_cache(maxsize=2)
def vocabulary(model: Model) -> tuple[str, ...]:
    """The text of every token."""
    V = model.program.sizes["V"]
    return model.tokens.labels(V) or tuple(map(str, range(V)))


def found(model: Model, text: str) -> list[int]:
    """The tokens with this text in them; in quotes, the tokens that are exactly it; after #, the one of this id."""
    if text.startswith("#") and text[1:].isdecimal():
        return [token] if (token := int(text[1:])) < len(vocabulary(model)) else []
    exact = text[1:-1] if len(text) > 2 and text[0] == text[-1] == '"' else None
    return [
        token for token, own in enumerate(vocabulary(model)) if (own == exact if exact is not None else text in own)
    ]


@operation("next")
def next_token(session: Session, read: Parameters, job: Job) -> Answer:
    """Rows of the vocabulary, best first or by id, with what every step of the choice makes of them."""
    what = asked(session, session.scene(read), read, job)
    order = read.text("order", "logit", one_of=("logit", "id"))
    wanted = read.text("find", "")
    logits_V = what.look("logits").astype(np.float64)
    tokens = np.arange(len(logits_V)) if order == "id" else np.argsort(-logits_V, kind="stable")
    if wanted:
        tokens = tokens[np.isin(tokens, found(session.model, wanted))]
    start = read.whole("from", 0, len(logits_V), 0)
    end = read.whole("to", start, len(logits_V), min(start + 40, len(logits_V)))
    read.all_asked()
    choice = what.choice
    at = np.flatnonzero(tokens == choice.token)
    head = {
        "position": what.position,
        "count": len(tokens),
        "vocabulary": len(logits_V),
        "from": start,
        "columns": columns(what),
        "rows": rows(what, tokens[start : min(end, start + MOST_ROWS)].tolist()),
        "chosen": word(what.run, choice.token) | {"place": int(at[0]) if len(at) else None},
        "drawn": drawn(what),
        "left": int(np.count_nonzero(what.look("probs"))),
        "histogram": histogram(logits_V, choice.token),
        "settings": {name: getattr(what.settings, name) for name in SETTINGS},
    }
    return Answer(head)


def columns(what: Asked) -> list[dict[str, Any]]:
    """The values of the choice that hold a number for every token, in order: address, operator, its settings."""
    over = [*what.choice.stages, *(name for name in ("probs", "running") if name in what.choice.program)]
    producer = what.choice.program.producer
    return [
        {
            "address": address,
            "operator": producer[address].operator.name if address in producer else "",
            "settings": {name: value for name, value in producer[address].attributes.items()}
            if address in producer
            else {},
        }
        for address in over
    ]


def rows(what: Asked, tokens: Sequence[int]) -> list[dict[str, Any]]:
    """Each token with its number in every column; of the logits' columns also its probability as they stand there."""
    values = {each["address"]: what.look(each["address"]) for each in columns(what)}
    probs = {stage: shares(values[stage].astype(np.float64)) for stage in what.choice.stages}
    return [
        word(what.run, token)
        | {
            "numbers": {
                address: {"text": number(value_V[token]), "short": short(value_V[token]), "bits": bits(value_V[token])}
                | ({"probability": number(probs[address][token])} if address in probs else {})
                for address, value_V in values.items()
            }
        }
        for token in tokens
    ]


def drawn(what: Asked) -> dict[str, Any]:
    """The uniform number and the stretch of the running sums that it fell into; none where the best token is taken."""
    choice = what.choice
    said = {"explanation": choice.explanation, "before": what.before}
    if choice.uniform is None:
        return said | {"uniform": None}
    running_V = what.look("running")
    low = running_V[choice.token - 1] if choice.token else 0.0
    stretch = {"low": number(low), "high": number(running_V[choice.token])}
    return said | {"uniform": number(choice.uniform), **stretch, "at": choice.uniform}


def histogram(logits_V: Array, token: int) -> dict[str, Any]:
    """How many tokens have logits of which size, and where the chosen one is among them."""
    finite_V = logits_V[np.isfinite(logits_V)]
    counts, edges = np.histogram(finite_V, BINS)
    at = int(np.clip(np.searchsorted(edges, logits_V[token], "right") - 1, 0, BINS - 1))
    return {"counts": counts.tolist(), "edges": [short(edge) for edge in edges], "chosen": at}


@operation("choice-number")
def choice_number(session: Session, read: Parameters, job: Job) -> Answer:
    """One number of a choice taken apart: address and index are those of the choice's own program."""
    what = asked(session, session.scene(read), read, job)
    run = what.choice.run
    address = known(run, read.text("address"))
    index = element_of(read, run, address, run.shape(address))
    each = run.explain(address, index)
    return Answer(described(run, each, agrees(run, each), read))
