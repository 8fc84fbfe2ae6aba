"""Pictures and measures of all heads, against loops over the plain arrays; and where each stage is."""

from math import ceil, log2

import numpy as np
import pytest

from byhand.errors import InputError
from byhand.explorer import Session, attention
from byhand.explorer.answer import MOST_BYTES
from byhand.explorer.scene import read_scene

from ..small_models import TEXTS, model, same_bits
from .scenes import edit, edited, scene_of

NAMES = [name for name in TEXTS if name != "llama 3.1"]
LONG = "the cat sat on the mat; the cat sat on the mat; the cat sat on"


def ask(name, op, **params):
    return Session(model(name)).handle(op, {"scene": scene_of(name), **params})


def kinds(name):
    return ask(name, "heads").head["kinds"]


ALL = [(name, kind) for name in NAMES for kind in kinds(name)]


@pytest.mark.parametrize("name, kind", ALL)
def test_a_small_text_is_shown_cell_by_cell(name, kind):
    session = Session(model(name))
    answer = session.handle("heads", {"scene": scene_of(name), "kind": kind})
    run = session.run(read_scene(scene_of(name)))
    assert answer.head["factor"] == [1, 1]
    for layer, address in enumerate(answer.head["addresses"]):
        assert address.startswith("source.") == (kind == "source")
        assert (".cross." in address) == (kind == "cross")
        assert same_bits(answer.arrays["maps"][layer], run.look(address)[0])
        assert answer.head["labels"] == run.labels(address)
    assert answer.head["layers"] == session.model.config.layers
    assert answer.head["heads"] == session.model.program.sizes["H"]


def test_the_kinds_of_a_translation_model():
    assert kinds("original-tiny") == ["self", "cross", "source"]
    assert kinds("gpt2-tiny") == ["self"]
    with pytest.raises(InputError, match="gpt2 has no cross attention; it has: self"):
        ask("gpt2-tiny", "heads", kind="cross")
    with pytest.raises(InputError, match="one of self, cross, source"):
        ask("gpt2-tiny", "heads", kind="other")


def test_a_long_text_is_pooled(monkeypatch):
    monkeypatch.setattr(attention, "SIDE", 10)
    session = Session(model("gpt2-tiny"))
    answer = session.handle("heads", {"scene": {"text": LONG}})
    T = len(LONG)
    factor = ceil(T / 10)
    assert answer.head["factor"] == [factor, factor]
    side = ceil(T / factor)
    assert answer.arrays["maps"].shape == (2, 4, side, side)
    weights_TS = model("gpt2-tiny").run(LONG).look("blocks.1.attn.weights")[0, 3].astype(np.float64)
    block = weights_TS[2 * factor : 3 * factor, :factor]
    assert answer.arrays["maps"][1, 3, 2, 0] == np.float32(block.mean())


@pytest.mark.parametrize("layers, heads, length", [(12, 12, 1024), (22, 32, 2048), (126, 128, 4096), (1, 1, 3)])
def test_all_pictures_fit_into_one_answer(layers, heads, length):
    fr, fc = attention.factors(layers, heads, length, length)
    h, w = ceil(length / fr), ceil(length / fc)
    assert h <= 64 and w <= 64
    assert layers * heads * h * w * 4 <= MOST_BYTES * 0.9


# --- measures ------------------------------------------------------------------------------------------------------


def by_loops(weights_TS, tokens):
    """The measures of one head, one query after the other."""
    entropies, firsts, previous, induction = [], [], [], []
    for t, row in enumerate(weights_TS.astype(float)):
        entropies.append(-sum(w * log2(w) for w in row if w > 0))
        firsts.append(row[0])
        if t > 0:
            previous.append(row[t - 1])
        after = [s for s in range(1, t + 1) if tokens[s - 1] == tokens[t] and s - 1 < t]
        if after:
            induction.append(sum(row[s] for s in after))
    named = {"entropy": entropies, "first key": firsts, "previous token": previous, "induction": induction}
    return {name: np.mean(values) if values else np.nan for name, values in named.items()}


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "bert-tiny"])
@pytest.mark.parametrize("text", ["abcabcab", "abcdef", "aa"])
def test_measures_are_those_of_every_query_in_turn(name, text):
    session = Session(model(name))
    answer = session.handle("heads", {"scene": {"text": text}})
    run = model(name).run(text)
    tokens = run.inputs["tokens"][0]
    for layer, address in enumerate(answer.head["addresses"]):
        for head, weights_TS in enumerate(run.look(address)[0]):
            for measure, expected in by_loops(weights_TS, tokens).items():
                got = answer.arrays[measure][layer, head]
                np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)
                shown = answer.head["measures"][measure][layer][head]
                assert shown == ("" if np.isnan(expected) else f"{got:.3f}")
    assert set(answer.head["meanings"]) == set(answer.head["measures"])


def test_text_that_asks_another_text_has_no_previous_token():
    assert set(ask("original-tiny", "heads", kind="cross").head["measures"]) == {"entropy", "first key"}
    assert "induction" in ask("original-tiny", "heads", kind="source").head["measures"]


def test_the_other_scene_and_the_difference():
    session = Session(model("gpt2-tiny"))
    one, other = {"text": "abcabc"}, edited({"text": "abcabc"}, edit("blocks.0.attn.heads", [None, None, 0]))
    a, b, difference = (
        session.handle("heads", {"scene": one, "other": other, "part": part}) for part in ("a", "b", "difference")
    )
    assert not np.array_equal(a.arrays["maps"][1], b.arrays["maps"][1])
    assert not difference.arrays["maps"][0].any()
    exact = b.arrays["maps"].astype(np.float64) - a.arrays["maps"]
    assert same_bits(difference.arrays["maps"], exact.astype(np.float32))
    np.testing.assert_array_equal(difference.arrays["entropy"], b.arrays["entropy"] - a.arrays["entropy"])
    with pytest.raises(InputError, match="compare texts of equal length"):
        session.handle("heads", {"scene": one, "other": {"text": "abc"}, "part": "difference"})


# --- stages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, kind", ALL)
def test_stages_follow_from_each_other(name, kind):
    """Every stage is computed from the one before it, by plain NumPy."""
    session = Session(model(name))
    scene = scene_of(name, dtype="float64")
    for layer in range(session.model.config.layers):
        head = session.handle("stages", {"scene": scene, "layer": layer, "kind": kind}).head
        run = session.run(read_scene(scene))
        at = {stage: address and run.look(address) for stage, address in head["addresses"].items()}
        q = at["q"] if at["q_rot"] is None else at["q_rot"]
        k = at["k"] if at["k_rot"] is None else at["k_rot"]
        assert (at["q_rot"] is None) == (at["k_rot"] is None) == (not name.startswith("llama"))
        group_of = head["group_of"]
        assert len(group_of) == head["H"] and set(group_of) == set(range(head["G"]))
        for h, g in enumerate(group_of):
            scores_TS = q[0, :, h] @ k[0, :, g].T / np.sqrt(head["K"])
            np.testing.assert_allclose(at["scores"][0, h], scores_TS, atol=1e-12)
            seen_TS = visible(head["hidden"], head["T"], head["S"])
            np.testing.assert_array_equal(at["masked"][0, h][seen_TS], at["scores"][0, h][seen_TS])
            assert (at["weights"][0, h][~seen_TS] == 0).all()
            share_TS = np.where(seen_TS, np.exp(scores_TS - scores_TS.max(-1, keepdims=True)), 0)
            share_TS /= share_TS.sum(-1, keepdims=True)
            np.testing.assert_allclose(at["weights"][0, h], share_TS, atol=1e-12)
            np.testing.assert_allclose(at["heads"][0, :, h], share_TS @ at["v"][0, :, g], atol=1e-12)


def visible(hidden, T, S):
    seen_TS = np.ones((T, S), bool)
    for t, runs in enumerate(hidden):
        for start, stop in runs:
            seen_TS[t, start:stop] = False
    return seen_TS


def test_a_causal_mask_hides_what_comes_later():
    head = ask("gpt2-tiny", "stages", layer=0).head
    assert head["hidden"] == [[[t + 1, 5]] for t in range(4)] + [[]]
    assert ask("bert-tiny", "stages", layer=0).head["hidden"] == [[]] * 5


def test_grouped_heads_share_keys():
    head = ask("llama-tiny", "stages", layer=1).head
    assert (head["H"], head["G"], head["group_of"]) == (4, 2, [0, 0, 1, 1])
    assert head["scale"] == "1/√8 = 0.3535533905932738"


def test_a_layer_that_is_not_there():
    with pytest.raises(InputError, match="layer is 2; give a whole number from 0 to 1"):
        ask("gpt2-tiny", "stages", layer=2)
    with pytest.raises(InputError, match="heads has no parameter 'kid'"):
        ask("gpt2-tiny", "heads", kid=1)


def test_a_run_that_keeps_little_gives_the_same_pictures():
    small, large = Session(model("gpt2-tiny")), Session(model("gpt2-tiny"))
    small.most_bytes = 1000
    scene = {"text": "abcabc"}
    assert small.keep(read_scene(scene)) != "all"
    one, other = (session.handle("heads", {"scene": scene}) for session in (small, large))
    assert same_bits(one.arrays["maps"], other.arrays["maps"])


def test_swapped_heads_are_noticed(monkeypatch):
    """The comparison above catches pictures in another order."""
    pooled = attention.pooled
    monkeypatch.setattr(attention, "pooled", lambda array, *how: pooled(array[::-1], *how))
    with pytest.raises(AssertionError):
        test_a_small_text_is_shown_cell_by_cell("gpt2-tiny", "self")
