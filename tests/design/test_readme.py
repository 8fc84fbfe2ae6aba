"""The pages tell the truth: their code runs, their links lead somewhere, the file tree is the one on disk."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from .documents import README, commands, links, listed, pages, python_of, tree_block
from .layout_page import page, sentence
from .tree import ROOT, run_script


@pytest.fixture
def readme() -> str:
    assert README.is_file(), "there is no README.md"
    return README.read_text(encoding="utf-8")


def on_disk(source: Path) -> set[str]:
    """Every file and folder in `source`, in the form of the tree; docs/layout.md goes on inside the folders."""
    paths = [path for path in source.iterdir() if path.name != "__pycache__"]
    return {path.relative_to(source).as_posix() + "/" * path.is_dir() for path in paths}


def tree_faults(block: str, root: Path) -> list[str]:
    """Where the tree and the disk differ. A folder's line may stand for its ``__init__.py`` too."""
    lines = list(listed(block))
    package = {line.removeprefix("src/byhand/") for line in lines if line.startswith("src/byhand/")} - {""}
    files = on_disk(root / "src" / "byhand")
    unlisted = {name for name in files - package if Path(name).name != "__init__.py"}
    gone = [line for line in lines if not (root / line).exists() or (root / line).is_dir() != line.endswith("/")]
    return (
        [f"listed twice: {line}" for line in sorted(set(lines)) if lines.count(line) > 1]
        + [f"not listed: {name}" for name in sorted(unlisted)]
        + [f"does not exist: {line}" for line in gone]
    )


def test_the_file_tree_is_the_one_on_disk(readme):
    assert not tree_faults(tree_block(readme), ROOT)


def test_the_page_of_all_files_is_up_to_date():
    assert (ROOT / "docs" / "layout.md").read_text(encoding="utf-8") == page(), "write it anew: make docs"


def test_a_file_that_does_not_say_what_it_is_for_is_found(tmp_path):
    (tmp_path / "silent.py").touch()
    with pytest.raises(AssertionError, match="silent.py does not say what it is for"):
        sentence(tmp_path / "silent.py")


GOOD_TREE = """\
src/byhand/     the package
  names.py      names
  cli/          commands
    tour.py     the tour
examples/       lessons
"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("", "", None),
        ("  names.py      names\n", "", "not listed: names.py"),
        ("names.py ", "gone.py ", "not listed: names.py"),
        ("examples/ ", "lessons/ ", "does not exist: lessons/"),
        ("examples/       lessons", "examples/       lessons\nexamples/  again", "listed twice: examples/"),
        ("examples/ ", "examples ", "does not exist: examples"),
    ],
)
def test_a_planted_difference_in_the_tree_is_found(tmp_path, old, new, fault):
    for name in (
        "src/byhand/__init__.py",
        "src/byhand/names.py",
        "src/byhand/cli/__init__.py",
        "src/byhand/cli/tour.py",
        "examples/a.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert tree_faults(GOOD_TREE.replace(old, new), tmp_path)[:1] == ([fault] if fault else [])


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("tour.py     the tour", "tour.py", "not an indented"),
        ("  cli/ ", "   cli/ ", "not an indented"),
        ("    tour.py", "      tour.py", "deeper than the folder"),
        ("cli/ ", "cli ", "does not end in /"),
    ],
)
def test_a_malformed_line_of_the_tree_is_found(old, new, fault):
    with pytest.raises(AssertionError, match=fault):
        list(listed(GOOD_TREE.replace(old, new)))


# The code in the pages.


def with_code() -> list[Path]:
    return [page for page in pages() if python_of(page.read_text(encoding="utf-8")).strip()]


def run_page(page: Path, folder: Path):
    """The finished run of the page's Python, in one namespace, below `folder`; errors name the lines of the page."""
    script = folder / page.name
    script.write_text(python_of(page.read_text(encoding="utf-8")), encoding="utf-8")
    return run_script(script, folder)


def test_the_readme_has_code():
    assert README in with_code()


@pytest.mark.parametrize("page", with_code(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_code_of_a_page_runs(tmp_path, page):
    done = run_page(page, tmp_path)
    assert done.returncode == 0, done.stderr


PAGE = """\
# A page

```python
x = 1
```

```python title="second"
assert x == {number}
```

```sh
not python
```
"""


@pytest.mark.parametrize(("number", "fault"), [(1, None), (2, 'page.md", line 8')])
def test_code_that_fails_is_found(tmp_path, number, fault):
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text(PAGE.format(number=number), encoding="utf-8")
    done = run_page(page, tmp_path)
    assert done.returncode == bool(fault)
    assert fault is None or fault in done.stderr


# Links and commands.


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead to nothing."""
    targets = [urlsplit(link) for link in links(page.read_text(encoding="utf-8"))]
    paths = [unquote(target.path) for target in targets if not target.scheme and not target.netloc and target.path]
    return [path for path in paths if not (page.parent / path).exists()]


def test_links_lead_somewhere():
    assert not {page.name: broken_links(page) for page in pages() if broken_links(page)}


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "[here](page.md#top) [gone](gone.md) ![picture](gone.svg) [self](#x) [out](https://example.org/x)\n\n"
        '<img src="gone.png">\n\n| a |\n|---|\n| [cell](<gone cell.md>) |\n',
        encoding="utf-8",
    )
    assert broken_links(page) == ["gone.md", "gone.svg", "gone.png", "gone cell.md"]


def test_the_readme_names_the_two_commands(readme):
    assert {"make run", "make test"} <= commands(readme)


def test_commands_are_those_shown_as_code():
    page = "Just make run of it, or `make test`:\n\n```sh\nmake check   # all\n$ make parity\nremake docs\n```\n"
    assert commands(page) == {"make test", "make check", "make parity"}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_in_a_page_exists(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {f"make {name}" for name in re.findall(r"^([a-z]+):", makefile, re.MULTILINE)}
    assert commands(page.read_text(encoding="utf-8")) <= targets
