"""The files of SentencePiece tokenizers: its own protobuf tokenizer.model, and llama2.c's tokenizer.bin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import starmap
from struct import pack, unpack_from

from byhand.errors import InputError
from byhand.tokenizer.base import Ends
from byhand.tokenizer.ends import ADDED, SPECIAL
from byhand.tokenizer.pieces import named_byte
from byhand.tokenizer.scored import Scored, ScoredTokenizer, Type
from byhand.tokenizer.steps import MARK

Value = int | float | bytes
BPE = 2  # model_type; 1 is the unigram model

# Numbers of fields: of the file, of a piece, of the trainer's settings, of the normalizer's.
PIECE, TRAINER, NORMALIZER = 1, 2, 3
TEXT, SCORE, TYPE = 1, 2, 3
MODEL_TYPE, SUFFIX, FALLBACK, UNKNOWN_ID, BEGIN_ID, END_ID = 3, 24, 35, 40, 41, 42
NAME, TABLE, PREFIX, SQUEEZE, ESCAPE = 1, 2, 3, 4, 5


def read_sentencepiece(data: bytes, where: str, more: Mapping[str, int]) -> ScoredTokenizer:
    """A tokenizer.model of BPE with unchanged text, as Llama 2 has it; more: tokens that are added to it, with ids.

    Raises InputError for any other.
    """
    pieces: list[Scored] = []
    settings: dict[int, dict[int, Value]] = {TRAINER: {}, NORMALIZER: {}}
    for field, value in fields(data, where):
        if field == PIECE:
            pieces.append(read_piece(dict(fields(message(value, where), where)), f"{where}, token {len(pieces)}"))
        elif field in settings:
            settings[field] |= dict(fields(message(value, where), where))
    trainer, normalizer = settings[TRAINER], settings[NORMALIZER]
    if not pieces:
        raise InputError(f"{where} is no SentencePiece model: it has no pieces")
    pieces += added_pieces(more, pieces, where)
    refuse_others(trainer, normalizer, pieces, where)
    begin, end = (as_id(trainer.get(field, default)) for field, default in ((BEGIN_ID, 1), (END_ID, 2)))
    stops = (end,) if 0 <= end < len(pieces) else ()
    ends = Ends((begin,) if 0 <= begin < len(pieces) else (), (), stops)
    unknown = as_id(trainer.get(UNKNOWN_ID, 0))
    files = {"tokenizer.model": data}
    return ScoredTokenizer(pieces, unknown, bool(normalizer.get(PREFIX, 1)), ends, files, where)


def refuse_others(trainer: dict[int, Value], normalizer: dict[int, Value], pieces: list[Scored], where: str) -> None:
    """Raises InputError for what this reader would silently get wrong."""
    if trainer.get(MODEL_TYPE, 1) != BPE:
        raise InputError(f"{where} is a SentencePiece model but no BPE one; give its tokenizer.json instead")
    odd = {
        "changes characters before it cuts": normalizer.get(TABLE, b"") != b"",
        "removes spaces": bool(normalizer.get(SQUEEZE, 1)),
        "does not write spaces as ▁": not normalizer.get(ESCAPE, 1),
        "writes spaces after words": bool(trainer.get(SUFFIX, 0)),
        "merges to unused pieces": unused_made(pieces),
    }
    for what, found in odd.items():
        if found:
            raise InputError(f"{where} {what}, which byhand does not read; give its tokenizer.json instead")


def added_pieces(more: Mapping[str, int], pieces: Sequence[Scored], where: str) -> list[Scored]:
    """The tokens of added_tokens.json that are no pieces yet. Raises InputError for ids that leave a gap."""
    known = {each.text for each in pieces}
    added = sorted(((token, name) for name, token in more.items() if name not in known), key=lambda each: each[0])
    if [token for token, _ in added] != [*range(len(pieces), len(pieces) + len(added))]:
        raise InputError(f"{ADDED} must give its tokens the ids from {len(pieces)} on, which follow those of {where}")
    types = (Type.CONTROL if SPECIAL.fullmatch(name) else Type.USER for _, name in added)
    return [Scored(name.replace(" ", MARK), 0.0, each) for (_, name), each in zip(added, types, strict=True)]


def unused_made(pieces: list[Scored]) -> bool:
    """Whether merging can come to a piece that is not used, which SentencePiece would take apart again."""
    known = {each.text for each in pieces if each.type in (Type.NORMAL, Type.UNUSED)}
    unused = (each.text for each in pieces if each.type is Type.UNUSED)
    return any(text[:at] in known and text[at:] in known for text in unused for at in range(1, min(len(text), 64)))


def read_piece(found: dict[int, Value], where: str) -> Scored:
    text, score, kind = found.get(TEXT), found.get(SCORE, 0.0), found.get(TYPE, 1)
    if not isinstance(text, bytes) or not text or not isinstance(score, float):
        raise InputError(f"{where} has no text or no score; the file is damaged")
    if kind not in [*Type]:
        raise InputError(f"{where} is of the unknown type {kind!r:.20}; the file is damaged")
    return Scored(decoded(text, where), score, Type(kind))


def decoded(text: bytes, where: str) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{where}: {text!r:.60} is no UTF-8; the file is damaged") from None


# --- protobuf ---------------------------------------------------------------------------------------------------


def fields(data: bytes, where: str) -> Iterator[tuple[int, Value]]:
    """The fields of a protobuf message, in order: whole numbers, 32-bit floats, or bytes. Raises InputError."""
    place = 0
    while place < len(data):
        key, place = varint(data, place, where)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, place = varint(data, place, where)
        elif wire == 2:
            size, place = varint(data, place, where)
            value, place = taken(data, place, size, where), place + size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            (value,) = unpack_from("<d" if wire == 1 else "<f", taken(data, place, size, where))
            place += size
        else:
            raise InputError(f"{where} is no protobuf message at byte {place}; the file is damaged")
        yield field, value


def varint(data: bytes, place: int, where: str) -> tuple[int, int]:
    """A whole number, seven bits a byte, and the place after it."""
    value = 0
    for i in range(10):
        if place + i >= len(data):
            break
        value |= (data[place + i] & 0x7F) << (7 * i)
        if data[place + i] < 0x80:
            return value & ((1 << 64) - 1), place + i + 1
    raise InputError(f"{where} breaks off inside a number at byte {place}; copy it again")


def taken(data: bytes, place: int, size: int, where: str) -> bytes:
    if place + size > len(data):
        raise InputError(f"{where} breaks off: {size:,} bytes should follow byte {place}, but it has {len(data):,}")
    return data[place : place + size]


def message(value: Value, where: str) -> bytes:
    if not isinstance(value, bytes):
        raise InputError(f"{where} is no SentencePiece model: it has a number where a message belongs")
    return value


def as_id(value: Value) -> int:
    """A field as a token's id; protobuf writes -1, for no token, as a number larger than any id."""
    return value if isinstance(value, int) else -1


def write_sentencepiece(pieces: Sequence[Scored], unknown: int, prefix: bool, ends: Ends) -> bytes:
    """The tokenizer.model that `read_sentencepiece` reads as these pieces."""
    begin, end = ((ids or (-1,))[0] for ids in (ends.begin, ends.stops))
    listed = (
        encoded(TEXT, each.text.encode("utf-8")) + encoded(SCORE, each.score) + encoded(TYPE, int(each.type))
        for each in pieces
    )
    trainer = {MODEL_TYPE: BPE, FALLBACK: 1, UNKNOWN_ID: unknown, BEGIN_ID: begin, END_ID: end}
    normalizer = {NAME: b"identity", PREFIX: int(prefix), SQUEEZE: 0, ESCAPE: 1}
    settings = ((TRAINER, trainer), (NORMALIZER, normalizer))
    made = [encoded(PIECE, each) for each in listed]
    return b"".join(made + [encoded(key, b"".join(starmap(encoded, each.items()))) for key, each in settings])


def encoded(field: int, value: Value) -> bytes:
    """One field of a protobuf message."""
    if isinstance(value, bytes):
        return as_varint(field << 3 | 2) + as_varint(len(value)) + value
    if isinstance(value, float):
        return as_varint(field << 3 | 5) + pack("<f", value)
    return as_varint(field << 3) + as_varint(value & ((1 << 64) - 1))


def as_varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + as_varint(rest) if rest else bytes([low])


# --- llama2.c ---------------------------------------------------------------------------------------------------

UNKNOWN, BEGIN, END, FIRST_BYTE = 0, 1, 2, 3
NAMES = {BEGIN: "<s>", END: "</s>"}


def read_llama2c(data: bytes, where: str) -> ScoredTokenizer:
    """llama2.c's tokenizer.bin: the longest token's length, then score, length and text of each. Raises InputError.

    It has no types: token 0 is the unknown one, 1 and 2 begin and end a text, 3 to 258 are the bytes.
    """
    if len(data) < 4:
        raise InputError(f"{where} has {len(data)} bytes, too few for a llama2.c tokenizer; copy it again")
    (longest,) = unpack_from("<i", data)
    pieces, place = [], 4
    while place < len(data):
        token = len(pieces)
        if place + 8 > len(data):
            raise InputError(f"{where} breaks off at token {token}; copy it again")
        score, size = unpack_from("<fi", data, place)
        if not 0 < size <= longest or place + 8 + size > len(data):
            raise InputError(f"{where}: token {token} has {size:,} bytes, which cannot be; the file is damaged")
        text = decoded(data[place + 8 : place + 8 + size], f"{where}, token {token}")
        pieces.append(typed(token, text, score))
        place += 8 + size
    if len(pieces) <= FIRST_BYTE + 255 or any(each.type is not Type.BYTE for each in pieces[FIRST_BYTE:][:256]):
        raise InputError(f"{where} is no llama2.c tokenizer: its tokens 3 to 258 are not the bytes <0x00> to <0xFF>")
    return ScoredTokenizer(pieces, UNKNOWN, True, Ends((BEGIN,), (), (END,)), {"tokenizer.bin": data}, where)


def typed(token: int, text: str, score: float) -> Scored:
    if token < FIRST_BYTE:
        return Scored(NAMES.get(token, text), score, Type.CONTROL if token else Type.UNKNOWN)
    if token < FIRST_BYTE + 256 and named_byte(text) == bytes([token - FIRST_BYTE]):
        return Scored(text, score, Type.BYTE)
    return Scored(text.replace(" ", MARK), score, Type.NORMAL)
