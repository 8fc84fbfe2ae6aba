"""S3: Llama 3 from its weights, head by head, at reduced width; the 8B shape as a table."""

from dataclasses import replace

import numpy as np
import pytest

import byhand
from byhand.families import llama

H, G, K, T = 32, 8, 8, 17
SMALL = llama.Config(layers=2, width=H * K, heads=H, groups=G, head_width=K, hidden=896, vocabulary=40)
TOKENS = np.random.default_rng(7).integers(0, 40, T)
CAUSAL_TS = np.tri(T, dtype=bool)


@pytest.fixture(scope="module")
def model():
    return byhand.make(llama, SMALL, seed=11)


@pytest.fixture(scope="module")
def run(model):
    return model.run(TOKENS, dtype="float64")


@pytest.fixture(scope="module")
def weights(model):
    return {address: array.astype(np.float64) for address, array in model.weights.items()}


def rms_norm(x, gain):
    return x / np.sqrt((x * x).sum(-1, keepdims=True) / x.shape[-1] + 1e-5) * gain


def rotated(vector_TK):
    """Every adjacent pair as a complex number, times exp(i t theta^(-2j/K))."""
    pair_TJ = np.ascontiguousarray(vector_TK).view(complex)
    angle_TJ = np.outer(np.arange(T), 500000.0 ** (-2 * np.arange(K // 2) / K))
    return (pair_TJ * np.exp(1j * angle_TJ)).view(float)


def head(weights, layer, h, x_TD, group=None):
    """One head of a layer from the weights and what the layer reads."""
    w = {name: weights[f"blocks.{layer}.attn.{name}.weight"] for name in "qkv"}
    group = h // (H // G) if group is None else group
    q, k, v = x_TD @ w["q"][:, h], x_TD @ w["k"][:, group], x_TD @ w["v"][:, group]
    scores = np.where(CAUSAL_TS, rotated(q) @ rotated(k).T / np.sqrt(K), -np.inf)
    exp = np.exp(scores - scores.max(-1, keepdims=True))
    weight = exp / exp.sum(-1, keepdims=True)
    return {
        "q": q,
        "k": k,
        "v": v,
        "q_rot": rotated(q),
        "k_rot": rotated(k),
        "masked": scores,
        "weights": weight,
        "heads": weight @ v,
    }


def silu(x):
    return x / (1 + np.exp(-x))


def independent_logits(weights):
    x = weights["token.weight"][TOKENS]
    for layer in range(SMALL.layers):
        w = {name.removeprefix(f"blocks.{layer}."): array for name, array in weights.items()}
        n = rms_norm(x, w["norm1.gain"])
        stacked = np.hstack([head(weights, layer, h, n)["heads"] for h in range(H)])
        assert stacked.shape == (T, H * K)
        x = x + stacked @ w["attn.out.weight"].reshape(H * K, -1)
        n = rms_norm(x, w["norm2.gain"])
        x = x + (silu(n @ w["mlp.gate.weight"]) * (n @ w["mlp.up.weight"])) @ w["mlp.down.weight"]
    return rms_norm(x, weights["final_norm.gain"]) @ weights["unembed.weight"].T


# --- head by head -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", range(SMALL.layers))
def test_every_head_equals_its_own_computation_from_the_weights(run, weights, layer):
    for h in range(H):
        mine = head(weights, layer, h, run[f"blocks.{layer}.norm1.out"].array[0])
        for name, array in mine.items():
            own = h // 4 if name in ("k", "v", "k_rot") else h
            theirs = run[f"blocks.{layer}.attn.{name}"].at(batch=0, head=own).array
            assert theirs.shape == array.shape == ((T, T) if name in ("masked", "weights") else (T, K))
            seen = np.isfinite(array)
            assert np.array_equal(seen, np.isfinite(theirs)) and np.abs(theirs[seen] - array[seen]).max() < 1e-12


def test_a_head_that_read_group_h_modulo_8_would_be_noticed(run, weights):
    x_TD = run["blocks.0.norm1.out"].array[0]
    for h in range(H):
        gap = np.abs(
            head(weights, 0, h, x_TD, group=h % G)["heads"] - run["blocks.0.attn.heads"].at(batch=0, head=h)
        ).max()
        assert (gap > 0.1) == (h % G != h // 4)


def test_all_heads_stacked_give_the_logits(run, weights):
    assert np.abs(run["logits"].array[0] - independent_logits(weights)).max() < 1e-12


def test_scores_are_raw_and_the_mask_is_minus_infinity_above_the_diagonal(run):
    assert np.isfinite(run["blocks.1.attn.scores"]).all()
    masked = run["blocks.1.attn.masked"].array
    assert (masked[..., ~CAUSAL_TS] == -np.inf).all() and np.isfinite(masked[..., CAUSAL_TS]).all()
    assert (run["blocks.1.attn.weights"].array[..., ~CAUSAL_TS] == 0).all()


def test_one_head_can_be_changed_alone(run):
    other = run.edit("blocks.0.attn.heads", head=13, set=0.0)
    assert np.array_equal(other["blocks.0.attn.q"], run["blocks.0.attn.q"])
    differs = (other["blocks.0.attn.heads"].array != run["blocks.0.attn.heads"].array).any((0, 1, 3))
    assert np.flatnonzero(differs).tolist() == [13]
    part = run.split(token=3).parts["blocks.0.attn.out head 13"]
    weight_KD = run["blocks.0.attn.out.weight"].array[13]
    assert part != 0 and np.abs(run["blocks.0.attn.heads"].array[0, -1, 13] @ weight_KD).max() > 0


# --- positions, layouts, precision --------------------------------------------------------------------------------


def test_rotary_halves_after_reordering_is_the_same_model(model, run):
    order = np.concatenate([np.arange(0, K, 2), np.arange(1, K, 2)])
    config = replace(SMALL, rotary="halves")
    reordered = {a: w[..., order] if a.endswith((".q.weight", ".k.weight")) else w for a, w in model.weights.items()}
    halves = byhand.make(llama, config, reordered).run(TOKENS, dtype="float64")
    assert np.abs(halves["logits"] - run["logits"]).max() < 1e-12
    assert np.abs(halves["blocks.0.attn.q_rot"] - run["blocks.0.attn.q_rot"].array[..., order]).max() < 1e-12
    mixed_up = byhand.make(llama, config, model.weights).run(TOKENS, dtype="float64")
    assert np.abs(mixed_up["logits"] - run["logits"]).max() > 1e-3


def test_only_distances_matter(model, run):
    later = model.run(TOKENS, dtype="float64", positions=np.arange(T)[None] + 1000)
    assert np.abs(later["logits"] - run["logits"]).max() < 1e-9


def test_in_bfloat16_every_value_is_rounded_and_the_answer_close(model, run):
    rounded = model.run(TOKENS, dtype="bfloat16")
    assert rounded["blocks.0.attn.weights"].dtype.name == rounded["logits"].dtype.name == "bfloat16"
    gap = np.abs(rounded["logits"].array.astype(float) - run["logits"].array).max()
    assert 0 < gap < 0.15


# --- the 8B shape -------------------------------------------------------------------------------------------------


def test_the_8b_shape_is_the_published_one():
    c = llama.SHAPES["llama3-8b"]
    assert (c.layers, c.width, c.heads, c.groups, c.head_width, c.vocabulary) == (32, 4096, 32, 8, 128, 128256)
    assert (c.hidden, c.eps, c.theta, c.tied, c.rotary) == (14336, 1e-5, 500_000.0, False, "pairs")
    program = byhand.load("llama3-8b").program
    assert program.parameters == 8_030_261_248
    assert len([step for step in program if step.operator.name == "rotary_pairs"]) == 64


def test_the_8b_table_for_seventeen_tokens():
    program = byhand.load("llama3-8b").program
    shapes = program.shapes(B=1, T=17)
    for layer in range(32):
        at = f"blocks.{layer}.attn"
        assert shapes[f"{at}.q"] == shapes[f"{at}.q_rot"] == shapes[f"{at}.heads"] == (1, 17, 32, 128)
        assert shapes[f"{at}.k"] == shapes[f"{at}.k_rot"] == shapes[f"{at}.v"] == (1, 17, 8, 128)
        assert shapes[f"{at}.scores"] == shapes[f"{at}.weights"] == (1, 32, 17, 17)
        assert shapes[f"{at}.out"] == (1, 17, 4096)
        assert shapes[f"{at}.q.weight"] == (4096, 32, 128) and shapes[f"{at}.out.weight"] == (32, 128, 4096)
    assert shapes["logits"] == (1, 17, 128256)
    rows = program.table(B=1, T=17)
    assert sum(row.parameters for row in rows) == 8_030_261_248
    products = sum(row.flops for row in rows if row.operator in ("linear", "to_heads", "from_heads", "unembed"))
    assert products == 2 * 17 * (8_030_261_248 - 128256 * 4096 - 65 * 4096)  # two for every weight that multiplies


def test_the_small_model_has_the_proportions_of_the_8b():
    real = llama.SHAPES["llama3-8b"]
    assert (SMALL.heads, SMALL.groups) == (real.heads, real.groups)
    assert SMALL.width / SMALL.hidden == real.width / real.hidden
    assert SMALL.width == SMALL.heads * SMALL.head_width and real.width == real.heads * real.head_width


def test_the_lesson_shows_it_all(example):
    lesson = example("04_llama_head_by_head")
    assert len(lesson.PROMPT) == 17
    assert "Llama-3-8B: 8,030,261,248 parameters" in lesson.printed
