"""Bytes as letters, and the patterns that cut a text into pieces before anything is merged.

GPT-2 and its successors merge bytes, but their files are text: each of the 256 bytes is written as one visible letter.
A byte that Latin-1 prints is its own letter; the others get the letters from U+0100 on, in order (a space is Ġ).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from byhand.errors import InputError

PRINTED = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
LETTERS = {byte: chr(byte) for byte in sorted(PRINTED)} | {
    byte: chr(0x100 + place) for place, byte in enumerate(sorted({*range(256)} - PRINTED))
}
BYTES = {letter: byte for byte, letter in LETTERS.items()}

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
NAMES = {GPT2: "GPT-2's pattern", LLAMA3: "Llama 3's pattern"}

UNASSIGNED = "\U0010ffff"  # a sign that is no letter in any version of Unicode


def to_letters(data: bytes) -> str:
    return "".join(LETTERS[byte] for byte in data)


def to_bytes(letters: str) -> bytes | None:
    """The bytes that letters stand for; None when one of them is no such letter."""
    try:
        return bytes(BYTES[letter] for letter in letters)
    except KeyError:
        return None


def utf8(text: str) -> bytes:
    """The bytes of a text; a byte that was no UTF-8 when the text was made of bytes comes out as it was."""
    return text.encode("utf-8", "surrogateescape")


def pattern_name(pattern: str | None) -> str:
    return "no split pattern" if pattern is None else NAMES.get(pattern, "a split pattern of its own")


def split(pattern: str, text: str, literal: bool = False) -> list[tuple[str, bool]]:
    """A text cut at all matches of a pattern: each part, and whether it matched. literal: the pattern is plain text.

    Raises InputError for a pattern that cannot be read.
    """
    parts, end = [], 0
    for found in compiled(pattern, literal).finditer(text if text.isascii() else known_signs(text)):
        start, stop = found.span()
        if start == stop:
            continue
        parts += [(text[end:start], False), (text[start:stop], True)]
        end = stop
    return [part for part in [*parts, (text[end:], False)] if part[0]]


@lru_cache(maxsize=32)
def compiled(pattern: str, literal: bool = False) -> Any:
    import regex

    try:
        return regex.compile(regex.escape(pattern) if literal else pattern)
    except regex.error as error:
        raise InputError(f"cannot read the split pattern {pattern[:60]!r}: {error}") from None


def known_signs(text: str) -> str:
    """The text with U+10FFFF for every sign that the tokenizers library takes for unassigned.

    It and the regex library know different versions of Unicode: a letter of the newer one alone would be cut
    differently here and there.
    """
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    signs = "".join({sign for sign in text if ord(sign) > 0x2FF and not 0xD800 <= ord(sign) < 0xE000})
    if not signs:
        return text
    known = {sign for part, _ in Split(Regex(r"\p{Cn}"), "removed").pre_tokenize_str(signs) for sign in part}
    return text.translate({ord(sign): UNASSIGNED for sign in signs if sign not in known})


def without_gaps(parts: Iterable[tuple[str, bool]]) -> list[str]:
    return [part for part, matched in parts if matched]
