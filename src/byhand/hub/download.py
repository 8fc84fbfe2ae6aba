"""Bringing the files of a plan here: what was interrupted goes on, and nothing stays whose hash is wrong."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from byhand.errors import InputError
from byhand.hub.cache import cache, storage
from byhand.hub.reach import http_error, passing, reaching, reason, status
from byhand.memory import size

TRIES = 5  # in a row that bring nothing, before giving up
WAIT = 0.5  # seconds after the first of them; doubled after each
NO_SUCH_RANGE = 416  # what a server answers that has fewer bytes than were asked for
SMALL = 16_000_000  # bytes up to which a file that is already here is read again to check it

Tick = Callable[[str, int], None]


@dataclass(frozen=True)
class File:
    """A file of a repository. size: bytes; digest: 64 digits of SHA-256, or git's 40 for a file kept in git itself."""

    path: str
    size: int
    digest: str

    def right(self, path: Path) -> bool:
        """Whether a file on this machine holds these bytes, by its hash."""
        start = b"" if len(self.digest) == 64 else b"blob %d\0" % path.stat().st_size
        made = hashlib.sha256 if len(self.digest) == 64 else hashlib.sha1
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: made(start, usedforsecurity=False)).hexdigest() == self.digest

    def there(self, path: Path, check: bool) -> bool:
        """Whether it is at a place already; check: read large ones too, instead of trusting their size."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        return not (check or self.size <= SMALL) or self.right(path)


@dataclass(frozen=True)
class Plan:
    """What is to be at a place in the end.

    to: a folder of the caller's, None for the cache; force: other files of the same names there may be overwritten.
    """

    name: str
    revision: str
    commit: str
    endpoint: str
    to: Path | None
    force: bool = False
    files: tuple[File, ...] = ()
    missing: tuple[File, ...] = ()

    @property
    def folder(self) -> Path:
        return self.to if self.to is not None else storage(self.name) / "snapshots" / self.commit

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """Bytes still to come; what an interrupted download left counts as here."""
        return sum(max(file.size - size_of(part_of(self.kept(file))), 0) for file in self.missing)

    def at(self, file: File) -> Path:
        """Where a file is read."""
        return self.folder / file.path

    def kept(self, file: File) -> Path:
        """Where its bytes are kept: in the cache under their hash."""
        return self.at(file) if self.to is not None else storage(self.name) / "blobs" / file.digest


def silent(path: str, count: int) -> None:
    """The usual progress: none."""


def download(made: Plan, tick: Tick = silent, whole: bool = True) -> Path:
    """Bring what a plan is missing, check every file's hash, and return the folder.

    tick: called with a path and how many more bytes of it are here; whole: these files are all, so that the revision
    may from now on mean this commit. An interrupted download goes on where it stopped. Raises InputError.
    """
    room(made)
    clear(made)
    with reaching(made.name, made.revision), alone(made):
        for file in made.missing:
            kept = made.kept(file)
            if made.to is not None or not file.there(kept, check=True):
                fetch(made, file, kept, tick)
            if made.to is None:
                link(kept, made.at(file))
        if whole and made.to is None and made.revision != made.commit:
            remember(storage(made.name) / "refs" / made.revision, made.commit)
    return made.folder


def room(made: Plan) -> None:
    """Raise InputError when the disk has no room for what is missing."""
    place = made.to if made.to is not None else cache()
    there = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if made.missing_bytes > free:
        need = f"{size(made.missing_bytes)} of {made.name} are missing"
        raise InputError(f"{need}, but {there} has {size(free)} free; make room, or name another place with --to")


def clear(made: Plan) -> None:
    """Raise InputError when a file of the caller's would be overwritten by another one."""
    for file in made.missing:
        if made.to is not None and not made.force and made.at(file).exists():
            raise InputError(
                f"{made.at(file)} exists and differs from the one of {made.name} at {made.revision}; "
                "name another folder, or overwrite it with --force"
            )


@contextmanager
def alone(made: Plan) -> Iterator[None]:
    """Hold the lock of a model, so that two downloads of it do not write one file."""
    from huggingface_hub.utils import WeakFileLock

    lock = cache() / ".locks" / storage(made.name).name / "byhand.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with WeakFileLock(lock, timeout=0.1):
            yield
    except TimeoutError:
        raise InputError(f"another pull of {made.name} is at work; wait until it is done") from None


def fetch(made: Plan, file: File, kept: Path, tick: Tick) -> None:
    """Download one file beside its place, and move it there when its hash is right."""
    part = part_of(kept)
    part.parent.mkdir(parents=True, exist_ok=True)
    for resumed in (size_of(part) > 0, False):
        stream(made, file, part, tick)
        if file.right(part):
            part.replace(kept)
            return
        tick(file.path, -size_of(part))
        part.unlink()
        if not resumed:
            break
    raise InputError(
        f"{file.path} of {made.name} arrived with another hash than {made.endpoint} says, {file.digest}; "
        "it was deleted; pull again, and do not trust this hub if it happens twice"
    )


def stream(made: Plan, file: File, part: Path, tick: Tick) -> None:
    """Append to the part what it lacks, trying again after a broken connection. Raises InputError."""
    part.touch()
    failures = 0
    while (have := size_of(part)) != file.size:
        problem = f"it sends {size(have)} of {size(file.size)}"
        try:
            receive(made, file, part, tick)
        except http_error() as error:
            if status(error) != NO_SUCH_RANGE:
                if not passing(error):
                    raise
                problem = reason(error)
        failures = 0 if size_of(part) > have else failures + 1
        if failures == TRIES:
            raise InputError(
                f"cannot download {file.path} of {made.name} from {made.endpoint}: {problem}; "
                "what has arrived is kept, and the same command goes on from there"
            )
        time.sleep(WAIT * 2**failures * (size_of(part) != file.size))


def receive(made: Plan, file: File, part: Path, tick: Tick) -> None:
    """One request for what a part lacks, written as it arrives."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    url = hf_hub_url(made.name, file.path, revision=made.commit, endpoint=made.endpoint)
    have = size_of(part)
    headers = {**build_hf_headers(library_name="byhand"), "Accept-Encoding": "identity"}
    if 0 < have < file.size:
        headers["Range"] = f"bytes={have}-"
    limit = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=limit) as response:
        hf_raise_for_status(response)
        goes_on = response.status_code == 206  # a server may also ignore the range, and send everything
        tick(file.path, 0 if goes_on else -have)
        with part.open("ab" if goes_on else "wb") as out:
            for chunk in response.iter_bytes():
                if out.tell() + len(chunk) > file.size:
                    raise InputError(f"{made.endpoint} sends more of {file.path} than the {size(file.size)} it lists")
                out.write(chunk)
                tick(file.path, len(chunk))
            out.flush()
            os.fsync(out.fileno())


def part_of(kept: Path) -> Path:
    """Where a file grows until it is whole and right."""
    return kept.with_name(f"{kept.name}.incomplete")


def size_of(path: Path) -> int:
    """Bytes of a file; 0 when there is none."""
    return path.stat().st_size if path.is_file() else 0


def link(kept: Path, place: Path) -> None:
    """Let a snapshot's file lead to its bytes; where the system has no links, move them."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    try:
        place.symlink_to(os.path.relpath(kept, place.parent))
    except OSError:
        kept.replace(place)


def remember(ref: Path, commit: str) -> None:
    ref.parent.mkdir(parents=True, exist_ok=True)
    beside = ref.with_name(f"{ref.name}.{os.getpid()}.tmp")
    beside.write_text(commit, encoding="utf-8")
    beside.replace(ref)
