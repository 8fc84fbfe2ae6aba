"""A wiring from somebody's own Python file, which is run, or by the name of a program of the zoo."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from runpy import run_path
from traceback import extract_tb
from types import FunctionType
from typing import Any

from byhand.errors import InputError
from byhand.wiring.refusals import WiringWarning
from byhand.wiring.verifying import Spec, Texts
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo import PROGRAMS

FOLLOWS, TEXTS = "follows", "texts"


@dataclass(frozen=True)
class Found:
    """A wiring, what should follow a text and what makes random texts where that is said, and what was warned of.

    file: where it was found; None for a program of the zoo.
    """

    wiring: Wiring
    follows: Spec | None
    texts: Texts | None
    warnings: tuple[str, ...] = ()
    file: Path | None = None


def found(source: str, name: str | None = None) -> Found:
    """The wiring in a file, or the program of the zoo that is called so.

    name: of a Wiring, or of a function that makes one, where the file has more than one. Its `follows` and `texts`
    are taken along. Raises InputError, with the line of the file where it fails.
    """
    if Path(source).exists():
        return from_file(Path(source), name)
    if source not in PROGRAMS:
        raise InputError(f"no file {source!r}, and no program of the zoo is called so; {near(source)}")
    if name is not None:
        raise InputError(f"--name is {name!r}, and {source} of the zoo has one wiring; leave --name out")
    program = PROGRAMS[source]
    return Found(program.make(), program.follows, program.texts)


def near(source: str) -> str:
    close = get_close_matches(source, PROGRAMS, n=3, cutoff=0.5)
    return f"the nearest are {', '.join(close)}" if close else f"there are {', '.join(PROGRAMS)}"


def from_file(path: Path, name: str | None) -> Found:
    """Run the file as Python runs it, but for its main part, and take its one wiring. Raises InputError."""
    if not path.is_file():
        raise InputError(f"{path} is a folder; give the Python file that makes the wiring")
    with told(path) as warned:
        made = run_path(str(path), run_name=path.stem)
        wiring = named(path, made, name) if name is not None else only(path, made)
    follows, texts = (function_of(path, made, each) for each in (FOLLOWS, TEXTS))
    return Found(wiring, follows, texts, tuple(warned), path)


@contextmanager
def told(path: Path) -> Iterator[list[str]]:
    """While code of the user's file runs: what it prints goes to standard error, what it raises becomes one line."""
    warned: list[str] = []
    beside = str(path.resolve().parent)
    sys.path.insert(0, beside)  # as Python does, so that it can import what lies beside it
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", WiringWarning)
            yield warned
        warned += [str(each.message) for each in caught]
    except SyntaxError as error:
        raise InputError(f"{error.filename or path}, line {error.lineno}: {error.msg}") from None
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
        if not lines:
            raise
        raise InputError(f"{path}, line {lines[-1]}: {said(error)}") from None
    finally:
        sys.path.remove(beside)


def said(error: BaseException) -> str:
    """What an exception says; one of byhand's is a whole sentence."""
    if isinstance(error, SystemExit):
        return f"it ended itself, with the exit code {error.code}"
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"


def only(path: Path, made: Mapping[str, Any]) -> Wiring:
    """The one wiring of a file, however many names it has. Raises InputError for none and for several."""
    wirings = {id(value): name for name, value in made.items() if isinstance(value, Wiring)}
    if len(wirings) == 1:
        return made[next(iter(wirings.values()))]
    if wirings:
        names = ", ".join(wirings.values())
        raise InputError(f"{path} makes {len(wirings)} wirings, {names}; say which with --name")
    own = (name for name, value in made.items() if isinstance(value, FunctionType) and value.__module__ == path.stem)
    makers = [name for name in own if name not in (FOLLOWS, TEXTS)]
    hint = f", or name a function that returns one, such as --name {makers[-1]}" if makers else ""
    raise InputError(f"{path} makes no Wiring; put one at the top level of the file{hint}")


def named(path: Path, made: Mapping[str, Any], name: str) -> Wiring:
    """The wiring of that name, or what the function of that name makes. Raises InputError."""
    if name not in made:
        raise InputError(f"--name is {name!r}, and {path} has nothing of that name")
    value, what = (made[name](), "returns") if isinstance(made[name], FunctionType) else (made[name], "is")
    if not isinstance(value, Wiring):
        raise InputError(f"--name is {name!r}, which {what} {value!r:.40} in {path}; it must be a Wiring")
    return value


def function_of(path: Path, made: Mapping[str, Any], name: str) -> Callable[..., Any] | None:
    """The file's function of that name, None without. Raises InputError for anything else."""
    value = made.get(name)
    if value is not None and not callable(value):
        raise InputError(f"{path}: {name} is {value!r:.40}; make it a function, or call it something else")
    return value
