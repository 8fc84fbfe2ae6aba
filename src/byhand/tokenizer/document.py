"""Tokenizers that a tokenizer.json describes, and those whose files say the same in another form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from byhand.errors import InputError
from byhand.tokenizer.alphabet import BYTES, LETTERS, pattern_name, to_bytes, utf8
from byhand.tokenizer.base import Ends, Tokenizer, checked, escaped
from byhand.tokenizer.pieces import Pieces, named_byte, pieces_of
from byhand.tokenizer.steps import MARK, all_steps, cut, has, split_pattern
from byhand.tokenizer.trace import Piece


class Document(Tokenizer):
    """A tokenizer.json: the tokenizers library encodes by it, and the trace reads the same document.

    document: its content. Raises InputError when the library cannot read it.
    """

    def __init__(self, document: Mapping[str, Any], ends: Ends, files: Mapping[str, bytes], where: str) -> None:
        self.document = dict(document)
        self.where = where
        self.engine = engine(document, where)
        self.added = added_tokens(document, self.engine, where)
        self.style = style(document)
        names = {name: token for token, name in by_id(document["model"]["vocab"], where).items()}
        table = {token: self.token_bytes(name) for name, token in names.items()}
        table |= {each.id: each.content.encode("utf-8") for each in self.added}
        special = {each.content: each.id for each in self.added if each.special}
        super().__init__(table, special, ends, files)
        self.takes_bytes = self.style == "bytes"
        self.pattern = split_pattern(document.get("pre_tokenizer"))
        self.kind = f"{self.about()}, {len(self):,} tokens"
        lacking = {byte for byte, letter in LETTERS.items() if letter not in document["model"]["vocab"]}
        self.lacking = lacking if self.style == "bytes" and not document["model"].get("unk_token") else set()
        self.letters = only_letters(document, {*names, *(each.content for each in self.added)} - {*special})

    def about(self) -> str:
        if self.style == "bytes":
            return f"byte-level BPE, {pattern_name(self.pattern)}"
        if self.style == "marks":
            return "BPE over characters, spaces as ▁"
        if self.style == "words":
            lowers = any(each.get("lowercase") for each in all_steps(self.document.get("normalizer")))
            return f"WordPiece, {'lower case' if lowers else 'cased'}"
        return f"{self.document['model'].get('type') or 'unnamed'} of a tokenizer.json"

    # --- text to ids ----------------------------------------------------------------------------------------------

    def ids(self, text: str, special: bool) -> list[int]:
        self.check_bytes(text, special)
        with guarded(f"{self.where}: cannot encode the text"):
            self.engine.encode_special_tokens = not special
            return self.engine.encode(text, add_special_tokens=False).ids

    def check_bytes(self, text: str, special: bool) -> None:
        """Raises InputError for what the vocabulary lacks: the library would leave it out without a word."""
        found = self.lacking and self.lacking & {*utf8(self.normal(text))}
        if found:
            raise InputError(
                f"{self.where} has no token for the byte 0x{min(found):02x} of the text, so it cannot encode it"
            )
        if not self.letters:
            return
        # The begin token of a model of letters may be one of them: no text can stand for it unless it is asked to.
        plain = "".join(part for part, found in self.parts(text, special) if found is None)
        foreign = [letter for letter in plain if letter not in self.letters]
        if foreign:
            known = "".join(sorted(self.letters))
            raise InputError(f"{self.where} has no token for {foreign[0]!r} of the text; it knows {known!r:.99}")

    @cached_property
    def model(self) -> Pieces:
        return pieces_of(self.document["model"])

    def pieces(self, text: str, special: bool) -> Iterator[Piece]:
        self.check_bytes(text, special)
        pre_tokenizer = self.document.get("pre_tokenizer")
        for i, (part, found) in enumerate(self.around(text, special, normalized=False)):
            if found is not None:
                yield found
                continue
            for k, (inner, added) in enumerate(self.around(self.normal(part), special, normalized=True)):
                if added is not None:
                    yield added
                else:
                    yield from map(self.model.piece, cut(pre_tokenizer, inner, at_start=i == k == 0))

    def around(self, text: str, special: bool, normalized: bool) -> Iterator[tuple[str, Piece | None]]:
        """The text between added tokens, and the pieces that those are, in order."""
        names = {
            (self.normal(each.content) if normalized else each.content): each for each in self.candidates(normalized)
        }
        longest_first = sorted(filter(None, names), key=len, reverse=True)
        end = 0
        for found in re.finditer("|".join(map(re.escape, longest_first)), text) if longest_first else ():
            each = names[found[0]]
            if each.special and not special:
                continue
            each.check()
            if found.start() > end:
                yield text[end : found.start()], None
            yield "", Piece(each.content, (each.id,), (each.content,), note="added token")
            end = found.end()
        if end < len(text):
            yield text[end:], None

    def candidates(self, normalized: bool) -> list[Added]:
        return [each for each in self.added if each.normalized == normalized]

    def normal(self, text: str) -> str:
        """The text after the normalizer, whose tables of Unicode are the library's."""
        if self.engine.normalizer is None:
            return text
        if escaped(text):
            raise InputError(f"{self.where} normalizes text, and these bytes are no UTF-8; give text")
        with guarded(f"{self.where}: cannot normalize the text"):
            return self.engine.normalizer.normalize_str(text)

    def normalized(self, text: str) -> str | None:
        return None if self.engine.normalizer is None else self.normal(text)

    # --- ids to text ----------------------------------------------------------------------------------------------

    def token_bytes(self, name: str) -> bytes:
        if self.style == "bytes":
            found = to_bytes(name)
            return name.encode("utf-8") if found is None else found
        if self.style == "marks":
            found = named_byte(name)
            return name.replace(MARK, " ").encode("utf-8") if found is None else found
        return name.encode("utf-8")

    def symbol_bytes(self, symbol: str) -> bytes:
        if self.style != "bytes":
            return super().symbol_bytes(symbol)
        found = to_bytes(symbol)
        return symbol.encode("utf-8", "surrogateescape") if found is None else found

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        if self.style != "words":
            return super().decode_bytes(ids)
        return joined([self.token(each).decode("utf-8") for each in checked(ids)]).encode("utf-8")


def joined(pieces: list[str]) -> str:
    """WordPieces as words: a space before each that does not continue a word."""
    first, *rest = pieces or [""]
    return first + "".join(piece[2:] if piece.startswith("##") else f" {piece}" for piece in rest)


def only_letters(document: Mapping[str, Any], names: Iterable[str]) -> set[str]:
    """The letters of a vocabulary that takes text as it is and has no token for any others; empty where it has."""
    model = document["model"]
    changed = document.get("pre_tokenizer") or document.get("normalizer")
    others = model.get("unk_token") or model.get("byte_fallback") or changed
    return set() if others or model.get("type") != "BPE" else {letter for name in names for letter in name}


def style(document: Mapping[str, Any]) -> str:
    """How the vocabulary is written: "bytes" as letters, spaces as "marks", "words" of WordPiece, or "plain"."""
    model, decoder, pre_tokenizer = (document.get(name) for name in ("model", "decoder", "pre_tokenizer"))
    assert isinstance(model, Mapping)
    if model.get("type") == "WordPiece":
        return "words"
    if has(decoder, "ByteLevel") or has(pre_tokenizer, "ByteLevel"):
        return "bytes"
    replaces = any(MARK in (each.get("pattern") or {}).values() for each in all_steps(decoder))
    marks = has(decoder, "Metaspace") or has(pre_tokenizer, "Metaspace") or replaces
    return "marks" if marks or model.get("byte_fallback") else "plain"


def by_id(vocab: Mapping[str, int], where: str) -> dict[int, str]:
    """The vocabulary the other way round. Raises InputError for two tokens of one id."""
    names: dict[int, str] = {}
    for name, token in vocab.items():
        if names.setdefault(token, name) != name:
            raise InputError(f"{where}: {names[token]!r} and {name!r} both have the id {token}; one of them is wrong")
    return names


@dataclass(frozen=True)
class Added:
    """A token found in the text before anything else happens; `flags` are those that widen or narrow the search."""

    content: str
    id: int
    special: bool
    normalized: bool
    flags: tuple[str, ...]

    def check(self) -> None:
        if self.flags:
            raise InputError(f"the {self.flags[0]} of the added token {self.content!r} is not written out in a trace")


def added_tokens(document: Mapping[str, Any], engine: Any, where: str) -> list[Added]:
    """Raises InputError when the library counts the ids of added tokens differently from the file."""
    given = {each["content"]: each["id"] for each in document.get("added_tokens") or ()}
    found = []
    for token, each in engine.get_added_tokens_decoder().items():
        if given.get(each.content, token) != token:
            raise InputError(f"{where}: the added token {each.content!r} has the id {given[each.content]}, not {token}")
        flags = tuple(name for name in ("lstrip", "rstrip", "single_word") if getattr(each, name))
        found.append(Added(each.content, token, each.special, each.normalized, flags))
    return found


def engine(document: Mapping[str, Any], where: str) -> Any:
    """The library's tokenizer, without cutting or padding. Raises InputError when it cannot read the document."""
    from tokenizers import Tokenizer as Engine

    check_prefix(document["model"], where)
    with guarded(f"{where} is no tokenizer.json that can be read"):
        return Engine.from_str(json.dumps({**document, "truncation": None, "padding": None}))


def check_prefix(model: Mapping[str, Any], where: str) -> None:
    """Refuse merges without the prefix of what continues a word, over which the library panics on standard error."""
    prefix = model.get("continuing_subword_prefix")
    merges = model.get("merges")
    if model.get("type") != "BPE" or not isinstance(prefix, str) or not prefix or not isinstance(merges, list):
        return
    for merge in merges:
        second = merge[-1:] if isinstance(merge, list) else merge.split(" ")[-1:] if isinstance(merge, str) else []
        if not all(isinstance(each, str) and each.startswith(prefix) for each in second):
            raise InputError(f"{where}: the merge {merge!r:.60} lacks continuing_subword_prefix {prefix!r:.40}")


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """The library's failures as one line; it panics with a class that is no Exception. Raises InputError."""
    try:
        yield
    except InputError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InputError(f"{what}: {' '.join(str(error).split())[:200]}") from None


# --- documents from the forms of other files --------------------------------------------------------------------


def byte_level(vocab: Mapping[str, int], merges: list[Any], pattern: str | None = None, whole: bool = False) -> Any:
    """A document for byte-level BPE; pattern: None for GPT-2's; whole: a piece that is a token is not merged."""
    step = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": pattern is None}
    if pattern is not None:
        cuts = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        step = {"type": "Sequence", "pretokenizers": [cuts, step]}
    model = {"type": "BPE", "vocab": dict(vocab), "merges": merges, "ignore_merges": whole}
    special = underived(vocab, merges)
    return described(model, special, pre_tokenizer=step, decoder={"type": "ByteLevel", **BYTE_OPTIONS})


BYTE_OPTIONS = {"add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def underived(vocab: Mapping[str, int], merges: list[Any]) -> dict[str, int]:
    """The tokens that are neither a byte nor made by a merge: the special ones, such as ``<|endoftext|>``."""
    made = {"".join(merge.split(" ") if isinstance(merge, str) else merge) for merge in merges}
    return {name: token for name, token in vocab.items() if name not in made and name not in BYTES}


def word_pieces(vocab: Mapping[str, int], lower: bool, accents: bool | None, chinese: bool) -> Any:
    """A document for BERT's WordPiece. lower: text becomes lower case; accents: whether they are taken off."""
    normalizer = {"clean_text": True, "handle_chinese_chars": chinese, "strip_accents": accents, "lowercase": lower}
    model = {"type": "WordPiece", "vocab": dict(vocab), "unk_token": "[UNK]", "max_input_chars_per_word": 100}
    special = {name: vocab[name] for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if name in vocab}
    return described(
        {**model, "continuing_subword_prefix": "##"},
        special,
        normalizer={"type": "BertNormalizer", **normalizer},
        pre_tokenizer={"type": "BertPreTokenizer"},
        decoder={"type": "WordPiece", "prefix": "##", "cleanup": False},
    )


def described(model: Mapping[str, Any], special: Mapping[str, int], **steps: Any) -> dict[str, Any]:
    """A whole document: the model, the special tokens in the order of their ids, and the steps around it."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": token, "content": name, **flags} for name, token in sorted(special.items(), key=lambda e: e[1])]
    empty = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    return {"version": "1.0", **empty, "added_tokens": added, **steps, "model": dict(model)}
