"""The next token against plain NumPy, generation against `Model.generate` and the command line, gradients by hand."""

import json
import math

import numpy as np
import pytest

import byhand
from byhand.cli import main
from byhand.decoding import Decoding
from byhand.errors import InputError
from byhand.explorer import Session
from byhand.explorer.digits import bits
from byhand.explorer.scene import read_scene
from byhand.explorer.wire import decoded, encoded

from ..small_models import fresh, model, run
from .scenes import edit, edited, scene_of

DRAWN = {"temperature": 0.7, "top_k": 30, "top_p": 0.8, "min_p": 0.05, "repetition_penalty": 1.3, "seed": 5}


def asked(name, op, **params):
    return decoded(encoded(Session(model(name)).handle(op, params)))


def softmax(x_V):
    exp_V = np.exp(x_V - x_V.max())
    return exp_V / exp_V.sum()


def plain_stages(logits_V, text, of):
    """What every setting leaves of the logits, written once more: by value for each of the choice's addresses."""
    x_V = logits_V.astype(np.float64)
    found = {"logits": x_V}
    seen_V = np.isin(np.arange(len(x_V)), text)
    lowered_V = np.where(x_V > 0, x_V / of["repetition_penalty"], x_V * of["repetition_penalty"])
    x_V = found["penalized"] = np.where(seen_V, lowered_V, x_V)
    x_V = found["scaled"] = x_V / of["temperature"]
    best = np.argsort(-x_V, kind="stable")
    x_V = found["kept.top_k"] = np.where(np.isin(np.arange(len(x_V)), best[: of["top_k"]]), x_V, -np.inf)
    sums = np.cumsum(softmax(x_V)[best])
    most = int(np.searchsorted(sums, of["top_p"])) + 1
    x_V = found["kept.top_p"] = np.where(np.isin(np.arange(len(x_V)), best[:most]), x_V, -np.inf)
    x_V = found["kept.min_p"] = np.where(np.exp(x_V - x_V.max()) >= of["min_p"], x_V, -np.inf)
    found["probs"] = softmax(x_V)
    found["running"] = np.cumsum(found["probs"])
    return found


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-tiny"])
@pytest.mark.parametrize("position", [1, 4])
def test_every_setting_leaves_what_plain_numpy_leaves(name, position):
    scene = scene_of(name, dtype="float64")
    head = asked(name, "next", scene=scene, settings=DRAWN, position=position, to=96).head
    of = run(name)
    stages = plain_stages(of.look("logits")[0, position], of.look("tokens")[0, : position + 1], DRAWN)
    assert [each["address"] for each in head["columns"]] == list(stages)
    assert len(head["rows"]) == head["count"] == head["vocabulary"] == 96
    for row in head["rows"]:
        for address, value_V in stages.items():
            cell = row["numbers"][address]
            assert float(cell["text"]) == pytest.approx(value_V[row["id"]], abs=1e-12), (address, row)
            if address not in ("probs", "running"):
                assert float(cell["probability"]) == pytest.approx(softmax(value_V)[row["id"]], abs=1e-12)
    kept = {row["id"] for row in head["rows"] if float(row["numbers"]["probs"]["text"]) > 0}
    assert head["left"] == len(kept) and kept == set(np.flatnonzero(stages["probs"]))
    drawn, low, high = (float(head["drawn"][each]) for each in ("uniform", "low", "high"))
    assert low <= drawn < high and head["chosen"]["id"] == int(np.searchsorted(stages["running"], drawn, "right"))
    assert drawn == np.random.default_rng((5, 0)).random()


def test_the_logits_of_the_list_have_the_bits_of_the_run():
    for dtype in ("float32", "bfloat16"):
        session, scene = Session(model("gpt2-tiny")), scene_of("gpt2-tiny", dtype=dtype)
        logits_V = session.run(read_scene(scene)).look("logits")[0, -1]
        rows = session.handle("next", {"scene": scene, "to": 96}).head["rows"]
        assert [row["numbers"]["logits"]["bits"] for row in rows] == [bits(logits_V[row["id"]]) for row in rows]
        assert [row["id"] for row in rows] == np.argsort(-logits_V.astype(float), kind="stable").tolist()


def test_the_list_in_windows_by_id_and_searched():
    scene = scene_of("gpt2-tiny")
    whole = asked("gpt2-tiny", "next", scene=scene, order="id", to=96).head
    assert [row["id"] for row in whole["rows"]] == list(range(96))
    part = asked("gpt2-tiny", "next", scene=scene, order="id", **{"from": 90, "to": 96}).head
    assert part["rows"] == whole["rows"][90:] and part["count"] == 96
    own = [row["text"] for row in whole["rows"]]
    for find, ids in (("e", [i for i, text in enumerate(own) if "e" in text]), ("#95", [95]), ("#96", []), ("no!", [])):
        found = asked("gpt2-tiny", "next", scene=scene, order="id", find=find).head
        assert [row["id"] for row in found["rows"]] == ids and found["count"] == len(ids)
    best = asked("gpt2-tiny", "next", scene=scene).head
    assert best["chosen"]["place"] == 0 and best["rows"][0]["id"] == best["chosen"]["id"]
    assert (
        asked("gpt2-tiny", "next", scene=scene, find=f"#{(best['chosen']['id'] + 1) % 96}").head["chosen"]["place"]
        is None
    )


def test_quotes_tell_the_token_with_a_space_from_the_one_without():
    session = Session(model("stories"))
    scene = {"text": "Once"}
    found = {
        find: [row["text"] for row in session.handle("next", {"scene": scene, "find": find, "to": 400}).head["rows"]]
        for find in ('" the"', '"the"', "the")
    }
    assert found['" the"'] == [" the"] and set(found['"the"']) <= {"the"}
    assert {" the", *found['"the"']} <= set(found["the"]) and len(found["the"]) > 1


def test_the_histogram_counts_every_token_once():
    of = run("gpt2-tiny")
    head = asked("gpt2-tiny", "next", scene=scene_of("gpt2-tiny", dtype="float64")).head["histogram"]
    logits_V = of.look("logits")[0, -1]
    assert sum(head["counts"]) == 96 and len(head["edges"]) == len(head["counts"]) + 1
    assert head["chosen"] == len(head["counts"]) - 1  # the best token is in the last
    drawn = asked("gpt2-tiny", "next", scene=scene_of("gpt2-tiny", dtype="float64"), settings=DRAWN).head
    at, logit = drawn["histogram"]["chosen"], logits_V[drawn["chosen"]["id"]]
    assert at < 47 and float(head["edges"][at]) - 1e-5 <= logit <= float(head["edges"][at + 1]) + 1e-5
    low, high = float(head["edges"][0]), float(head["edges"][1])
    assert head["counts"][0] == np.count_nonzero((logits_V >= low - 1e-5) & (logits_V < high))


def test_taking_the_best_draws_nothing():
    head = asked("gpt2-tiny", "next", scene=scene_of("gpt2-tiny")).head
    assert head["drawn"]["uniform"] is None and "largest" in head["drawn"]["explanation"]
    assert [each["address"] for each in head["columns"]] == ["logits", "probs"]


# --- generating ---------------------------------------------------------------------------------------------------


def stepped(session, scene, settings, count):
    """Tokens chosen one after the other, and the heads of the answers."""
    begun = len(session.run(read_scene(scene)).look("tokens")[0])
    heads = []
    for _ in range(count):
        heads.append(session.handle("step", {"scene": scene, "settings": settings, "begun": begun}).head)
        scene = heads[-1]["scene"]
    return [each["token"]["id"] for each in heads], heads


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("settings", [{}, DRAWN, {"temperature": 1.0, "seed": 3}], ids=["best", "all", "drawn"])
@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-tiny", "aab"])
def test_the_same_seed_gives_the_tokens_of_generate(name, settings, engine):
    if name == "aab" and "top_k" in settings:
        settings = settings | {"top_k": 2}
    count = 4 if name != "aab" else 3
    scene = scene_of(name) if name != "aab" else {"text": "ab"}
    source = {"source": scene["source"]} if "source" in scene else {}
    expected = model(name).generate(scene["text"], max_tokens=count, engine=engine, **source, **settings).finish()
    session = Session(model(name), engine=engine)
    tokens, heads = stepped(session, scene, settings, count)
    assert tokens == expected.tokens
    for head, choice in zip(heads, expected.choices, strict=True):
        # the cpu engine computes a piece of a text otherwise than a whole one, in the last places
        near = 0 if engine == "reference" else 1e-5
        assert float(head["probability"]) == pytest.approx(choice.probability, rel=near, abs=0)
        assert float(head["chance"]) == pytest.approx(choice.chance, rel=near, abs=0)
        assert engine == "cpu" or head["drawn"]["explanation"] == choice.explanation
    # every earlier choice of the text can be looked at again
    begun = len(expected.prompts[0])
    for i, token in enumerate(tokens):
        again = session.handle(
            "next", {"scene": heads[-1]["scene"], "settings": settings, "begun": begun, "position": begun - 1 + i}
        ).head
        assert again["chosen"]["id"] == token
        assert engine == "cpu" or again["drawn"] == heads[i]["drawn"]


def test_the_same_seed_gives_the_tokens_of_the_command_line(capsys):
    given = [
        "generate",
        "gpt2-tiny",
        "Hello",
        "--max-tokens",
        "5",
        "--temperature",
        "0.9",
        "--top-k",
        "40",
        "--seed",
        "7",
    ]
    with pytest.raises(SystemExit) as ended:
        main([*given, "--json"])
    assert not ended.value.code
    said = json.loads(capsys.readouterr().out)
    session = Session(byhand.load("gpt2-tiny"))
    tokens, _ = stepped(session, {"text": "Hello"}, {"temperature": 0.9, "top_k": 40, "seed": 7}, 5)
    assert tokens == said["texts"][0]["tokens"]


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-tiny"])
def test_the_last_token_adds_one_row_to_every_cache_and_leaves_the_others(name, engine):
    session, scene = Session(model(name), engine=engine), scene_of(name)
    head = session.handle("cache", {"scene": scene}).head
    of = session.run(read_scene(scene))
    assert len(head["cache"]) == 4 and head["rows"] == 5
    for each in head["cache"]:
        assert (each["rows"], each["same"], each["changed"], each["new"]) == (5, 4, 0, [4, 5])
        assert each["bytes"] == of.look(each["address"]).nbytes
        assert float(each["off"]) <= (0 if engine == "reference" else 1e-5)
    assert len(head["lasting"]) == (4 if name == "original-tiny" else 0)
    one = session.handle("cache", {"scene": scene | {"text": "H"}}).head["cache"]
    assert {(each["same"], each["changed"], *each["new"]) for each in one} == {(0, 0, 0, 1)}


def test_a_row_that_was_written_over_is_counted(monkeypatch):
    feed, fed = Decoding.feed, []

    def spoiling(self, new):
        made = feed(self, new)
        fed.append(new)
        if len(fed) == 2:
            self.cache["cache.blocks.1.attn.v"][0, 2, 1, 3] *= 1 + 2**-20
        return made

    monkeypatch.setattr(Decoding, "feed", spoiling)
    rows = {each["address"]: each for each in asked("gpt2-tiny", "cache", scene=scene_of("gpt2-tiny")).head["cache"]}
    assert (rows["blocks.1.attn.v"]["same"], rows["blocks.1.attn.v"]["changed"]) == (3, 1)
    assert (rows["blocks.1.attn.k"]["same"], rows["blocks.1.attn.k"]["changed"]) == (4, 0)


def test_edits_are_in_the_cache():
    scene = edited(
        scene_of("gpt2-tiny"), edit("blocks.0.attn.k", [0, 2, 1, 3], "set", 9.0), edit("tokens", [0, 1], "set", 7)
    )
    head = Session(model("gpt2-tiny"), engine="reference").handle("cache", {"scene": scene}).head
    assert all(float(each["off"]) == 0 and each["same"] == 4 for each in head["cache"])


def test_a_step_from_an_earlier_position_leaves_the_rest_of_the_text():
    scene = {"tokens": [41, 70, 77, 77, 80]}
    head = asked("gpt2-tiny", "step", scene=scene, position=1, settings={}).head
    assert head["scene"]["tokens"] == [41, 70, head["token"]["id"]]
    assert head["token"]["id"] == int(fresh("gpt2-tiny", "float32").look("logits")[0, 1].argmax())


def test_edits_stay_in_the_text_that_goes_on():
    scene = edited(scene_of("gpt2-tiny"), edit("blocks.0.attn.heads", [None, None, 1]))
    head = asked("gpt2-tiny", "step", scene=scene).head
    assert read_scene(head["scene"]).changes == read_scene(scene).changes
    of = fresh("gpt2-tiny", "float32").edit("blocks.0.attn.heads", head=1, zero=True)
    assert head["token"]["id"] == int(of.look("logits")[0, -1].argmax())


def test_a_full_context_and_the_end_of_a_text_stop_it():
    head = asked("aab", "step", scene={"text": "aabaa"}).head
    assert head["scene"] is None and head["stopped"] == "the model reads 5 tokens at most"
    stories = model("stories")
    end = stories.tokenizer.stops[0]
    text = [*stories.token_ids("Once")[0].tolist()]
    scene = edited({"tokens": text}, edit("logits", [0, len(text) - 1, end], "set", 1e4))
    assert asked("stories", "step", scene=scene).head["stopped"] == "end of text"


@pytest.mark.parametrize(
    "name, op, more, word",
    [
        ("gpt2-tiny", "next", {"settings": {"temperature": -1}}, "temperature"),
        ("gpt2-tiny", "next", {"settings": {"top_k": 3}}, "temperature is 0"),
        ("gpt2-tiny", "next", {"settings": {"temprature": 1}}, "temprature"),
        ("gpt2-tiny", "next", {"settings": {"max_tokens": 1}}, "max_tokens"),
        ("gpt2-tiny", "next", {"settings": [1]}, "object"),
        ("gpt2-tiny", "next", {"order": "size"}, "order"),
        ("gpt2-tiny", "next", {"begun": 6}, "begun"),
        ("gpt2-tiny", "step", {"position": 5}, "position"),
        ("bert-tiny", "step", {}, "left to right"),
        ("bert-tiny", "cache", {}, "left to right"),
        ("gpt2-tiny", "gradients", {}, "no gradients"),
        ("gpt2-tiny", "reverse", {}, "no gradients"),
    ],
)
def test_what_cannot_be_asked(name, op, more, word):
    with pytest.raises(InputError, match=word):
        asked(name, op, scene={"text": "Hello"}, **more)


# --- backward -----------------------------------------------------------------------------------------------------


def test_the_losses_and_their_mean():
    of = run("gpt2-tiny", "float32")
    head = asked("gpt2-tiny", "losses", scene=scene_of("gpt2-tiny")).head
    assert head["loss"]["bits"] == bits(of.look("loss")[()]) and head["count"] == 5
    for t, row in enumerate(head["rows"][:-1]):
        logits_V = of.look("logits")[0, t].astype(float)
        target = of.look("tokens")[0, t + 1]
        assert row["target"]["id"] == target and row["bits"] == bits(of.look("losses")[0, t])
        assert float(row["loss"]) == pytest.approx(-math.log(softmax(logits_V)[target]), rel=1e-5)
    assert head["rows"][-1]["target"] is None
    with pytest.raises(InputError, match="no loss"):
        asked("gpt2-tiny", "losses", scene={"text": "H"})


@pytest.mark.parametrize("gradient", [{"of": "loss", "index": None}, {"of": "logits", "index": [0, 2, 7]}])
def test_every_gradient_is_listed_with_its_size(gradient):
    scene = scene_of("gpt2-tiny", dtype="float64", gradient=gradient)
    head = asked("gpt2-tiny", "gradients", scene=scene).head
    of = fresh("gpt2-tiny")
    of.backward(gradient["of"], gradient["index"])
    assert {row["address"] for row in head["rows"]} == {f"d:{address}" for address in of.grad}
    for row in head["rows"]:
        array = of.grad[row["address"]].array
        assert float(row["length"]) == pytest.approx(math.sqrt((array**2).sum()), rel=1e-5)
        assert abs(float(row["largest"])) == np.abs(array).max() and row["bits"] == bits(array[tuple(row["index"])])
    assert [row["address"] for row in head["rows"] if row["stream"]] == [
        "d:embed.out",
        "d:blocks.0.out",
        "d:blocks.1.out",
    ]


def test_the_backward_program_and_what_is_saved_for_it():
    scene = scene_of("gpt2-tiny", gradient={"of": "loss", "index": None})
    head = asked("gpt2-tiny", "reverse", scene=scene).head
    of = run("gpt2-tiny", "float32")
    assert [each["writes"] for each in head["steps"]] == [list(each.writes.values()) for each in of.grad.steps]
    assert head["count"] == len(head["steps"]) and head["steps"][0]["step"] == "loss"
    assert {each["address"] for each in head["saved"]} == of.program.saved()
    for each in head["saved"]:
        assert each["bytes"] == of.look(each["address"]).nbytes
        assert each["readers"] == [s["step"] for s in head["steps"] if each["address"] in s["saved"]]
    assert head["bytes"] == sum(each["bytes"] for each in head["saved"])


# --- a number of a choice ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["penalized", "scaled", "kept.top_k", "kept.top_p", "kept.min_p", "probs", "running", "token"]
)
def test_every_number_of_a_choice_explains(address):
    session, scene = Session(model("gpt2-tiny")), scene_of("gpt2-tiny")
    head = session.handle("next", {"scene": scene, "settings": DRAWN, "to": 96}).head
    for row in (head["rows"][0], head["rows"][60]):
        index = [0, 0] if address == "token" else [0, 0, row["id"]]
        each = session.handle(
            "choice-number", {"scene": scene, "settings": DRAWN, "address": address, "index": index, "first": 200}
        ).head
        assert each["within"] and each["operands"]
        assert math.isclose(
            math.fsum(float(term["value"]) for term in each["terms"]), float(each["value"]), abs_tol=1e-12
        ) or (each["value"] == "-inf")
        expected = head["chosen"]["id"] if address == "token" else row["numbers"][address]
        assert each["stored"]["text"] == (str(expected) if address == "token" else expected["text"])
        assert {operand["address"] for operand in each["operands"]} <= {"logits", "seen", "uniform"} | {
            each["address"] for each in head["columns"]
        }
