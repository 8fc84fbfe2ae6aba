"""Contestants without processes, so that what is right, wrong, fast and slow can be made up."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from byhand.bench import Measuring, material, measure
from byhand.bench.entries import Entry

LOGITS = np.linspace(-1, 1, 96, dtype=np.float32)[None]


class Actor:
    """Somebody who takes so long, and answers so; by name in SPEED and OFF."""

    SPEED = {"byhand": 0.5, "quick": 0.25, "slow": 2.0}
    OFF = {"liar": 0.3, "nearly": 1e-4}

    def __init__(self, name: str, threads: int, environment: dict[str, str]) -> None:
        self.name, self.seconds, self.facts = name, [], {"count": 1e9} if name == "machine" else {}
        self.started, self.answered, self.since, self.ended = 0.0, 1.5, 1.0, False

    def prepare(self, work: Any) -> None:
        if self.name == "broken":
            raise measure.Failed("broken cannot prepare: it is broken")

    def answer(self) -> Any:
        self.facts |= {"values kept": 3}
        return LOGITS * (1 + self.OFF.get(self.name, 0))

    def turn(self) -> None:
        self.seconds.append(self.SPEED.get(self.name, 1.0) * (1 + len(self.seconds)))  # the machine gets slower

    def ask(self, what: str) -> dict[str, Any]:
        return {"peak": 1e6 * self.SPEED.get(self.name, 1.0), "limits": dict.fromkeys("abc", 1e9)}

    def end(self) -> None:
        self.ended = True

    def __enter__(self) -> Actor:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


@contextmanager
def making(what: str) -> Any:
    yield lambda name, done, total: None


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Where the files of contestants go in a test."""
    monkeypatch.setattr(material, "folder", lambda: tmp_path / "bench")
    return tmp_path / "bench"


@pytest.fixture
def actors(files, monkeypatch):
    """Makes these the contestants beside byhand."""

    def enter(*names: str) -> None:
        monkeypatch.setattr(measure, "Worker", Actor)
        monkeypatch.setattr(measure, "peers", lambda work: [Entry(name, "", {}) for name in names])

    return enter


@pytest.fixture
def measuring() -> Measuring:
    return Measuring(3, True, lambda what: None, making)
