"""Where things lie, and how the tests of the design start another interpreter."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "byhand"
# Each would change what the new process does: Python's checks and caches, and what an outer make hands to an inner one.
UNWANTED = {"PYTHONOPTIMIZE", "PYTHONDONTWRITEBYTECODE", "MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS"}
UNWANTED |= {"ARGS", "PYTHON"}


def environment(**changes: str) -> dict[str, str]:
    """The environment of a new process: ours, made plain, with `changes`."""
    return {name: value for name, value in os.environ.items() if name not in UNWANTED} | changes


def run(command: Sequence[str | Path], cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """The finished command, its output and errors as text; it gets no standard input."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def run_script(script: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The finished script, from a fresh interpreter to which every warning is an error."""
    return run([sys.executable, "-W", "error", script], cwd)


def modules(*folders: Path) -> list[Path]:
    """All Python files below the folders."""
    return sorted(path for folder in folders for path in folder.rglob("*.py"))
