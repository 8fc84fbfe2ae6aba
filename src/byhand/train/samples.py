"""What a model says by now: a text gone on with, a source answered, or hidden words guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from byhand.errors import InputError
from byhand.inputs import NO_TARGET
from byhand.model import Model
from byhand.train.settings import Settings

Array = np.ndarray[Any, Any]
MOST, BEGINNING = 80, 4  # tokens that are added, and those of the text that it begins with
TEMPERATURE = 0.8
SOURCES = 3


def sample(model: Model, settings: Settings, batch: Mapping[str, Array]) -> str:
    """Some text, by the objective; "" where there is no tokenizer. batch: some that is held back, to begin from."""
    if model.tokenizer is None:
        return ""
    ways = {"causal": continued, "translation": translated, "masked": guessed}
    return ways[str(settings.objective)](model, settings, batch)


def continued(model: Model, settings: Settings, batch: Mapping[str, Array]) -> str:
    """A text that goes on from the prompt, or from the first tokens of one that is held back."""
    ids = prompt(model, settings) or batch["tokens"][0, :BEGINNING].tolist()
    most = min(MOST, model.config.context - len(ids))
    made = model.generate(ids, max_tokens=most, temperature=TEMPERATURE, seed=settings.seed, **computed(settings))
    return text_of(model, [*ids, *made.finish().tokens])


def translated(model: Model, settings: Settings, batch: Mapping[str, Array]) -> str:
    """Some source texts, each with the answer that is likeliest token by token."""
    lines = []
    for source, target in zip(batch["source.tokens"][:SOURCES], batch["tokens"][:SOURCES], strict=True):
        real = source[: np.flatnonzero(batch["source.mask"][len(lines)])[-1] + 1] if "source.mask" in batch else source
        most = min(2 * len(real) + 2, model.config.context - 1)
        made = model.generate([int(target[0])], source=[real.tolist()], max_tokens=most, **computed(settings))
        lines.append(f"{text_of(model, real)} → {text_of(model, made.finish().tokens)}")
    return "\n".join(lines)


def guessed(model: Model, settings: Settings, batch: Mapping[str, Array]) -> str:
    """A text with hidden words, the guesses in brackets in their place."""
    first = {name: array[:1] for name, array in batch.items() if name not in ("tokens", "targets")}
    run = model.run(batch["tokens"][:1], keep=["logits"], **first, **computed(settings))
    best = run["logits"].array[0].argmax(-1)
    real = first["mask"][0] if first.get("mask", np.empty(0)).ndim == 2 else np.ones(len(best), bool)
    words = [
        f"[{text_of(model, [best[t]])}]" if target != NO_TARGET else text_of(model, [token])
        for t, (token, target) in enumerate(zip(batch["tokens"][0], batch["targets"][0], strict=True))
        if real[t]
    ]
    return "".join(words)


def computed(settings: Settings) -> dict[str, Any]:
    return {"engine": settings.engine, "dtype": "float32"}


def text_of(model: Model, ids: Any) -> str:
    """The text of ids; tokens that begin or end a text are none of it."""
    if (tokenizer := model.tokenizer) is None:
        return ""
    marks = set(tokenizer.special.values())
    return tokenizer.decode([int(each) for each in ids if int(each) not in marks])


def prompt(model: Model, settings: Settings) -> list[int] | None:
    """The ids of the prompt, if there is one. Raises InputError for one that the model cannot go on from."""
    if settings.prompt is None or settings.objective != "causal":
        return None
    _, (ids,) = model.prompts(settings.prompt)
    if len(ids) >= model.config.context:
        raise InputError(f"the prompt has {len(ids)} tokens, but the model reads {model.config.context}; give fewer")
    return ids
