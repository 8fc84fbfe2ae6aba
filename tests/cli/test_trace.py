"""Values by address, summed up, in full, and in a file."""

import os

import numpy as np
import pytest

import byhand as package
from byhand.cli import saving, trace


@pytest.fixture(scope="module")
def hello():
    run = package.load("gpt2-tiny").run("Hello")
    run.backward()
    return run


def test_every_value_in_the_order_it_is_computed(byhand, hello):
    data = byhand("trace", "gpt2-tiny", "Hello", "--json").data
    assert [each["address"] for each in data["values"]] == list(hello.program.producer)
    shown = [line.split()[0] for line in byhand("trace", "gpt2-tiny", "Hello").lines[1:]]
    assert shown == list(hello.program.producer)


def test_a_line_sums_a_value_up(byhand, hello):
    (each,) = (v for v in byhand("trace", "gpt2-tiny", "Hello", "--json").data["values"] if v["address"] == "logits")
    logits = hello.look("logits").astype(float)
    assert (each["axes"], each["shape"], each["dtype"]) == ("BTV", [1, 5, 96], "float32")
    assert (each["min"], each["max"], each["mean"]) == (logits.min(), logits.max(), logits.mean())
    assert each["first"] == logits.ravel()[:3].tolist()
    row = byhand("trace", "gpt2-tiny", "Hello").row("logits")
    assert row[1:5] == ["1", "5", "96", f"{logits.min():.3g}"]


def test_an_address_shows_its_numbers(byhand, hello):
    data = byhand("trace", "gpt2-tiny", "Hello", "blocks.1.attn.weights", "--json").data["values"]
    assert np.array_equal(np.array(data[0]["values"], np.float32), hello.look("blocks.1.attn.weights"))
    assert data[0]["tokens"] == {"T": list("Hello"), "S": list("Hello")}
    answer = byhand("trace", "aab", "baa", "blocks.0.attn.weights")
    assert answer.lines[0] == "blocks.0.attn.weights  B=1 H=1 T=3 S=3  float32"
    assert answer.lines[1:] == ["      b   a   a", "0 b 1.0   0   0", "1 a 0.5 0.5   0", "2 a   0 0.5 0.5"]


def test_patterns_aliases_weights_and_inputs(byhand, hello):
    words = ("blocks.*.mlp.act", "att", "token.weight", "mask", "h.0.attn")
    data = byhand("trace", "gpt2-tiny", "Hello", *words, "--json").data["values"]
    assert [each["address"] for each in data] == ["blocks.0.mlp.act", "blocks.1.mlp.act", *words[1:]]
    assert data[2]["shape"] == [2, 1, 4, 5, 5]
    assert np.array_equal(np.array(data[2]["values"], np.float32), hello["att"].array)
    assert np.array_equal(np.array(data[4]["values"]), hello.look("mask"))


SLICES = {
    "logits[0,2,7]": (0, 2, 7),
    "logits[0,1:3,-1]": (0, slice(1, 3), -1),
    "logits[position=1,token='a']": (slice(None), 1, 66),
    "d:token.weight[70]": (70,),
    "token.weight[:2,::8]": (slice(2), slice(None, None, 8)),
}


@pytest.mark.parametrize(("words", "index"), SLICES.items(), ids=SLICES)
def test_slices(byhand, hello, words, index):
    (each,) = byhand("trace", "gpt2-tiny", "Hello", words, "--json").data["values"]
    whole = hello.look(words.partition("[")[0])
    assert np.array_equal(np.array(each["values"], np.float32), whole[index])


def test_a_slice_is_labelled_by_where_it_was(byhand):
    lines = byhand("trace", "gpt2-tiny", "Hello", "logits[0,1:4,5:9]").lines
    assert lines[0] == "logits[0,1:4,5:9]  T=3 V=4  float32"
    assert lines[1].split() == ["$", "%", "&", "'"]
    assert [line.split()[:2] for line in lines[2:]] == [["1", "e"], ["2", "l"], ["3", "l"]]


def test_gradients(byhand, hello):
    data = byhand("trace", "gpt2-tiny", "Hello", "--backward", "--json").data["values"]
    gradients = [each["address"] for each in data if each["address"].startswith("d:")]
    assert sorted(gradients) == sorted(f"d:{address}" for address in hello.grad)
    data = byhand("trace", "gpt2-tiny", "Hello", "blocks.0.attn.q", "mask", "--backward", "--json").data["values"]
    assert [each["address"] for each in data] == ["blocks.0.attn.q", "mask", "d:blocks.0.attn.q"]
    assert np.array_equal(np.array(data[2]["values"], np.float32), hello.look("d:blocks.0.attn.q"))
    (line,) = byhand("trace", "gpt2-tiny", "Hello", "d:blocks.*.mlp.pre").lines[1:2]
    assert line.startswith("d:blocks.1.mlp.pre  1 5 128")


def test_gradients_of_another_number(byhand):
    run = package.load("gpt2-tiny").run("Hello")
    run.backward("logits", (0, 4, 7))
    for of in ("logits[0,4,7]", "logits[position=4,token=7]", "logits[0,-1,7]"):
        data = byhand("trace", "gpt2-tiny", "Hello", "d:embed.out", "--of", of, "--json").data["values"]
        assert np.array_equal(np.array(data[0]["values"], np.float32), run.look("d:embed.out"))


def test_only_what_is_asked_for_is_kept(byhand, monkeypatch):
    runs = []
    monkeypatch.setattr(trace, "chosen", lambda model, run, words: runs.append(run) or [])
    byhand("trace", "gpt2-tiny", "Hello", "blocks.0.attn.q[0]", "d:embed.out", "--json")
    assert set(runs[0].kept) == {"blocks.0.attn.q", "embed.out", "logits", "losses", "loss"}


def test_infinities_are_words_of_json(byhand):
    data = byhand("trace", "gpt2-tiny", "He", "blocks.0.attn.masked", "--json").data["values"]
    assert data[0]["min"] == "-Infinity" and data[0]["values"][0][0][0][1] == "-Infinity"


# --- files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_a_file_has_the_arrays(byhand, tmp_path, dtype):
    run = package.load("gpt2-tiny").run("Hello", dtype=dtype)
    file = tmp_path / "values.npz"
    words = ("blocks.*.attn.weights", "logits[0,1]", "tokens")
    answer = byhand("trace", "gpt2-tiny", "Hello", *words, "--dtype", dtype, "--out", str(file))
    assert "4 arrays" in answer.lines[-1]
    with np.load(file) as saved:
        assert sorted(saved) == ["blocks.0.attn.weights", "blocks.1.attn.weights", "logits[0,1,:]", "tokens"]
        weights = run.look("blocks.1.attn.weights")
        assert np.array_equal(saved["blocks.1.attn.weights"], weights.astype(saved["blocks.1.attn.weights"].dtype))
        assert np.array_equal(saved["logits[0,1,:]"], run.look("logits")[0, 1].astype(saved["logits[0,1,:]"].dtype))
    assert [each.name for each in tmp_path.iterdir()] == ["values.npz"]


def test_a_file_is_only_overwritten_by_force(byhand, tmp_path):
    file = tmp_path / "values.npz"
    file.write_text("mine")
    answer = byhand("trace", "aab", "baa", "--out", str(file), code=2)
    assert "exists" in answer.err and file.read_text() == "mine"
    byhand("trace", "aab", "baa", "logits", "--out", str(file), "--force")
    with np.load(file) as saved:
        assert list(saved) == ["logits"]


def test_a_failure_leaves_the_old_file(byhand, tmp_path, monkeypatch):
    file = tmp_path / "values.npz"
    file.write_text("mine")

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving.np, "savez", full)
    answer = byhand("trace", "aab", "baa", "--out", str(file), "--force", code=2)
    assert answer.err == f"byhand: error: cannot write {file}: No space left on device; nothing was written\n"
    assert file.read_text() == "mine" and os.listdir(tmp_path) == ["values.npz"]


def test_the_help_says_that_a_gradient_needs_no_option(byhand):
    assert "d:ADDR is a gradient; it is computed without --backward too." in " ".join(byhand("trace", "-h").out.split())
    assert byhand("trace", "aab", "aab", "d:logits").lines[0].startswith("d:logits")
