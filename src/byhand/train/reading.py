"""Where training data comes from: text files, folders of them, records of JSON lines, and built-in generators.

A source gives its texts one after the other, long ones in pieces, so that a file of any size is never held whole. They
are cut where most tokenizers cut anyway: at the end of a line between two signs that are no spaces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from byhand.checkpoints import tokens
from byhand.checkpoints.files.places import place_of
from byhand.errors import InputError
from byhand.tokenizer.learning import END

BLOCK = 1 << 16  # bytes of a text file that are read at once; the tokenizers are slower on more, and no faster on less
NEWLINE = b"\n"
LOOK = 1 << 13  # bytes by which a file of an unknown kind is judged
TEXT_NAMES = (".txt", ".text", ".md")
LINE_END, SPACE = re.compile(r"(?<=\S)\n(?=\S)"), re.compile(r"(?<=\S) (?=\S)")
SEPARATOR = re.compile(re.escape(END) + r"\n?")
VALIDATION = re.compile(r"(^|[^a-z])val(id|idation)?([^a-z]|$)", re.IGNORECASE)
Pair = tuple[str, str]


class Piece(NamedTuple):
    """A part of a text. last: whether the text ends with it; size: how much of the source it is, see `Source.size`."""

    text: str
    last: bool
    size: int


@dataclass(frozen=True)
class Source:
    """Texts that can be gone through again and again, always the same.

    pairs: whether they come by twos, a source text and its translation; records: whether each stands for itself (JSON
    lines, generators), not as a part of one long text; size: what there is to read, in bytes (texts of a generator);
    identity: what has to change for other texts to come.
    """

    name: str
    pieces: Callable[[], Iterator[Piece]] = field(repr=False)
    pairs: bool
    records: bool
    size: int
    identity: Mapping[str, Any] = field(repr=False)


# --- files --------------------------------------------------------------------------------------------------------


def files_of(given: str | Path) -> tuple[list[Path], list[str]]:
    """The files that a path, a folder or a pattern such as ``shards/*.bin`` names, sorted, and what was left out.

    Raises InputError where there are none.
    """
    path = place_of(given)
    if path.is_dir():
        return files_in(path)
    if path.is_file():
        return [path], []
    if path.exists():
        raise InputError(f"{path} is a pipe or device, which can be read only once; write it to a file first")
    if any(sign in path.name for sign in "*?[") and path.parent.is_dir():
        found = sorted(each for each in path.parent.glob(path.name) if each.is_file())
        if found:
            return found, []
        raise InputError(f"no file in {path.parent} is called {path.name}; check the pattern")
    raise InputError(f"there is no data at {path}; give a file, a folder, a pattern, or the name of a generator")


def files_in(folder: Path) -> tuple[list[Path], list[str]]:
    """The files of a folder, and the folders in it, that hold tokens; without any the JSON lines, else all text.

    What is hidden is not looked at; what else is left out is said. Raises InputError where nothing can be read.
    """
    inside = sorted(each for each in folder.rglob("*") if each.is_file())
    seen = [each for each in inside if not any(part.startswith(".") for part in each.relative_to(folder).parts)]
    groups = ([each for each in seen if holds_tokens(each)], [each for each in seen if each.suffix == ".jsonl"])
    faults = {} if any(groups) else {each: why for each in seen if (why := no_text(each))}
    taken = groups[0] or groups[1] or [each for each in seen if each not in faults]
    if not taken:
        raise InputError(f"the folder {folder} has no text in it; it needs .txt, .md, .jsonl or .bin files")
    other = f"is not {'a file of tokens' if groups[0] else 'JSON lines'}, as others here are"
    left = [each for each in seen if each not in {*taken}]
    return taken, [f"{each.relative_to(folder)} was left out: it {faults.get(each, other)}" for each in left]


def holds_tokens(path: Path) -> bool:
    """Whether a file of a folder is a shard of llm.c, or called as nanoGPT calls its files."""
    return path.suffix == ".bin" and (tokens.recognise(path) or path.stem in ("train", "val"))


def no_text(path: Path) -> str:
    """Why a file is taken for no text, by its name and beginning; nothing where it is one."""
    if path.suffix in TEXT_NAMES:
        return ""
    try:
        with path.open("rb") as file:
            data = file.read(LOOK)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if b"\0" in data:
        return "is no text"
    wrong = undecodable(data)
    return "" if wrong is None or wrong >= len(data) - 3 else "is no text in UTF-8"


def undecodable(data: bytes) -> int | None:
    """The place of the first byte that is no UTF-8; also that of a character whose end is missing."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return None


def apart(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """The files to learn from, and those to validate with: where some are called train, those called val or valid."""
    if not any("train" in each.name.lower() for each in files):
        return files, []
    validation = [each for each in files if VALIDATION.search(each.stem)]
    learning = [each for each in files if each not in validation]
    return (learning, validation) if learning else (files, [])


def source_of(files: list[Path], name: str) -> Source:
    """The texts of text files or of files of JSON lines. Raises InputError for a mixture, and for empty files."""
    jsons = [each for each in files if each.suffix == ".jsonl"]
    if jsons and len(jsons) < len(files):
        other = next(each for each in files if each.suffix != ".jsonl")
        raise InputError(f"{jsons[0]} holds records and {other} plain text; train on one kind")
    sizes = [about(each) for each in files]
    if not any(size for _, size, _ in sizes):
        raise InputError(f"{name} is empty; give a text to train on")
    pairs = bool(jsons) and first_is_pair(jsons)

    def pieces() -> Iterator[Piece]:
        for path in files:
            yield from records(path, pairs) if jsons else parted(texts(path))

    return Source(name, pieces, pairs, bool(jsons), sum(size for _, size, _ in sizes), {"files": sizes})


def about(path: Path) -> list[Any]:
    """What tells a file from its other states: where it is, its bytes, when it was changed. Raises InputError."""
    try:
        known = path.stat()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    return [str(path.resolve()), known.st_size, known.st_mtime_ns]


# --- plain text ---------------------------------------------------------------------------------------------------


def texts(path: Path) -> Iterator[Piece]:
    """The text of a file in pieces. Raises InputError naming the first byte that is no UTF-8."""
    rest, place, line = b"", 0, 1
    for data in blocks(path):
        data = rest + data
        end = whole_characters(data, path, place, line)
        text = data[:end].decode("utf-8")
        cut = last_cut(text) if len(data) >= BLOCK else 0
        taken = text[:cut].encode("utf-8")
        if cut:
            yield Piece(opened(text[:cut], place), False, len(taken))
        rest, place, line = data[len(taken) :], place + len(taken), line + text.count("\n", 0, cut)
    wrong = undecodable(rest)
    if wrong is not None:
        raise refused(path, rest, wrong, place, line)
    yield Piece(opened(rest.decode("utf-8"), place), True, len(rest))


def parted(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The same, a text ended at each ``<|endoftext|>``, by which many files keep their texts apart."""
    for text, last, size in pieces:
        *whole, rest = SEPARATOR.split(text)
        yield from (Piece(each, True, 0) for each in whole)
        yield Piece(rest, last, size)


def opened(text: str, place: int) -> str:
    """The text without the mark that some editors put at the beginning of a file."""
    return text.removeprefix("\ufeff") if place == 0 else text


def blocks(path: Path) -> Iterator[bytes]:
    """Raises InputError for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            while data := file.read(BLOCK):
                yield data
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def whole_characters(data: bytes, path: Path, place: int, line: int) -> int:
    """How many bytes are whole characters; at most the last three may wait for the rest of theirs."""
    wrong = undecodable(data)
    if wrong is None:
        return len(data)
    if wrong < len(data) - 3:
        raise refused(path, data, wrong, place, line)
    return wrong


def refused(path: Path, data: bytes, wrong: int, place: int, line: int) -> InputError:
    """place, line: of the first byte of the data in the file."""
    where = f"byte {place + wrong} (line {line + data.count(NEWLINE, 0, wrong)})"
    return InputError(f"{path}: {where} is 0x{data[wrong]:02x}, which is no UTF-8; convert the file to UTF-8")


def last_cut(text: str) -> int:
    """Where a text may be cut: after its last single line end, else before its last single space, else anywhere."""
    for pattern, after in ((LINE_END, 1), (SPACE, 0)):
        places = [each.start() for each in pattern.finditer(text)]
        if places:
            return places[-1] + after
    return len(text)


# --- JSON lines ---------------------------------------------------------------------------------------------------


def records(path: Path, pairs: bool) -> Iterator[Piece]:
    """The texts of a file of JSON lines. Raises InputError naming file and line for what is no such record."""
    for number, data in lines(path):
        found = record(data, f"{path}, line {number}")
        if isinstance(found, tuple) is not pairs:
            kinds = ("source and target", "text") if pairs else ("text", "source and target")
            raise InputError(f"{path}, line {number} has {kinds[1]}, but the first one has {kinds[0]}; give one kind")
        yield from as_pieces(found, len(data))


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, with their numbers from 1. Raises InputError for undecodable ones."""
    rest, number, place = b"", 0, 0
    for data in blocks(path):
        *whole, rest = (rest + data).split(b"\n")
        for each in whole:
            number += 1
            yield from line(path, each, number, place)
            place += len(each) + 1
    yield from line(path, rest, number + 1, place)


def line(path: Path, data: bytes, number: int, place: int) -> Iterator[tuple[int, bytes]]:
    wrong = undecodable(data)
    if wrong is not None:
        raise refused(path, data, wrong, place, number)
    if data.strip():
        yield number, data


def record(data: bytes, where: str) -> str | Pair:
    """A text, or a text and its translation. Raises InputError."""
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON ({str(error)[:60]}); each line must be one JSON object") from None
    names = ("text",) if isinstance(found, dict) and "text" in found else ("source", "target")
    if not isinstance(found, dict) or not all(name in found for name in names):
        raise InputError(f'{where} needs "text", or "source" and "target"; it has {data.decode("utf-8-sig")[:60]!r}')
    for name in names:
        if not isinstance(found[name], str) or not (found[name] or name == "text"):
            raise InputError(f"{where}: {name} is {found[name]!r:.40}; it must be a text that is not empty")
        if any("\ud800" <= sign <= "\udfff" for sign in found[name]):
            raise InputError(f"{where}: {name} holds half a character (\\ud800 … \\udfff); write whole ones")
    return found["text"] if len(names) == 1 else (found["source"], found["target"])


def first_is_pair(paths: list[Path]) -> bool:
    """Whether the first record is a pair. Raises InputError where there is none."""
    for path in paths:
        for number, data in lines(path):
            return isinstance(record(data, f"{path}, line {number}"), tuple)
    raise InputError(f"{paths[0]} is empty; give a record a line")


def as_pieces(found: str | Pair, size: int) -> Iterator[Piece]:
    for place, text in enumerate((found,) if isinstance(found, str) else found):
        yield Piece(text, True, size if place == 0 else 0)


# --- generators ---------------------------------------------------------------------------------------------------


def generated(name: str, make: Callable[[int], Iterator[str | Pair]], seed: int, examples: int) -> Source:
    """The first texts of a built-in generator. Raises InputError for fewer than one."""
    if examples < 1:
        raise InputError(f"examples is {examples}; a generator must write at least one text")
    first = next(make(seed))

    def pieces() -> Iterator[Piece]:
        for each in islice(make(seed), examples):
            yield from as_pieces(each, 1)

    identity = {"generator": name, "seed": seed, "examples": examples, "first": first}
    return Source(name, pieces, isinstance(first, tuple), True, examples, identity)
