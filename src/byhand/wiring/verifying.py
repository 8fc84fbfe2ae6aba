"""Running a wired model against what it should do: all short texts, many long ones, on every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

import numpy as np

from byhand.compare.running import WAYS, Logits, saved_and_loaded
from byhand.errors import InputError
from byhand.model import Model
from byhand.wiring.interpreter import predictions
from byhand.wiring.wiring import Wiring

Array = np.ndarray[Any, Any]
Spec = Callable[[str], str | None]
Texts = Callable[[np.random.Generator], str]
ENGINES = ("reference", "cpu")
TRANSFORMERS = tuple(WAYS)
AT_ONCE = 2**15  # tokens that are run together


@dataclass(frozen=True)
class Failure:
    """One wrong prediction: after this text, this was expected (by the wiring or by the spec) and that came."""

    text: str
    expected: str
    got: str
    by: str


@dataclass
class Verification:
    """What was run: texts, predictions checked, the smallest gap of logits, and the first failures."""

    name: str
    texts: int = 0
    checked: int = 0
    claimed: int = 0
    gap: float = float("inf")
    failures: list[Failure] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.failures and self.checked > 0

    def __str__(self) -> str:
        if self.failures:
            first = self.failures[0]
            return f"{self.name}: after {first.text!r} expected {first.expected!r} ({first.by}), got {first.got!r}"
        what = f"{self.texts:,} texts, {self.checked:,} predictions, {self.claimed:,} of them in the spec"
        return f"{self.name}: all right: {what}; smallest gap {self.gap:.4g}"


def verify(
    wiring: Wiring,
    model: Model,
    spec: Spec | None = None,
    *,
    texts: Texts | Iterable[str] | None = None,
    exhaustive: int = 20_000,
    random: int = 2_000,
    engines: Sequence[str | Logits] = ENGINES,
    seed: int = 0,
) -> Verification:
    """Compare a model's every prediction with the wiring's, and with the spec's where it has one.

    spec: what should follow a text, None where it does not say; texts: makes a random text, or the texts to run instead
    of random ones; without it random ones are any letters of the full length; exhaustive: how many short texts at most,
    all of one length; random: how many random ones; engines: "reference", "cpu", those of TRANSFORMERS, which load the
    folder that the model is saved to, or functions from ids [B, T] to logits [B, T, V]. Every prefix of a text is
    checked with it. Stops at the first wrong text. Raises InputError for nothing to check and for no such engine.
    """
    found = Verification(wiring.name)
    runs = {str(engine): running(model, engine) for engine in engines}
    for group in groups(wiring, texts, exhaustive, random, seed):
        wanted = [predictions(wiring, text) for text in group]
        if spec is not None and not check_spec(wiring, spec, group, wanted, found):
            return found
        for engine, run in runs.items():
            if not check_engine(wiring, run, engine, group, wanted, found):
                return found
        found.texts += len(group)
        found.checked += sum(map(len, wanted))
    if not found.checked:
        raise InputError("no text was checked; raise exhaustive= or random=")
    return found


def running(model: Model, engine: str | Logits) -> Logits:
    """From ids to logits on an engine. Raises InputError."""
    if not isinstance(engine, str):
        return engine
    if engine in WAYS:
        return saved_and_loaded(model, engine)
    return lambda ids_BT: model.run(ids_BT, engine=engine, keep=["logits"]).look("logits")


def groups(
    wiring: Wiring, texts: Texts | Iterable[str] | None, exhaustive: int, random: int, seed: int
) -> Iterator[list[str]]:
    """Texts of one length each, so many that they can be run together."""
    length = longest(wiring, exhaustive)
    short = ("".join(letters) for letters in product(wiring.alphabet, repeat=length)) if length else iter(())
    rng = np.random.default_rng(seed)
    letters = list(wiring.alphabet)
    make = texts if callable(texts) else (lambda rng: "".join(rng.choice(letters, wiring.context - 1)))
    drawn = (make(rng) for _ in range(random))
    for source in (short, drawn if texts is None or callable(texts) else texts):
        yield from alike(source)


def longest(wiring: Wiring, most: int) -> int:
    """The length up to which there are at most so many texts."""
    length = 0
    while length + 1 < wiring.context and len(wiring.alphabet) ** (length + 1) <= most:
        length += 1
    return length


def alike(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts of one length together, at most as many as are run at once."""
    source = iter(texts)
    while some := list(islice(source, 1024)):
        by_length: dict[int, list[str]] = {}
        for text in some:
            by_length.setdefault(len(text), []).append(text)
        for length, group in by_length.items():
            rows = max(1, AT_ONCE // (length + 1))
            yield from (group[start : start + rows] for start in range(0, len(group), rows))


def check_spec(wiring: Wiring, spec: Spec, group: list[str], wanted: list[list[Any]], found: Verification) -> bool:
    """Compare the wiring with the spec after every prefix."""
    for text, row in zip(group, wanted, strict=True):
        for end, value in enumerate(row):
            said = spec(text[:end])
            if said is None:
                continue
            found.claimed += 1
            if said != value:
                found.failures.append(Failure(text[:end], said, value, "spec"))
                return False
    return True


def check_engine(
    wiring: Wiring, run: Logits, engine: str, group: list[str], wanted: list[list[Any]], found: Verification
) -> bool:
    """Compare the model's most likely tokens with the wiring's."""
    tokens = wiring.tokens.domain
    place = {value: at for at, value in enumerate(tokens)}
    ids = np.array([[place[letter] for letter in (wiring.begin, *text)] for text in group])
    logits = run(ids)
    right = np.array([[place[value] for value in row] for row in wanted])
    if len(tokens) > 1:
        top = np.partition(logits, -2, axis=-1)
        found.gap = min(found.gap, float((top[..., -1] - top[..., -2]).min()))
    wrong = np.argwhere(logits.argmax(-1) != right)
    for row, at in wrong[:1]:
        got = str(tokens[int(logits[row, at].argmax())])
        found.failures.append(Failure(group[row][:at], str(wanted[row][at]), got, f"wiring, engine {engine}"))
    return not len(wrong)
