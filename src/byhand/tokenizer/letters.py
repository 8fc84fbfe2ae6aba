"""The tokenizer of a wired model: a token for each letter, and the begin token before every text."""

from __future__ import annotations

import json
from collections.abc import Sequence

from byhand.tokenizer.base import Ends, Tokenizer
from byhand.tokenizer.document import Document, described
from byhand.tokenizer.ends import settings, template


def letters(tokens: Sequence[str], name: str) -> Tokenizer:
    """It writes itself as a tokenizer.json that transformers reads; text with a foreign letter is refused.

    tokens: all letters, the begin token first.
    """
    vocabulary = {letter: place for place, letter in enumerate(tokens)}
    ends = Ends(begin=(0,))
    names = dict(enumerate(tokens))
    model = {"type": "BPE", "vocab": vocabulary, "merges": []}
    document = described(model, {tokens[0]: 0}, decoder={"type": "Fuse"}, post_processor=template(ends, names))
    files = {"tokenizer.json": json.dumps(document).encode(), **settings(ends, names)}
    return Document(document, ends, files, name)
