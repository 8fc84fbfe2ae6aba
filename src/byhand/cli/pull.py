"""``byhand pull``: a model of a hub, downloaded and checked."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from rich.text import Text
from typer import Argument, Option

from byhand import hub
from byhand.cli import show
from byhand.cli.arguments import Output
from byhand.errors import InputError
from byhand.hub.cache import MAIN
from byhand.hub.download import Plan, Tick, download, silent
from byhand.hub.plan import plan
from byhand.hub.reach import offline
from byhand.memory import size

EXAMPLES = (
    "pull openai-community/gpt2",
    "pull meta-llama/Llama-3.2-1B --file 'original/*' --to llama",
    "pull org/name:model-q8_0.gguf",
)

TEXT = "The cat sat on the"  # in the command that is suggested next
BAR, PATH = 10, 24  # columns of the progress bar, and of the file before it


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    name: Annotated[str, Argument(metavar="NAME", help="org/name, or org/name:FILE for one file.", show_default=False)]
    revision: Annotated[str, Option(metavar="R", help="A branch, tag or commit.")] = MAIN
    to: Annotated[Path | None, Option(metavar="FOLDER", help="Put it here, not in the cache.", show_default=False)] = (
        None
    )
    file: Annotated[
        list[str], Option(metavar="PATTERN", help="Take only these, such as '*.gguf', 'original/*'. Repeatable.")
    ] = field(default_factory=list)
    all: Annotated[bool, Option("--all", help="Take every file, not only those that byhand uses.")] = False
    check: Annotated[bool, Option("--check", help="Check the hash of large files that are here already too.")] = False
    force: Annotated[bool, Option("--force", help="Overwrite other files of the same names in FOLDER.")] = False


def command(asked: Asked) -> None:
    """Download a model from a hub, and check it.

    Only the files that byhand uses are taken, unless you ask for others.
    """
    if asked.all and asked.file:
        raise InputError("got both --all and --file; give one of them")
    if asked.to is not None and asked.to.exists() and not asked.to.is_dir():
        raise InputError(f"{asked.to} is a file; name a folder with --to")
    if offline():
        return already_here(asked)
    made = plan(
        asked.name,
        asked.revision,
        to=asked.to,
        files=asked.file,
        everything=asked.all,
        check=asked.check,
        force=asked.force,
    )
    coming = made.missing_bytes
    if not asked.json:
        announce(made)
    with progress(made) as tick:
        folder = download(made, tick)
    if asked.json:
        return show.document(facts(made, folder, coming, asked))
    print_end(folder, following(asked, folder))


def already_here(asked: Asked) -> None:
    """Without a network, the copy that is here is the answer."""
    plain = asked.to is None and not asked.file
    folder = hub.find(asked.name, asked.revision) if plain else None
    if folder is None:
        what = asked.name if plain else f"{asked.name} with --to or --file"
        raise InputError(f"HF_HUB_OFFLINE is set and {what} is not in the cache; unset it to download")
    if asked.json:
        return show.document({"name": asked.name, "folder": folder, "files": [], "downloaded": 0})
    show.prose("HF_HUB_OFFLINE is set, so the hub was not asked; this copy was here:", "dim")
    print_end(folder, following(asked, folder))


def facts(made: Plan, folder: Path, coming: int, asked: Asked) -> dict[str, Any]:
    """The answer as data. bytes: of all files; downloaded: those that had to come."""
    files = [
        {"path": each.path, "bytes": each.size, "hash": each.digest, "downloaded": each in made.missing}
        for each in made.files
    ]
    about = {"name": made.name, "revision": made.revision, "commit": made.commit, "endpoint": made.endpoint}
    sums = {"files": files, "bytes": made.bytes, "downloaded": coming}
    return {**about, "folder": folder, **sums, "next": following(asked, folder)}


def announce(made: Plan) -> None:
    """Say what will be taken before anything is."""
    show.heading(f"{made.name} at {made.revision}, commit {made.commit[:12]}")
    rows = [[f"  {each.path}", size(each.size), "" if each in made.missing else "here"] for each in made.files]
    show.write(show.table({"  file": "left", "bytes": "right", "": "left"}, rows), "")
    total = f"{len(made.files)} files, {size(made.bytes)}"
    if not made.missing:
        return show.prose(f"{total}, all of them here")
    rest = "" if made.missing_bytes == made.bytes else f", of which {size(made.missing_bytes)} are to come"
    show.prose(f"{total}{rest}, from {made.endpoint}")


def print_end(folder: Path, command: str) -> None:
    show.raw(f"{folder}\n\nNext: {command}")


def following(asked: Asked, folder: Path) -> str:
    """The command to type next: by name where the name finds it, else by folder."""
    named = asked.to is None and asked.revision == MAIN and not asked.file
    return f"byhand run {shlex.quote(asked.name if named else str(folder))} {shlex.quote(TEXT)}"


@contextmanager
def progress(made: Plan) -> Iterator[Tick]:
    """Show on a terminal how far the download is; after Ctrl-C say that it can go on."""
    if not (made.missing and sys.stderr.isatty()):
        yield silent
        return
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn

    class Amount(ProgressColumn):
        """How much has come, how fast, and how long the rest will take."""

        def render(self, task: Task) -> Text:
            come = f"{size(task.completed)} of {size(task.total or 0)}"
            speed = f", {size(task.speed)}/s, {task.time_remaining or 0} s" if task.speed else ""
            return Text(come + speed)

    quiet = BarColumn(BAR, style="dim", complete_style="none", finished_style="none", pulse_style="dim")
    columns = (TextColumn("{task.description}"), quiet, Amount())
    with Progress(*columns, console=show.console(stderr=True), transient=True) as bar:
        task = bar.add_task(made.name, total=made.missing_bytes)
        try:
            yield lambda path, count: bar.update(task, advance=count, description=shortened(path))
        except KeyboardInterrupt:
            bar.console.print("What has arrived is kept; the same command goes on from there.")
            raise


def shortened(path: str) -> str:
    """The end of a path, which tells the shards of a model apart."""
    return path if len(path) <= PATH else f"...{path[3 - PATH :]}"
