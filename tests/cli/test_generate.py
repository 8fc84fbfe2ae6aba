"""How texts are continued on the command line, and what is shown of the choices."""

import io
import sys

import numpy as np
import pytest

import byhand as package
from byhand.cli import generate, main


@pytest.mark.parametrize(("text", "rest"), {"a": "baabaabaab", "ba": "abaabaabaa", "abaab": "aabaabaaba"}.items())
def test_it_continues_a_text(byhand, text, rest):
    assert byhand("generate", "aab", text, "--max-tokens", "10").out == f"{text}{rest}\n"
    data = byhand("generate", "aab-gpt2", text, "--max-tokens", "10", "--json").data
    assert (data["model"], data["texts"][0]["text"], data["texts"][0]["stopped"]) == ("aab-gpt2", rest, "max_tokens")


def test_it_continues_ids(byhand):
    assert byhand("generate", "aab", "--ids", "0,1", "--max-tokens", "3").out == "abaab\n"
    assert byhand("generate", "gpt2-tiny", "--ids", "3,5", "--max-tokens", "0").out == '"$\n'
    words = byhand("generate", "gpt2-124m", "--ids", "3,5", "--max-tokens", "0").out
    assert words == "3 5 \n"


def test_several_texts_stand_one_below_the_other(byhand):
    texts = ["Hello", "a", "Bye bye"]
    of = package.load("gpt2-tiny").generate(texts, max_tokens=6, temperature=1.0, seed=2, stop="e").finish()
    answer = byhand(
        "generate", "gpt2-tiny", *texts, "--max-tokens", "6", "--temperature", "1", "--seed", "2", "--stop", "e"
    )
    assert answer.out == "".join(f"{text}{more}\n" for text, more in zip(texts, of.texts, strict=True))
    ids = byhand("generate", "aab", "--ids", "0,1", "--ids", "1", "--max-tokens", "2").out
    assert ids == "abaa\nbaa\n"


SETTINGS = {
    "max_tokens": 7,
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.01,
    "repetition_penalty": 1.2,
    "seed": 5,
}
OPTIONS = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def test_every_setting_arrives(byhand):
    of = package.load("llama-tiny", seed=4)
    made = of.generate("Hello", **SETTINGS, stop=["zz", 7], dtype="float64").finish()
    words = ("generate", "llama-tiny", "Hello", *OPTIONS, "--stop", "zz", "--stop-id", "7", "--weights-seed", "4")
    data = byhand(*words, "--dtype", "float64", "--go-on", "--no-cache", "--json").data
    assert data["texts"][0]["tokens"] == made.tokens
    assert data["settings"] == data["settings"] | SETTINGS | {"stop": ["zz", 7], "stop_at_end": False}
    assert data["dtype"] == "float64"
    assert data["texts"][0]["choices"][2]["uniform"] == made.choices[2].uniform
    assert byhand(*words).out != byhand(*words[:-1], "5").out


def test_it_continues_with_edits(byhand):
    edit = "blocks.0.attn.v.weight[5,0,7]=0"
    assert byhand("generate", "aab", "a", "--max-tokens", "5", "--edit", edit).out == "aaaaaa\n"
    edits = [("blocks.0.attn.heads", {"head": 1, "zero": True}), ("blocks.0.mid", {"position": 2, "scale": 3.0})]
    of = package.load("gpt2-tiny").generate("Hello", edits=edits, max_tokens=5).finish()
    words = ("--edit", "blocks.0.attn.heads[head=1]=0", "--edit", "blocks.0.mid[position=2]*=3")
    assert byhand("generate", "gpt2-tiny", "Hello", *words, "--max-tokens", "5").out == f"Hello{of.text}\n"


def test_a_translation(byhand):
    made = package.load("original-tiny").generate(["A", "B"], source=["Bonjour", "Non"], max_tokens=3).finish()
    words = ("--source", "Bonjour", "--source", "Non", "--max-tokens", "3")
    assert byhand("generate", "original-tiny", "A", "B", *words).lines == [f"A{made.texts[0]}", f"B{made.texts[1]}"]


def test_a_table_of_probabilities(byhand):
    answer = byhand("generate", "gpt2-tiny", "Hello", "--max-tokens", "3", "--probabilities", "2")
    made = package.load("gpt2-tiny").generate("Hello", max_tokens=3, probabilities=2).finish()
    assert answer.lines[2].split() == ["place", "token", "model", "chance", "most", "likely"]
    assert len(answer.lines) == 6
    for line, choice in zip(answer.lines[3:], made.choices, strict=True):
        likely = [word for each in choice.most_likely for word in (each.text, f"{each.probability:.1%}")]
        shown = [str(choice.position), choice.text, f"{choice.probability:.1%}", "100.0%", *likely]
        assert line.split() == shown
    data = byhand("generate", "gpt2-tiny", "Hello", "--max-tokens", "3", "--probabilities", "2", "--json").data
    for each, choice in zip(data["texts"][0]["choices"], made.choices, strict=True):
        assert [one["token"] for one in each["candidates"]] == [one.token for one in choice.most_likely]


def test_watching_shows_what_was_drawn_and_where_it_fell(byhand):
    answer = byhand("generate", "gpt2-tiny", "Hello", *OPTIONS, "--watch")
    made = package.load("gpt2-tiny").generate("Hello", **SETTINGS).finish()
    joined = " ".join(answer.out.split())
    for choice in made.choices:
        assert " ".join(choice.explanation.split()) in joined
        (low, high) = next((each.low, each.high) for each in choice.candidates(1) if each.token == choice.token)
        assert f"{low:.4f} {high:.4f}" in joined
    heads = [line.split() for line in answer.lines if "penalized" in line]
    assert heads == [["token", "model", "penalized", "scaled", "top_k", "top_p", "min_p", "from", "to"]] * 7
    assert answer.lines[-1] == f"{made.text}  (max_tokens)"
    assert all(len(line) <= 80 for line in answer.lines)


def test_watching_several_texts_and_the_best_token(byhand):
    answer = byhand("generate", "aab", "a", "ba", "--max-tokens", "2", "--watch")
    assert [line for line in answer.lines if line.startswith("text ")] == [
        *("text 0, 1 b", "text 1, 2 a", "text 0, 2 a", "text 1, 3 b"),
        *("text 0: ba  (max_tokens)", "text 1: ab  (max_tokens)"),
    ]
    assert "'b' (1) has the largest of all logits, 1024; the model gives it 1" in answer.lines


def test_a_watched_choice_that_writes_nothing_is_shown(byhand):
    answer = byhand("generate", "aab", "a", "--stop", "b", "--watch")
    assert answer.lines[0] == "1 b" and answer.lines[-1] == "  (stop string 'b')"


def test_pieces_are_written_as_they_come(monkeypatch, capsys):
    """What stands on the screen when each token is chosen."""
    seen, real = [], package.Model.generate

    def watched(self, *words, **given):
        made = real(self, *words, **given)
        feed = made.decoding.feed

        def look(new):
            seen.append(capsys.readouterr().out)
            return feed(new)

        made.decoding.feed = look
        return made

    monkeypatch.setattr(package.Model, "generate", watched)
    with pytest.raises(SystemExit):
        main(["generate", "aab", "a", "--max-tokens", "4"])
    assert seen == ["", "ab", "a", "a"] and capsys.readouterr().out == "b\n"


@pytest.mark.parametrize(("texts", "left"), [(["abaab"], "abaaba\n"), (["a", "b"], "ab\nba\n")])
def test_ctrl_c_leaves_what_there_is(byhand, monkeypatch, texts, left):
    real = package.Model.generate

    def interrupted(self, *words, **given):
        made = real(self, *words, **given)
        feed, calls = made.decoding.feed, []

        def once(new):
            if calls:
                raise KeyboardInterrupt
            calls.append(new)
            return feed(new)

        made.decoding.feed = once
        return made

    monkeypatch.setattr(package.Model, "generate", interrupted)
    answer = byhand("generate", "aab", *texts, code=130)
    assert (answer.out, answer.err) == (left, "byhand: stopped\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_speed_is_for_those_who_watch(monkeypatch, capsys):
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        generate.speed(40, 2.0)
        assert ("40 tokens in 2.00 s, 20 a second" in stream.getvalue()) == shown


def test_a_watched_choice_is_the_one_of_a_run(byhand):
    data = byhand("generate", "gpt2-tiny", "Hello", *OPTIONS, "--watch", "--json").data
    first = data["texts"][0]["choices"][0]
    probs = package.load("gpt2-tiny").run("Hello").look("probs")[0, -1]
    assert [each["token"] for each in first["candidates"]][:5] == np.argsort(-probs, kind="stable")[:5].tolist()
    for each in first["candidates"]:
        assert each["probability"] == pytest.approx(float(probs[each["token"]]), rel=1e-5)
        assert each["high"] - each["low"] == pytest.approx(each["chance"], abs=1e-12)
