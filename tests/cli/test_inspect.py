"""`byhand inspect` says what a path is and how that is known; `byhand convert` goes from one format to another."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import byhand as package
from byhand import tokenizer as tokenizers
from byhand.checkpoints import writable
from byhand.checkpoints.llmc_state import write_state
from byhand.checkpoints.record import WHAT
from byhand.checkpoints.tokens import write_tokens
from byhand.families import llama

from ..tokenizer import made

# What each format can hold of the small built-in models.
CONVERTED = [
    ("gpt2-tiny", "hf", "model"),
    ("gpt2-tiny", "llmc", "model.bin"),
    ("gpt2-tiny", "gguf", "model.gguf"),
    ("gpt2-tiny", "byhand", "model"),
    ("llama-tiny", "hf", "model"),
    ("start", "llama2c", "model.bin"),
    ("llama-tiny-halves", "gguf", "model.gguf"),
    ("bert-tiny", "hf", "model"),
    ("original-tiny", "byhand", "model"),
    ("aab-gpt2", "hf", "model"),
]


LACKING = {"original-tiny": ("matrices", "tied", "eps")}  # what a family has no choice of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def start(folder):
    """A folder with a Llama of the only theta that llama2.c has."""
    package.make("llama", replace(llama.TINY, theta=10000.0), name="start").save("start")


@pytest.mark.parametrize(("name", "form", "target"), CONVERTED, ids=lambda each: str(each))
def test_converted_inspected_and_run(byhand, start, name, form, target):
    told = byhand("convert", name, target, "--format", form).out
    assert told.startswith(f"{target}: ") and f"byhand inspect {target}" in told.replace("\n", " ")
    facts = byhand("inspect", target, "--json").data
    original, loaded = package.load(name), package.load(target)
    assert facts["format"] == form and facts["family"] == package.names().get(name, "llama")
    assert facts["parameters"] == original.parameters
    covered = {address for row in facts["names"] for address in row["weights"]}
    assert covered == set(loaded.weights)
    assert all(row["change"] for row in facts["names"]) and all(found["how"] for found in facts["findings"])
    ids = [1, 0, 1] if name == "aab-gpt2" else [3, 1, 2]
    given = {"source": ids} if name == "original-tiny" else {}
    values = [model.run(ids, dtype="float64", **given).look("logits") for model in (original, loaded)]
    assert np.abs(values[0] - values[1]).max() < 1e-9


def test_in_words(byhand, folder):
    byhand("convert", "gpt2-tiny", "model", "--format", "hf")
    plain, named = byhand("inspect", "model").out, byhand("inspect", "model", "--names").out
    for words in ("Hugging Face folder", "gpt2 with 30,592 parameters", "eps", "input first"):
        assert words in plain, words
    assert named.startswith(plain)
    assert "transformer.h.1.attn.c_attn.weight  parts apart, heads apart" in named
    assert max(map(len, named.splitlines())) <= 80


@pytest.mark.parametrize(("name", "form", "target"), CONVERTED, ids=lambda each: str(each))
def test_findings_have_the_same_names_in_every_format(byhand, start, name, form, target):
    """Each once, in one order, and in columns: what was found stands at one place of every line."""
    byhand("convert", name, target, "--format", form)
    found = [each["what"] for each in byhand("inspect", target, "--json").data["findings"]]
    assert found == sorted(set(found), key=WHAT.index)
    assert {"format", "dtype", "matrices", "tied", "eps", "tokenizer"} <= {*found, *LACKING.get(name, ())}
    assert ("rotary layout" in found) == (package.load(target).family.__name__.endswith("llama"))
    plain = byhand("inspect", target).lines
    assert max(map(len, plain)) <= 80
    rows = [line for line in plain if line.startswith(tuple(f"{what}  " for what in found))]
    assert len(rows) == len(found) and len({len(row) - len(row[max(map(len, found)) :].lstrip()) for row in rows}) == 1


def test_every_finding_is_one_of_the_known():
    source = Path(package.__file__).parent
    named = {what for path in source.rglob("*.py") for what in re.findall(r'Finding\(\s*"(.*?)"', path.read_text())}
    assert len(named) > 15 and named == set(WHAT)


def test_tokens_around_a_text_are_named(byhand, folder):
    made.put(folder / "llama", tokenizer__json=made.llama3())
    config = replace(llama.TINY, vocabulary=len(tokenizers.load("llama")) + 3)
    package.make("llama", config, tokenizer=tokenizers.load("llama")).save("model")
    said = {each["what"]: each["value"] for each in byhand("inspect", "model", "--json").data["findings"]}
    assert said["begin token"].endswith(" <|begin_of_text|>") and said["padding"] == "3 rows without a token, kept"
    assert byhand("inspect", "llama/tokenizer.json").row("begin")[2:] == ["<|begin_of_text|>"]


def test_a_built_in_name_has_no_file(byhand, folder):
    assert "byhand models gpt2-tiny" in byhand("inspect", "gpt2-tiny", code=2).err


def test_what_lies_beside_a_model(byhand, folder):
    model = package.load("gpt2-tiny")
    run = model.run(np.arange(8).reshape(2, 4), targets=np.arange(8).reshape(2, 4))
    run.backward()
    write_tokens(Path("tokens.bin"), range(50))
    assert byhand("inspect", "tokens.bin", "--json").data["tokens"] == 50
    assert byhand("inspect", "tokens.bin").lines[0] == "tokens.bin: llm.c's GPT-2 tokens"
    write_state(run, Path("state.bin"))
    assert byhand("inspect", "state.bin", "--json").data["loss"] == pytest.approx(run["loss"].item())
    Path("state.bin").write_bytes(Path("state.bin").read_bytes()[:-4])
    assert "give the model it belongs to, or it was cut off" in byhand("inspect", "state.bin", code=2).err


@pytest.mark.parametrize("name", ["no/such/folder", "nothing.gguf", ""])
def test_nothing_there(byhand, folder, name):
    answer = byhand("inspect", name, code=2)
    assert answer.out == "" and answer.err.count("\n") == 1 and "there is no file or folder" in answer.err


def test_a_target_that_exists_is_kept(byhand, folder):
    byhand("convert", "gpt2-tiny", "model", "--format", "hf")
    before = {path: path.read_bytes() for path in Path("model").iterdir()}
    answer = byhand("convert", "llama-tiny", "model", "--format", "hf", code=2)
    assert "--force" in answer.err and answer.err.count("\n") == 1
    assert before == {path: path.read_bytes() for path in Path("model").iterdir()}
    byhand("convert", "llama-tiny", "model", "--format", "hf", "--force")
    assert json.loads(Path("model/config.json").read_text())["model_type"] == "llama"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bert-tiny", "x.gguf", "--format", "gguf"), "bert"),
        (("original-tiny", "x", "--format", "hf"), "original"),
        (("llama-tiny", "x.bin", "--format", "llmc"), "llama"),
        (("gpt2-tiny", "x.bin", "--format", "llama2c"), "gpt2"),
        (("gpt2-tiny", "x", "--format", "onnx"), "format 'onnx' is unknown"),
        (("gpt2-tiny", "x", "--format", "meta"), "read only"),
        (("gpt2-tiny", "x", "--format", "hf", "--dtype", "q8_0"), "q8_0"),
        (("gpt2-tiny", "x", "--dtype", "f8"), "f8"),
        (("gpt2-tiny", "no/such/x"), "no/such"),
    ],
)
def test_what_cannot_be_written(byhand, folder, words, message):
    answer = byhand("convert", *words, code=2)
    assert answer.out == "" and answer.err.count("\n") == 1 and message in answer.err
    assert list(folder.iterdir()) == []


def test_every_format_that_is_written_is_converted_here():
    assert {form for _, form, _ in CONVERTED} == set(writable())
