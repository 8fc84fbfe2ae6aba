"""Imports point down, each library stays in its place, and nothing hides from this test."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from .documents import README, listed, tree_block
from .tree import ROOT, SOURCE, modules

# From the bottom up: a module imports only what stands before it. A folder is one layer; __init__ is the package.
LAYERS = [
    "errors",
    "shapes",
    "markup",
    "arithmetic",
    "operators",
    "program",
    "families",
    "changes",
    "weights",
    "layouts",
    "aliases",
    "addresses",
    "inputs",
    "tokenizer",
    "checkpoints",
    "tensor",
    "engines",
    "memory",
    "setting",
    "notation",
    "explanation",
    "explain",
    "contributions",
    "diff",
    "predictions",
    "gradients",
    "listing",
    "run",
    "pseudocode",
    "growing",
    "decoding",
    "sampling",
    "generate",
    "doctor",
    "hub",
    "model",
    "boxed",
    "loading",
    "texts",
    "train",
    "compare",
    "wiring",
    "explorer",
    "bench",
    "__init__",
    "cli",
]

# Each library that may be imported, and the folders below which it may be ("" is anywhere).
PLACES = {
    "anywidget": ("explorer",),
    "gguf": ("checkpoints",),
    "huggingface_hub": ("hub",),
    "llama_cpp": ("bench/peers",),
    "llvmlite": ("engines/cpu",),
    "matplotlib": ("explorer", "train"),
    "ml_dtypes": ("",),
    "numba": ("engines/cpu",),
    "numpy": ("",),
    "psutil": ("",),
    "regex": ("tokenizer",),
    "rich": ("cli",),
    "starlette": ("explorer",),
    "tiktoken": ("tokenizer",),
    "tokenizers": ("tokenizer",),
    "torch": ("compare", "bench/peers"),
    "transformer_lens": ("bench/peers",),
    "traitlets": ("explorer",),
    "transformers": ("compare", "bench/peers"),
    "typer": ("cli",),
    "uvicorn": ("explorer",),
}


# Used where they are installed, and never needed.
OPTIONAL = {"anywidget", "llama_cpp", "matplotlib", "torch", "traitlets", "transformer_lens", "transformers"}


class Import(NamedTuple):
    file: Path
    line: int
    target: list[str]


def imports(file: Path, tree: ast.AST) -> Iterator[Import]:
    """All imports of a file, wherever they stand in it: ``from .a import b`` is an import of byhand, a, b."""
    package = ["byhand", *file.parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(file, node.lineno, name.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = node.module.split(".") if node.module else []
            for name in node.names:
                yield Import(file, node.lineno, [*start, *module, name.name])


def hidden_imports(tree: ast.AST) -> Iterator[int]:
    """The lines that import by calling a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("__import__", "import_module"):
                yield node.lineno


def layer_of(file: Path) -> str:
    return file.parts[0] if len(file.parts) > 1 else file.stem


def target_layer(source: Path, target: list[str]) -> str:
    """The layer that an import of byhand reaches; a name that is no module belongs to the package itself."""
    name = target[1] if len(target) > 1 else "__init__"
    return name if (source / name).is_dir() or (source / f"{name}.py").is_file() else "__init__"


def own_faults(source: Path, use: Import) -> Iterator[str]:
    """What is wrong with an import of byhand by byhand."""
    here, there = layer_of(use.file), target_layer(source, use.target)
    if here in LAYERS and there in LAYERS and LAYERS.index(there) > LAYERS.index(here):
        yield f"imports {there}, which stands above {here}"
    if here == "engines" and there == "families":
        yield "an engine imports a family"
    if here == there == "families" and use.file.name != "__init__.py" and use.target[2:3] != ["readout"]:
        yield "a family imports another; only readout is shared"


def libraries(source: Path) -> set[str]:
    """Everything imported that comes neither with Python nor from byhand."""
    files = [(path.relative_to(source), ast.parse(path.read_text(encoding="utf-8"))) for path in modules(source)]
    used = {use.target[0] for file, tree in files for use in imports(file, tree)}
    return used - sys.stdlib_module_names - {"byhand"}


def library_faults(use: Import) -> Iterator[str]:
    """What is wrong with an import of anything else."""
    library = use.target[0]
    if library in sys.stdlib_module_names:
        return
    if library not in PLACES:
        yield f"imports {library}, which is not among the libraries of byhand"
    elif not any(use.file.is_relative_to(place) for place in PLACES[library]):
        yield f"imports {library}, which belongs below {' or '.join(PLACES[library])}"


def faults(source: Path) -> list[str]:
    """Every breach of the rules below `source`, a folder like src/byhand."""
    found = []
    for path in modules(source):
        file, tree = path.relative_to(source), ast.parse(path.read_text(encoding="utf-8"))
        if layer_of(file) not in LAYERS:
            found.append(f"{file}: {layer_of(file)} has no place in LAYERS; give it one")
        if "utils" in (*file.parent.parts, file.stem):
            found.append(f"{file}: utils says nothing about what is in it")
        found += [f"{file}:{line} imports by a call, where no reader looks for it" for line in hidden_imports(tree)]
        for use in imports(file, tree):
            wrong = own_faults(source, use) if use.target[0] == "byhand" else library_faults(use)
            found += [f"{file}:{use.line} {fault}" for fault in wrong]
    return found


def test_the_installed_package_is_this_one():
    found = find_spec("byhand")
    assert found and found.origin == str(SOURCE / "__init__.py")


def test_imports_follow_the_layers():
    assert not faults(SOURCE)


def test_the_layers_are_those_that_exist():
    names = {layer_of(path.relative_to(SOURCE)) for path in modules(SOURCE)}
    assert names == set(LAYERS)
    assert len(LAYERS) == len(names)


def test_what_is_imported_is_what_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[^\w-]", name)[0].replace("-", "_") for name in project["dependencies"]}
    assert libraries(SOURCE) - OPTIONAL == declared


def test_libraries_are_found_wherever_they_are_imported(tmp_path):
    planted = plant(
        tmp_path, "run.py", "import math, numpy.linalg\ndef f():\n    from rich import box\nimport byhand\n"
    )
    assert libraries(planted) == {"numpy", "rich"}


def test_the_readme_shows_the_layers_in_their_order():
    paths = listed(tree_block(README.read_text(encoding="utf-8")))
    entries = [Path(path) for path in paths if Path(path).parent == Path("src/byhand")]
    layers = [entry.stem for entry in entries if entry.suffix in (".py", "")]
    assert [name for name in layers if name != "__init__"] == [name for name in LAYERS if name != "__init__"]


PLANTED = {
    "upward": ("shapes.py", "from byhand.model import Model", "imports model, which stands above shapes"),
    "upward in a function": ("shapes.py", "def f():\n    import byhand.run", "shapes.py:2 imports run"),
    "upward for types": ("shapes.py", "if TYPE_CHECKING:\n    from byhand import run", "shapes.py:2 imports run"),
    "upward, relative": ("operators/linear.py", "from ..program import Program", "imports program, which stands above"),
    "upward by two names": ("run.py", "from byhand import errors, model", "imports model, which stands above run"),
    "the package itself": ("run.py", "from byhand import Model", "imports __init__, which stands above run"),
    "the package, whole": ("run.py", "import byhand", "imports __init__, which stands above run"),
    "family to family": ("families/gpt2.py", "from byhand.families.llama import x", "a family imports another"),
    "family to family, relative": ("families/gpt2.py", "from . import llama", "a family imports another"),
    "readout to family": ("families/readout.py", "import byhand.families.gpt2", "a family imports another"),
    "engine to family": ("engines/reference.py", "from byhand.families import gpt2", "an engine imports a family"),
    "family to engine": ("families/gpt2.py", "import byhand.engines.reference", "imports engines, which stands above"),
    "numba": ("engines/reference.py", "from numba import njit", "imports numba, which belongs below engines/cpu"),
    "torch": ("weights.py", "import torch.nn", "imports torch, which belongs below compare"),
    "rich": ("program.py", "def f():\n    from rich.table import Table", "imports rich, which belongs below cli"),
    "typer": ("model.py", "import typer", "imports typer, which belongs below cli"),
    "an oracle": ("cli/tour.py", "import transformers", "imports transformers, which belongs below compare"),
    "a stranger": ("cli/tour.py", "import pandas", "imports pandas, which is not among the libraries"),
    "utils": ("operators/utils.py", "", "utils says nothing"),
    "utils, a folder": ("cli/utils/text.py", "", "utils says nothing"),
    "no layer": ("extra.py", "", "extra has no place in LAYERS"),
    "hidden": ("shapes.py", "import importlib\nimportlib.import_module('byhand.run')", "shapes.py:2 imports by a call"),
    "hidden, builtin": ("shapes.py", "run = __import__('byhand.run')", "shapes.py:1 imports by a call"),
}


def plant(folder: Path, file: str, text: str) -> Path:
    """A small package, sound but for the text in one of its files."""
    for name in ("errors.py", "run.py", "model.py", "program.py", "families/llama.py", "engines/reference.py", file):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / file).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("file", "text", "fault"), PLANTED.values(), ids=PLANTED)
def test_a_planted_breach_is_found(tmp_path, file, text, fault):
    found = faults(plant(tmp_path, file, text))
    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("run.py", "from byhand import errors\nfrom byhand.program import Program\nimport numpy as np, math"),
        ("operators/linear.py", "from byhand.operators.record import operator\nfrom .record import find"),
        ("families/__init__.py", "from byhand.families import llama"),
        ("families/gpt2.py", "from byhand.families.readout import predict"),
        ("engines/cpu/kernels.py", "import numba\nfrom byhand.engines import reference"),
        ("cli/tour.py", "import byhand\nfrom rich.table import Table\nimport typer"),
    ],
)
def test_what_is_allowed_passes(tmp_path, file, text):
    assert not faults(plant(tmp_path, file, text))
