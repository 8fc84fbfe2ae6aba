"""The tokenizer of a wired model: a token for each letter, and the begin token before every text."""

from __future__ import annotations

import json

from byhand.tokenizer.base import Ends, Tokenizer
from byhand.tokenizer.document import Document, described
from byhand.tokenizer.ends import settings, template
from byhand.wiring.wiring import Wiring


def tokenizer(wiring: Wiring) -> Tokenizer:
    """It writes itself as a tokenizer.json that transformers reads; text with a foreign letter is refused."""
    letters = {letter: place for place, letter in enumerate(wiring.tokens.domain)}
    ends = Ends(begin=(0,))
    names = {place: letter for letter, place in letters.items()}
    model = {"type": "BPE", "vocab": letters, "merges": []}
    document = described(model, {wiring.begin: 0}, decoder={"type": "Fuse"}, post_processor=template(ends, names))
    files = {"tokenizer.json": json.dumps(document).encode(), **settings(ends, names)}
    return Document(document, ends, files, wiring.name)
