"""llm.c's gpt2_tokenizer.bin: the bytes of each token and no merges, so it writes text but cannot read any."""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from

from byhand.errors import InputError
from byhand.tokenizer.base import Ends, Tokenizer
from byhand.tokenizer.trace import Piece

MAGIC = 20240328
HEADER = 256 * 4  # bytes
GPT2_END = 50256  # <|endoftext|>; version 1 has no field for it


class DecodesOnly(Tokenizer):
    """The bytes of each token. Everything that would encode raises InputError."""

    kind = ""

    def ids(self, text: str, special: bool) -> list[int]:
        raise InputError(
            "llm.c's gpt2_tokenizer.bin only decodes: it has no merges; put GPT-2's encoder.json and vocab.bpe (or "
            "tokenizer.json) beside it, or give token ids"
        )

    def pieces(self, text: str, special: bool) -> Iterator[Piece]:
        yield from map(Piece, self.ids(text, special))  # type: ignore[arg-type]


def read_llmc(data: bytes, where: str) -> DecodesOnly:
    """Version 1 and 2: 256 numbers, then a length and the bytes of every token. Raises InputError."""
    if len(data) < HEADER:
        raise InputError(f"{where} ends inside its header, after {len(data)} of {HEADER} bytes; copy it again")
    magic, version, count, end = unpack_from("<4I", data)
    if magic != MAGIC or version not in (1, 2):
        raise InputError(f"{where} is no llm.c tokenizer of version 1 or 2: it begins with {magic}, {version}")
    table, place = {}, HEADER
    for token in range(count):
        size = data[place] if place < len(data) else 0
        if not size or place + 1 + size > len(data):
            raise InputError(f"{where} ends or is empty at token {token} of {count:,}; copy it again")
        table[token] = data[place + 1 : place + 1 + size]
        place += 1 + size
    if place < len(data):
        raise InputError(f"{where} has {len(data) - place:,} bytes after its {count:,} tokens; it is damaged")
    end = end if version == 2 else GPT2_END
    if version == 2 and end not in table:
        raise InputError(f"{where} says that token {end} ends a text, but has only {count:,}; it is damaged")
    special = {table[end].decode("utf-8", "backslashreplace"): end} if end in table else {}
    made = DecodesOnly(table, special, Ends(stops=tuple(special.values())), {"gpt2_tokenizer.bin": data})
    made.kind = f"llm.c's table of tokens, which only decodes, {len(made):,} tokens"
    return made
