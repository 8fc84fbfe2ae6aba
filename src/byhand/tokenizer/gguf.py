"""A tokenizer as the `tokenizer.ggml.` fields of a GGUF file, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from byhand.errors import InputError
from byhand.shapes import whole
from byhand.tokenizer.alphabet import BYTES, GPT2, LLAMA3, to_letters
from byhand.tokenizer.base import Ends, Ids, Tokenizer
from byhand.tokenizer.characters import Characters
from byhand.tokenizer.document import Document, byte_level, underived
from byhand.tokenizer.ends import settings, template
from byhand.tokenizer.pieces import as_pair, named_byte
from byhand.tokenizer.ranks import Ranks
from byhand.tokenizer.reading import MOST_IDS, vocabulary
from byhand.tokenizer.scored import Scored, ScoredTokenizer, Type
from byhand.tokenizer.sentencepiece import write_sentencepiece
from byhand.tokenizer.steps import MARK

KEY = "tokenizer.ggml."
PATTERNS = {"gpt-2": GPT2, "gpt2": GPT2, "llama-bpe": LLAMA3, "llama3": LLAMA3, "llama-v3": LLAMA3}
NAMES = {GPT2: "gpt-2", LLAMA3: "llama-bpe"}
STOP_NAMES = {0: (), 1: ("eos",), 2: ("eos", "eot")}  # which names the ids that end a text get, by their number
WHERE = "the GGUF file"


def from_gguf(fields: Mapping[str, Any]) -> Tokenizer | None:
    """The tokenizer of a GGUF file's fields; None when it has none. Raises InputError for a kind that is not read."""
    own = {key.removeprefix(KEY): value for key, value in fields.items() if key.startswith(KEY)}
    model = own.get("model")
    if model is None or model in ("none", "no_vocab"):
        return None
    tokens = strings(own.get("tokens"), "tokens")
    types = numbers(own.get("token_type"), "token_type", len(tokens)) if "token_type" in own else [1] * len(tokens)
    if not tokens or len(tokens) > MOST_IDS:
        raise InputError(f"{WHERE} has {len(tokens):,} tokens; its tokenizer is damaged")
    if model == "gpt2":
        return by_merges(own, tokens, types, fields.get("general.architecture"))
    if model == "llama":
        return by_scores(own, tokens, types)
    raise InputError(f"{WHERE} has a tokenizer of kind {model!r:.40}; byhand reads gpt2 and llama, give token ids")


def strings(found: Any, key: str) -> list[str]:
    listed = None if isinstance(found, str | bytes) or not hasattr(found, "__iter__") else [*found]
    if listed is None or not all(isinstance(each, str) for each in listed):
        raise InputError(f"{WHERE}: {KEY}{key} is no list of texts; its tokenizer is damaged")
    return listed


def numbers(found: Any, key: str, count: int) -> list[Any]:
    listed = None if isinstance(found, str | bytes) or not hasattr(found, "__iter__") else [*found]
    if listed is None or len(listed) != count or not all(isinstance(each, Real) for each in listed):
        raise InputError(f"{WHERE}: {KEY}{key} is no list of {count:,} numbers; its tokenizer is damaged")
    return listed


def ends_of(own: Mapping[str, Any], begins: bool) -> Ends:
    """Begin, end and stops as the fields say; begins: whether this kind puts the begin token unless told otherwise."""

    def ids(*names: str) -> Ids:
        found = (own[f"{name}_token_id"] for name in names if own.get(f"{name}_token_id") is not None)
        listed = [whole(each) for each in found]
        if None in listed:
            raise InputError(f"{WHERE}: one of its {', '.join(names)} token ids is no whole number")
        return tuple(dict.fromkeys(each for each in listed if each is not None))

    begin = ids("bos") if own.get("add_bos_token", begins) else ()
    return Ends(begin, ids("eos") if own.get("add_eos_token", False) else (), ids("eos", "eom", "eot"))


def by_merges(own: Mapping[str, Any], tokens: list[str], types: list[Any], architecture: Any) -> Tokenizer:
    """Byte-level BPE. Raises InputError for a split pattern that byhand does not know."""
    merges = strings(own.get("merges", []), "merges")
    vocab = vocabulary(listed_once(tokens), WHERE)
    if not merges and all(BYTES.get(token, 256) < 128 for token in tokens):
        return Characters("".join(chr(BYTES[token]) for token in tokens))
    pre = own.get("pre", "gpt-2" if architecture == "gpt2" else None)
    if not isinstance(pre, str) or pre not in PATTERNS:
        raise InputError(f"{WHERE} names the split pattern {pre!r:.40}; byhand knows {', '.join(PATTERNS)}")
    pattern = PATTERNS[pre]
    document = byte_level(vocab, merges, None if pattern == GPT2 else pattern, whole=pattern == LLAMA3)
    special = {token for token, kind in zip(tokens, types, strict=True) if kind in (Type.CONTROL, Type.USER)}
    special = special or set(underived(vocab, merges))
    given = {each["content"]: each for each in document["added_tokens"]}
    document["added_tokens"] = [given[name] for name in tokens if name in special and name in given]
    ends = ends_of(own, begins=pattern == LLAMA3)
    document["post_processor"] = template(ends, named(ends, tokens))
    files = {"tokenizer.json": json.dumps(document, ensure_ascii=False).encode("utf-8")}
    return Document(document, ends, files | settings(ends, dict(enumerate(tokens))), WHERE)


def listed_once(tokens: Sequence[str]) -> dict[str, int]:
    places = {name: token for token, name in enumerate(tokens)}
    if len(places) < len(tokens):
        twice = next(name for token, name in enumerate(tokens) if places[name] != token)
        raise InputError(f"{WHERE} has the token {twice!r:.60} twice; its tokenizer is damaged")
    return places


def named(ends: Ends, tokens: Sequence[str]) -> dict[int, str]:
    """The names of the tokens at the ends. Raises InputError for an id that there is not."""
    for token in (*ends.begin, *ends.end):
        if not 0 <= token < len(tokens):
            raise InputError(f"{WHERE} puts token {token} around a text, but has only {len(tokens):,}")
    return {token: tokens[token] for token in (*ends.begin, *ends.end)}


def by_scores(own: Mapping[str, Any], tokens: list[str], types: list[Any]) -> Tokenizer:
    """SentencePiece's BPE. Raises InputError."""
    scores = [float(each) for each in numbers(own.get("scores"), "scores", len(tokens))]
    if not all(kind in [*Type] for kind in types):
        raise InputError(f"{WHERE}: {KEY}token_type has a number that is none of 1 to 6; its tokenizer is damaged")
    pieces = [Scored(*each) for each in zip(tokens, scores, map(Type, types), strict=True)]
    ends = ends_of(own, begins=True)
    named(ends, tokens)
    unknown = own.get("unknown_token_id", next((i for i, kind in enumerate(types) if kind == Type.UNKNOWN), 0))
    if whole(unknown) is None:
        raise InputError(f"{WHERE}: its unknown_token_id {unknown!r:.40} is no whole number")
    prefix = bool(own.get("add_space_prefix", True))
    files = {"tokenizer.model": write_sentencepiece(pieces, int(unknown), prefix, ends)}
    return ScoredTokenizer(pieces, int(unknown), prefix, ends, files, WHERE)


# --- to a GGUF file ---------------------------------------------------------------------------------------------


def to_gguf(tokenizer: Tokenizer) -> dict[str, Any]:
    """The fields that say the same as a tokenizer. Raises InputError for one that GGUF has no words for."""
    fields = {f"{KEY}{key}": value for key, value in kind_fields(tokenizer).items()}
    names = ("bos", *STOP_NAMES.get(len(tokenizer.stops), ("eos", "eom", "eot")))
    for name, token in zip(names, (*(tokenizer.begin[:1] or (None,)), *tokenizer.stops), strict=False):
        if token is not None:
            fields[f"{KEY}{name}_token_id"] = token
    return fields | {f"{KEY}add_bos_token": bool(tokenizer.begin), f"{KEY}add_eos_token": bool(tokenizer.end)}


def kind_fields(tokenizer: Tokenizer) -> dict[str, Any]:
    if isinstance(tokenizer, Characters):
        if not tokenizer.alphabet.isascii():
            raise InputError(
                "GGUF writes characters as bytes, and some of this alphabet are several; use another format"
            )
        letters = [to_letters(sign.encode()) for sign in tokenizer.alphabet]
        return {"model": "gpt2", "pre": "gpt-2", "tokens": letters, "token_type": [1] * len(letters), "merges": []}
    if isinstance(tokenizer, ScoredTokenizer):
        return score_fields(tokenizer.listed, tokenizer.unknown, tokenizer.prefix)
    document = tokenizer.document() if isinstance(tokenizer, Ranks) else getattr(tokenizer, "document", None)
    if isinstance(tokenizer, Document) and tokenizer.style == "marks":
        return scores_of(tokenizer)
    if document is None or (isinstance(tokenizer, Document) and tokenizer.style != "bytes"):
        raise InputError(f"GGUF has no words for this tokenizer ({tokenizer.kind}); write another format")
    return merge_fields(tokenizer, document)


def merge_fields(tokenizer: Tokenizer, document: Mapping[str, Any]) -> dict[str, Any]:
    """Byte-level BPE; llama.cpp knows split patterns by name, and takes a whole token at once only for Llama 3's."""
    whole_first, pattern = bool(document["model"].get("ignore_merges")), tokenizer.pattern
    prefixed = any(
        step.get("add_prefix_space") for step in steps_of(document["pre_tokenizer"]) if step.get("type") == "ByteLevel"
    )
    if pattern not in NAMES or document.get("normalizer") or prefixed or whole_first != (pattern == LLAMA3):
        raise InputError(
            f"GGUF can only name GPT-2's and Llama 3's ways to cut a text, not this one ({tokenizer.kind})"
        )
    names = {token: name for name, token in {**document["model"]["vocab"], **tokenizer.special}.items()}
    tokens = [names.get(token, f"[PAD{token}]") for token in range(len(tokenizer))]
    types = [
        Type.CONTROL if name in tokenizer.special else Type.NORMAL if token in names else Type.UNUSED
        for token, name in enumerate(tokens)
    ]
    merges = [" ".join(as_pair(merge)) for merge in document["model"]["merges"]]
    return {
        "model": "gpt2",
        "pre": NAMES[pattern],
        "tokens": tokens,
        "token_type": list(map(int, types)),
        "merges": merges,
    }


def steps_of(step: Any) -> list[Any]:
    return step["pretokenizers"] if step.get("type") == "Sequence" else [step]


def score_fields(pieces: Sequence[Scored], unknown: int, prefix: bool) -> dict[str, Any]:
    return {
        "model": "llama",
        "pre": "default",
        "tokens": [each.text for each in pieces],
        "scores": [float(each.score) for each in pieces],
        "token_type": [int(each.type) for each in pieces],
        "unknown_token_id": unknown,
        "add_space_prefix": prefix,
    }


def scores_of(tokenizer: Document) -> dict[str, Any]:
    """Scores from the order of the merges: a token's merges must stand together, or no score says the same.

    Raises InputError when they do not.
    """
    model = tokenizer.document["model"]
    scores: dict[str, float] = {}
    last = None
    for rank, merge in enumerate(model["merges"]):
        made = "".join(as_pair(merge))
        if made in scores and made != last:
            raise InputError(f"GGUF orders merges by the token they make, and those of {made!r:.60} stand apart here")
        last = made
        scores.setdefault(made, float(-rank))
    unknown = model.get("unk_token")
    pieces = []
    names = {token: name for name, token in {**model["vocab"], **tokenizer.special}.items()}
    for token in range(len(tokenizer)):
        name = names.get(token, f"[PAD{token}]")
        pieces.append(Scored(name, scores.get(name, 0.0), piece_type(name, token in names, unknown, tokenizer)))
    prefix = tokenizer.normal("a").startswith(MARK) or tokenizer_prefix(tokenizer)
    return score_fields(pieces, model["vocab"].get(unknown, 0), prefix)


def tokenizer_prefix(tokenizer: Document) -> bool:
    step = tokenizer.document.get("pre_tokenizer") or {}
    return step.get("type") == "Metaspace" and step.get("prepend_scheme", "always") != "never"


def piece_type(name: str, known_: bool, unknown: str | None, tokenizer: Document) -> Type:
    if not known_:
        return Type.UNUSED
    if name == unknown:
        return Type.UNKNOWN
    if name in tokenizer.special:
        return Type.CONTROL
    return Type.NORMAL if named_byte(name) is None else Type.BYTE
