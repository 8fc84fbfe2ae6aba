"""Texts as token ids, encoded once: they stay in a folder, and training maps the file and reads a little of it a step.

A folder made here is named after all that decides what is in it: the texts (files with their sizes and times), the
tokenizer, and this version. It is written beside and renamed, so it is whole or not there.
"""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from byhand.checkpoints.files.saving import flush
from byhand.errors import InputError
from byhand.tokenizer import Tokenizer, load
from byhand.tokenizer.learning import END, MASK, learn
from byhand.train.reading import Source

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int], None]  # what is encoded and what there is, in the same unit
VERSION = 1
IDS, ENDS, ABOUT = "ids.bin", "ends.bin", "about.json"


def silent(done: int, total: int) -> None:
    """The progress nobody watches."""


# --- what stands around a text ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Around:
    """The ids that separate texts. before, after: of each text; start: what a text by itself begins after.

    A tokenizer that begins and ends a text with the same token puts it once between two.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    start: tuple[int, ...]
    begin: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Around:
        """The tokenizer's own end, else the first token that ends a text, else the end of a line, else nothing."""
        after = tokenizer.end or tokenizer.stops[:1] or line_end(tokenizer)
        begin = tokenizer.begin
        return cls(() if begin == after else begin, after, begin or after, begin)

    @property
    def first(self) -> tuple[int, ...]:
        """What a text by itself begins after, where that does not stand before it anyway."""
        return () if self.before else self.start


def line_end(tokenizer: Tokenizer) -> tuple[int, ...]:
    try:
        ids = tokenizer.encode("\n")
    except InputError:
        return ()
    return tuple(ids) if len(ids) == 1 else ()


# --- ids that are there ---------------------------------------------------------------------------------------------


class Ids:
    """Token ids that lie in several mapped arrays, one behind the other."""

    def __init__(self, parts: Sequence[Array]) -> None:
        self.parts = list(parts)
        self.ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def between(self, start: int, stop: int) -> Array:
        """A copy of ids, [stop - start]."""
        first = int(np.searchsorted(self.ends, start, "right"))
        cuts = []
        for part, end in zip(self.parts[first:], self.ends[first:], strict=True):
            begin = int(end) - len(part)
            cuts.append(np.asarray(part[max(start - begin, 0) : stop - begin], np.int64))
            if stop <= end:
                break
        return np.concatenate(cuts)


@dataclass(frozen=True, eq=False)
class Encoded:
    """All texts of a source. ends_N: where each of the N texts ends; identity: another one for other ids; pairs,
    records: see `reading.Source`.
    """

    ids: Ids
    ends_N: Array
    identity: str
    pairs: bool = False
    records: bool = False


# --- made once ----------------------------------------------------------------------------------------------------


def encode(source: Source, tokenizer: Tokenizer, folder: Path, progress: Progress = silent) -> Encoded:
    """The ids of a source's texts, from the folder where they are there already.

    Raises InputError for texts that cannot be read or encoded, for none, and for a full disk.
    """
    key = named("ids", [source.identity, source.pairs, known(tokenizer)])
    return opened(made_once(folder, key, lambda new: write(new, source, tokenizer, progress)), source)


def known(tokenizer: Tokenizer) -> Any:
    """What tells a tokenizer from another."""
    files = {name: sha256(data).hexdigest() for name, data in sorted(tokenizer.files_to_write().items())}
    return [files, len(tokenizer), tokenizer.begin, tokenizer.end, tokenizer.stops]


def named(what: str, about: Any) -> str:
    """A folder's name, another for everything that is about another thing."""
    return f"{what}-{sha256(json.dumps([VERSION, about]).encode()).hexdigest()[:16]}"


def made_once(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The folder of this name in another, filled by `make` the first time. Raises InputError where it cannot be."""
    path = folder / name
    if path.is_dir():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}.", ignore_cleanup_errors=True) as made:
            new = Path(made, name)
            new.mkdir()
            make(new)
            flush(new)
            if not path.is_dir():  # somebody else may have been quicker
                new.rename(path)
    except OSError as error:
        raise InputError(f"cannot keep the encoded texts in {folder}: {error.strerror or error}") from None
    return path


def write(new: Path, source: Source, tokenizer: Tokenizer, progress: Progress) -> None:
    """Encode all texts into a folder. Raises InputError."""
    ends, dtype, count, digest = array("q"), dtype_of(len(tokenizer)), 0, sha256()
    with (new / IDS).open("wb") as file:
        for ids, last in encoded(source, tokenizer, progress):
            data = np.array(ids, dtype).tobytes()
            file.write(data)
            digest.update(data)
            count += len(ids)
            if last and count > (ends[-1] if ends else 0):
                ends.append(count)
    if not count:
        raise InputError(f"{source.name} is empty; give a text to train on")
    (new / ENDS).write_bytes(np.frombuffer(ends, np.int64).tobytes())
    about = {"version": VERSION, "tokens": count, "texts": len(ends), "dtype": dtype.name, "ids": digest.hexdigest()}
    (new / ABOUT).write_text(json.dumps(about | {"source": source.identity}, indent=1), encoding="utf-8")


def encoded(source: Source, tokenizer: Tokenizer, progress: Progress) -> Iterator[tuple[list[int], bool]]:
    """The ids of each piece, and whether its text ends with it. Raises InputError."""
    around, started, number = Around.of(tokenizer), False, 0
    for text, last in watched(source, progress):
        try:
            ids = tokenizer.encode(text)
        except InputError as error:
            raise InputError(f"text {number + 1} of {source.name}: {error}") from None
        if ids or started:
            translation = source.pairs and number % 2 == 1
            begin = (around.start if translation else around.begin) if source.pairs else around.before
            end = around.after if last and (translation or not source.pairs) else ()
            ids = [*(() if started else begin), *ids, *end]
        yield ids, last
        started, number = not last and (started or bool(ids)), number + last


def watched(source: Source, progress: Progress) -> Iterator[tuple[str, bool]]:
    """The pieces of a source and whether a text ends with them, while somebody is told how far this is."""
    done = told = 0
    for text, last, size in source.pieces():
        yield text, last
        done += size
        if done - told > source.size // 200:
            progress(done, source.size)
            told = done
    if told < source.size:
        progress(source.size, source.size)


def dtype_of(vocabulary: int) -> np.dtype[Any]:
    return np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")


def opened(path: Path, source: Source) -> Encoded:
    """What `write` wrote. Raises InputError for a folder that was changed."""
    try:
        about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
        ids = np.memmap(path / IDS, np.dtype(about["dtype"]).newbyteorder("<"), "r")
        ends_N = np.memmap(path / ENDS, np.dtype("<i8"), "r")
        whole = len(ids) == about["tokens"] == ends_N[-1] and len(ends_N) == about["texts"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read ({str(error)[:80]}); delete it, and the texts are encoded again"
        ) from None
    if not whole:
        raise InputError(f"{path} is not as it was written; delete it, and the texts are encoded again")
    return Encoded(Ids([ids]), ends_N, about["ids"], source.pairs, source.records)


# --- tokenizers -----------------------------------------------------------------------------------------------------


def tokenizer_for(
    asked: str, source: Source, folder: Path, masked: bool = False, progress: Progress = silent
) -> Tokenizer:
    """A tokenizer by what somebody wrote: characters, bpe:1000 (so many tokens), or the path of one.

    masked: whether one that is learned needs a token to hide others with. One that is learned stays in the folder.
    Raises InputError.
    """
    kind = learned_by(asked)
    if not kind:
        found = load(Path(asked))
        if found is None:
            raise InputError(f"there is no tokenizer in {asked}; give one, or learn one: characters, or bpe:1000")
        return found
    number = asked.partition(":")[2]
    if (kind == "bpe") is not number.isdecimal():
        raise InputError(f"tokenizer is {asked!r:.60}; write characters, or bpe:1000 for a thousand tokens")

    def make(new: Path) -> None:
        learn_tokenizer(kind, (text for text, _ in watched(source, progress)), int(number or 0), masked).write(new)

    found = load(made_once(folder, named("tokenizer", [asked, source.identity, masked]), make))
    assert found is not None
    return found


def learned_by(asked: str) -> str:
    """How a tokenizer is learned that somebody wrote like this; nothing for a path."""
    kind = asked.partition(":")[0]
    return kind if kind in ("characters", "bpe") and not Path(asked).exists() else ""


def learn_tokenizer(kind: str, texts: Iterable[str], size: int = 0, masked: bool = False) -> Tokenizer:
    """A tokenizer learned from texts, see `tokenizer.learning`. size: tokens of a "bpe"; masked: with a token that
    hides others. The same texts give the same one. Raises InputError.
    """
    return learn(kind, texts, size, (END, MASK) if masked else (END,))
