"""``import byhand`` loads NumPy and nothing heavy, and takes little more time than NumPy."""

import sys
from math import inf
from pathlib import Path
from time import perf_counter

import pytest

from .tree import run

HEAVY = (
    "llvmlite",
    "numba",
    "psutil",
    "rich",
    "scipy",
    "starlette",
    "tiktoken",
    "tokenizers",
    "torch",
    "transformers",
    "typer",
    "uvicorn",
)
ALLOWED_SECONDS = 0.15
TURNS, MOST_TURNS = 9, 27


@pytest.fixture
def stand_ins(tmp_path) -> Path:
    """A folder with an empty module for each heavy library: found first, it shows also what is not installed."""
    for name in HEAVY:
        (tmp_path / f"{name}.py").touch()
    return tmp_path


def heavy_loaded_by(code: str, stand_ins: Path) -> list[str]:
    """The heavy libraries that a fresh interpreter has loaded after the code."""
    start = f"import sys; sys.path.insert(0, {str(stand_ins)!r})"
    done = run([sys.executable, "-c", f"{start}\n{code}\nprint(*sorted(sys.modules))"], stand_ins)
    assert done.returncode == 0, done.stderr
    return [name for name in HEAVY if name in done.stdout.split()]


def test_import_loads_nothing_heavy(stand_ins):
    assert heavy_loaded_by("import byhand", stand_ins) == []


def test_the_reference_engine_needs_no_compiler(stand_ins):
    (stand_ins / "psutil.py").unlink()  # a run asks how much memory is free
    code = "import byhand; byhand.load('aab').run('aab', engine='reference')"
    assert heavy_loaded_by(code, stand_ins) == ["psutil"]


@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_import_is_seen(stand_ins, name):
    hidden = f"try:\n    import {name}\nexcept ImportError:\n    pass"
    assert heavy_loaded_by(hidden, stand_ins) == [name]


def seconds(code: str, cwd: Path) -> float:
    start = perf_counter()
    done = run([sys.executable, "-c", code], cwd)
    assert done.returncode == 0, done.stderr
    return perf_counter() - start


def compare(first: str, second: str, cwd: Path) -> tuple[float, float]:
    """The seconds of a process that runs the first code, and by how much the second takes longer.

    The two take turns, so that a slow spell of the machine meets both. Of each the fastest counts: whatever else the
    machine does can only make them slower. A difference that is too large is measured longer before it is believed.
    """
    for code in (first, second):
        seconds(code, cwd)  # writes the bytecode, which a first import compiles
    alone = both = inf
    for turn in range(MOST_TURNS):
        alone, both = min(alone, seconds(first, cwd)), min(both, seconds(second, cwd))
        if turn + 1 >= TURNS and both - alone <= ALLOWED_SECONDS:
            break
    return alone, both - alone


@pytest.mark.alone
def test_import_is_quick(tmp_path, figure):
    alone, more = compare("import numpy", "import numpy; import byhand", tmp_path)
    figure(f"import: numpy alone {alone:.3f} s, byhand {more:.3f} s more ({ALLOWED_SECONDS} s allowed)")
    assert more <= ALLOWED_SECONDS


@pytest.mark.alone
def test_a_slow_import_is_seen(tmp_path):
    slow = 2 * ALLOWED_SECONDS
    (tmp_path / "slow.py").write_text(f"import time\ntime.sleep({slow})\n", encoding="utf-8")
    _, more = compare("import numpy", "import numpy; import slow", tmp_path)
    assert more > ALLOWED_SECONDS
