"""One command, run in this process as its caller would see it."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from byhand.cli import main


class Answer(NamedTuple):
    """What a command left: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def data(self) -> Any:
        """The one JSON document, refusing the words NaN and Infinity, which are none of JSON's."""
        return json.loads(self.out, parse_constant=pytest.fail)

    def row(self, start: str) -> list[str]:
        """The cells of the one table row that begins with this."""
        (line,) = (line for line in self.lines if line.split()[: len(start.split())] == start.split())
        return line.split()


Command = Callable[..., Answer]


@pytest.fixture
def byhand(capsys, monkeypatch) -> Command:
    """A function that runs a command and gives its answer, at 80 columns without a terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str, code: int = 0) -> Answer:
        with pytest.raises(SystemExit) as left:
            main(words)
        answer = Answer(left.value.code, *capsys.readouterr())  # type: ignore[arg-type]
        assert answer.code == code, answer.err or answer.out
        return answer

    return run
