"""SentencePiece's BPE, of Llama 2 and llama2.c: of all pairs that make a piece, the best score is joined first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import groupby
from math import isfinite
from typing import Any

from byhand.errors import InputError
from byhand.tokenizer.base import Ends, Tokenizer
from byhand.tokenizer.document import described
from byhand.tokenizer.ends import settings, template
from byhand.tokenizer.merging import NEVER, merged, merges
from byhand.tokenizer.pieces import byte_names, named_byte
from byhand.tokenizer.steps import MARK
from byhand.tokenizer.trace import Piece


class Type(IntEnum):
    """What a piece is; the numbers are SentencePiece's and GGUF's."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Scored:
    """A piece of the vocabulary; its place is its id. text: spaces as ▁."""

    text: str
    score: float
    type: Type


class ScoredTokenizer(Tokenizer):
    """BPE by scores, equal scores from the left; a character that is no piece is spelled in bytes.

    prefix: a text is read as if a space stood before it. The library that tokenizer.json is for decides equal scores
    otherwise, so `encode` does not use it here. Raises InputError for pieces that cannot be a vocabulary.
    """

    by_score = True

    def __init__(
        self, pieces: Sequence[Scored], unknown: int, prefix: bool, ends: Ends, files: Mapping[str, bytes], where: str
    ) -> None:
        self.listed, self.unknown, self.prefix = list(pieces), unknown, prefix
        check_pieces(self.listed, unknown, where)
        self.places: dict[str, int] = {}
        for token, each in enumerate(pieces):
            if each.type in (Type.NORMAL, Type.USER):
                self.places.setdefault(each.text, token)
        self.byte_ids = {each.text: token for token, each in enumerate(pieces) if each.type is Type.BYTE}
        self.spells = len(self.byte_ids) == 256
        special = {each.text: token for token, each in enumerate(pieces) if each.type in (Type.CONTROL, Type.UNKNOWN)}
        super().__init__(dict(enumerate(map(piece_bytes, pieces))), special, ends, files)
        self.kind = f"SentencePiece BPE by scores, {'' if self.spells else 'without bytes, '}{len(self):,} tokens"

    # --- text to ids ----------------------------------------------------------------------------------------------

    def ids(self, text: str, special: bool) -> list[int]:
        found: list[int] = []
        for run, token in self.runs(text, special):
            if token is None:
                found += [token for token, _ in self.named(merged(list(run), self.rank))]
            else:
                found.append(token)
        return found

    def pieces(self, text: str, special: bool) -> Iterator[Piece]:
        for run, token in self.runs(text, special):
            if token is not None:
                yield Piece(
                    run, (token,), (run,), note="special token" if run in self.special else "a piece as a whole"
                )
                continue
            symbols = list(run)
            steps = tuple(merges(symbols, self.rank))
            found = self.named(symbols)
            yield Piece(run, tuple(token for token, _ in found), tuple(name for _, name in found), tuple(run), steps)

    def runs(self, text: str, special: bool) -> Iterator[tuple[str, int | None]]:
        """What is merged, with None, and special tokens and pieces the user defined, with their ids."""
        found = self.users
        for part, token in self.parts(text, special):
            if token is not None:
                yield part, token
                continue
            written = self.spaced(part)
            for place, run in enumerate(found.split(written) if found else [written]):
                if run:
                    yield run, self.places[run] if place % 2 else None

    @cached_property
    def users(self) -> re.Pattern[str] | None:
        """What finds the pieces that the user defined, the longest first; None when there are none."""
        users = sorted((each.text for each in self.listed if each.type is Type.USER), key=len, reverse=True)
        return re.compile("(" + "|".join(map(re.escape, users)) + ")") if users else None

    def spaced(self, text: str) -> str:
        return (MARK if self.prefix and text else "") + text.replace(" ", MARK)

    def normalized(self, text: str) -> str:
        return self.spaced(text)

    def rank(self, left: str, right: str) -> float:
        token = self.places.get(left + right)
        return NEVER if token is None or self.listed[token].type is Type.USER else -self.listed[token].score

    def named(self, symbols: Sequence[str]) -> list[tuple[int, str]]:
        """The ids of merged symbols and their names; unknown characters in a row are one token, if not bytes."""
        found: list[tuple[int, str]] = []
        for known, group in groupby(symbols, self.places.__contains__):
            if known:
                found += [(self.places[each], each) for each in group]
            elif self.spells:
                found += [(self.byte_ids[name], name) for each in group for name in byte_names(each.encode("utf-8"))]
            else:
                found.append((self.unknown, self.listed[self.unknown].text))
        return found

    def symbol_bytes(self, symbol: str) -> bytes:
        found = named_byte(symbol)
        return symbol.replace(MARK, " ").encode("utf-8") if found is None else found

    # --- other forms ----------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any] | None:
        """The same tokenizer as a tokenizer.json; None where that cannot say the same.

        With scores that all differ, both find the same: of a piece's pairs only one can come about in a text.
        """
        scores = [each.score for each in self.listed if each.type is Type.NORMAL]
        odd = any(each.type in (Type.USER, Type.UNUSED) for each in self.listed)
        if odd or len(self.by_name()) < len(self.listed) or not self.decided(scores):
            return None
        replace = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
        steps = [{"type": "Prepend", "prepend": MARK}, replace] if self.prefix else [replace]
        back = [{"type": "Replace", "pattern": {"String": MARK}, "content": " "}, {"type": "ByteFallback"}]
        model = {"type": "BPE", "vocab": self.by_name(), "merges": self.pairs(), "fuse_unk": True}
        model |= {"byte_fallback": self.spells, "unk_token": self.listed[self.unknown].text}
        return described(
            model,
            self.special,
            normalizer={"type": "Sequence", "normalizers": steps},
            post_processor=template(Ends(self.begin, self.end), {token: name for name, token in self.special.items()}),
            decoder={"type": "Sequence", "decoders": [*back, {"type": "Fuse"}]},
        )

    def by_name(self) -> dict[str, int]:
        return {each.text: token for token, each in enumerate(self.listed)}

    def decided(self, scores: list[float]) -> bool:
        """Whether no two pieces that merging can make have the same score."""
        made = [each.score for each in self.listed if each.type is Type.NORMAL and len(each.text) > 1]
        return len(set(made)) == len(made)

    def pairs(self) -> list[list[str]]:
        """Every pair of pieces that makes a piece, the best score first."""
        made = [each for each in self.listed if each.type is Type.NORMAL]
        listed = []
        for each in sorted(made, key=lambda each: -each.score):
            halves = ((each.text[:at], each.text[at:]) for at in range(1, len(each.text)))
            listed += [list(pair) for pair in halves if pair[0] in self.places and pair[1] in self.places]
        return listed

    def files_to_write(self) -> dict[str, bytes]:
        """The file itself, and where it can say the same a tokenizer.json with its settings."""
        document = self.document()
        if document is None:
            return self.files
        made = settings(Ends(self.begin, self.end, self.stops), {token: name for name, token in self.special.items()})
        return {"tokenizer.json": json.dumps(document, ensure_ascii=False).encode("utf-8"), **made, **self.files}


def check_pieces(pieces: Sequence[Scored], unknown: int, where: str) -> None:
    """Raises InputError for scores that are no numbers, a text twice, or no piece for what is unknown."""
    seen: dict[str, int] = {}
    for token, each in enumerate(pieces):
        if not isfinite(each.score):
            raise InputError(f"{where}: the score of token {token} is {each.score}; the file is damaged")
        if each.type in (Type.NORMAL, Type.USER) and seen.setdefault(each.text, token) != token:
            raise InputError(f"{where}: tokens {seen[each.text]} and {token} are both {each.text!r:.60}; it is damaged")
        if each.type is Type.BYTE and named_byte(each.text) is None:
            raise InputError(f"{where}: token {token}, {each.text!r:.60}, is none of the bytes <0x00> to <0xFF>")
    if not 0 <= unknown < len(pieces):
        raise InputError(f"{where} has no token {unknown} for what is unknown, only {len(pieces)}; it is damaged")


def piece_bytes(piece: Scored) -> bytes:
    found = named_byte(piece.text) if piece.type is Type.BYTE else None
    return piece.text.replace(MARK, " ").encode("utf-8") if found is None else found
