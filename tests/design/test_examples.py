"""Every example runs on its own and checks what it shows."""

import ast
from pathlib import Path

import pytest

from .tree import ROOT, run_script

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def faults(example: Path, folder: Path) -> list[str]:
    """What is wrong with an example: it fails, or it asserts nothing."""
    found = []
    done = run_script(example, folder)
    if done.returncode != 0:
        found.append(f"exit code {done.returncode}: {done.stderr}")
    if not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(example.read_text(encoding="utf-8")))):
        found.append("no assert")
    return found


def test_there_is_one_for_each_system():
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example(tmp_path, example):
    assert not faults(example, tmp_path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("assert 1 + 1 == 2\n", None),
        ("print('assert')\n", "no assert"),
        ("assert 1 + 1 == 3\n", "AssertionError"),
        ("import sys\nassert True\nsys.exit(3)\n", "exit code 3"),
        ("import warnings\nassert True\nwarnings.warn('odd')\n", "UserWarning"),
    ],
)
def test_a_bad_example_is_found(tmp_path, text, fault):
    example = tmp_path / "example.py"
    example.write_text(text, encoding="utf-8")
    found = faults(example, tmp_path)
    assert [fault in line for line in found] == [True] * (fault is not None) if fault else not found
