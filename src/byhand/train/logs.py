"""What a training left behind of every step: one line of JSON each, so that it can be read while it grows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

from byhand.checkpoints.files.saving import beside

FILE = "log.jsonl"


class Log:
    """The log of a training in its folder. A line is a step's (loss, rate, length, tokens, seconds), an evaluation's
    (validation), a sample's (sample), or says what was saved; each has its step.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def write(self, step: int, **facts: Any) -> None:
        """Add one line; on a full disk there is none. JSON has no word for what is no number, so that is null."""
        line = {"step": step} | {name: plain(value) for name, value in facts.items()}
        with suppress(OSError), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def cut(self, step: int) -> None:
        """Leave out what came after a step: training goes on from there, and would write it again."""
        if self.path.exists():
            kept = [line for line in read(self.path) if line["step"] <= step]
            with beside(self.path, force=True) as new:
                new.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept), encoding="utf-8")

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Step and value of every line that has this: ``loss`` or ``validation``."""
        lines = read(self.path) if self.path.exists() else ()
        return [(line["step"], line[name]) for line in lines if line.get(name) is not None]


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a log; one that was half written when the process was killed is left out."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                yield line


def plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    return os.fspath(value) if isinstance(value, os.PathLike) else value
