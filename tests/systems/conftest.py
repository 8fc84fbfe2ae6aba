"""The examples, run once each, for the tests that look into them."""

import contextlib
import io
import runpy
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@lru_cache
def run_example(name: str) -> SimpleNamespace:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        names = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    return SimpleNamespace(**names, printed=printed.getvalue())


@pytest.fixture(scope="session")
def example() -> Callable[[str], SimpleNamespace]:
    """Run an example (once a session) and give all its names, and what it printed as `printed`."""
    return run_example
