"""A tokenizer from a folder or a file, told by what is in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from struct import pack
from typing import Any

from byhand.errors import InputError
from byhand.tokenizer.alphabet import BYTES
from byhand.tokenizer.base import Ends, Tokenizer
from byhand.tokenizer.characters import of_characters, read_meta
from byhand.tokenizer.document import Document, byte_level, guarded, word_pieces
from byhand.tokenizer.ends import ADDED, SPECIAL, Configs, template, template_ends
from byhand.tokenizer.llmc import MAGIC, read_llmc
from byhand.tokenizer.ranks import read_ranks
from byhand.tokenizer.reading import read, read_json, read_text, vocabulary
from byhand.tokenizer.scored import ScoredTokenizer
from byhand.tokenizer.sentencepiece import read_llama2c, read_sentencepiece
from byhand.tokenizer.steps import MARK

# The files of a folder that are looked for, the one that says most first, and what must lie beside it.
FOUND = (
    ("tokenizer.json", None),
    ("vocab.json", "merges.txt"),
    ("encoder.json", "vocab.bpe"),
    ("tokenizer.model", None),
    ("vocab.txt", None),
    ("tokenizer.bin", None),
    ("meta.pkl", None),
    ("gpt2_tokenizer.bin", None),
)
MERGES = {"vocab.json": "merges.txt", "encoder.json": "vocab.bpe"}
VOCABULARY = {merges: vocab for vocab, merges in MERGES.items()}


def load(path: str | Path) -> Tokenizer | None:
    """The tokenizer of a folder, None when it holds none, or of a file, whatever its name.

    Raises InputError for files that are damaged, or that are no tokenizer.
    """
    if not isinstance(path, str | Path):
        raise InputError(f"{path!r:.60} is no path; give a text or a pathlib.Path")
    path = Path(path)
    if path.is_dir():
        for name, beside in FOUND:
            if (path / name).is_file() and (beside is None or (path / beside).is_file()):
                return of_file(path / name)
        return None
    if not path.is_file():
        raise InputError(f"no tokenizer at {path}: there is no such file or folder")
    return of_file(path)


def of_file(path: Path) -> Tokenizer:
    """What a file is, by its content. Raises InputError."""
    data = read(path)
    if not data.strip():
        raise InputError(f"{path} is empty, so it is no tokenizer; copy it again")
    configs = Configs.beside(path.parent)
    if data.lstrip()[:1] == b"{":
        return of_json(data, path, configs)
    if data[:4] == pack("<I", MAGIC):
        return read_llmc(data, str(path))
    if data[:1] == b"\x80":
        return read_meta(data, str(path))
    if data[:1] == b"\n":  # the key of SentencePiece's first piece; a text would have to begin with an empty line
        return with_ends(read_sentencepiece(data, str(path), configs.more_tokens()), configs)
    if b"\0" in data[:4]:
        return read_llama2c(data, str(path))
    return of_lines(data, path, configs)


def of_json(data: bytes, path: Path, configs: Configs) -> Tokenizer:
    found = read_json(data, str(path))
    if isinstance(found, Mapping) and "model" in found:
        return of_document(found, data, path, configs)
    beside = MERGES.get(path.name, "merges.txt")
    return with_merges(path, path.parent / beside, configs)


def of_document(found: Mapping[str, Any], data: bytes, path: Path, configs: Configs) -> Tokenizer:
    """A tokenizer.json, which ours of characters is one of."""
    model, where = found["model"], str(path)
    if not isinstance(model, Mapping):
        raise InputError(f"{where} has a model that is no JSON object; the file is damaged")
    kind = model.get("type") or ("BPE" if "merges" in model else "WordPiece")
    if kind not in ("BPE", "WordPiece", "WordLevel"):
        raise InputError(f"{where} is a {kind!r:.40} model; byhand reads BPE, WordPiece and WordLevel ones")
    vocabulary(model.get("vocab"), where)
    found = {**found, "model": {**model, "type": kind}}
    with guarded(f"{where} is no tokenizer.json that can be read"):
        made = of_characters(found) or Document(found, Ends(), {"tokenizer.json": data, **configs.files}, where)
        default = template_ends(found.get("post_processor"), id_of(made), where)
    return with_ends(made, configs, default)


def id_of(made: Tokenizer) -> Callable[[str], int | None]:
    """The id of a token by its name, special ones first."""
    others: Mapping[str, int] = {}
    if isinstance(made, Document):
        others = {**made.document["model"]["vocab"], **{each.content: each.id for each in made.added}}
    elif isinstance(made, ScoredTokenizer):
        others = {text.replace(MARK, " "): token for text, token in made.places.items()}
    return lambda name: made.special.get(name, others.get(name))


def with_ends(made: Tokenizer, configs: Configs, default: Ends | None = None) -> Tokenizer:
    """The tokenizer with what the settings beside it say about the ends of a text; default: its own."""
    default = default or Ends(made.begin, made.end, made.stops)
    ends = configs.ends(id_of(made), default)
    made.begin, made.end, made.stops = ends.begin, ends.end, ends.stops
    made.files |= configs.files
    missing = next((name for name in configs.more_tokens() if id_of(made)(name) is None), None)
    if missing is not None:
        raise InputError(f"{ADDED} adds {missing!r:.40}, which byhand does not read here; give a tokenizer.json")
    return made


# --- a vocabulary and its merges --------------------------------------------------------------------------------


def with_merges(vocab_path: Path, merges_path: Path, configs: Configs) -> Tokenizer:
    """GPT-2's two files: ids by token, and the merges in order. Raises InputError when they do not belong together."""
    for path in (vocab_path, merges_path):
        if not path.is_file():
            raise InputError(f"{path} is missing: a vocabulary and its merges are two files of one folder")
    files = {path.name: read(path) for path in (vocab_path, merges_path)}
    vocab = vocabulary(read_json(files[vocab_path.name], str(vocab_path)), str(vocab_path))
    merges = read_merges(files[merges_path.name], str(merges_path))
    more = configs.more_tokens()
    document = byte_level(vocabulary({**vocab, **more}, f"{vocab_path} with {ADDED}"), merges)
    for each in document["added_tokens"]:
        each["special"] = bool(SPECIAL.fullmatch(each["content"]))
        if not each["special"] and each["content"] not in more:
            raise InputError(f"{merges_path} has no merge that makes {each['content']!r:.60} of {vocab_path.name}")
    lacking = next((letter for letter in BYTES if letter not in vocab), None)
    if lacking is not None:
        raise InputError(f"{vocab_path} has no token {lacking!r}, the byte 0x{BYTES[lacking]:02x}; the file is damaged")
    made = Document(document, Ends(), {**files, **configs.files}, str(vocab_path))
    return with_ends(made, configs)


def read_merges(data: bytes, where: str) -> list[str]:
    lines = [line.removesuffix("\r") for line in read_text(data, where).split("\n")]
    merges = [line for line in lines if line and not line.startswith("#version")]
    for line in merges:
        if not all(line.partition(" ")) or line.count(" ") > 1:
            raise InputError(f"{where}: {line!r:.60} is no merge, two tokens with a space between; the file is damaged")
    return merges


# --- other text -------------------------------------------------------------------------------------------------


def of_lines(data: bytes, path: Path, configs: Configs) -> Tokenizer:
    """A file of lines: merges beside their vocabulary, ranks, or WordPiece's tokens. Raises InputError."""
    text, where = read_text(data, str(path)), str(path)
    first = next(line for line in text.splitlines() if line.strip())
    vocab = path.parent / VOCABULARY.get(path.name, "vocab.json")
    if first.startswith("#version") or (path.name in VOCABULARY and vocab.is_file()):
        return with_merges(vocab, path, configs)
    if re.fullmatch(r"[A-Za-z0-9+/]+={0,2} \d+", first.strip()):
        return with_ends(read_ranks(data, where), configs)
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if "[UNK]" not in lines:
        raise InputError(f"{where} is no tokenizer that byhand knows: no ranks, no merges, and no [UNK] of WordPiece")
    return of_words(lines, data, where, configs)


def of_words(lines: list[str], data: bytes, where: str, configs: Configs) -> Tokenizer:
    """BERT's vocab.txt, a token a line; lower case unless tokenizer_config.json says otherwise. Raises InputError."""
    if lines and not lines[-1]:
        lines.pop()
    vocab: dict[str, int] = {}
    for token, name in enumerate(lines):
        if not name or vocab.setdefault(name, token) != token:
            what = "is empty" if not name else f"has {name!r:.60} again"
            raise InputError(f"{where}: line {token + 1} {what}; every line must be another token")
    lower, accents = configs.flag("do_lower_case"), configs.flag("strip_accents")
    document = word_pieces(vocab, lower is not False, accents, configs.flag("tokenize_chinese_chars") is not False)
    if "[CLS]" not in vocab or "[SEP]" not in vocab:
        raise InputError(f"{where} has no [CLS] or no [SEP], which BERT puts around a text; the file is damaged")
    ends = Ends((vocab["[CLS]"],), (vocab["[SEP]"],))
    document["post_processor"] = template(ends, {token: name for name, token in vocab.items()})
    return with_ends(Document(document, Ends(), {"vocab.txt": data, **configs.files}, where), configs, ends)
