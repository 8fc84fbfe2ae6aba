"""The tour: what a newcomer sees first."""

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

import byhand as package
from byhand.cli import tour


@pytest.fixture(scope="module")
def baa():
    return package.load("aab").run("baa")


def test_it_completes_texts(byhand):
    answer = byhand("tour")
    for start, rest in {"a": "baabaabaab", "ba": "abaabaabaa", "abaab": "aabaabaaba"}.items():
        assert answer.lines.count(f"  {start:>5}  {rest}") == 2  # once for aab, once for its twin


def test_it_shows_every_step_in_order(byhand, baa):
    shown = [address for group in tour.STEPS for address in group]
    assert shown == [step.address for step in baa.program]
    text = byhand("tour").out.partition("2  Look at every step")[2].partition("3  Ask")[0]
    places = [text.index(f"{step.address}  {step.operator.name}") for step in baa.program]
    assert places == sorted(places)
    assert f"These are the {len(baa.program)} steps" in " ".join(text.split())


def test_the_numbers_it_shows_are_those_of_the_run(byhand, baa):
    lines = byhand("tour").lines
    start = next(i for i, line in enumerate(lines) if line.startswith("blocks.0.attn.weights"))
    rows = [line.split()[2:] for line in lines[start + 2 : start + 5]]
    assert np.array_equal(np.array(rows, float), baa.look("blocks.0.attn.weights")[0, 0])


def test_it_follows_a_number_down_to_weights_and_tokens(byhand):
    out = byhand("tour").out
    tree = out.partition("3  Ask")[2].partition("4  Change")[0]
    assert "logits[0,2,1] = 1024" in tree
    for leaf in ("tokens[0,1] = 0  the token a", "token.weight[1,6] = 1  weight", "positions[0,2] = 2  place"):
        assert leaf in tree


def test_it_shows_what_a_change_does(byhand):
    out = byhand("tour").out
    assert "first    blocks.0.attn.heads[0,2,0,7]       1      0" in out
    assert "last position before  'b' 100.0%, 'a' 0.0%" in out
    assert "               after  'a' 100.0%, 'b' 0.0%" in out


def test_the_twin_agrees_everywhere(byhand):
    assert "On 62 of all 62 texts" in byhand("tour").out
    model, broken = package.load("aab"), package.load("aab-gpt2").edit("blocks.0.attn.v.weight", zero=True)
    assert tour.agreement(model, broken)[0] < 62


def test_it_fits_eighty_columns(byhand, monkeypatch):
    monkeypatch.setattr(sys, "argv", [".venv/bin/byhand", "tour"])
    assert max(map(len, byhand("tour").lines)) <= 80


def test_a_narrow_terminal_has_it_too(byhand, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    prose = [line for line in byhand("tour").lines if " " in line and "byhand" not in line]
    assert sum(len(line) > 40 for line in prose) == 0


# explore does not end by itself: test_explore.py types it.
@pytest.mark.parametrize("words", [words for _, words in tour.NEXT if not words.startswith("explore ")])
def test_what_to_type_next_works(byhand, monkeypatch, tmp_path, words):
    monkeypatch.chdir(tmp_path)
    answer = byhand(*shlex.split(words))
    assert answer.out and not answer.err


def test_what_to_type_next_is_what_was_typed_first(byhand, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "byhand").touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", ["bin/byhand", "tour"])
    monkeypatch.setenv("PATH", "")
    assert "\nbin/byhand generate stories Once --max-tokens 60 --temperature 0.7\n" in byhand("tour").out
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert "\nbyhand generate stories Once --max-tokens 60 --temperature 0.7\n" in byhand("tour").out
    monkeypatch.setattr(sys, "argv", ["byhand/cli/__main__.py", "tour"])
    assert " -m byhand.cli generate stories Once --max-tokens 60 --temperature 0.7\n" in byhand("tour").out


def test_a_model_that_learned(byhand):
    found = byhand("tour", "--json").data["learned"]
    out = byhand("tour").out
    assert " ".join(found["story"].split()) in " ".join(out.split()) and found["story"].startswith("Once")
    model = package.load("stories")
    for text, words in found["expected"].items():
        probs = model.run(text, engine="reference").look("probs")[0, -1]
        for word, share in words.items():
            assert share == pytest.approx(float(probs[model.tokenizer.encode(word)[0]]))
            assert f"{word.strip()} {share:.0%}" in out
    girl, boy = found["expected"].values()
    assert girl[" She"] > girl[" He"] and boy[" He"] > boy[" She"] and found["without"] < girl[" She"]
    (block, head), first = found["head"], next(iter(found["expected"]))
    less = model.run(first, engine="reference").edit(f"blocks.{block}.attn.heads", head=head, zero=True)
    assert found["without"] == pytest.approx(float(less.look("probs")[0, -1, model.tokenizer.encode(" She")[0]]))


def test_as_data(byhand, baa):
    data = byhand("tour", "--json").data
    assert data["completions"] == data["twin"]["completions"]
    assert [step["address"] for step in data["steps"]] == [step.address for step in baa.program]
    for step in data["steps"]:
        assert np.array_equal(np.array(step["values"]), baa.look(step["address"]))
    assert data["twin"]["same_predictions"] == data["twin"]["texts"] == 62


def test_the_readme_shows_the_tour_as_it_is(byhand):
    page = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    picture = next(block for block in page.split("```") if block.startswith("\nblocks.0.attn.weights  softmax"))
    shown = {line.strip() for line in byhand("tour").lines}
    quoted = [line.strip() for line in picture.splitlines() if line.strip() not in ("", "...")]
    assert len(quoted) > 10
    assert [line for line in quoted if line not in shown] == []
