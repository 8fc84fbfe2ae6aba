"""Tokenizers learned from texts: one token a character, or byte-level BPE by the tokenizers library.

Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", algorithm 1; over bytes, cut by
GPT-2's pattern: Radford et al. 2019, section 2.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from byhand.errors import InputError
from byhand.tokenizer.alphabet import BYTES, LETTERS
from byhand.tokenizer.base import Ends, Tokenizer
from byhand.tokenizer.characters import Characters
from byhand.tokenizer.document import Document, byte_level, guarded
from byhand.tokenizer.ends import settings, template

END, MASK = "<|endoftext|>", "[MASK]"
LEARNED = 1 << 26  # characters; more text changes the merges no more, and its words would fill the memory


def characters(texts: Iterable[str], special: Sequence[str] = (END,)) -> Characters:
    """A tokenizer of all characters of the texts, in the order of their code points, then the special tokens.

    Where END is among these a text begins after one and ends with one. Raises InputError for texts without a character.
    """
    found: set[str] = set()
    for text in texts:
        found.update(text)
    if not found:
        raise InputError("a tokenizer is learned from text, and there is none; give some")
    end = (len(found) + special.index(END),) if END in special else ()
    return Characters("".join(sorted(found)), special=special, ends=Ends(end, (), end))


def byte_pairs(texts: Iterable[str], size: int, special: Sequence[str] = (END,)) -> Document:
    """Byte-level BPE of at most `size` tokens: 256 bytes, merges, then the special tokens.

    It depends on the texts and the size alone, not on their order. Fewer tokens come of a text that has no more to
    merge. Where END is among the special tokens a text begins after one and ends with one. Raises InputError.
    """
    least = len(BYTES) + len(special)
    if size < least:
        named = " and ".join(special)
        raise InputError(f"a byte-level BPE has at least {least} tokens, 256 bytes and {named}; got {size}")
    vocab, merges = learned(texts, size - len(special))
    vocab |= {name: len(vocab) + place for place, name in enumerate(special)}
    ends = Ends((vocab[END],), (), (vocab[END],)) if END in special else Ends()
    names = {token: name for name, token in vocab.items()}
    document = byte_level(vocab, merges) | {"post_processor": template(ends, names)}
    files = {"tokenizer.json": json.dumps(document, ensure_ascii=False).encode("utf-8")}
    return Document(document, ends, files | settings(ends, names), "the learned tokenizer")


def learned(texts: Iterable[str], size: int) -> tuple[dict[str, int], list[list[str]]]:
    """The vocabulary of bytes and what was merged, and the merges in order."""
    from tokenizers import Tokenizer as Engine
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer

    engine = Engine(BPE())
    engine.pre_tokenizer = ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    trainer = BpeTrainer(vocab_size=size, initial_alphabet=list(LETTERS.values()), show_progress=False)
    with guarded("cannot learn a tokenizer"):
        engine.train_from_iterator(beginning(texts), trainer)
    model = json.loads(engine.to_str())["model"]
    return dict(sorted(model["vocab"].items(), key=lambda each: each[1])), model["merges"]


def beginning(texts: Iterable[str]) -> Iterator[str]:
    """The texts up to LEARNED characters."""
    left = LEARNED
    for text in texts:
        if left <= 0:
            return
        yield text[:left]
        left -= len(text)


def learn(kind: str, texts: Iterable[str], size: int = 0, special: Sequence[str] = (END,)) -> Tokenizer:
    """A tokenizer of this kind, "characters" or "bpe". size: tokens of a BPE. Raises InputError."""
    if kind == "characters":
        return characters(texts, special)
    if kind == "bpe":
        return byte_pairs(texts, size, special)
    raise InputError(f"no tokenizer is learned by {kind!r:.40}; give characters or bpe")
