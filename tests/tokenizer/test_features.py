"""Everything that real tokenizer.json files do before and after merging; what a trace does not know, it names."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from byhand.errors import InputError
from byhand.tokenizer import Tokenizer, load

from . import made
from .texts import TEXTS

LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
CUT = {"type": "Split", "pattern": {"Regex": r"\s+|\S+"}, "behavior": "Isolated", "invert": False}
FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
MARKS = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}


def sequence(kind: str, *steps) -> dict:
    return {"type": "Sequence", kind: list(steps)}


def gpt2(model=(), **steps) -> dict:
    found = json.loads(made.gpt2())
    return {**found, **steps, "model": {**found["model"], **dict(model)}}


def llama2(model=(), **steps) -> dict:
    folder = load_bytes("tokenizer.model", made.sentencepiece())
    found = json.loads(folder.files_to_write()["tokenizer.json"])
    return {**found, **steps, "model": {**found["model"], **dict(model)}}


def load_bytes(name: str, data: bytes) -> Tokenizer:
    with TemporaryDirectory() as folder:
        found = load(made.put(Path(folder), **{name.replace(".", "__"): data}))
    assert found is not None
    return found


PAIRS = [merge if isinstance(merge, list) else merge.split(" ") for merge in gpt2()["model"]["merges"]]


def without(letters: str, **model) -> dict:
    """GPT-2's kind without some bytes and what is made of them; the special token keeps its id."""
    vocab = {name: token for name, token in gpt2()["model"]["vocab"].items() if not set(letters) & set(name)}
    merges = [pair for pair in PAIRS if not set(letters) & set("".join(pair))]
    return gpt2({**model, "vocab": {**vocab, "<|endoftext|>": 400}, "merges": merges})


DOCUMENTS = {
    "merges as pairs": gpt2({"merges": PAIRS}),
    "merges as text": gpt2({"merges": [" ".join(pair) for pair in PAIRS]}),
    "whole pieces": gpt2({"ignore_merges": True}),
    "a space before": gpt2(pre_tokenizer={**LEVEL, "add_prefix_space": True}),
    "no pattern": gpt2(pre_tokenizer={**LEVEL, "use_regex": False}),
    "split, then bytes": gpt2(pre_tokenizer=sequence("pretokenizers", CUT, LEVEL)),
    "matches left out": gpt2(pre_tokenizer=sequence("pretokenizers", {**CUT, "pattern": {"String": "a"}}, LEVEL)),
    "split removed": gpt2(
        pre_tokenizer=sequence("pretokenizers", {**CUT, "behavior": "Removed", "invert": True}, LEVEL)
    ),
    "NFC": gpt2(normalizer={"type": "NFC"}),
    "NFKC, lower case": gpt2(normalizer=sequence("normalizers", {"type": "NFKC"}, {"type": "Lowercase"})),
    "added": gpt2(added_tokens=[*gpt2()["added_tokens"], {"id": 401, "content": "<tool", **FLAGS}]),
    "added, as it stands": gpt2(
        added_tokens=[*gpt2()["added_tokens"], {"id": 401, "content": "Th", **FLAGS, "normalized": False}],
        normalizer={"type": "Lowercase"},
    ),
    "unknown": without("Ãé", unk_token="!"),
    "unknown, one for all": without("Ã©", unk_token="!", fuse_unk=True),
    "llama 2": llama2(),
    "llama 2, newer": llama2(normalizer=None, pre_tokenizer={**MARKS, "split": False}),
    "llama 2, always": llama2(normalizer=None, pre_tokenizer={**MARKS, "prepend_scheme": "always"}),
    "llama 2, never": llama2(normalizer=None, pre_tokenizer={**MARKS, "prepend_scheme": "never"}),
    "llama 2, no bytes": llama2({"byte_fallback": False}),
    "llama 2, each unknown": llama2({"byte_fallback": False, "fuse_unk": False}),
}


@pytest.fixture(params=DOCUMENTS, scope="module")
def tokenizer(request) -> Tokenizer:
    return load_bytes("tokenizer.json", json.dumps(DOCUMENTS[request.param]).encode())


@settings(max_examples=150)
@given(text=TEXTS)
def test_the_trace_gives_the_ids_of_the_library(tokenizer, text):
    assert tokenizer.trace(text).ids == tokenizer.encode(text)
    assert tokenizer.trace(text, special=True).ids == tokenizer.encode(text, special=True)


REFUSED = {
    "Digits": gpt2(pre_tokenizer=sequence("pretokenizers", {"type": "Digits", "individual_digits": True}, LEVEL)),
    "MergedWithNext": gpt2(pre_tokenizer=sequence("pretokenizers", {**CUT, "behavior": "MergedWithNext"}, LEVEL)),
    "dropout": gpt2({"dropout": 0.5}),
    "lstrip": gpt2(added_tokens=[*gpt2()["added_tokens"], {"id": 401, "content": "<tool", **FLAGS, "lstrip": True}]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_written_out_is_named_and_still_encodes(name):
    tokenizer = load_bytes("tokenizer.json", json.dumps(REFUSED[name]).encode())
    assert tokenizer.encode("a <tool 12")
    with pytest.raises(InputError, match=name):
        tokenizer.trace("a <tool 12")


def test_a_byte_without_a_token_is_refused_not_left_out():
    tokenizer = load_bytes("tokenizer.json", json.dumps(without("Q")).encode())
    assert tokenizer.decode(tokenizer.encode("q")) == "q"
    for call in (tokenizer.encode, tokenizer.trace):
        with pytest.raises(InputError, match="0x51"):
            call("Q")


def test_bytes_that_are_no_text_cannot_be_normalized():
    tokenizer = load_bytes("tokenizer.json", json.dumps(DOCUMENTS["NFC"]).encode())
    assert tokenizer.encode(b"abc") == tokenizer.encode("abc")
    with pytest.raises(InputError, match="no UTF-8"):
        tokenizer.encode(b"\xff")


def test_text_is_not_cut_short():
    short = gpt2(truncation={"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0})
    assert len(load_bytes("tokenizer.json", json.dumps(short).encode()).encode("a b c d e f")) > 6
