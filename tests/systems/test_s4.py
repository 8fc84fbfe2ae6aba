"""S4: the transformer made by hand, and the same matrices inside a stock GPT-2."""

from itertools import product
from math import sqrt

import numpy as np
import pytest

import byhand
from byhand.families import gpt2, handmade

STRINGS = ["".join(letters) for n in range(1, 6) for letters in product("ab", repeat=n)]
LG = 1024.0


@pytest.fixture(scope="module")
def aab():
    return byhand.load("aab")


@pytest.fixture(scope="module")
def twin():
    return byhand.load("aab-gpt2")


def stored_c_attn(model):
    """The q, k and v weights of a model, put back side by side as GPT-2 stores them."""
    return np.hstack([model.weights[f"blocks.0.attn.{name}.weight"].reshape(8, 8) for name in "qkv"])


def independent(text):
    """Every array of the model on one text, with matrices and arithmetic written here from their description."""
    wte_VD, wpe_PD = np.zeros((2, 8)), np.zeros((5, 8))
    wte_VD[[0, 1], [5, 6]] = 1
    wpe_PD[range(5), range(5)] = 1
    entries = {
        (0, 0): LG,
        (1, 0): LG,
        (1, 1): LG,
        (2, 1): LG,
        (2, 2): LG,
        (3, 2): LG,
        (3, 3): LG,
        (4, 3): LG,
        (4, 4): LG,
    }
    entries |= {(i, 8 + i): 1 for i in range(5)} | {(5, 16 + 7): 1, (6, 16 + 7): -1}
    c_attn, c_proj, bias = np.zeros((8, 24)), np.zeros((8, 8)), np.zeros(8)
    for (row, column), value in entries.items():
        c_attn[row, column] = value
    c_proj[7, 5], c_proj[7, 6], bias[5] = -LG, LG, LG
    ids = ["ab".index(letter) for letter in text]
    x = wte_VD[ids] + wpe_PD[: len(ids)]
    q, k, v = np.split(x @ c_attn, 3, axis=-1)
    score = q @ k.T / np.sqrt(8) + (1 - np.tri(len(ids))) * -1e10
    weight = np.exp(score - score.max(-1, keepdims=True))
    weight /= weight.sum(-1, keepdims=True)
    x = x + weight @ v @ c_proj + bias
    return {"c_attn": c_attn, "c_proj": c_proj, "bias": bias, "weights": weight, "logits": x @ wte_VD.T}


def says(model, text, dtype="float64"):
    return "ab"[int(model.run(text, dtype=dtype)["logits"].array[0, -1].argmax())]


# --- the matrices -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["aab", "aab-gpt2"])
def test_the_matrices_are_exactly_those_described(name):
    model, mine = byhand.load(name), independent("a")
    assert np.array_equal(stored_c_attn(model), mine["c_attn"])
    assert np.array_equal(model.weights["blocks.0.attn.out.weight"].reshape(8, 8), mine["c_proj"])
    assert np.array_equal(model.weights["blocks.0.attn.out.bias"], mine["bias"])
    assert all(not model.weights[f"blocks.0.attn.{each}.bias"].any() for each in "qkv")
    assert np.array_equal(model.weights["token.weight"], np.eye(8)[[5, 6]])
    assert np.array_equal(model.weights["position.weight"], np.eye(8)[:5])


def test_c_attn_has_sixteen_numbers_that_are_not_zero():
    c_attn = stored_c_attn(byhand.load("aab"))
    rows = {row: {int(c): float(c_attn[row, c]) for c in np.flatnonzero(c_attn[row])} for row in range(8)}
    assert rows == {
        0: {0: LG, 8: 1},
        1: {0: LG, 1: LG, 9: 1},
        2: {1: LG, 2: LG, 10: 1},
        3: {2: LG, 3: LG, 11: 1},
        4: {3: LG, 4: LG, 12: 1},
        5: {23: 1},
        6: {23: -1},
        7: {},
    }
    assert np.array_equal(c_attn, handmade.c_attn())


def test_queries_keys_and_values_are_views_of_one_stored_array(aab):
    bases = {id(aab.weights[f"blocks.0.attn.{name}.weight"].base) for name in "qkv"}
    assert len(bases) == 1 and aab.weights["blocks.0.attn.q.weight"].base.shape == (8, 24)


def test_the_program_is_attention_and_residual_only_with_the_blog_s_mask(aab):
    names = [step.operator.name for step in aab.program]
    assert names == [
        *("lookup", "lookup", "add", "to_heads", "to_heads", "to_heads", "scores", "mask", "softmax", "mix"),
        *("from_heads", "add", "unembed", "probabilities"),
    ]
    masked = next(step for step in aab.program if step.operator.name == "mask")
    assert masked.attributes["fill"] == -1e10
    assert (aab.config.width, aab.config.context, aab.config.heads, aab.config.layers) == (8, 5, 1, 1)


# --- what it does -------------------------------------------------------------------------------------------------


def test_every_string_equals_the_independent_computation(aab):
    assert len(STRINGS) == 62
    for text in STRINGS:
        run, mine = aab.run(text, dtype="float64"), independent(text)
        assert np.abs(run["blocks.0.attn.weights"].array[0, 0] - mine["weights"]).max() < 1e-15
        assert np.abs(run["logits"].array[0] - mine["logits"]).max() < 1e-12


def test_attention_rows_are_one_and_then_two_halves(aab):
    for text in STRINGS:
        weight_TS = aab.run(text, dtype="float64")["blocks.0.attn.weights"].array[0, 0]
        expected_TS = (np.eye(len(text)) + np.eye(len(text), k=-1)) / 2
        expected_TS[0, 0] = 1
        assert np.abs(weight_TS - expected_TS).max() < 1e-150


@pytest.mark.parametrize("name", ["aab", "aab-gpt2"])
@pytest.mark.parametrize(("start", "end"), [("a", "baabaabaab"), ("ba", "abaabaabaa"), ("abaab", "aabaabaaba")])
def test_completions(name, start, end):
    assert "".join(byhand.load(name).generate(start, max_tokens=10)) == end


@pytest.mark.parametrize("name", ["aab", "aab-gpt2"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_teacher_forced_twenty_seven_of_twenty_seven(name, dtype):
    model, exam = byhand.load(name), "aab" * 10
    ends = range(3, len(exam))  # given the text up to its third character, up to its fourth, ...
    right = [says(model, exam[:end][-5:], dtype) == exam[end] for end in ends]
    assert (sum(right), len(right)) == (27, 27)


def test_only_the_first_letter_cannot_be_known(aab):
    exam = "aab" * 10
    wrong = [end for end in range(1, 30) if says(aab, exam[:end][-5:]) != exam[end]]
    assert wrong == [1]  # after a single "a" it says "b": it takes the missing predecessor for another "a"


def test_a_table_of_every_position(aab):
    run = aab.run("aabaa", dtype="float64")
    assert run["logits"].array[0].tolist() == [[1, 1024], [1, 1024], [1024, 1], [1025, 0], [1, 1024]]
    said = ["ab"[token] for token in run["probs"].array[0].argmax(-1)]
    assert said == ["b", "b", "a", "a", "b"]
    assert np.abs(run["probs"].array[0].max(-1) - 1).max() == 0
    assert run["logits"].labels["T"] == list("aabaa")


def test_it_recovers_from_any_wrong_input(aab, twin):
    for model in (aab, twin):
        for text in STRINGS:
            assert "".join(model.generate(text, max_tokens=9)) in "aab" * 5
        assert "".join(model.generate("bbbbb", max_tokens=9)) == "aabaabaab"
        assert "".join(model.generate("aaaaa", max_tokens=9)) == "baabaabaa"


# --- inside a stock GPT-2 -----------------------------------------------------------------------------------------


def test_the_twin_is_an_unmodified_gpt2(twin):
    assert twin.family is gpt2
    small = gpt2.program(gpt2.Config(layers=1, width=8, heads=1, hidden=32, vocabulary=2, context=5))
    assert [(s.address, s.operator, s.attributes) for s in twin.program] == [
        (s.address, s.operator, s.attributes) for s in small
    ]
    weights = twin.weights
    assert (weights["blocks.0.norm1.gain"] == sqrt(3 / 16 + 1e-5)).all() and (
        weights["blocks.0.norm1.shift"] == 0.25
    ).all()
    assert not any(
        weights[f"blocks.0.mlp.{name}"].any() for name in ("up.weight", "up.bias", "down.weight", "down.bias")
    )
    assert (weights["final_norm.gain"] == 32).all()


def test_the_twin_says_the_same_to_all_strings_with_a_wide_gap(aab, twin):
    gaps = []
    for text in STRINGS:
        run = twin.run(text, dtype="float64")
        assert says(aab, text) == says(twin, text)
        gaps.append(abs(np.diff(run["logits"].array[0, -1]).item()))
    assert round(min(gaps), 2) == 96.69


def test_the_norm_gives_back_what_it_got_because_all_vectors_are_alike(twin):
    for text in STRINGS:
        run = twin.run(text, dtype="float64")
        x_TD = run["embed.out"].array[0]
        assert (x_TD.mean(-1) == 1 / 4).all() and (x_TD.var(-1) == 3 / 16).all()
        assert np.abs(run["blocks.0.norm1.out"] - x_TD).max() < 1e-15
        assert not run["blocks.0.mlp.out"].array.any()


# --- down to the leaves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "positions"), [("aab", [0, 1, 2]), ("aab-gpt2", [2])])
def test_the_logits_are_explained_to_weights_and_token_ids(name, positions):
    run = byhand.load(name).run("aab", dtype="float64")
    for position, token in product(positions, range(2)):
        tree = list(run.explain("logits", position=position, token=token).tree(depth=30, most=10**9))
        kinds = {each.kind for _, each in tree if not each.operands}
        assert kinds == {"weight", "input"}
        for _, each in tree:
            # a sum of 0.5, -0.5 and 1e-158 is exact only to the last place of its largest term
            largest = max([abs(term.value) for term in each.terms] + [abs(each.stored)])
            assert each.value == each.stored or abs(each.value - each.stored) <= 4 * np.finfo(float).eps * largest
        assert {"token.weight", "position.weight", "tokens", "blocks.0.attn.q.weight"} <= {
            each.address for _, each in tree
        }


def test_one_logit_by_hand(aab):
    """Position 1 of "aa": both values are +1, so the whole bias moves from "a" to "b"."""
    run = aab.run("aa", dtype="float64")
    assert run["blocks.0.attn.heads"].array[0, 1, 0].tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    parts = run.split(token=1, position=1).parts
    assert {name: value for name, value in parts.items() if value} == {"blocks.0.attn.out head 0": LG}
    parts = run.split(token=0, position=1).parts
    assert {name: value for name, value in parts.items() if value} == {
        "embed.token": 1,
        "blocks.0.attn.out head 0": -LG,
        "blocks.0.attn.out.bias": LG,
    }


def test_the_lesson_shows_it_all(example):
    printed = example("05_made_by_hand").printed
    assert "27 of 27 right" in printed and "62 of 62 strings agree, smallest logit gap 96.69" in printed
