"""`byhand convert` says what became of every weight and of the loss, and refuses in one line what it cannot do."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import byhand as package
from byhand.families import llama


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


ON = ("--engine", "reference")


@pytest.mark.parametrize("dtype", ["q8", "q4"])
@pytest.mark.parametrize("format", ["byhand", "gguf"])
def test_a_table_by_kind_of_weight(byhand, dtype, format):
    answer = byhand("convert", "llama-tiny", "m", "--dtype", dtype, "--format", format, *ON)
    assert answer.out.startswith("m: ") and max(map(len, answer.lines)) <= 80
    kind = {"q8": "Q8_0", "q4": "Q4_0"}[dtype]
    _, stored, before, _, after, _, *errors = answer.row("blocks.*.mlp.up.weight")
    assert stored == kind and (before, after) == ("24.6", {"q8": "6.53", "q4": "3.46"}[dtype])
    worst, mean = float(errors[0]), float(errors[2])
    assert mean <= worst < {"q8": 1, "q4": 10}[dtype]
    assert answer.row("unembed.weight")[1] == "Q8_0"
    assert "5 weights, 640 B: every number as it was, for no product sums over it." in answer.out
    assert re.search(
        r"loss \S+ → \S+ \([+-]\S+ %\), over 64 tokens written by the model itself", answer.out.replace("\n", " ")
    )


def test_the_document_says_the_same_of_every_weight(byhand):
    told = byhand("convert", "gpt2-tiny", "m", "--dtype", "q4", "--json", *ON).data
    start, found = package.load("gpt2-tiny"), package.load("m")
    assert [each["address"] for each in told["weights"]] == list(start.weights)
    for each in told["weights"]:
        old, new = (model.weights[each["address"]].astype(np.float64) for model in (start, found))
        assert each["largest"] == pytest.approx(np.abs(new - old).max(), rel=1e-6)
    loss = told["loss"]
    assert loss["relative"] == pytest.approx(loss["after"] / loss["before"] - 1) and told["exact"] is False
    assert told["bytes"] == sum(path.stat().st_size for path in Path("m").iterdir())


def test_where_every_number_stays_nothing_is_run(byhand):
    answer = byhand("convert", "gpt2-tiny", "m", "--dtype", "f32")
    assert answer.lines[2:] == ["36 weights, 122 kB: every number as it was."]
    told = byhand("convert", "m", "n", "--json").data
    assert told["exact"] and "loss" not in told and all(each["relative"] == 0 for each in told["weights"])


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_narrow_types_have_errors_too(byhand, dtype):
    answer = byhand("convert", "gpt2-tiny", "m", "--dtype", dtype, *ON)
    assert answer.row("final_norm.gain")[1] == dtype and "loss" in answer.out and "every number" not in answer.out


def test_a_text_of_ones_own(byhand, folder):
    (folder / "text.txt").write_text("Hello there", encoding="utf-8")
    given = byhand("convert", "gpt2-tiny", "a", "--dtype", "q8", "--text", "Hello there", "--json", *ON).data
    read = byhand("convert", "gpt2-tiny", "b", "--dtype", "q8", "--file", "text.txt", "--json", *ON).data
    ids = ",".join(map(str, package.load("gpt2-tiny").tokenizer.encode("Hello there")))
    named = byhand("convert", "gpt2-tiny", "c", "--dtype", "q8", "--ids", ids, "--json", *ON).data
    assert given["loss"] == read["loss"] == named["loss"]
    loss = package.load("gpt2-tiny").run("Hello there", engine="reference").look("loss").item()
    assert given["loss"]["before"] == pytest.approx(loss, rel=1e-6) and given["loss"]["tokens"] == 11


def test_no_loss(byhand):
    answer = byhand("convert", "gpt2-tiny", "m", "--dtype", "q8", "--no-loss")
    assert "loss" not in answer.out and answer.row("token.weight")[1] == "Q8_0"


def test_a_model_without_a_loss_tells_how_far_its_answer_moved(byhand):
    answer = byhand("convert", "bert-tiny", "m", "--dtype", "q8", *ON)
    assert "logits moved by at most" in answer.out and "tokens chosen at random" in answer.out.replace("\n", " ")


def test_a_matrix_that_is_not_whole_blocks_is_named(byhand):
    config = llama.Config(layers=2, width=48, heads=3, groups=1, head_width=32, hidden=64, vocabulary=9, context=16)
    package.make("llama", config).save("odd")
    answer = byhand("convert", "odd", "m", "--dtype", "q8", *ON)
    assert answer.row("blocks.*.attn.out.weight")[1] == answer.row("blocks.*.mlp.down.weight")[1] == "Q8_0"
    assert "for it sums 48 numbers, which are not whole blocks of 32" in answer.out.replace("\n", " ")


def test_queries_that_are_reordered_have_not_moved(byhand):
    """GGUF has Hugging Face's rotary features in another order; that is no error."""
    answer = byhand("convert", "llama-tiny-halves", "m.gguf", "--format", "gguf")
    assert "21 weights, 124 kB: every number as it was." in answer.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("gpt2-tiny", "m", "--dtype", "q4", "--format", "hf"), "'q4' is none that hf can hold"),
        (("gpt2-tiny", "m", "--dtype", "q8", "--format", "llmc"), "'q8'"),
        (("llama-tiny", "m", "--dtype", "q8", "--format", "llama2c"), "'q8'"),
        (("gpt2-tiny", "m", "--dtype", "q5"), "'q5' is none"),
        (("gpt2-tiny", "m", "--dtype", "q5", "--format", "gguf"), "'q5' is none of a GGUF file's; use f32, f16"),
        (("gpt2-tiny", "m", "--dtype", "q8", "--text", "a"), "the text has 1 tokens; a loss needs two or more"),
        (("gpt2-tiny", "m", "--text", "abc", "--file", "x"), "both --text and --file"),
        (("gpt2-tiny", "m", "--text", "abc", "--ids", "1,2"), "both --text and --ids"),
        (("gpt2-tiny", "m", "--text", "abc", "--no-loss"), "both --text and --no-loss"),
        (("gpt2-tiny", "m", "--file", "nowhere"), "cannot read --file nowhere: No such file"),
        (("gpt2-tiny", "m", "--file", "bytes"), "it is no text in UTF-8"),
        (("gpt2-tiny", "m", "--ids", "1,2,2000"), "2000"),
        (("gpt2-tiny", "m", "--dtype", "q8", "--engine", "gpu"), "no engine 'gpu'"),
    ],
)
def test_bad_requests(byhand, folder, words, message):
    (folder / "bytes").write_bytes(b"\xff\xfe\x00")
    answer = byhand("convert", *words, code=2)
    assert answer.out == "" and answer.err.count("\n") == 1 and message in answer.err
    assert [path.name for path in folder.iterdir()] == ["bytes"]


def test_a_file_that_was_written_stays_where_the_model_cannot_be_run(byhand, folder):
    """A weight of NaN: the numbers are there, but no loss."""
    start = package.load("gpt2-tiny").edit("final_norm.gain", index=(3,), set=float("nan"))
    start.save("broken")
    answer = byhand("convert", "broken", "m", "--dtype", "bf16", *ON)
    assert "The loss could not be computed" in answer.out and (folder / "m/byhand.json").is_file()
