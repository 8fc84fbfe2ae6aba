"""Llama 3's tokenizer.model: a line a token, its bytes and its rank; the rank is the id and the order of merging."""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from byhand.errors import InputError
from byhand.tokenizer.alphabet import BYTES, LLAMA3, pattern_name, split, to_letters, utf8
from byhand.tokenizer.base import Ends, Tokenizer
from byhand.tokenizer.document import byte_level, guarded
from byhand.tokenizer.ends import settings, template
from byhand.tokenizer.merging import NEVER, merges
from byhand.tokenizer.pieces import WHOLE
from byhand.tokenizer.reading import MOST_IDS, read_text
from byhand.tokenizer.trace import Piece

SLOTS = 256  # ids for special tokens, after the ranks
BEGIN, END, MESSAGE_END, TURN_END = 0, 1, 8, 9
NAMED = {
    BEGIN: "begin_of_text",
    END: "end_of_text",
    4: "finetune_right_pad_id",
    6: "start_header_id",
    7: "end_header_id",
    MESSAGE_END: "eom_id",
    TURN_END: "eot_id",
    10: "python_tag",
}
LONG_GAP = re.compile(r"\s{50000}")  # the library overflows its stack on a run of several hundred thousand


class Ranks(Tokenizer):
    """Byte-level BPE by ranks, over the tiktoken library. ranks: the rank of every token's bytes."""

    takes_bytes = True

    def __init__(
        self,
        ranks: Mapping[bytes, int],
        pattern: str,
        special: Mapping[str, int],
        ends: Ends,
        files: Mapping[str, bytes],
    ) -> None:
        self.ranks = dict(ranks)
        self.letters = {to_letters(data): rank for data, rank in ranks.items()}
        self.pattern = self.cut = pattern
        table = {rank: data for data, rank in ranks.items()}
        table |= {token: name.encode("utf-8") for name, token in special.items()}
        super().__init__(table, special, ends, files)
        self.kind = f"byte-level BPE by ranks, {pattern_name(pattern)}, {len(self):,} tokens"

    @cached_property
    def engine(self) -> Any:
        from tiktoken import Encoding

        with guarded("cannot use these ranks"):
            return Encoding("byhand", pat_str=self.cut, mergeable_ranks=self.ranks, special_tokens=self.special)

    def ids(self, text: str, special: bool) -> list[int]:
        with guarded("cannot encode the text"):
            if not LONG_GAP.search(text):
                return self.engine.encode(text, allowed_special="all" if special else set(), disallowed_special=())
        found: list[int] = []
        for part, token in self.parts(text, special):
            pieces = [part for part, _ in split(self.cut, part)] if token is None else []
            found += [token] if token is not None else []
            found += [each for piece in pieces for each in self.engine._encode_single_piece(piece.encode("utf-8"))]
        return found

    def pieces(self, text: str, special: bool) -> Iterator[Piece]:
        for part, token in self.parts(text, special):
            if token is not None:
                yield Piece(part, (token,), (part,), note="special token")
                continue
            yield from (self.piece(to_letters(utf8(piece))) for piece, _ in split(self.cut, part))

    def piece(self, letters: str) -> Piece:
        if letters in self.letters:
            return Piece(letters, (self.letters[letters],), (letters,), note=WHOLE)
        symbols = list(letters)
        steps = tuple(merges(symbols, self.rank))
        return Piece(letters, tuple(self.letters[each] for each in symbols), tuple(symbols), tuple(letters), steps)

    def rank(self, left: str, right: str) -> float:
        return self.letters.get(left + right, NEVER)

    def symbol_bytes(self, symbol: str) -> bytes:
        if symbol in self.special:
            return symbol.encode("utf-8")
        return bytes(BYTES[letter] for letter in symbol)

    # --- other forms ----------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """The same tokenizer as a tokenizer.json: the merge that makes a token is the last one of its own bytes."""
        listed = []
        for letters, _ in sorted(self.letters.items(), key=lambda each: each[1]):
            symbols = list(letters)
            steps = list(merges(symbols, self.rank))
            if steps and len(symbols) == 1:
                listed.append([steps[-1].left, steps[-1].right])
        document = byte_level({**self.letters, **self.special}, listed, self.pattern, whole=True)
        added = {each["content"]: each for each in document["added_tokens"]}
        document["added_tokens"] = [added[name] for name in self.special]
        document["model"]["vocab"] = self.letters
        names = {token: name for name, token in self.special.items()}
        return {**document, "post_processor": template(Ends(self.begin, self.end), names)}

    def files_to_write(self) -> dict[str, bytes]:
        """The file itself, and a tokenizer.json with its settings for programs that read only that."""
        document = json.dumps(self.document(), ensure_ascii=False).encode("utf-8")
        names = {token: name for name, token in self.special.items()}
        made = settings(Ends(self.begin, self.end, self.stops), names)
        return {"tokenizer.json": document, **made, **self.files}


def read_ranks(data: bytes, where: str, name: str = "tokenizer.model") -> Ranks:
    """Llama 3's file; the ids after its ranks are 256 special tokens, told apart by their place alone.

    Raises InputError for a line that is none, and for ranks that leave a gap or lack one of the 256 bytes.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(read_text(data, where).splitlines(), start=1):
        if not line.strip():
            continue
        token, rank = rank_line(line, f"{where}, line {number}")
        if token in ranks:
            raise InputError(f"{where}, line {number}: the token {token!r:.60} was there before; the file is damaged")
        ranks[token] = rank
    if sorted(ranks.values()) != [*range(len(ranks))]:
        raise InputError(f"{where} must have the ranks 0 to {len(ranks) - 1}, each once; lines are missing or wrong")
    missing = next((byte for byte in range(256) if bytes([byte]) not in ranks), None)
    if missing is not None:
        raise InputError(f"{where} has no token for the byte 0x{missing:02x}, so not every text could be encoded")
    special = special_slots(len(ranks))
    begin, *stops = (len(ranks) + slot for slot in (BEGIN, END, MESSAGE_END, TURN_END))
    return Ranks(ranks, LLAMA3, special, Ends((begin,), (), tuple(stops)), {name: data})


def rank_line(line: str, where: str) -> tuple[bytes, int]:
    words = line.split()
    try:
        token, rank = b64decode(words[0], validate=True), int(words[1])
    except (binascii.Error, ValueError, IndexError):
        raise InputError(f"{where}: {line!r:.60} is no token and rank, such as 'IQ== 0'; the file is damaged") from None
    if len(words) > 2 or not token or not 0 <= rank < MOST_IDS:
        raise InputError(f"{where}: {line!r:.60} is no token and rank, such as 'IQ== 0'; the file is damaged")
    return token, rank


def special_slots(first: int) -> dict[str, int]:
    """The special tokens, as Llama 3.1 names them."""
    reserved = (f"reserved_special_token_{i}" for i in range(SLOTS))
    return {f"<|{NAMED.get(slot) or next(reserved)}|>": first + slot for slot in range(SLOTS)}
