"""The tokenizer that lies beside a model's weights."""

from __future__ import annotations

from pathlib import Path

from byhand.checkpoints.record import Finding
from byhand.tokenizer import Tokenizer, check, load


def tokenizer_beside(folder: Path, vocabulary: int) -> tuple[Tokenizer | None, tuple[Finding, ...]]:
    """The tokenizer in a folder, None where there is none, and what was found out about it.

    vocabulary: rows of the model's token table. Raises InputError for a tokenizer that does not fit them.
    """
    found = load(folder)
    if found is None:
        return None, (Finding("tokenizer", "none", "no file of one beside the weights; the model works on token ids"),)
    check(found, vocabulary, str(folder))
    return found, about(found, vocabulary, "the files beside the weights")


def about(found: Tokenizer, vocabulary: int, how: str) -> tuple[Finding, ...]:
    """What a model's tokenizer is, and what it puts around a text. vocabulary: rows of the model's token table."""
    padding = vocabulary - len(found)
    end = [Finding("end token", listed(found, found.end), "put after every text")] if found.end else []
    return (
        Finding("tokenizer", found.kind, how),
        Finding(
            "begin token",
            listed(found, found.begin),
            "put before every text" if found.begin else "its files ask for none",
        ),
        *end,
        Finding(
            "stop tokens", listed(found, found.stops), "end a generated text" if found.stops else "its files name none"
        ),
        Finding(
            "padding",
            f"{padding} rows without a token, kept" if padding else "none",
            f"the table has {vocabulary} rows, the tokenizer {len(found)} ids",
        ),
    )


def listed(found: Tokenizer, ids: tuple[int, ...]) -> str:
    """Tokens with their ids: ``128000 <|begin_of_text|>``."""
    return ", ".join(f"{token} {found.decode([token])}" for token in ids) or "none"
