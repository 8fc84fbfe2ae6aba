"""No file of the repository names a place on the machine that it was written on."""

import re
import subprocess
from pathlib import Path

from .tree import ROOT, run

# A checkout below one of these gives nothing away by naming it.
COMMON = {"/", "/home", "/mnt", "/opt", "/srv", "/tmp", "/usr", "/usr/src", "/var", "/var/tmp"}


def repository_files() -> list[Path]:
    """The files that are, or would be, committed; in a folder without git, all but what the tools leave there."""
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = run(listing, ROOT)
        done.check_returncode()
        paths = [ROOT / name for name in done.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        left_by_tools = (".venv", ".parity", ".git", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis")
        paths = [path for path in ROOT.rglob("*") if not set(left_by_tools) & set(path.parts)]
    return [path for path in paths if path.is_file()]


def private_places(root: Path, home: Path) -> list[str]:
    """The folders that no file may name."""
    return [place for place in dict.fromkeys(map(str, (root, root.parent, home))) if place not in COMMON]


def files_that_name(places: list[str], files: list[Path]) -> list[str]:
    """The files in which one of the places stands as a whole path, or as the beginning of one."""
    names = "|".join(map(re.escape, places))
    pattern = re.compile(rf"(?<![\w.~-])(?:{names})(?![\w.-])".encode())
    return [str(path) for path in files if places and pattern.search(path.read_bytes())]


def test_no_file_names_this_machine():
    files = repository_files()
    assert Path(__file__) in files
    assert not files_that_name(private_places(ROOT, Path.home()), files)


def test_a_planted_path_is_found(tmp_path):
    places = private_places(Path("/desk/byhand"), Path("/people/ann"))
    assert places == ["/desk/byhand", "/desk", "/people/ann"]
    for name, text in {
        "one": "see /desk/byhand/notes",
        "two": "export D=/desk",
        "three": 'open("/people/ann/x")',
        "four": "a network of /desks, at my/desk and /people/anne",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = files_that_name(places, sorted(tmp_path.iterdir()))
    assert [Path(path).name for path in found] == ["one", "three", "two"]


def test_common_folders_may_be_named():
    assert private_places(Path("/tmp/byhand"), Path("/")) == ["/tmp/byhand"]
