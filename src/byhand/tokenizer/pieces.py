"""From one piece of a text to its tokens, written out: by the order of the merges, and by the longest match."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from byhand.errors import InputError
from byhand.tokenizer.alphabet import utf8
from byhand.tokenizer.merging import NEVER, longest_matches, merges
from byhand.tokenizer.trace import Piece

WHOLE = "the whole piece is a token"


class Pieces(Protocol):
    """A model of a tokenizer.json as the trace computes it."""

    def piece(self, text: str) -> Piece: ...


def pieces_of(model: Mapping[str, Any]) -> Pieces:
    """The model of a tokenizer.json. Raises InputError for a kind or a feature that is not written out."""
    kind = model.get("type")
    if kind == "WordPiece":
        prefix = model.get("continuing_subword_prefix", "##")
        return Words(
            model["vocab"], model.get("unk_token", "[UNK]"), prefix, model.get("max_input_chars_per_word", 100)
        )
    if kind != "BPE":
        raise InputError(f"the model {kind} is not among those that a trace writes out; encode still works")
    for feature in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(feature):
            raise InputError(f"the model's {feature} is not written out in a trace; encode still works")
    ranks = {pair: rank for rank, pair in enumerate(map(as_pair, model["merges"]))}
    choices = (bool(model.get(name)) for name in ("fuse_unk", "byte_fallback", "ignore_merges"))
    return Pairs(model["vocab"], ranks, model.get("unk_token"), *choices)


def as_pair(merge: str | list[str]) -> tuple[str, str]:
    """A merge, which newer files write as two strings and older ones as one with a space."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


@dataclass(frozen=True)
class Pairs:
    """Byte pair encoding by the order of the merges.

    unknown: the token for a character that is not in the vocabulary, one for several in a row where `fuse` is set;
    fallback: such a character is spelled in bytes first; whole: a piece that is a token is not merged.
    """

    vocab: Mapping[str, int]
    ranks: Mapping[tuple[str, str], int]
    unknown: str | None
    fuse: bool
    fallback: bool
    whole: bool

    def piece(self, text: str) -> Piece:
        if self.whole and text in self.vocab:
            return Piece(text, (self.vocab[text],), (text,), note=WHOLE)
        start = list(self.start(text))
        symbols = list(start)
        steps = tuple(merges(symbols, lambda left, right: self.ranks.get((left, right), NEVER)))
        return Piece(text, tuple(self.vocab[each] for each in symbols), tuple(symbols), tuple(start), steps)

    def start(self, text: str) -> Iterator[str]:
        """The symbols that merging begins with. Raises InputError when the unknown token is itself unknown."""
        waiting = None  # an unknown character, until it is clear that no other follows
        for sign in text:
            if sign not in self.vocab:
                spelled = byte_names(utf8(sign))
                if self.fallback and all(name in self.vocab for name in spelled):
                    yield from spelled
                elif self.unknown is not None:
                    if waiting is not None and not self.fuse:
                        yield waiting
                    waiting = self.known(self.unknown)
                continue
            if waiting is not None:
                yield waiting
                waiting = None
            yield sign
        if waiting is not None:
            yield waiting

    def known(self, token: str) -> str:
        if token not in self.vocab:
            raise InputError(
                f"the unknown token {token!r} is not in the vocabulary; the tokenizer's file is incomplete"
            )
        return token


def byte_names(data: Iterable[int]) -> list[str]:
    return [f"<0x{byte:02X}>" for byte in data]


def named_byte(token: str) -> bytes | None:
    """The byte that a token such as ``<0x0A>`` stands for; None for any other token."""
    digits = token[3:5]
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">") and digits == digits.upper():
        try:
            return bytes.fromhex(digits)
        except ValueError:
            return None
    return None


@dataclass(frozen=True)
class Words:
    """WordPiece: of a word's rest always the longest piece that is in the vocabulary."""

    vocab: Mapping[str, int]
    unknown: str
    prefix: str
    longest: int

    def piece(self, text: str) -> Piece:
        """Raises InputError when the word is unknown and so is the unknown token."""
        found = longest_matches(text, self.vocab.__contains__, self.prefix) if len(text) <= self.longest else None
        if found is not None:
            tokens = tuple(match.piece for match in found)
            return Piece(text, tuple(self.vocab[token] for token in tokens), tokens, steps=tuple(found))
        if self.unknown not in self.vocab:
            raise InputError(f"no piece fits and {self.unknown!r} is not in the vocabulary; the file is incomplete")
        why = f"longer than {self.longest} characters" if len(text) > self.longest else "no piece fits"
        return Piece(text, (self.vocab[self.unknown],), (self.unknown,), note=why)
