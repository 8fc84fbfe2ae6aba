"""Comparing from the command line: the verdict first, the exit code with it."""

import numpy as np
import pytest

import byhand as package
from byhand.compare import compare

ONE_WEIGHT = "blocks.1.mlp.up.weight[3,5]+=0.001"


def test_the_same(byhand):
    answer = byhand("compare", "gpt2-tiny", "gpt2-tiny", "Hello")
    assert answer.lines[0] == "same: 49 values compared"
    assert "A: gpt2-tiny, float32   B: gpt2-tiny, float32" in answer.out


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_another_precision_is_no_difference(byhand, dtype):
    answer = byhand("compare", "llama-tiny", "llama-tiny", "Hello", "--dtype-b", dtype)
    assert answer.lines[0].startswith("same up to rounding: 51 values compared, largest difference ")


def test_a_changed_weight(byhand):
    answer = byhand("compare", "bert-tiny", "bert-tiny", "Hello", "--edit-b", ONE_WEIGHT, code=1)
    assert answer.lines[0] == "differ: blocks.1.mlp.pre is the first step that has another weight"
    assert "a weight changed: with blocks.1.mlp.up.weight[3,5] =" in " ".join(answer.out.split())
    assert answer.row("blocks.1.mlp.pre")[2] == "DIFFERS"
    assert answer.row("blocks.1.mlp.act")[2] == "follows"
    assert len(answer.lines) < 25


def test_a_changed_value(byhand):
    answer = byhand("compare", "aab", "aab", "aab", "--edit-b", "blocks.0.attn.heads[0,1,0,7]=0.5", code=1)
    assert answer.lines[0].startswith("differ: blocks.0.attn.heads is the first step")


def test_the_rotary_layout(byhand):
    """Two names with the same random weights, read in two layouts."""
    answer = byhand("compare", "llama-tiny", "llama-tiny-halves", "--ids", "3,5,8", code=1)
    assert "rotary layout: with rotary='halves', A's blocks.0.attn.q_rot agrees" in " ".join(answer.out.split())


def test_every_value(byhand):
    few, all_of_them = (byhand("compare", "aab", "aab", "aab", *more) for more in ((), ("--all",)))
    assert len(all_of_them.lines) > len(few.lines) + 10


def test_data(byhand):
    data = byhand("compare", "bert-tiny", "bert-tiny", "Hello", "--edit-b", ONE_WEIGHT, "--json", code=1).data
    assert data["verdict"] == "differ"
    assert data["first"]["address"] == "blocks.1.mlp.pre"
    assert data["first"]["weight"] == "blocks.1.mlp.up.weight"
    model = package.load("bert-tiny")
    changed = model.edit("blocks.1.mlp.up.weight", (3, 5), add=0.001)
    assert data["causes"][0]["said"] == compare(model, changed, "Hello").causes[0].said
    assert byhand("compare", "aab", "aab", "--json").data["verdict"] == "same"


@pytest.mark.parametrize(("engine", "verdict"), [("reference", "same: "), ("cpu", "same up to rounding: ")])
def test_a_dump(byhand, tmp_path, engine, verdict):
    run = package.load("gpt2-tiny", seed=3).run("Hello", engine=engine)
    np.savez(tmp_path / "d.npz", tokens=run.look("tokens"), **{s.address: run.look(s.address) for s in run.program})
    dump = str(tmp_path / "d.npz")
    assert byhand("compare", "gpt2-tiny", dump, "--seed", "3").lines[0].startswith(verdict)
    assert byhand("compare", dump, "gpt2-tiny", "--seed", "4", code=1).lines[0].startswith("differ: embed.token")


def test_a_translation(byhand):
    answer = byhand(
        "compare", "original-tiny", "original-tiny", "Hello", "--source", "Bonjour", "--dtype-b", "bfloat16"
    )
    assert answer.lines[0].startswith("same up to rounding")


def test_a_narrow_terminal(byhand, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    answer = byhand("compare", "bert-tiny", "bert-tiny", "Hello", "--edit-b", ONE_WEIGHT, code=1)
    assert all(len(line) <= 60 for line in answer.lines[1:] if "blocks.1.mlp.up.weight[" not in line)


MISTAKES = {
    ("compare", "gpt2-tiny", "bert-tiny"): "gpt2-tiny is a gpt2 and bert-tiny a bert; compare models of one family",
    ("compare", "gpt2-tiny", "gpt2-124m"): "are of different sizes: D is 32 and 768",
    ("compare", "gpt2-tiny", "nosuch"): "no model 'nosuch'",
    ("compare", "gpt2-tiny", "nosuch.npz"): "cannot read nosuch.npz",
    ("compare", "a.npz", "b.npz"): "cannot read a.npz",
    ("compare", "aab", "aab", "aab", "--ids", "0"): "got both TEXT and --ids",
    ("compare", "aab", "aab", "--ids", "0,7"): "the vocabulary has 0 … 1",
    ("compare", "aab", "aab", "--dtype", "float8"): "no dtype 'float8'",
    ("compare", "aab", "aab", "--engine-b", "warp"): "no engine 'warp'",
    ("compare", "aab", "aab", "--with", "jax"): "--with is 'jax'; give transformers",
    ("compare", "aab", "aab", "--edit-b", "nosuch=1"): "--edit-b needs TEXT or --ids",
    ("compare", "aab", "aab", "aab", "--edit-b", "nosuch=1"): "no value 'nosuch'",
    ("compare", "original-tiny", "original-tiny", "Hello"): "source",
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.items(), ids=map(" ".join, MISTAKES))
def test_mistakes_are_one_line(byhand, words, message):
    answer = byhand(*words, code=2)
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert not answer.out
