"""The same files in transformers give the same ids: those it knows by itself, and those that byhand writes.

Transformers 5 has one class where it had two: GPT2TokenizerFast is GPT2Tokenizer, and so on.
"""

import json

import pytest
from hypothesis import given, settings
from transformers import (
    AutoTokenizer,
    BertTokenizer,
    GPT2Tokenizer,
    LlamaTokenizer,
    PreTrainedTokenizerFast,
)

from byhand.tokenizer import PRINTABLE, Characters, load

from ..tokenizer import made
from ..tokenizer.texts import TEXTS

# A form on disk, what it is in transformers, and how the folder comes about: as it lies, or as byhand writes it.
CASES = [
    ("gpt2 tokenizer.json", GPT2Tokenizer, False),
    ("gpt2 tokenizer.json", PreTrainedTokenizerFast, True),
    ("gpt2 vocab.json", GPT2Tokenizer, False),
    ("gpt2 vocab.json", GPT2Tokenizer, True),
    ("llama3 tokenizer.json", PreTrainedTokenizerFast, False),
    ("llama3 tokenizer.model", PreTrainedTokenizerFast, True),
    ("llama3 tokenizer.model", AutoTokenizer, True),
    ("llama2 tokenizer.model", PreTrainedTokenizerFast, True),
    ("llama2 tokenizer.bin", PreTrainedTokenizerFast, True),
    ("bert tokenizer.json", BertTokenizer, False),
    ("bert vocab.txt", BertTokenizer, False),
    ("bert vocab.txt", BertTokenizer, True),
    ("bert cased", BertTokenizer, False),
]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}, {case[1].__name__}{', written' * case[2]}", scope="module")
def pair(request, tmp_path_factory):
    form, kind, written = request.param
    folder = made.FORMS[form](tmp_path_factory.mktemp("form"))
    ours = load(folder)
    if written:
        folder = tmp_path_factory.mktemp("written")
        ours.write(folder)
    return ours, kind.from_pretrained(folder)


@settings(max_examples=150)
@given(text=TEXTS)
def test_the_same_ids(pair, text):
    ours, theirs = pair
    assert theirs(text, split_special_tokens=True, add_special_tokens=False)["input_ids"] == ours.encode(text)
    assert theirs(text, split_special_tokens=True)["input_ids"] == ours.prepared(text)
    assert theirs(text)["input_ids"] == ours.prepared(text, special=True)


def test_the_same_tokens_and_ends(pair):
    ours, theirs = pair
    assert len(theirs) == len(ours)
    assert set(theirs.all_special_tokens) <= set(ours.special)
    if ours.stops:
        assert theirs.eos_token_id in (ours.stops[0], None)
    if ours.takes_bytes:
        assert all(theirs.decode([i]) == ours.token(i).decode("utf-8", "replace") for i in range(len(ours)))


def merges_without_prefix(document: dict) -> dict:
    """Llama 2's files as transformers 5 makes them: spaces before words by a pre-tokenizer, not by a normalizer."""
    marks = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    return {**document, "normalizer": None, "pre_tokenizer": marks}


@pytest.fixture(scope="module")
def llama2(tmp_path_factory):
    source = load(made.FORMS["llama2 tokenizer.model"](tmp_path_factory.mktemp("model")))
    document = merges_without_prefix(json.loads(source.files_to_write()["tokenizer.json"]))
    config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    config |= {"add_bos_token": True, "legacy": False}
    files = {"tokenizer__json": json.dumps(document), "tokenizer_config__json": json.dumps(config)}
    folder = made.put(tmp_path_factory.mktemp("llama2"), **files)
    return load(folder), LlamaTokenizer.from_pretrained(folder)


@settings(max_examples=100)
@given(text=TEXTS)
def test_llama_2(llama2, text):
    ours, theirs = llama2
    assert theirs(text, split_special_tokens=True, add_special_tokens=False)["input_ids"] == ours.encode(text)
    assert theirs(text, split_special_tokens=True)["input_ids"] == ours.prepared(text)


def test_characters_load_in_transformers(tmp_path):
    ours = Characters(PRINTABLE)
    ours.write(tmp_path)
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    text = "Any text, of 96 signs\n~!"
    assert theirs(text)["input_ids"] == ours.encode(text)
    assert theirs.decode(ours.encode(text)) == text
