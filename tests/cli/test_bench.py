"""byhand bench: its rows, its files, and its exit code when an answer is wrong."""

import json
import subprocess
import sys

import pytest

from byhand.bench import material, measure
from byhand.bench.entries import Entry

from ..bench.conftest import Actor

contest = sys.modules["byhand.bench.contest"]


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """Contestants without processes."""
    monkeypatch.setattr(material, "folder", lambda: tmp_path / "bench")
    monkeypatch.setattr(measure, "Worker", Actor)
    monkeypatch.setattr(contest, "Worker", lambda name, threads: Actor(name, threads, {}))
    monkeypatch.setattr(measure, "peers", lambda work: [Entry("slow", "", {})])


def test_a_row(made_up, byhand):
    answer = byhand("bench", "decode", "--quick", "--engine", "reference", "--repeat", "3")
    assert "decode 8, llama-tiny q8" in answer.lines
    assert answer.row("byhand")[:2] == ["byhand", "8.00"]
    assert answer.row("slow") == ["slow", "2.00", "4.00×"]
    assert "  answers checked: 0.0e+00 from slow" in answer.lines
    assert not answer.err


def test_all_works(made_up, byhand):
    lines = byhand("bench", "--quick", "--engine", "reference").lines
    heads = [line.split()[0] for line in lines if line.endswith((" q8", " f32"))]
    assert heads == ["decode", "prefill", "forward", "capture", "train", "start-up", "memory"]


def test_a_wrong_answer_is_the_exit_code(made_up, byhand, monkeypatch):
    monkeypatch.setattr(measure, "peers", lambda work: [Entry("liar", "", {})])
    answer = byhand("bench", "decode", "--quick", "--engine", "reference", code=1)
    assert "wrong decode 8, llama-tiny q8: the logits of byhand and liar are" in answer.out
    assert "tok/s" not in answer.out
    data = byhand("bench", "decode", "--quick", "--engine", "reference", "--json", code=1).data
    assert data["rows"] == [] and len(data["wrong"]) == 1


def test_written_and_shown_again(made_up, byhand, tmp_path):
    path = tmp_path / "bench.json"
    words = ("bench", "forward", "--quick", "--engine", "reference", "--out", str(path), "--json")
    data = byhand(*words).data
    assert json.loads(path.read_text()) == data
    assert data["machine"]["versions"]["byhand"] and data["rows"][0]["timings"]["slow"] == [2.0, 4.0]
    assert "| forward 1×8, gpt2-tiny f32 | 750 ms |" in byhand("bench", "--table", str(path)).out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("decoding",), "there is no work 'decoding'"),
        (("--dtype", "q9", "--quick"), "--dtype is 'q9'"),
        (("--tokens", "0"), "--tokens is 0"),
        (("--engine", "warp"), "no engine 'warp'"),
        (("plan",), "say which model"),
        (("--table", "nowhere.json"), "cannot read nowhere.json: No such file"),
        (("decode", "--model", "nobody", "--quick"), "no model 'nobody'"),
    ],
)
def test_mistakes(made_up, byhand, words, line):
    assert line in byhand("bench", *words, code=2).err


def test_a_table_of_something_else(made_up, byhand, tmp_path):
    (tmp_path / "other.json").write_text('{"rows": 3}')
    assert "this is no result of byhand bench" in byhand("bench", "--table", str(tmp_path / "other.json"), code=2).err


def test_with_processes(tmp_path):
    words = ("bench", "decode", "--quick", "--no-peers", "--engine", "reference", "--repeat", "1", "--json")
    done = subprocess.run([sys.executable, "-m", "byhand.cli", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)["rows"]
    assert row["checked"] == "0.0e+00 from the reference engine"
    assert 0 < row["share"] < 1 and row["limit"] > 1e8 and row["figures"]["byhand"] > 1
