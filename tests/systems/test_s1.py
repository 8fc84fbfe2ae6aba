"""S1: the whole transformer of 2017 in einsum: encoder, decoder, encoder-decoder; batched and not; trainable."""

from math import cos, sin
from typing import Any

import numpy as np
import pytest

import byhand
from byhand import operators
from byhand.families import original

PARTS = {"encoder": "original-encoder-tiny", "decoder": "original-decoder-tiny", "encoder-decoder": "original-tiny"}
TOKENS_BT = np.random.default_rng(1).integers(0, 96, (3, 7))
SOURCE_BS = np.random.default_rng(2).integers(0, 96, (3, 5))


@pytest.fixture(scope="module")
def einsum(example):
    """The independent transformer: plain NumPy in the example's own file."""
    return example("02_transformer_in_einsum")


def given(part) -> dict[str, Any]:
    return {"source": SOURCE_BS} if part == "encoder-decoder" else {}


def wide(model):
    return {address: array.astype(np.float64) for address, array in model.weights.items()}


def independent(einsum, part, weights, tokens, source=None):
    return einsum.transformer(weights, tokens, part != "encoder", source)


# --- the pieces ---------------------------------------------------------------------------------------------------


def test_softmax_is_row_wise_and_shifted_by_the_maximum():
    score = np.array([[[[1000.0, 999.0, -1000.0], [0.0, 0.0, 0.0]]]])
    weight = operators["softmax"].forward(score)
    assert np.allclose(weight.sum(-1), 1, rtol=0, atol=1e-15)
    assert np.allclose(weight[0, 0, 0], [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0], rtol=1e-15)
    assert np.array_equal(weight, operators["softmax"].forward(score + 4096))


def test_embedding_is_a_lookup_and_equals_the_one_hot_product():
    model = byhand.load(PARTS["decoder"])
    run = model.run(TOKENS_BT, dtype="float64")
    table_VD = wide(model)["token.weight"]
    assert np.array_equal(run["embed.token"], table_VD[TOKENS_BT])
    assert np.array_equal(run["embed.token"], np.einsum("BTV,VD->BTD", np.eye(96)[TOKENS_BT], table_VD))
    d_table_VD = operators["lookup"].backward(np.ones((3, 7, 32)), TOKENS_BT, table_VD)[1]
    assert np.array_equal(d_table_VD, np.einsum("BTV,BTD->VD", np.eye(96)[TOKENS_BT], np.ones((3, 7, 32))))


def test_sinusoidal_positions_follow_the_formula_element_by_element():
    position_TD = byhand.load(PARTS["decoder"]).run(TOKENS_BT, dtype="float64")["embed.position"].array[0]
    for pos in range(7):
        for i in range(16):
            assert position_TD[pos, 2 * i] == pytest.approx(sin(pos / 10000 ** (2 * i / 32)), abs=1e-15)
            assert position_TD[pos, 2 * i + 1] == pytest.approx(cos(pos / 10000 ** (2 * i / 32)), abs=1e-15)


def test_w_q_is_the_flat_matrix_of_the_paper_reshaped_to_heads():
    model = byhand.load(PARTS["encoder"])
    run, flat_DD = model.run(TOKENS_BT, dtype="float64"), wide(model)["blocks.0.attn.q.weight"].reshape(32, 32)
    query_BTHK = (run["embed.out"].array @ flat_DD).reshape(3, 7, 4, 8)
    assert np.allclose(run["blocks.0.attn.q"], query_BTHK, rtol=0, atol=1e-13)


def test_the_block_is_post_norm_with_relu_and_eps():
    steps = {step.address: step for step in byhand.load(PARTS["encoder"]).program}
    after = [address.removeprefix("blocks.0.") for address in steps if address.startswith("blocks.0.")]
    spine = [
        address for address in after if address in ("mid", "norm1.out", "mlp.pre", "mlp.act", "mlp.out", "sum", "out")
    ]
    assert spine == ["mid", "norm1.out", "mlp.pre", "mlp.act", "mlp.out", "sum", "out"]
    assert steps["blocks.0.mlp.act"].operator.name == "relu"
    assert steps["blocks.0.norm1.out"].operator.name == steps["blocks.0.out"].operator.name == "layer_norm"
    assert steps["blocks.0.norm1.out"].attributes["eps"] == steps["blocks.0.out"].attributes["eps"] == 1e-5
    assert steps["logits"].reads[:2] == ("blocks.1.out", "token.weight")


# --- the three models ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_equal_to_the_independent_transformer_batched_and_unbatched(einsum, part):
    model = byhand.load(PARTS[part], seed=3)
    run = model.run(TOKENS_BT, dtype="float64", **given(part))
    logits_BTV = independent(einsum, part, wide(model), TOKENS_BT, given(part).get("source"))
    assert np.abs(run["logits"] - logits_BTV).max() < 1e-12
    assert np.abs(run["probs"] - einsum.softmax(logits_BTV)).max() < 1e-12
    source: dict[str, Any] = {name: array[1] for name, array in given(part).items()}
    alone = model.run(TOKENS_BT[1], dtype="float64", **source)["logits"].array
    assert alone.shape == (1, 7, 96)
    assert np.abs(alone[0] - run["logits"].array[1]).max() < 1e-12
    assert np.abs(independent(einsum, part, wide(model), TOKENS_BT[1], source.get("source")) - alone[0]).max() < 1e-12


@pytest.mark.parametrize("part", PARTS)
def test_every_layer_uses_its_own_weights(einsum, part):
    model = byhand.load(PARTS[part])
    before = model.run(TOKENS_BT, dtype="float64", **given(part))
    for name in ("attn.q.weight", "attn.out.weight", "mlp.up.weight", "norm2.gain"):
        changed = {layer: model.edit(f"blocks.{layer}.{name}", scale=1.5) for layer in (0, 1)}
        runs = {layer: changed[layer].run(TOKENS_BT, dtype="float64", **given(part)) for layer in (0, 1)}
        assert np.array_equal(runs[1]["blocks.0.out"], before["blocks.0.out"])
        assert np.abs(runs[0]["blocks.0.out"] - before["blocks.0.out"]).max() > 1e-3
        assert np.abs(runs[0]["logits"] - runs[1]["logits"]).max() > 1e-3
        source = given(part).get("source")
        for layer in (0, 1):
            expected = independent(einsum, part, wide(changed[layer]), TOKENS_BT, source)
            assert np.abs(runs[layer]["logits"] - expected).max() < 1e-12


def test_an_encoder_sees_everything_and_a_decoder_only_what_came_before():
    later_BT = TOKENS_BT.copy()
    later_BT[:, -1] = (later_BT[:, -1] + 1) % 96
    for part, blind in (("encoder", False), ("decoder", True)):
        model = byhand.load(PARTS[part])
        one, other = (model.run(tokens, dtype="float64")["logits"].array[:, :-1] for tokens in (TOKENS_BT, later_BT))
        assert (np.abs(one - other).max() == 0) == blind


def test_attention_takes_any_boolean_mask(einsum):
    allowed_BTS = np.random.default_rng(4).random((3, 7, 7)) < 0.5
    allowed_BTS |= np.eye(7, dtype=bool)
    model = byhand.load(PARTS["encoder"])
    run = model.run(TOKENS_BT, dtype="float64", mask=allowed_BTS)
    weight_BHTS = run["blocks.0.attn.weights"].array
    assert (weight_BHTS[np.broadcast_to(~allowed_BTS[:, None], weight_BHTS.shape)] == 0).all()
    weights = wide(model)
    x = einsum.stack(weights, "blocks.", einsum.embed(weights["token.weight"], TOKENS_BT), allowed_BTS[:, None])
    assert np.abs(run["blocks.1.out"] - x).max() < 1e-12


def test_padding_the_source_text_changes_nothing():
    model = byhand.load(PARTS["encoder-decoder"])
    padded_BS = np.concatenate([SOURCE_BS, np.zeros((3, 2), int)], axis=1)
    hidden: dict[str, Any] = {"source.mask": np.broadcast_to(np.arange(7) < 5, (3, 7))}
    one = model.run(TOKENS_BT, dtype="float64", source=SOURCE_BS)["logits"]
    other = model.run(TOKENS_BT, dtype="float64", source=padded_BS, **hidden)["logits"]
    assert np.abs(one - other).max() < 1e-12


def test_cross_attention_asks_the_source():
    model = byhand.load(PARTS["encoder-decoder"])
    run = model.run(TOKENS_BT, dtype="float64", source=SOURCE_BS)
    assert run["blocks.0.cross.weights"].shape == (3, 4, 7, 5)
    assert run["source.blocks.0.attn.weights"].shape == (3, 4, 5, 5)
    other = model.run(TOKENS_BT, dtype="float64", source=SOURCE_BS[:, ::-1])
    assert np.array_equal(run["blocks.0.attn.out"], other["blocks.0.attn.out"])
    assert np.abs(run["logits"] - other["logits"]).max() > 1e-3


@pytest.mark.parametrize("part", PARTS)
def test_gradient_descent_lowers_the_loss(part):
    model = byhand.load(PARTS[part], seed=5)
    batch: dict[str, Any] = given(part) | ({"targets": TOKENS_BT[:, ::-1]} if part == "encoder" else {})
    losses = []
    for _ in range(6):
        run = model.run(TOKENS_BT, dtype="float64", **batch)
        losses.append(run["loss"].item())
        gradient = run.backward()
        for address in model.weights:
            model = model.edit(address, add=-0.05 * gradient[address].array)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.8 * losses[0]


def test_the_paper_s_sizes_are_there():
    base = original.SHAPES["original-base"]
    assert (base.layers, base.width, base.heads, base.hidden) == (6, 512, 8, 2048)
    big = original.SHAPES["original-big"]
    assert (big.layers, big.width, big.heads, big.hidden) == (6, 1024, 16, 4096)
    assert byhand.load("original-base").program.shapes(B=2, T=9, S=11)["blocks.5.cross.scores"] == (2, 8, 9, 11)
