"""Models in another basis: dense, of the same function, still proven, and their circuit can be read off."""

import numpy as np
import pytest

from byhand.wiring import WiringError, compile, verify
from byhand.wiring.proof import prove
from byhand.wiring.rotating import rotation, turned
from byhand.wiring.zoo import PROGRAMS
from byhand.wiring.zoo.induction import induction

from .programs import FAMILIES, doubled, histogram

MADE = {
    "aab": PROGRAMS["aab"].make,
    "induction": lambda: induction("abc", context=24),
    "doubled": doubled,
    "histogram": lambda: histogram(most=3, context=12),
}


@pytest.fixture(scope="module", params=[(name, family) for name in MADE for family in FAMILIES], ids=str)
def both(request):
    name, family = request.param
    plain = compile(MADE[name](), family)
    return plain, plain.rotated(seed=3)


@pytest.mark.parametrize("centred", [False, True])
def test_a_rotation_keeps_lengths_and_if_asked_the_ones(centred):
    made, other = rotation(9, 0, centred), rotation(9, 1, centred)
    assert np.abs(made @ made.T - np.eye(9)).max() < 1e-14
    assert bool(np.abs(np.ones(9) @ made - 1).max() < 1e-14) is centred
    assert np.abs(made - other).max() > 0.1 and np.abs(made).min() > 1e-4


def test_it_is_dense_and_does_the_same(both):
    plain, dense = both
    assert (dense.model.weights["token.weight"] != 0).all()
    for name in "qkv":
        weights = dense.model.weights[f"blocks.0.attn.{name}.weight"]
        assert weights.any(0).sum() * len(weights) == np.count_nonzero(weights)  # all of a column, or nothing
    assert dense.model.parameters == plain.model.parameters
    assert dense.verify(exhaustive=200, random=50).passed
    ids = np.random.default_rng(0).integers(1, plain.model.config.vocabulary, (8, plain.model.config.context))
    ids[:, 0] = 0
    ours, theirs = (each.model.run(ids, dtype="float64", keep=["logits"]).look("logits") for each in both)
    assert np.abs(ours - theirs).max() < 1e-2 * np.ptp(ours)


def test_it_is_proven_with_the_rounding_of_dense_products(both):
    plain, dense = both
    assert dense.prove().holds
    before, after = plain.report(), dense.report()
    assert 1 < after.worst.slack < before.worst.slack
    for was, now in zip(before.proof.sites["float32"], after.proof.sites["float32"], strict=True):
        assert now.name == was.name
        if was.kind == "head":
            assert now.margin == pytest.approx(was.margin, rel=0.02) and now.noise > was.noise


def test_its_circuit_can_be_read_off(both):
    plain, dense = both
    assert str(dense.look().stream()) == str(plain.look().stream())
    for layer in plain.wiring.layers:
        for head in layer.heads:
            ours, theirs = dense.look().scores(head.name).rows, plain.look().scores(head.name).rows
            assert [row[0] for row in ours] == [row[0] for row in theirs]
    assert dense.look().rules() == plain.look().rules()
    text = plain.wiring.alphabet[0] * 4
    assert [row[:3] for row in dense.look().step(text).rows()] == [row[:3] for row in plain.look().step(text).rows()]


def test_a_changed_weight_is_found_there_too(both):
    _, dense = both
    address = next(each for each in dense.model.weights if each.endswith("attn.v.weight"))
    broken = dense.model.edit(address, (0, 0, 0), add=0.5)
    assert not dense.prove(broken).holds


def test_a_rotation_that_moves_the_mean_is_found():
    """A layer norm takes the mean away: with any other rotation the model is another one."""
    plain = compile(PROGRAMS["aab"].make(), "gpt2")
    wrong = turned(plain.model, rotation(plain.model.config.width, 0, centred=False))
    assert not verify(plain.wiring, wrong, engines=["reference"], random=9).passed


def test_where_rounding_reaches_a_margin_it_is_refused_or_said():
    plain = compile(PROGRAMS["addition-3"].make(), "gpt2")
    with pytest.raises(WiringError, match=r"layer 0 digit: 19 steps, 38 units: its margin is .* rounding in float32"):
        plain.rotated()
    dense = plain.rotated(certain=False)
    assert not prove(dense.plan, dense.model.weights, dense.model.config, ["float32"]).holds
    program = PROGRAMS["addition-3"]
    assert dense.verify(program.follows, texts=program.texts, exhaustive=0, random=100, engines=["reference"]).passed


def test_norms_with_several_gains_are_refused():
    plain = compile(PROGRAMS["aab"].make(), "llama")
    gain = np.array(plain.model.weights["blocks.0.norm1.gain"])
    gain[-1] *= 1.0001
    with pytest.raises(WiringError, match="blocks.0.norm1.gain: its numbers differ"):
        plain.with_weights({"blocks.0.norm1.gain": gain}).rotated()
