"""Tokens on the command line: the table, the merges, the begin token, and where two tokenizers part."""

import json

import pytest

import byhand as package
from byhand import tokenizer as tokenizers

from ..tokenizer import made


@pytest.fixture
def llama(tmp_path) -> str:
    return str(made.FORMS["llama3 tokenizer.model"](tmp_path / "llama"))


@pytest.fixture
def gpt2(tmp_path) -> str:
    return str(made.FORMS["gpt2 vocab.bpe"](tmp_path / "gpt2"))


def test_tokens_with_the_added_ones_marked(byhand, llama):
    answer = byhand("tokenize", llama, " lower")
    assert answer.lines[0] == "byte-level BPE by ranks, Llama 3's pattern, 676 tokens"
    assert answer.row("0") == ["0", "420", "<|begin_of_text|>", "added", "before", "the", "text"]
    assert [line.split()[2] for line in answer.lines[4:]] == ["␣low", "er"]


def test_every_merge_with_its_rank(byhand, gpt2):
    lines = byhand("tokenize", gpt2, " lower", "--watch").lines
    assert "  start    ␣ l o w e r" in lines
    assert [line.split()[:2] for line in lines if "→" in line] == [["rank", n] for n in ("10", "15", "17", "35")]


def test_json(byhand, llama):
    data = byhand("tokenize", llama, "é", "--watch", "--json").data
    assert data["ids"] == [token["id"] for token in data["tokens"]]
    assert [token["added"] for token in data["tokens"]] == [True] + [False] * (len(data["ids"]) - 1)
    assert data["trace"]["pieces"][0]["ids"] == data["ids"][1:]


def test_special_tokens_are_text_unless_asked(byhand, llama):
    assert len(byhand("tokenize", llama, "<|eot_id|>", "--json").data["ids"]) > 2
    assert byhand("tokenize", llama, "<|eot_id|>", "--special", "--json").data["tokens"][1]["text"] == "<|eot_id|>"


def test_a_built_in_model_and_a_file_of_text(byhand, gpt2, tmp_path):
    assert byhand("tokenize", "aab", "ab", "--json").data["ids"] == [0, 1]
    (tmp_path / "text").write_bytes(b"the \xff")
    data = byhand("tokenize", gpt2, "--file", str(tmp_path / "text"), "--json").data
    assert data["tokens"][-1]["text"] == "\\xff"


def test_two_tokenizers(byhand, gpt2, tmp_path):
    document = json.loads(made.gpt2())
    document["pre_tokenizer"] = json.loads(made.llama3())["pre_tokenizer"]
    other = str(made.put(tmp_path / "other", tokenizer__json=json.dumps(document)))
    answer = byhand("tokenize", gpt2, "a12345 b", "--compare", other, code=1)
    assert answer.lines[0].startswith("They differ at character") and "different patterns" in answer.lines[-1]
    data = byhand("tokenize", gpt2, "a12345 b", "--compare", other, "--json", code=1).data
    assert data["same_pattern"] is False and data["difference"]["position"] > 0
    same = byhand("tokenize", gpt2, "a b", "--compare", other)
    assert "another text may differ" in " ".join(same.out.split())
    assert byhand("tokenize", gpt2, "a b", "--compare", gpt2, "--json").data["difference"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give either TEXT or --file"),
        (("a", "--file", "b"), "not both"),
        (("--file", "missing"), "cannot read missing"),
        (("a", "--compare", "missing"), "missing"),
        (("a", "--compare", "missing", "--watch"), "leave out --watch"),
    ],
)
def test_wrong_use(byhand, gpt2, words, said):
    answer = byhand("tokenize", gpt2, *words, code=2)
    assert said in answer.err and answer.err.count("\n") == 1 and not answer.out


def test_a_model_in_a_file_brings_its_tokenizer(byhand, tmp_path):
    """Its own or the one beside it; the file is no text that could be one."""
    path = tmp_path / "model.bin"
    package.load("gpt2-tiny").save(path, format="llmc")
    assert "model.bin has no tokenizer" in byhand("tokenize", str(path), "a", code=2).err
    made.put(tmp_path, meta__pkl=made.meta())
    assert byhand("tokenize", str(path), "ab", "--json").data["ids"] == tokenizers.load(tmp_path).encode("ab")


def test_a_folder_without_a_tokenizer(byhand, tmp_path):
    assert "has no tokenizer" in byhand("tokenize", str(tmp_path), "a", code=2).err
    assert "has no tokenizer" in byhand("tokenize", "gpt2-124m", "a", code=2).err
