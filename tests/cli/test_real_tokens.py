"""Tokens as real models have them: parts of a character, spaces, long names, rows of the table without a token."""

from dataclasses import replace

import pytest

import byhand as package
from byhand import tokenizer as tokenizers

from ..tokenizer import made

TEXT = "the 🙂\nlow"


@pytest.fixture
def padded(tmp_path, monkeypatch) -> str:
    """A GPT-2 with 47 more rows than its tokenizer has ids."""
    monkeypatch.chdir(tmp_path)
    made.put(tmp_path / "files", tokenizer__json=made.gpt2())
    tokenizer = tokenizers.load(tmp_path / "files")
    assert tokenizer is not None
    config = replace(package.load("gpt2-tiny").config, vocabulary=len(tokenizer) + 47)
    package.make("gpt2", config, tokenizer=tokenizer).save("padded", format="hf")
    return "padded"


def test_rows_without_a_token_are_shown_by_their_number(byhand, padded):
    size = len(package.load(padded).tokenizer or ())
    assert f"<{size + 9}>" in byhand("run", padded, "the", "--edit", f"logits[0,0,{size + 9}]=99").lines[-1]
    assert f"<{size}>" in byhand("trace", padded, "the", f"logits[0,0,{size - 2}:{size + 2}]").out
    assert f"<{size + 9}>" in byhand("explain", padded, "the", f"logits[0,0,{size + 9}]").out


def test_parts_of_a_character_are_not_escaped_twice(byhand, padded):
    tokenizer = package.load(padded).tokenizer
    assert tokenizer is not None
    byte = tokenizer.encode("🙂")[-1]
    assert tokenizer.decode([byte]) == "\\x82" and tokenizers.quoted("\\x82") == "'\\x82'"
    assert tokenizers.quoted("\n") == "'\\n'" and tokenizers.quoted("\\n") == "'\\\\n'"
    run = package.load(padded).run(TEXT)
    other = run.edit("logits", position=-1, token=byte, set=99)
    assert "'\\x82' 100.0%" in str(run.diff(other)) and "' '" in repr(run["blocks.0.attn.weights"])
    for shown in (byhand("trace", padded, TEXT, "blocks.0.attn.weights[0,0]").out, repr(run["tokens"])):
        assert "\\x82" in shown and "\\\\x82" not in shown and "'\\n'" in shown


def test_choices_are_not_escaped_twice(byhand, padded):
    tokenizer = package.load(padded).tokenizer
    assert tokenizer is not None
    byte = tokenizer.encode("🙂")[-1]
    model = package.load(padded)
    (choice,) = model.generate("the", max_tokens=1, edits=[("logits", {"token": byte, "set": 99})]).finish().choices
    assert str(choice).startswith("'\\x82' (") and "'\\x82'" in repr(choice)


def test_the_begin_token_is_shown(byhand, tmp_path):
    made.put(tmp_path, tokenizer__json=made.llama3())
    tokenizer = tokenizers.load(tmp_path)
    assert tokenizer is not None
    config = replace(package.load("llama-tiny").config, vocabulary=len(tokenizer))
    path = str(package.make("llama", config, tokenizer=tokenizer, seed=1).save(tmp_path / "mein Modell ü (1)"))
    assert byhand("run", path, "the").row("0 <|begin_of_text|>")[1] == "<|begin_of_text|>"
    assert byhand("generate", path, "the", "--max-tokens", "1").out.startswith("<|begin_of_text|>the")
    assert byhand("generate", path, "the", "--json").data["texts"][0]["added"] == list(tokenizer.begin)


def test_long_names_stay_within_the_line(byhand, tmp_path):
    made.put(tmp_path / "files", tokenizer__model=made.ranks())
    tokenizer = tokenizers.load(tmp_path / "files")
    assert tokenizer is not None
    config = replace(package.load("llama-tiny").config, vocabulary=len(tokenizer))
    path = str(package.make("llama", config, tokenizer=tokenizer, seed=1).save(tmp_path / "m"))
    special = list(range(len(tokenizer) - 5, len(tokenizer)))
    edits = [word for token in special for word in ("--edit", f"logits[token={token}]=9")]
    shown = byhand("generate", path, "the", "--max-tokens", "3", "--probabilities", "3", *edits).lines[2:]
    assert "reserved_special" in shown[2] and max(map(len, shown)) <= 80
    assert all(line.startswith("       ") for line in shown[2::3]) and len(shown) == 10
