"""Writes docs/layout.md: every file of the package with the first sentence of its docstring, from the bottom up."""

import ast
import re
from pathlib import Path

from .test_imports import LAYERS
from .tree import SOURCE

HEAD = """# Where a line belongs

Every file of the package and what it is for, from the bottom up: a module imports only from lines above its own, and a
folder is one layer. This page is made from the files' own first sentences (`make docs`).
"""


def page() -> str:
    """The page. A folder stands with its files below it."""
    lines = [HEAD]
    for layer in LAYERS:
        if layer == "__init__":
            continue
        folder = SOURCE / layer
        if folder.is_dir():
            lines.append(f"- **`{layer}/`** {sentence(folder / '__init__.py')}")
            lines += [f"  - `{name}` {sentence(path)}" for name, path in inside(folder)]
        else:
            lines.append(f"- **`{layer}.py`** {sentence(SOURCE / f'{layer}.py')}")
    return "\n".join(lines) + "\n"


def inside(folder: Path) -> list[tuple[str, Path]]:
    """The files below a folder, folders inside it as part of the name."""
    files = sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
    return [(path.relative_to(folder).as_posix(), path) for path in files if path != folder / "__init__.py"]


def sentence(path: Path) -> str:
    """The first sentence of a file's docstring."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].split())
    assert text, f"{path} does not say what it is for"
    return re.split(r"(?<=[a-zA-Z)`\"0-9])[.](?= |$)", text)[0].rstrip(".:") + "."


if __name__ == "__main__":
    print(page(), end="")
