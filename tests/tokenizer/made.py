"""Small tokenizers of every kind, trained or written by hand, in every form in which they lie on disk."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from struct import pack

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from byhand.tokenizer.alphabet import LETTERS, LLAMA3, to_bytes

WORDS = """The quick brown fox jumps over the lazy dog. Don't you'll think it's 1234567 tokens? naïve café, Straße,
    def main(x):\n\treturn x**2 + 3.14159\n\n\n русский текст и слова, 日本語のテキスト、中文字符, עברית, हिन्दी
the the there then other mother brother another lower lowest newest widest     spaces   and\ttabs\r\n WORLD'S 2024
한국어 🙂👍🏽👨‍👩‍👧 We'RE"""
CORPUS = [*WORDS.split("\n"), *WORDS.split(), WORDS] * 3


@cache
def gpt2() -> str:
    """A trained tokenizer.json like GPT-2's."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    return trained(made, 400, [], last=["<|endoftext|>"])


@cache
def llama3() -> str:
    """A trained tokenizer.json like Llama 3's: its pattern, whole pieces first, a begin token."""
    made = Tokenizer(models.BPE(ignore_merges=True))
    cut = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([cut, level])
    made.decoder = decoders.ByteLevel()
    document = json.loads(trained(made, 420, [], last=["<|begin_of_text|>", "<|end_of_text|>"]))
    made = Tokenizer.from_str(json.dumps(document))
    begin = [("<|begin_of_text|>", made.token_to_id("<|begin_of_text|>"))]
    template = processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=begin)
    made.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return made.to_str()


def trained(made: Tokenizer, size: int, special: list[str], last: list[str]) -> str:
    alphabet = sorted(LETTERS.values())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    made.add_special_tokens(last)
    return made.to_str()


@cache
def bert(lower: bool = True) -> str:
    """A trained tokenizer.json like BERT's."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lower)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(prefix="##")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    made.train_from_iterator(CORPUS, trainer)
    around = [(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=around
    )
    return made.to_str()


# --- SentencePiece ----------------------------------------------------------------------------------------------


@cache
def pieces() -> tuple[tuple[str, float, int], ...]:
    """A vocabulary like Llama 2's: unknown, begin, end, 256 bytes, merged pieces by falling score, characters."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=330, show_progress=False))
    vocab = sorted(made.get_vocab().items(), key=lambda each: each[1])
    several = [name for name, _ in vocab if len(name) > 1] + ["▁▁", "▁▁▁▁", "aa", "aaa", "aaaa", "abab", "ab", "ba"]
    signs = sorted({sign for name in several for sign in name} | {name for name, _ in vocab if len(name) == 1})
    texts = [*dict.fromkeys(several), *signs]
    start = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    return (*start, *((f"<0x{i:02X}>", 0.0, 6) for i in range(256)), *((t, -float(i), 1) for i, t in enumerate(texts)))


def sentencepiece(listed=None, trainer: bytes = b"", normalizer: bytes = b"") -> bytes:
    """A tokenizer.model. trainer, normalizer: settings beside BPE and unchanged text."""
    listed = pieces() if listed is None else listed
    body = b"".join(field(1, field(1, t.encode()) + b"\x15" + pack("<f", s) + number(3, k)) for t, s, k in listed)
    ids = number(40, 0) + number(41, 1) + number(42, 2) + number(35, 1)
    settings = field(1, b"identity") + number(3, 1) + number(4, 0) + number(5, 1)
    return body + field(2, number(3, 2) + ids + trainer) + field(3, settings + normalizer)


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def number(key: int, value: int) -> bytes:
    return varint(key << 3) + varint(value)


def field(key: int, data: bytes) -> bytes:
    return varint(key << 3 | 2) + varint(len(data)) + data


def llama2c(listed=None) -> bytes:
    listed = pieces() if listed is None else listed
    names = {1: "\n<s>\n", 2: "\n</s>\n"}
    texts = [names.get(i, t).replace("▁", " ").encode() for i, (t, _, _) in enumerate(listed)]
    body = b"".join(pack("<fi", s, len(t)) + t for t, (_, s, _) in zip(texts, listed, strict=True))
    return pack("<i", max(map(len, texts))) + body


# --- other files ------------------------------------------------------------------------------------------------


def ranks() -> bytes:
    """A file of ranks with the tokens of the Llama 3 kind."""
    tokens = [to_bytes(name) for name, _ in sorted(json.loads(llama3())["model"]["vocab"].items(), key=lambda e: e[1])]
    return b"".join(base64.b64encode(token) + b" %d\n" % i for i, token in enumerate(tokens) if token)


def two_files() -> tuple[bytes, bytes]:
    """GPT-2's vocabulary and merges."""
    document = json.loads(gpt2())
    special = {each["content"]: each["id"] for each in document["added_tokens"]}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in document["model"]["merges"]]
    vocab = {**document["model"]["vocab"], **special}
    return json.dumps(vocab).encode(), ("#version: 0.2\n" + "\n".join(merges) + "\n").encode()


def vocab_txt(lower: bool = True) -> bytes:
    vocab = json.loads(bert(lower))["model"]["vocab"]
    return "".join(f"{name}\n" for name in sorted(vocab, key=vocab.get)).encode()


def llmc(version: int = 2) -> bytes:
    document = json.loads(gpt2())
    names = sorted(document["model"]["vocab"], key=document["model"]["vocab"].get)
    tokens = [*(to_bytes(name) or b"" for name in names), b"<|endoftext|>"]
    header = pack("<256I", 20240328, version, len(tokens), len(tokens) - 1, *[0] * 252)
    return header + b"".join(bytes([len(token)]) + token for token in tokens)


def meta() -> bytes:
    alphabet = "\n !abcé🙂"
    itos = dict(enumerate(alphabet))
    return pickle.dumps({"vocab_size": len(itos), "itos": itos, "stoi": {sign: i for i, sign in itos.items()}})


def put(folder: Path, **files: bytes | str) -> Path:
    """Write files, `__` in a name for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


FORMS: dict[str, Callable[[Path], Path]] = {
    "gpt2 tokenizer.json": lambda at: put(at, tokenizer__json=gpt2()),
    "gpt2 vocab.json": lambda at: put(at, **dict(zip(("vocab__json", "merges__txt"), two_files(), strict=True))),
    "gpt2 vocab.bpe": lambda at: put(at, **dict(zip(("encoder__json", "vocab__bpe"), two_files(), strict=True))),
    "llama3 tokenizer.json": lambda at: put(at, tokenizer__json=llama3()),
    "llama3 tokenizer.model": lambda at: put(at, tokenizer__model=ranks()),
    "llama2 tokenizer.model": lambda at: put(at, tokenizer__model=sentencepiece()),
    "llama2 tokenizer.bin": lambda at: put(at, tokenizer__bin=llama2c()),
    "bert tokenizer.json": lambda at: put(at, tokenizer__json=bert()),
    "bert vocab.txt": lambda at: put(at, vocab__txt=vocab_txt()),
    "bert cased": lambda at: put(
        at, vocab__txt=vocab_txt(False), tokenizer_config__json=json.dumps({"do_lower_case": False})
    ),
    "characters": lambda at: put(at, meta__pkl=meta()),
    "llm.c": lambda at: put(at, gpt2_tokenizer__bin=llmc()),
}
BYTE_LEVEL = [name for name in FORMS if name.startswith(("gpt2", "llama3"))]
ENCODING = [name for name in FORMS if name not in ("characters", "llm.c")]
