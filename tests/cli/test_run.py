"""What a model expects, and what an edit changes."""

import numpy as np
import pytest

import byhand as package


def test_a_table_of_positions(byhand):
    answer = byhand("run", "aab", "baa", "--loss")
    assert answer.row("0 b") == ["0", "b", "a", "a", "100.0%", "0.0%", "2048", "-1023", "0"]
    assert answer.row("2 a") == ["2", "a", "b", "0.0%", "100.0%", "1", "1024"]
    assert "2 of 2 predictions are what came next" in answer.lines
    assert "loss 0 (mean over 2 positions, in nats)" in answer.lines


def test_a_narrow_table_leaves_out_logits_then_probabilities(byhand, monkeypatch):
    full = ["place", "token", "next", "predicted", "p(a)", "p(b)", "logit", "a", "logit", "b"]
    for width, left in ((63, full), (62, full[:6]), (45, full[:6]), (44, full[:4]), (29, full[:4])):
        monkeypatch.setenv("COLUMNS", str(width))
        answer = byhand("run", "aab", "aab")
        assert answer.row("place") == left
        assert all(len(line) <= width for line in answer.lines[:6])
        assert len(answer.row("0 a")) == (len(left) if left != full else 8)


def test_a_narrow_list_of_candidates_stands_below(byhand, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    wide = byhand("run", "gpt2-tiny", "Hello", "--top", "4", "--loss").row("4 o")[3:]
    monkeypatch.setenv("COLUMNS", "48")
    answer = byhand("run", "gpt2-tiny", "Hello", "--top", "4", "--loss")
    assert answer.row("place") == ["place", "token", "next", "predicted", "loss"]
    assert answer.lines[answer.lines.index("    4  o            x") + 1].split() == wide
    assert all(len(line) <= 48 for line in answer.lines[:13])


def test_positions_as_data(byhand):
    run = package.load("gpt2-tiny", seed=3).run("Hello")
    data = byhand("run", "gpt2-tiny", "Hello", "--seed", "3", "--top", "2", "--loss", "--json").data
    assert [each["token"] for each in data["positions"]] == list("Hello")
    assert [each["next"] and each["next"]["token"] for each in data["positions"]] == [*"ello", None]
    for t, each in enumerate(data["positions"]):
        order = np.argsort(-run.look("logits")[0, t])
        assert [one["id"] for one in each["predicted"]] == order[:2].tolist()
        assert each["predicted"][0]["logit"] == run.look("logits")[0, t, order[0]]
        assert each["predicted"][0]["probability"] == run.look("probs")[0, t, order[0]]
    assert data["loss"] == run.look("loss")


def test_the_precision_is_the_one_asked_for(byhand):
    run = package.load("llama-tiny").run("Hello", dtype="bfloat16")
    data = byhand("run", "llama-tiny", "Hello", "--dtype", "bfloat16", "--json").data
    assert data["dtype"] == "bfloat16"
    assert data["positions"][4]["predicted"][0]["logit"] == float(run.look("logits")[0, 4].max())


def test_a_translation(byhand):
    run = package.load("original-tiny").run("Hello", source="Bonjour")
    data = byhand("run", "original-tiny", "Hello", "--source", "Bonjour", "--json").data
    assert data["positions"][4]["predicted"][0]["logit"] == run.look("logits")[0, 4].max()
    ids = ",".join(map(str, run.look("source.tokens")[0]))
    assert byhand("run", "original-tiny", "Hello", "--source-ids", ids, "--json").data == data


def test_targets_of_a_model_that_reads_both_sides(byhand):
    answer = byhand("run", "bert-tiny", "Hello", "--targets", "1,-1,5,-1,-1", "--loss")
    assert "0 of 2 predictions are the target" in answer.lines
    run = package.load("bert-tiny").run("Hello", targets=[1, -1, 5, -1, -1])
    assert f"loss {run['loss'].item():.6g}" in answer.out


def test_a_model_without_logits_shows_its_last_value(byhand):
    answer = byhand("run", "bert-tiny", "Hello", "--json").data
    assert "output" not in answer
    run = package.load("minilm-l6").run([1, 2])
    data = byhand("run", "minilm-l6", "--ids", "1,2", "--json").data
    assert data["output"]["address"] == "pooler.out"
    assert np.array_equal(np.array(data["output"]["values"], np.float32), run.look("pooler.out"))
    assert "has no logits" in byhand("run", "minilm-l6", "--ids", "1,2").out


def test_what_is_kept_is_reported(byhand):
    data = byhand("run", "gpt2-tiny", "Hello", "--keep", "blocks.*.attn.weights", "--json").data
    assert data["kept"]["blocks.1.attn.weights"] == 4 * 4 * 5 * 5
    assert "blocks.0.attn.q" not in data["kept"]
    assert byhand("run", "gpt2-tiny", "Hello", "--keep", "blocks.*.attn.weights").row("blocks.1.attn.weights")


def test_an_edit_shows_what_it_changed(byhand):
    answer = byhand("run", "aab", "baa", "--edit", "blocks.0.attn.heads[0,2]=0")
    assert "edited: set blocks.0.attn.heads[0,2,:,:] to 0" in answer.lines
    assert answer.row("first") == ["first", "blocks.0.attn.heads[0,2,0,7]", "1", "0", "1", "of", "24"]
    assert answer.row("2 a")[2] == "a"
    data = byhand("run", "aab", "baa", "--edit", "blocks.0.attn.heads[0,2]=0", "--json").data
    assert data["diff"]["first"]["address"] == "blocks.0.attn.heads"
    assert data["diff"]["logits_before"] == [1, 1024] and data["diff"]["logits_after"] == [1025, 0]


EDITS = {
    "several, in order": (["embed.out[0,0]=2", "embed.out[0,0]*=3", "embed.out[0,0,1]+=1"], 1, 7.0),
    "by name": (["embed.out[position=0,dimension=1]+=0.5"], 1, None),
    "another project's name": (["blocks.0.hook_resid_pre[0,0]=4"], 1, 4.0),
}


@pytest.mark.parametrize(("edits", "dimension", "value"), EDITS.values(), ids=EDITS)
def test_edits_are_those_of_the_library(byhand, edits, dimension, value):
    words = [word for edit in edits for word in ("--edit", edit)]
    data = byhand("run", "gpt2-tiny", "Hello", *words, "--json").data
    (change,) = (each for each in data["diff"]["changes"] if each["address"] == "embed.out")
    assert change["index"][:2] == [0, 0]
    if value is None:
        assert change["count"] == 1 and change["after"] == pytest.approx(change["before"] + 0.5)
    else:
        words = [*words, "embed.out[0,0,1]"]
        assert byhand("trace", "gpt2-tiny", "Hello", *words, "--json").data["values"][0]["values"] == value


def test_a_token_can_be_exchanged(byhand):
    data = byhand("run", "aab", "baa", "--edit", "tokens[0,2]=b", "--json").data
    assert [each["token"] for each in data["positions"]] == ["b", "a", "b"]


def test_an_edit_that_changes_nothing_says_so(byhand):
    assert "Nothing that was kept differs." in byhand("run", "aab", "baa", "--edit", "embed.out*=1").out
