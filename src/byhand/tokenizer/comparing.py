"""Whether a tokenizer fits a model, and where two tokenizers part."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from byhand.errors import InputError
from byhand.tokenizer.base import Tokenizer
from byhand.tokenizer.document import Document, guarded
from byhand.tokenizer.scored import ScoredTokenizer


def check(tokenizer: Tokenizer, vocabulary: int, where: str) -> None:
    """Raise InputError when the tokenizer has ids that the model has no row for; spare rows are padding, and fine."""
    if len(tokenizer) > vocabulary:
        raise InputError(
            f"{where}: the tokenizer has {len(tokenizer):,} ids, but the model has {vocabulary:,} rows; they do not "
            "belong together"
        )


@dataclass(frozen=True)
class Difference:
    """Where two tokenizers first differ. position: the character of the text; first, second: the ids from there.

    same_pattern: whether both cut a text in the same way before they merge.
    """

    position: int
    first: tuple[int, ...]
    second: tuple[int, ...]
    same_pattern: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def difference(one: Tokenizer, other: Tokenizer, text: str) -> Difference | None:
    """The first place of a text at which two tokenizers give different ids; None where all are the same."""
    first, second = one.encode(text), other.encode(text)
    if first == second:
        return None
    place = next((i for i, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), None)
    place = min(len(first), len(second)) if place is None else place
    longer = one if len(first) > place else other
    position = starts(longer, text)[place]
    return Difference(position, tuple(first[place:]), tuple(second[place:]), one.pattern == other.pattern)


def starts(tokenizer: Tokenizer, text: str) -> list[int]:
    """The character at which each token of a text starts; of a character in several tokens, all the same."""
    if isinstance(tokenizer, Document):
        with guarded("cannot encode the text"):
            tokenizer.engine.encode_special_tokens = True
            return [start for start, _ in tokenizer.engine.encode(text, add_special_tokens=False).offsets]
    prefixed = isinstance(tokenizer, ScoredTokenizer) and tokenizer.prefix
    data, places, passed = text.encode("utf-8"), [], -int(prefixed)
    for token in tokenizer.encode(text):
        places.append(len(data[: max(passed, 0)].decode("utf-8", "ignore")))
        passed += len(tokenizer.token(token))
    return places
