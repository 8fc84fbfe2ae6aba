"""A training that is killed goes on as if it never had been: the same bits, wherever it was when it died."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here, and starts would take too long")
PROGRAM = Path(__file__).with_name("killing.py")


def did(what: str, folder: Path, *given: str) -> Any:
    """What the program says about what it did, in a process of its own."""
    command = [sys.executable, PROGRAM, what, folder, *given]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Any:
    """What becomes of a training that nobody kills."""
    folder = tmp_path_factory.mktemp("training") / "whole"
    did("live", folder)
    made = did("outcome", folder)
    assert made["facts"]["step"] == len(made["curve"]) and made["hidden"] == [".lock"]
    return made


def test_fifty_kills_change_no_bit(tmp_path, whole):
    made = did("random", tmp_path / "killed", "5")
    assert made["kills"] >= 50 and made["writing"] >= 17
    did("live", tmp_path / "killed")  # to its end, by a process that has nothing but the files
    assert did("outcome", tmp_path / "killed") == whole


def test_training_goes_on_while_the_disk_is_full(tmp_path, whole):
    refused = did("full for a while", tmp_path / "full")["refused"]
    assert len(refused) == 3 and all("cannot write" in each and "File too large" in each for each in refused)
    made = did("outcome", tmp_path / "full")
    assert all(made[name] == whole[name] for name in ("facts", "sums", "hidden"))


@pytest.mark.parametrize("step", [2, 3])
def test_killed_before_every_operation_on_files(tmp_path, step):
    assert did("kill", tmp_path / "run", str(step))["operations"] > 30


@pytest.mark.parametrize("what", ["full", "interrupt"])
def test_an_error_in_every_operation_on_files(tmp_path, what):
    made = did(what, tmp_path / "run")
    assert made["operations"] >= made["raised"] > 20
