"""Files that lie beside a model and are none: token ids, a debug state, a tokenizer. What they are, in a few facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from byhand import tokenizer
from byhand.checkpoints import llmc_state, tokens
from byhand.errors import InputError


def facts(path: Path) -> dict[str, Any] | None:
    """What such a file is, under "description", and what is in it; None for anything else.

    Raises InputError for a token file or a debug state that is damaged.
    """
    if path.is_dir():
        return None
    if tokens.recognise(path):
        shard = tokens.read_tokens(path)
        title = tokens.KINDS[shard.kind].title
        return {"description": title, "tokens": len(shard.ids), "first": shard.ids[:10].tolist()}
    if llmc_state.recognise(path):
        state = llmc_state.read_state(path)
        (B, T), c = state.tokens.shape, state.config
        sizes = f"{c.layers} layers, width {c.width}, {c.vocabulary} tokens"
        return {"description": "llm.c's debug state", "texts": B, "tokens": T, "loss": state.loss, "model": sizes}
    return of_tokenizer(path)


def of_tokenizer(path: Path) -> dict[str, Any] | None:
    try:
        found = tokenizer.load(path)
    except InputError:
        return None
    if found is None:
        return None
    ends = {name: {found.decode([each]): each for each in getattr(found, name)} for name in ("begin", "end", "stops")}
    return {"description": "a tokenizer", "kind": found.kind, "ids": len(found), **ends}
