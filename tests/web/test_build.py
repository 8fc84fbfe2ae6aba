"""The committed page is what its sources give, and the check of its types is a real one."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from ..design.tree import ROOT

WEB = ROOT / "web"
BUILT = Path(str(files("byhand.explorer"))) / "static"


def npm(*words: str, folder: Path = WEB) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["npm", "--silent", *words], cwd=folder, capture_output=True, text=True, timeout=120)


def test_building_gives_the_committed_bytes(tmp_path: Path) -> None:
    done = npm("run", "build", "--", str(tmp_path))
    assert done.returncode == 0, done.stderr
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {"index.html", "app.js", "app.css", "licences.txt"} <= made.keys()
    for name, data in made.items():
        assert (BUILT / name).read_bytes() == data, f"{name} is out of date: make web"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A scratch copy of the sources."""
    shutil.copytree(WEB, tmp_path / "web", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "web" / "node_modules").symlink_to(WEB / "node_modules")
    return tmp_path / "web"


def test_the_types_are_right() -> None:
    done = npm("run", "check")
    assert done.returncode == 0, done.stdout


def test_planted_errors_of_types_are_found(copied: Path) -> None:
    planted = ("src/wire.ts", "src/matrix.tsx", "src/screens/index.ts")
    for name in planted:
        with (copied / name).open("a", encoding="utf-8") as source:
            source.write('\nexport const planted: number = "no";\n')
    done = npm("run", "check", folder=copied)
    assert done.returncode != 0
    assert all(f"{name}(" in done.stdout for name in planted)


def test_versions_are_pinned_and_no_registry_is_named() -> None:
    package = (WEB / "package.json").read_text(encoding="utf-8")
    assert re.findall(r'"(?:@?[\w/-]+)": "(\d+\.\d+\.\d+)"', package)
    assert not re.search(r'": "[\^~*]', package)
    assert '"resolved"' not in (WEB / "package-lock.json").read_text(encoding="utf-8")
