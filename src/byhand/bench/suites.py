"""Which works are measured when nobody says otherwise, and those that byhand is meant to be good at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from byhand.bench.work import Work
from byhand.errors import InputError

ROUNDS, QUICK_ROUNDS = 7, 2
QUICK_TOKENS = 8


class Usual(NamedTuple):
    """What a work is measured on."""

    model: str
    small: str
    kind: str
    tokens: int
    batch: int = 1


USUAL = {
    "decode": Usual("llama-124m", "llama-tiny", "q8", 64),
    "prefill": Usual("llama-124m", "llama-tiny", "q8", 256),
    "forward": Usual("gpt2-124m", "gpt2-tiny", "f32", 256),
    "capture": Usual("gpt2-124m", "gpt2-tiny", "f32", 256),
    "train": Usual("gpt2-124m", "gpt2-tiny", "f32", 64, batch=4),
    "start-up": Usual("llama-124m", "llama-tiny", "q8", 8),
    "memory": Usual("llama-124m", "llama-tiny", "q8", 64),
}


@dataclass(frozen=True)
class Given:
    """What was asked for, None where nothing was said."""

    model: str | None = None
    kinds: Sequence[str] | None = None
    tokens: int | None = None
    batch: int | None = None
    engine: str = "cpu"
    quick: bool = False


def works(words: Sequence[str], given: Given) -> list[Work]:
    """The works of these names, for none all that there are with such weights. Raises InputError for an unknown one."""
    for word in words:
        if word not in (*USUAL, "targets"):
            raise InputError(f"there is no work {word!r:.40}; there are {', '.join(USUAL)}; targets, plan MODEL, warm")
    words = words or [word for word in USUAL if word != "train" or "f32" in (given.kinds or ["f32"])]
    found = [work for word in words for work in (targets() if word == "targets" else usual(word, given))]
    return [replace(each, engine=given.engine, threads=threads()) for each in found]


def usual(word: str, given: Given) -> Iterator[Work]:
    """A work on the model that was asked for, or the usual one, once for each kind of weights."""
    own = USUAL[word]
    model = given.model or (own.small if given.quick else own.model)
    tokens = given.tokens or (QUICK_TOKENS if given.quick else own.tokens)
    for kind in given.kinds or (own.kind,):
        yield Work(what=word, model=model, kind=kind, tokens=tokens, batch=given.batch or own.batch)


def targets() -> Iterator[Work]:
    """What byhand is meant to be good at; docs/bench.md has the figures."""
    for model, kinds in {"llama-1.1b": ("q8", "q4", "bf16"), "llama-124m": ("q8", "q4", "bf16", "f32")}.items():
        yield from (Work(what="decode", model=model, kind=kind, tokens=64) for kind in kinds)
    for tokens in (256, 512):
        yield from (Work(what="prefill", model="llama-1.1b", kind=k, tokens=tokens) for k in ("q8", "q4", "bf16"))
    for batch, tokens in ((4, 64), (1, 256), (1, 1024)):
        for what, kind in (("forward", "f32"), ("forward", "q8"), ("capture", "f32")):
            yield Work(what=what, model="gpt2-124m", kind=kind, tokens=tokens, batch=batch)
    yield from trained()
    for what in ("decode", "memory"):
        yield from (Work(what=what, model="llama3-8b", kind=kind, tokens=16) for kind in ("q8", "q4"))
    yield Work(what="start-up", model="llama-124m", kind="q8", tokens=8)


def trained() -> Iterator[Work]:
    """Training of the same model, and of those that people really train on a processor."""
    sizes = {"gpt2-124m": ((4, 64), (1, 256), (1, 1024)), "gpt2-12m": ((8, 256),), "gpt2-0.8m": ((12, 64),)}
    for model, found in sizes.items():
        yield from (Work(what="train", model=model, kind="f32", tokens=T, batch=B) for B, T in found)


def threads() -> int:
    """How many threads everybody gets."""
    from byhand.engines.cpu.team import wanted

    return wanted()
