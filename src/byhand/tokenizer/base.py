"""What every tokenizer can do, whatever it was read from."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byhand.errors import InputError
from byhand.shapes import whole
from byhand.tokenizer.trace import Piece, Trace

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Ends:
    """What a model's own files say about the ends of a text: ids put before and after it, and ids that end it."""

    begin: Ids = ()
    end: Ids = ()
    stops: Ids = ()


class Tokenizer(ABC):
    """Text to token ids and back.

    kind: a line for people; table: the bytes of every id; special: the tokens that are no text, by name; begin, end:
    the ids that the model's own files put before and after a text; stops: the ids that end a text; files: those it was
    read from, by name; pattern: how a text is cut before merging, None where by nothing; takes_bytes: whether any bytes
    can be encoded, not only text; by_score: whether merges go by scores, not by their place in a list.
    """

    kind: str
    takes_bytes = False
    pattern: str | None = None
    by_score = False

    def __init__(
        self, table: Mapping[int, bytes], special: Mapping[str, int], ends: Ends, files: Mapping[str, bytes]
    ) -> None:
        self.table = dict(table)
        self.special = dict(special)
        self.begin, self.end, self.stops = ends.begin, ends.end, ends.stops
        self.files = dict(files)
        self.size = max(self.table, default=-1) + 1

    def __len__(self) -> int:
        """How many ids there are; the highest is one less."""
        return self.size

    def __repr__(self) -> str:
        return f"<{self.kind}>"

    # --- text to ids ----------------------------------------------------------------------------------------------

    def encode(self, text: str | bytes, special: bool = False) -> list[int]:
        """The ids of a text, nothing added. special: names of special tokens in the text become those tokens.

        text: a str, or any bytes where the tokenizer takes bytes. Raises InputError for anything else.
        """
        given = self.given(text)
        return self.pieces_ids(given, special) if escaped(given) else self.ids(given, special)

    def prepared(self, text: str | bytes, special: bool = False) -> list[int]:
        """The ids as the model's own files want them: begin, the text, end. Raises InputError as `encode` does."""
        return [*self.begin, *self.encode(text, special), *self.end]

    def trace(self, text: str | bytes, special: bool = False) -> Trace:
        """How the ids come about, computed without the library that `encode` uses; the ids are the same.

        Raises InputError as `encode` does, and for a step of the file that is not written out here.
        """
        given = self.given(text)
        pieces = tuple(self.pieces(given, special))
        return Trace(text, pieces, self.symbol_bytes, self.normalized(given), self.by_score)

    def given(self, text: Any) -> str:
        """The text; bytes that are no UTF-8 are in it as escapes. Raises InputError."""
        if isinstance(text, str):
            try:
                text.encode("utf-8")
            except UnicodeEncodeError as error:
                sign, place = f"U+{ord(text[error.start]):04X}", error.start
                raise InputError(f"the text has {sign}, half a character, at {place}; it is no valid text") from None
            return text
        if not isinstance(text, bytes | bytearray):
            raise InputError(f"the text is a {type(text).__name__}; give a str")
        if not self.takes_bytes:
            raise InputError(f"{self.kind} takes text, not bytes; decode them first, such as data.decode()")
        return text.decode("utf-8", "surrogateescape")

    def pieces_ids(self, text: str, special: bool) -> list[int]:
        return [token for piece in self.pieces(text, special) for token in piece.ids]

    @abstractmethod
    def ids(self, text: str, special: bool) -> list[int]:
        """The ids of a valid text, the fast way."""

    @abstractmethod
    def pieces(self, text: str, special: bool) -> Iterator[Piece]:
        """The pieces of a text and how each became ids, written out."""

    def normalized(self, text: str) -> str | None:
        """What the tokenizer makes of a text before it cuts it; None where it leaves it as it is."""
        return None

    def symbol_bytes(self, symbol: str) -> bytes:
        """The bytes that a symbol of the vocabulary stands for."""
        return symbol.encode("utf-8", "surrogateescape")

    def parts(self, text: str, special: bool) -> Iterator[tuple[str, int | None]]:
        """The text between special tokens, with None, and those tokens with their ids; the longest name goes first."""
        names = sorted((name for name in self.special if name), key=len, reverse=True) if special else []
        found = re.split("(" + "|".join(map(re.escape, names)) + ")", text) if names else [text]
        for place, part in enumerate(found):
            if part:
                yield part, self.special[part] if place % 2 else None

    # --- ids to text ----------------------------------------------------------------------------------------------

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of the tokens, one after the other. An id without a token, such as padding, is written ``<id>``.

        Raises InputError for what is no list of ids.
        """
        return b"".join(self.token(each) for each in checked(ids))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the tokens; bytes that are no whole character are written as ``\\xe2``. Raises InputError."""
        return self.decode_bytes(ids).decode("utf-8", "backslashreplace")

    def token(self, token: int) -> bytes:
        found = self.table.get(token)
        return b"<%d>" % token if found is None else found

    # --- files ----------------------------------------------------------------------------------------------------

    def write(self, folder: str | Path) -> list[str]:
        """Write the files by which this tokenizer can be loaded again, and return their names. Raises InputError."""
        folder, files = Path(folder), self.files_to_write()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                beside = folder / f".{name}.part"
                beside.write_bytes(data)
                beside.replace(folder / name)
        except OSError as error:
            raise InputError(f"cannot write the tokenizer to {folder}: {error.strerror or error}") from None
        return list(files)

    def files_to_write(self) -> dict[str, bytes]:
        return self.files


def checked(ids: Any) -> Iterator[int]:
    """Each id as a whole number. Raises InputError."""
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise InputError(f"{ids!r:.60} is no list of token ids; give whole numbers, such as [0, 1]")
    for each in ids:
        token = whole(each)
        if token is None or token < 0:
            raise InputError(f"{each!r:.60} is no token id; give whole numbers from 0")
        yield token


def escaped(text: str) -> bool:
    """Whether a text holds bytes that were no UTF-8."""
    return not text.isascii() and any("\udc80" <= sign <= "\udcff" for sign in text)
