"""``byhand tokenize``: the tokens of a text, how they come about, and where two tokenizers part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Exit, Option

import byhand
from byhand import tokenizer as tokenizers
from byhand.checkpoints import known
from byhand.checkpoints.files.places import place_of
from byhand.cli import show
from byhand.cli.arguments import Output
from byhand.errors import InputError
from byhand.tokenizer import Difference, Tokenizer
from byhand.tokenizer.reading import read
from byhand.tokenizer.trace import marked

EXAMPLES = (
    'tokenize gpt2/ "Hello, world"',
    'tokenize tokenizer.json " lower" --watch',
    'tokenize llama/ "3333+777" --compare other/tokenizer.json',
)
SHOWN = 8  # ids of each tokenizer after they part


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    model: Annotated[
        str, Argument(metavar="MODEL_OR_PATH", help="A tokenizer's file or folder, or a model.", show_default=False)
    ]
    text: Annotated[str | None, Argument(metavar="TEXT", help="The text, in quotes.", show_default=False)] = None
    file: Annotated[str | None, Option(metavar="FILE", help="Read the text from a file.")] = None
    watch: Annotated[bool, Option("--watch", help="Pieces, bytes and every merge with its rank.")] = False
    special: Annotated[bool, Option("--special", help="Names of special tokens in the text are those tokens.")] = False
    compare: Annotated[str | None, Option(metavar="OTHER", help="Say where another tokenizer differs; 1 if so.")] = None


def command(asked: Asked) -> None:
    """Show the tokens of a text, and how they come about.

    Those that the model's own files put around it are marked. With --watch every merge is shown. With --compare the
    exit code is 1 when another tokenizer gives other tokens.
    """
    if asked.compare is not None and (asked.watch or asked.special):
        raise InputError("--compare compares plain text; leave out --watch and --special")
    tokenizer, text = found(asked.model), given_text(asked)
    if asked.compare is not None:
        return compare(asked, tokenizer, found(asked.compare), text)
    ids = tokenizer.prepared(text, asked.special)
    trace = tokenizer.trace(text, asked.special) if asked.watch else None
    if asked.json:
        return show.document(to_dict(tokenizer, ids) | ({"trace": trace.to_dict()} if trace else {}))
    show.heading(tokenizer.kind)
    show.write("")
    if trace:
        show.listing(str(trace))
        show.write("")
    show.write(table(tokenizer, ids))


def found(name: str) -> Tokenizer:
    """The tokenizer of a file, of a folder, or of a model. Raises InputError when there is none."""
    path = place_of(name)
    if path.is_dir() or (path.is_file() and not is_model(path)):
        tokenizer = tokenizers.load(path)
    else:
        tokenizer = byhand.load(name).tokenizer
    if tokenizer is None:
        raise InputError(f"{name} has no tokenizer; give the file of one, such as tokenizer.json")
    return tokenizer


def is_model(path: Path) -> bool:
    """Whether a file holds a model, whose tokenizer is in it or beside it."""
    try:
        return any(module.recognise(path) for module in known().values())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def given_text(asked: Asked) -> str | bytes:
    """The text, or the content of a file, as bytes where it is no UTF-8. Raises InputError."""
    if (asked.text is None) == (asked.file is None):
        raise InputError("give either TEXT or --file FILE" + (", not both" if asked.file else ""))
    if asked.file is None:
        return asked.text or ""
    data = read(place_of(asked.file))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


# --- the tokens -------------------------------------------------------------------------------------------------


def added(tokenizer: Tokenizer, ids: list[int], place: int) -> str:
    """What a token that is not of the text is there for; "" for one that is."""
    if place < len(tokenizer.begin):
        return "added before the text"
    return "added after the text" if place >= len(ids) - len(tokenizer.end) else ""


def table(tokenizer: Tokenizer, ids: list[int]) -> Any:
    rows = [
        [str(place), str(token), marked(tokenizer.decode_bytes([token])), show.dim(added(tokenizer, ids, place))]
        for place, token in enumerate(ids)
    ]
    return show.table({"place": "right", "id": "right", "token": "left", "": "left"}, rows)


def to_dict(tokenizer: Tokenizer, ids: list[int]) -> dict[str, Any]:
    tokens = [
        {"id": token, "text": tokenizer.decode([token]), "added": bool(added(tokenizer, ids, place))}
        for place, token in enumerate(ids)
    ]
    return {"tokenizer": tokenizer.kind, "ids": ids, "tokens": tokens}


# --- two tokenizers ---------------------------------------------------------------------------------------------


def compare(asked: Asked, one: Tokenizer, other: Tokenizer, text: str | bytes) -> None:
    """Where two tokenizers part. Raises Exit with 1 when they do."""
    if isinstance(text, bytes):
        raise InputError(f"{asked.file} is no UTF-8, so it has no characters to compare at; give text")
    difference = tokenizers.difference(one, other, text)
    if asked.json:
        kinds = {"first": one.kind, "second": other.kind, "same_pattern": one.pattern == other.pattern}
        show.document(kinds | {"difference": difference and difference.to_dict()})
    elif difference is None:
        show.prose(f"The same {len(one.encode(text)):,} ids from both: {one.kind}; {other.kind}.")
        if one.pattern != other.pattern:
            show.prose("But they cut a text by different patterns, so another text may differ.")
    else:
        print_difference(difference, one, other, text)
    if difference is not None:
        raise Exit(1)


def print_difference(found: Difference, one: Tokenizer, other: Tokenizer, text: str) -> None:
    show.heading(f"They differ at character {found.position}: {marked(text[found.position :][:40].encode('utf-8'))}")
    show.write("")
    for name, tokenizer, ids in (("first", one, found.first), ("second", other, found.second)):
        show.write(f"{name}: {tokenizer.kind}")
        tokens = "  ".join(f"{token} {marked(tokenizer.decode_bytes([token]))}" for token in ids[:SHOWN])
        show.write(show.wrapped(tokens + (" ..." if len(ids) > SHOWN else "") or "no more tokens", 4))
    same = "Both cut a text by the same pattern." if found.same_pattern else "They cut a text by different patterns."
    show.write("")
    show.prose(same)
