"""Compiling kernels: where the results are kept for the next process, and who is told that it takes a while."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache as once
from pathlib import Path
from typing import Any, Protocol

import numba

from byhand.engines.announcing import ANNOUNCE

ENVIRONMENT = "BYHAND_CACHE"


class Compiled(Protocol):
    """What is compiled when it is first asked for."""

    name: str

    @property
    def ready(self) -> bool: ...

    def make(self) -> bool:
        """Compile it, or find it in the cache; whether it had to be compiled."""
        ...


@contextmanager
def cache(body: Callable[..., Any]) -> Iterator[None]:
    """Let Numba keep what it compiles in byhand's own folder, apart for every version of all that is compiled into it.

    Numba itself looks for changes in a function's own file only.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder() / version(Path(body.__code__.co_filename)))
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


@once
def folder() -> Path:
    """Where compiled kernels are kept: BYHAND_CACHE, else the user's place for what can be made again.

    Where nothing can be written they last as long as this process: a folder that others could write to is no place for
    machine code.
    """
    base = os.environ.get(ENVIRONMENT) or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "byhand"
    )
    path = Path(base) / "kernels"
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError:
        temporary = tempfile.TemporaryDirectory(prefix="byhand-kernels-")
        TEMPORARY.append(temporary)
        return Path(temporary.name)


TEMPORARY: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


@once
def version(file: Path) -> str:
    """Changes with a kernel's file, the kernels' files it imports, the vocabulary and the compiler."""
    here = Path(__file__).parent
    files = {here / "kernel.py", *(here / "simd").glob("*.py")} | imported(file)
    text = b"".join(each.read_bytes() for each in sorted(files))
    return hashlib.sha256(text + numba.__version__.encode()).hexdigest()[:12]


def imported(file: Path) -> set[Path]:
    """A file and all files beside it that it imports, directly or not."""
    found, left = set[Path](), [file]
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            names = re.findall(r"^from [\w.]+\.(\w+) import", each.read_text(encoding="utf-8"), re.MULTILINE)
            left += [beside for name in names if (beside := file.parent / f"{name}.py").is_file()]
    return found


def prepare(kernels: Sequence[Compiled]) -> None:
    """Make these kernels ready, and say so if some have to be compiled."""
    waiting = [each for each in kernels if not each.ready]
    while waiting and not waiting[0].make():
        waiting.pop(0)
    if not waiting:
        return
    with ANNOUNCE[-1](
        f"compiling kernels for this processor, once, for about half a minute; kept in {folder()}", len(waiting)
    ) as tick:
        for done, each in enumerate(waiting):
            tick(each.name, done)
            each.make()
