"""The commands: their targets, their set-up, and .ci/run, tried with stand-ins for make and Python."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from .tree import ROOT, run

TARGETS = ("run", "test", "check", "parity", "bench", "web", "web-test", "docs", "clean")
TOGETHER = "-n auto --maxprocesses 4 --dist worksteal"


def stand_in(path: Path, script: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A folder with our Makefile whose environments are ready, and whose Python notes what it is asked to do."""
    folder = tmp_path / "by hand"
    for environment, stamps in {".venv": (".run", ".dev"), ".parity": (".parity",), ".bench": (".bench",)}.items():
        stand_in(folder / environment / "bin" / "python", 'echo "$@" >> "$PWD/calls"')
        stand_in(folder / environment / "bin" / "byhand", 'echo byhand "$@" >> "$PWD/calls"')
        (folder / environment / ".place").write_text(f"{os.path.realpath(folder)}\n", encoding="utf-8")
        for stamp in stamps:
            (folder / environment / stamp).touch()
    (folder / "docs").mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
        os.utime(folder / name, (0, 0))
    return folder


def calls(folder: Path, target: str, **options: str) -> list[str]:
    """What `make target` asked of Python and byhand."""
    done = run(["make", target, *(f"{name}={value}" for name, value in options.items())], folder)
    assert done.returncode == 0, done.stderr
    notes = folder / "calls"
    return notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []


@pytest.mark.parametrize("target", TARGETS)
def test_target_exists(target):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert target in re.findall(r"^\.PHONY: (.*)", makefile, re.MULTILINE)[0].split()
    assert f"make {target} " in run(["make", "help"], ROOT).stdout


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("run", ["byhand tour"]),
        ("test", [f"-m pytest {TOGETHER}"]),
        ("check", ["-m ruff format --check --output-format concise", "-m ruff check", "-m pyright"]),
        ("parity", ["-m pytest tests/parity"]),
        ("bench", ["byhand bench"]),
        ("docs", ["-m byhand.operators.page", "-m tests.design.layout_page", "-m tests.wiring.zoo_page"]),
    ],
)
def test_the_second_time_nothing_is_set_up(checkout, target, expected):
    assert [call.rstrip() for call in calls(checkout, target)] == expected


@pytest.mark.parametrize("failing", ["format", "ruff check", "pyright"])
def test_check_fails_and_still_does_the_rest(checkout, failing):
    stand_in(checkout / ".venv" / "bin" / "python", f'echo "$@" >> calls; case "$*" in *"{failing}"*) exit 1;; esac')
    assert run(["make", "check"], checkout).returncode != 0
    assert len((checkout / "calls").read_text(encoding="utf-8").splitlines()) == 3


def test_arguments_reach_pytest(checkout):
    assert calls(checkout, "test", ARGS="-k softmax") == [f"-m pytest {TOGETHER} -k softmax"]


def installs(noted: list[str]) -> list[str]:
    return [call.split(" -e ")[1] for call in noted if "pip install" in call]


@pytest.mark.parametrize(
    ("target", "what"), [("run", "."), ("test", ".[dev]"), ("parity", ".[parity]"), ("bench", ".[bench]")]
)
def test_a_new_pyproject_is_set_up_once(checkout, target, what):
    (checkout / "pyproject.toml").touch()
    os.utime(checkout / "pyproject.toml", (2**31, 2**31))
    assert installs(calls(checkout, target)) == [what]
    os.utime(checkout / "pyproject.toml", (0, 0))
    assert installs(calls(checkout, target)) == [what]


def test_a_moved_folder_is_set_up_again(checkout):
    moved = checkout.rename(checkout.parent / "moved")
    assert installs(calls(moved, "test")) == [".[dev]"]
    assert installs(calls(moved, "test")) == [".[dev]"]


def fails_with(folder: Path, python: str | Path) -> str:
    """The one line that `make run` says when it must set up with the given interpreter and cannot."""
    shutil.rmtree(folder / ".venv")
    done = run(["make", "run", f"PYTHON={python}"], folder)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1
    assert not done.stdout
    return lines[0]


def test_no_python_is_said_in_one_line(checkout):
    assert "needs Python 3.11 or newer; none of these is: no-such-python" in fails_with(checkout, "no-such-python")


def test_an_old_python_is_said_in_one_line(checkout):
    old = stand_in(checkout / "old-python", "exit 1")
    assert "none of these is: ./old-python" in fails_with(checkout, f"./{old.name}")


def test_a_python_without_environments_is_said_in_one_line(checkout):
    bare = stand_in(checkout / "bare-python", 'case "$2" in *ensurepip*) exit 1;; esac')
    assert "apt install python3-venv" in fails_with(checkout, f"./{bare.name}")


def test_the_first_fitting_python_makes_the_environment(checkout):
    shutil.rmtree(checkout / ".venv")
    stand_in(checkout / "old", "exit 1")
    stand_in(checkout / "bare", 'case "$2" in *ensurepip*) exit 1;; esac')
    made = 'mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; cp "$0" "$4/bin/byhand"'
    stand_in(checkout / "good", f'echo good "$@" >> calls\n[ "$2" = venv ] || exit 0\n{made}')
    noted = calls(checkout, "run", PYTHON="./none ./old ./bare ./good")
    assert "good -m venv --clear .venv" in noted
    assert noted[-1] == "good tour"


# .ci/run


def ci(folder: Path, failing: str) -> tuple[int, list[str], str]:
    """Exit code, the targets made, and the output of .ci/run with a make that fails for one target."""
    stand_in(folder / "bin" / "make", f'echo "$@" >> "{folder}/made"; [ "$1" != "{failing}" ] || exit 2')
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = run(["bash", ROOT / ".ci" / "run"], folder, PATH=path, CI="true")
    return done.returncode, (folder / "made").read_text(encoding="utf-8").splitlines(), done.stdout


def test_ci_makes_what_the_readme_names_then_checks_the_page_and_parity(tmp_path):
    code, made, output = ci(tmp_path, failing="")
    assert (code, made) == (0, ["test", "check", "web-test", "parity"])
    assert output.endswith("steps: 4 passed, 0 failed\n")


@pytest.mark.parametrize("failing", ["test", "check", "web-test", "parity"])
def test_ci_fails_and_still_does_the_rest(tmp_path, failing):
    code, made, output = ci(tmp_path, failing)
    assert (code, made) == (1, ["test", "check", "web-test", "parity"])
    assert re.search(rf"^make {failing} +FAILED \(exit 2\)", output, re.MULTILINE)
    assert output.count("FAILED") == 1
    assert output.endswith("steps: 3 passed, 1 failed\n")


def test_ci_without_make_says_so(tmp_path):
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    done = run([tmp_path / "bash", ROOT / ".ci" / "run"], tmp_path, PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == ".ci/run needs make, and it is not installed\n"


def test_ci_can_be_executed():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


# Parity


def collected(folder: Path, *arguments: str) -> str:
    return run([sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments], folder).stdout


@pytest.mark.parametrize("apart", ["parity", "web"])
def test_some_folders_are_left_out_by_default_and_run_when_named(tmp_path, apart):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in ("tests/test_plain.py", f"tests/{apart}/test_oracle.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("def test_it(): pass\n", encoding="utf-8")
    assert "test_plain" in collected(tmp_path)
    assert "test_oracle" not in collected(tmp_path)
    assert "test_oracle" in collected(tmp_path, f"tests/{apart}")


def test_parity_never_skips():
    files = sorted((ROOT / "tests" / "parity").rglob("*.py"))
    assert files, "there is no tests/parity"
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    assert not re.findall(r"importorskip|pytest\.skip|pytest\.xfail|mark\.(?:skip|xfail)", text)
