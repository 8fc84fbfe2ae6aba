"""The steps of a tokenizer.json that cut a text into pieces, written out for the trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from byhand.errors import InputError
from byhand.tokenizer.alphabet import GPT2, split, to_letters, utf8, without_gaps

Step = Mapping[str, Any]
MARK = "▁"  # how SentencePiece writes a space


def all_steps(step: Any) -> Iterator[Step]:
    """A step of the file and all steps inside it; nothing for none."""
    if isinstance(step, Mapping):
        yield step
        for inside in ("pretokenizers", "normalizers", "decoders", "processors"):
            for each in step.get(inside) or ():
                yield from all_steps(each)


def has(step: Any, kind: str) -> bool:
    return any(each.get("type") == kind for each in all_steps(step))


def split_pattern(step: Any) -> str | None:
    """The pattern by which a pre-tokenizer cuts first; None when it cuts by none."""
    for each in all_steps(step):
        if each.get("type") == "Split":
            return next(iter(each["pattern"].values()))
        if each.get("type") == "ByteLevel" and each.get("use_regex", True):
            return GPT2
    return None


def cut(step: Step | None, text: str, at_start: bool) -> list[str]:
    """The pieces of a text; at_start: nothing stands before it. Raises InputError for other steps."""
    if step is None:
        return [text] if text else []
    kind = step["type"]
    if kind == "Sequence":
        return in_turn(step["pretokenizers"], text, at_start)
    if kind not in CUTS:
        raise InputError(f"the pre-tokenizer {kind} is not among the steps that a trace writes out; encode still works")
    return [piece for piece in CUTS[kind](step, text, at_start) if piece]


def in_turn(steps: list[Step], text: str, at_start: bool) -> list[str]:
    pieces = [text]
    for step in steps:
        pieces = [piece for i, part in enumerate(pieces) for piece in cut(step, part, at_start and i == 0)]
    return pieces


def byte_level(step: Step, text: str, at_start: bool) -> list[str]:
    """GPT-2's pattern unless the file switches it off; then each byte as its letter."""
    if step.get("add_prefix_space", True) and not text.startswith(" "):
        text = f" {text}"
    pieces = [part for part, _ in split(GPT2, text)] if step.get("use_regex", True) else [text]
    return [to_letters(utf8(piece)) for piece in pieces]


def by_pattern(step: Step, text: str, at_start: bool) -> list[str]:
    """Matches and what is between them; "Removed" leaves the matches out, inverted: what is between."""
    ((how, pattern),) = step["pattern"].items()
    parts = split(pattern, text, literal=how == "String")
    behavior, invert = step["behavior"], step.get("invert", False)
    if behavior == "Isolated":
        return [part for part, _ in parts]
    if behavior == "Removed":
        return without_gaps((part, matched == invert) for part, matched in parts)
    raise InputError(f"the split behaviour {behavior} is not among the steps that a trace writes out")


def metaspace(step: Step, text: str, at_start: bool) -> list[str]:
    """Spaces as marks, one more mark in front as the file says, and a cut before every mark unless switched off."""
    mark = step.get("replacement", MARK)
    text = text.replace(" ", mark)
    scheme = step.get("prepend_scheme", "always")
    if (scheme == "always" or (scheme == "first" and at_start)) and not text.startswith(mark):
        text = mark + text
    if not step.get("split", True):
        return [text]
    first, *rest = text.split(mark)
    return [first, *(mark + part for part in rest)]


def by_library(step: Step, text: str, at_start: bool) -> list[str]:
    """Words and single signs. Which signs count as punctuation is a table of the library's."""
    from tokenizers.pre_tokenizers import BertPreTokenizer

    return [piece for piece, _ in BertPreTokenizer().pre_tokenize_str(text)]


CUTS: dict[str, Callable[[Step, str, bool], list[str]]] = {
    "ByteLevel": byte_level,
    "Split": by_pattern,
    "Metaspace": metaspace,
    "BertPreTokenizer": by_library,
}
