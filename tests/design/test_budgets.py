"""Budgets of size: what a reader can hold in view."""

import ast
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import NamedTuple

import pytest

from .tree import ROOT, SOURCE, modules

FILE = 400
BODY = 60
USUAL_BODY = 25  # of nine functions in ten
ARGUMENTS = 8


class Function(NamedTuple):
    file: Path
    line: int
    name: str
    body: int
    arguments: int


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines from the first statement to the end, the docstring not counted."""
    documented = ast.get_docstring(node, clean=False) is not None
    rest = node.body[1:] if documented else node.body
    if not rest:
        return 0
    first = min([rest[0].lineno, *(decorator.lineno for decorator in getattr(rest[0], "decorator_list", []))])
    return (node.end_lineno or first) - first + 1


def argument_count(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The arguments that a caller sees: ``self`` and ``cls`` are not."""
    given = node.args
    named = [argument.arg for argument in (*given.posonlyargs, *given.args)]
    hidden = named[:1] in (["self"], ["cls"])
    rest = [argument for argument in (given.vararg, given.kwarg) if argument]
    return len(named) - hidden + len(given.kwonlyargs) + len(rest)


def functions(files: Sequence[Path]) -> Iterator[Function]:
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Function(file, node.lineno, node.name, body_lines(node), argument_count(node))


def line_count(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def ninth_in_ten(bodies: Sequence[int]) -> int:
    """The length that nine in ten do not exceed."""
    return sorted(bodies)[ceil(0.9 * len(bodies)) - 1] if bodies else 0


def excess_of_files(files: Sequence[Path]) -> list[str]:
    return [f"{file}: {line_count(file)} lines, {FILE} allowed" for file in files if line_count(file) > FILE]


def excess_of_functions(files: Sequence[Path]) -> list[str]:
    found = []
    everything = list(functions(files))
    for file, line, name, body, arguments in everything:
        if body > BODY:
            found.append(f"{file}:{line} {name}: {body} lines, {BODY} allowed")
        if arguments > ARGUMENTS:
            found.append(f"{file}:{line} {name}: {arguments} arguments, {ARGUMENTS} allowed")
    usual = ninth_in_ten([function.body for function in everything])
    if usual > USUAL_BODY:
        found.append(f"nine functions in ten have up to {usual} lines, {USUAL_BODY} allowed")
    return found


def table(files: Sequence[Path], start: Path) -> str:
    rows = [f"{'file':40} {'lines':>5} {'functions':>9} {'9 in 10':>7} {'longest':>7} {'arguments':>9}"]
    for file in files:
        own = list(functions([file]))
        bodies = [function.body for function in own]
        most = max((function.arguments for function in own), default=0)
        rows.append(
            f"{file.relative_to(start).as_posix():40} {line_count(file):5} {len(own):9} "
            f"{ninth_in_ten(bodies):7} {max(bodies, default=0):7} {most:9}"
        )
    return "\n".join(rows)


def test_files_stay_within_the_budget():
    files = modules(SOURCE, ROOT / "tests", ROOT / "examples")
    assert len(files) > 20
    assert not excess_of_files(files)


def test_functions_stay_within_the_budget(figure):
    files = modules(SOURCE)
    print(table(files, SOURCE))
    bodies = [function.body for function in functions(files)]
    figure(
        f"src: {len(files)} files, the longest {max(map(line_count, files))} lines; {len(bodies)} functions, "
        f"9 in 10 up to {ninth_in_ten(bodies)} lines, the longest {max(bodies)}"
    )
    assert not excess_of_functions(files)


def write(folder: Path, text: str) -> list[Path]:
    file = folder / "planted.py"
    file.write_text(text, encoding="utf-8")
    return [file]


def function_of(body: int) -> str:
    return '    def inner(self):\n        """Two\n        lines."""\n' + "        x = 1\n" * body


@pytest.mark.parametrize(("lines", "fault"), [(FILE, False), (FILE + 1, True)])
def test_a_long_file_is_found(tmp_path, lines, fault):
    assert bool(excess_of_files(write(tmp_path, "x = 1\n" * lines))) == fault


@pytest.mark.parametrize(("body", "fault"), [(BODY, False), (BODY + 1, True)])
def test_a_long_function_is_found(tmp_path, body, fault):
    short = "def short():\n    pass\n" * 9
    found = excess_of_functions(write(tmp_path, f"{short}class A:\n{function_of(body)}"))
    assert [f"inner: {BODY + 1} lines" in line for line in found] == [True] * fault


@pytest.mark.parametrize(("long", "fault"), [(1, False), (2, True)])
def test_too_many_longish_functions_are_found(tmp_path, long, fault):
    text = "def short():\n    pass\n" * (10 - long) + f"class A:\n{function_of(USUAL_BODY + 1)}" * long
    assert [f"up to {USUAL_BODY + 1} lines" in line for line in excess_of_functions(write(tmp_path, text))] == [
        True
    ] * fault


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ("self, a, b, c, d, e, f, g, h", 8),
        ("a, b, c, d, e, f, g, h, i", 9),
        ("a, /, b, c, d, *, e, f, g, h, i", 9),
        ("a, b, c, d, e, f, g, *more, **named", 9),
    ],
)
def test_arguments_are_counted(tmp_path, arguments, count):
    files = write(tmp_path, f"async def f({arguments}): pass\n")
    assert [function.arguments for function in functions(files)] == [count]
    assert len(excess_of_functions(files)) == (count > ARGUMENTS)


def test_a_body_starts_at_its_first_decorator(tmp_path):
    text = 'def f():\n    """One."""\n    @g\n    def h():\n        pass\n    return h\n'
    assert [function.body for function in functions(write(tmp_path, text))] == [4, 1]
