"""Models: built-in names, runs of what was asked for, continuing a text, and changed copies."""

import copy
import pickle
from itertools import product

import numpy as np
import pytest

import byhand
from byhand import boxed
from byhand.errors import AddressError, ByhandError, InputError
from byhand.families import FAMILIES

from .small_models import fingerprint, model, same_bits

# --- by name ------------------------------------------------------------------------------------------------------


def test_every_built_in_name_loads():
    names = byhand.names()
    assert set(names.values()) == set(FAMILIES) and names["aab"] == "handmade" and names["aab-gpt2"] == "gpt2"
    for name, family in names.items():
        of = byhand.load(name)
        assert of.name == name and of.family is FAMILIES[family]
        assert set(of.weights) == set(of.program.weights) and of.parameters == of.program.parameters
        made = all(of.weights.pending(address) for address in of.weights)
        assert made is not (name.startswith(("aab", "wired-")) or name in boxed.MODELS)


def test_the_published_sizes():
    millions = {"gpt2-124m": 124.4, "gpt2-1558m": 1557.6, "llama3-8b": 8030.3, "llama3.2-1b": 1235.8, "minilm-l6": 22.7}
    for name, count in millions.items():
        assert abs(byhand.load(name).parameters / 1e6 - count) < 0.06, name


@pytest.mark.parametrize(
    "name, near",
    [("gpt2-124", "gpt2-124m"), ("lama3-8b", "llama3-8b"), ("abb", "aab"), ("zzzzz", "aab, aab-gpt2, stories")],
)
def test_an_unknown_name_gives_the_nearest(name, near):
    with pytest.raises(
        InputError, match=rf"no model '{name}'; (the nearest|there) are .*{near}.*; `byhand models` lists all"
    ) as caught:
        byhand.load(name)
    assert "\n" not in str(caught.value)


def test_a_tiny_model_reads_text_and_a_published_one_ids():
    ids = byhand.load("bert-tiny").token_ids("So, 1+1=2?\n")[0]
    assert "".join(map(byhand.load("bert-tiny").tokens.text, ids)) == "So, 1+1=2?\n" and len(ids) == 11
    assert byhand.load("gpt2-124m").tokenizer is None


# --- continuing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["aab", "aab-gpt2"])
@pytest.mark.parametrize("text, expected", [("a", "baabaabaab"), ("ba", "abaabaabaa"), ("abaab", "aabaabaaba")])
def test_the_three_completions(name, text, expected):
    assert list(byhand.load(name).generate(text, max_tokens=10)) == list(expected)


def test_every_short_text_is_continued_alike_by_both_handmade_models():
    for n in range(1, 6):
        for letters in product("ab", repeat=n):
            text = "".join(letters)
            one, other = ("".join(model(name).generate(text, max_tokens=3)) for name in ("aab", "aab-gpt2"))
            assert one == other == continued(text, 3)


def continued(text, count):
    """The rule in words: after "aa" comes "b", else "a"; a first letter counts as its own predecessor."""
    for _ in range(count):
        last = (text[-5:][-1] + text[-5:][-1] + text[-5:])[-2:] if len(text[-5:]) == 1 else text[-2:]
        text += "b" if last == "aa" else "a"
    return text[-count:]


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-decoder-tiny"])
def test_greedy_takes_the_best_token_each_time(name):
    of, text = model(name), "Hello"
    for piece in of.generate(text, max_tokens=6):
        best = int(np.argmax(of.run(text, keep=[]).look("logits")[0, -1]))
        assert piece == of.tokens.text(best)
        text += piece
    assert len(text) == 11


def test_a_longer_text_is_read_through_a_window():
    of = model("gpt2-tiny")
    text = "".join(chr(32 + i % 95) for i in range(200))
    assert "".join(of.generate(text, max_tokens=4)) == "".join(of.generate(text[-64:], max_tokens=4))
    assert "".join(model("aab").generate("aab" * 10, max_tokens=9)) == "aabaabaab"
    ids = of.token_ids(text, most=1000)[0].tolist()
    assert list(of.generate(ids, max_tokens=2)) == list(of.generate(text, max_tokens=2))


def test_zero_tokens_and_ties():
    assert list(model("aab").generate("a", max_tokens=0)) == []
    flat = model("aab").edit("token.weight", zero=True)  # all logits are zero: the smaller id, "a"
    assert "".join(flat.generate("b", max_tokens=3)) == "aaa"


def test_ids_are_written_for_a_model_without_a_tokenizer():
    of = model("llama 3.1")
    pieces = list(of.generate([1, 2, 3], max_tokens=3))
    best = int(np.argmax(of.run([1, 2, 3]).look("logits")[0, -1]))
    assert pieces[0] == f"{best} " and all(piece.strip().isdigit() for piece in pieces)


def test_a_translation_is_continued_from_its_source():
    of = model("original-tiny")
    pieces = list(of.generate("A", source="Bonjour", max_tokens=3))
    assert pieces[0] == of.tokens.text(int(np.argmax(of.run("A", source="Bonjour").look("logits")[0, -1])))
    assert len(pieces) == 3


@pytest.mark.parametrize(
    "name, text, setting, message",
    [
        ("bert-tiny", "Hello", {}, "bert-tiny does not read left to right, so it cannot continue a text"),
        ("original-encoder-tiny", "Hello", {}, "does not read left to right"),
        ("gpt2-tiny", "Hello", {"max_tokens": -1}, "max_tokens is -1; give a whole number, 0 or more"),
        ("gpt2-tiny", "Hello", {"max_tokens": 1.5}, "max_tokens is 1.5; give a whole number"),
        ("gpt2-tiny", "", {}, "the text is empty; give at least one token"),
        ("gpt2-tiny", "ü", {}, "character 'ü' at 0 is not in the alphabet"),
        ("gpt2-tiny", [[1, 2], []], {}, "the text is empty"),
        ("gpt2-tiny", [1, 96], {}, "token id of the text is 96"),
    ],
    ids=range(8),
)
def test_wrong_continuations_are_refused_at_once(name, text, setting, message):
    with pytest.raises(InputError, match=message) as caught:
        model(name).generate(text, **setting)  # not even iterated
    assert isinstance(caught.value, ByhandError) and "\n" not in str(caught.value)


# --- changed copies -------------------------------------------------------------------------------------------------


def test_an_edited_model_is_another_model():
    of = model("gpt2-tiny")
    held = fingerprint(dict(of.weights))
    changed = of.edit("blocks.0.attn.q.weight", head=1, zero=True)
    assert not changed.weights["blocks.0.attn.q.weight"][:, 1].any()
    assert fingerprint(dict(of.weights)) == held and changed.program is of.program and changed.name == of.name
    assert all(changed.weights[a] is of.weights[a] for a in of.weights if a != "blocks.0.attn.q.weight")
    assert not same_bits(changed.run("Hello").look("logits"), of.run("Hello").look("logits"))


def test_a_models_program_has_a_loss_only_when_asked():
    of = model("gpt2-tiny")
    assert "loss" not in of.program and "loss" in of.program_with(targets=True)
    assert of.program is of.program and of.program_with(True) is of.program_with(True)


def test_errors_of_addresses_are_key_errors_that_read_well():
    for asked in (lambda: model("aab").weights["x"], lambda: model("aab").run("a")["x"]):
        with pytest.raises(KeyError) as caught:
            asked()
        assert isinstance(caught.value, AddressError) and not str(caught.value).startswith("'")


def test_what_a_prompt_shows_is_short():
    model = byhand.load("aab")
    run = model.run("aab")
    run.backward()
    shown = {
        "<model aab: 344 parameters, Config(": model,
        "<run of handmade: 1 x 3 tokens, float32, 17 values kept>": run,
        "<run of handmade: 1 x 3 tokens, float32, 17 values kept, 1 edit>": run.edit("embed.out", scale=2.0),
        "<gradients of loss: 25 arrays>": run.grad,
        "<program handmade: 14 steps, 344 parameters>": model.program,
        "<10 weights>": model.weights,
        "<operator add: x_BTD, y_BTD -> out_BTD>": byhand.operators["add"],
        "Prediction(position=0, token=0, target=0, loss=1023.0)": run.predictions()[0],
        str(run.explain("logits", position=1, token=0)): run.explain("logits", position=1, token=0),
        str(run.split(0)): run.split(0),
        str(run.diff(run)): run.diff(run),
    }
    for text, each in shown.items():
        assert repr(each).startswith(text)


def test_a_run_can_be_copied_and_sent_to_another_process():
    run = byhand.load("gpt2-tiny").run("Hello").edit("blocks.0.attn.heads", head=1, zero=True)
    run.backward()
    for other in (pickle.loads(pickle.dumps(run)), copy.deepcopy(run)):
        assert repr(other) == repr(run)
        assert all(np.array_equal(other.look(address), array) for address, array in run.kept.items())
        assert str(other.explain("d:blocks.0.attn.q", (0, 3, 1, 2))) == str(
            run.explain("d:blocks.0.attn.q", (0, 3, 1, 2))
        )
        assert other["logits"].labels == run["logits"].labels
