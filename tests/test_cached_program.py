"""The program that reads piece by piece: its steps, its inputs, its explanations and gradients."""

import numpy as np
import pytest

from byhand import inputs
from byhand.engines.reference import precision
from byhand.errors import InputError
from byhand.operators import append
from byhand.run import Run, execute

from .small_models import model, same_bits

NAMES = ["aab", "gpt2-tiny", "llama-tiny", "llama 3.1", "original-decoder-tiny", "original-tiny"]


def cached(name: str, targets: bool = False):
    of = model(name)
    return of.family.program(of.config, targets, cached=True)


def piece(name: str, B: int = 1, places: int = 9, **given) -> Run:
    """Two tokens of each text at positions 2 and 3, after two that were read before (here: numbers from a seed)."""
    program, rng = cached(name, "targets" in given), np.random.default_rng(0)
    shapes = program.shapes(B, 2, 7, places)
    caches = {a: rng.standard_normal(shapes[a]) for a, each in program.inputs.items() if each.rule == "cache"}
    tokens = {"tokens": rng.integers(0, program.sizes["V"], (B, 2)), "positions": [[2, 3]] * B}
    prepared = inputs.prepare(program, {**caches, **tokens, **given})
    return execute(program, model(name).weights, prepared, precision("float64"), tokens=model(name).tokens)


@pytest.mark.parametrize("name", NAMES)
def test_the_cached_program_is_the_ordinary_one_with_appending_steps(name):
    ordinary, program = model(name).program, cached(name)
    added = [step.address for step in program if step.operator is append]
    layers = model(name).config.layers
    assert added == [f"blocks.{layer}.attn.{kind}" for layer in range(layers) for kind in ("keys", "values")]
    kept = [step for step in program if step.address not in added]
    before = [step for step in ordinary if step.address in {each.address for each in kept}]
    assert [(step.address, step.operator) for step in kept] == [(step.address, step.operator) for step in before]
    gone = {step.address for step in ordinary} - {step.address for step in kept}
    assert all(address.startswith("source.") or address.endswith((".cross.k", ".cross.v")) for address in gone)
    rotated = "_rot" * ("llama" in name)
    assert {f"cache.blocks.0.attn.k{rotated}", "cache.blocks.0.attn.v"} <= program.inputs.keys()


def test_its_table_says_how_much_is_cached():
    text = str(cached("llama-tiny"))
    assert text.startswith("llama cached: 47 steps, 30,880 parameters\n")
    assert (
        "blocks.0.attn.keys     append         BSGK  cache.blocks.0.attn.k_rot, blocks.0.attn.k_rot, positions" in text
    )
    shapes = cached("original-tiny").shapes(B=2, T=1, S=7, C=30)
    assert shapes["blocks.0.attn.keys"] == shapes["cache.blocks.0.attn.k"] == (2, 30, 4, 8)
    assert shapes["blocks.0.cross.k"] == (2, 7, 4, 8) and shapes["blocks.0.cross.weights"] == (2, 4, 1, 7)
    assert shapes["mask"] == (2, 1, 30) and shapes["cross.mask"] == (2, 1, 7)
    assert piece("original-tiny", 2).shape("blocks.1.attn.weights") == (2, 4, 2, 9)


def test_later_places_are_hidden_whatever_they_hold():
    run = piece("gpt2-tiny")
    assert (run.look("mask")[0] == [[s <= p for s in range(9)] for p in (2, 3)]).all()
    other = run.edit("cache.blocks.0.attn.k", position=slice(4, 9), add=5.0)
    other = other.edit("cache.blocks.1.attn.v", position=slice(2, 9), add=5.0)
    assert same_bits(other.look("logits"), run.look("logits"))
    assert not same_bits(run.edit("cache.blocks.0.attn.k", position=1, add=5.0).look("logits"), run.look("logits"))


def test_places_may_be_hidden_by_the_caller():
    real = np.ones((1, 9), bool)
    real[0, 0] = False
    hidden = piece("gpt2-tiny", mask=real)
    assert not hidden.look("mask")[0, :, 0].any() and hidden.look("mask")[0, 1].sum() == 3
    padded = np.ones((2, 7), bool)
    padded[1, 4:] = False
    assert (piece("original-tiny", 2, **{"cross.mask": padded}).look("cross.mask").sum(-1) == [[7, 7], [4, 4]]).all()


def test_explanations_end_at_the_cache():
    run = piece("llama-tiny")
    new, old = (run.explain("blocks.0.attn.keys", (0, s, 1, 3)) for s in (3, 1))
    assert new.value == run.look("blocks.0.attn.k_rot")[0, 1, 1, 3] == new.stored
    assert old.value == run.look("cache.blocks.0.attn.k_rot")[0, 1, 1, 3] == old.stored
    assert "kept from what was read before" in str(run.explain("cache.blocks.0.attn.v", (0, 1, 0, 2)))
    assert "0 ulp" in str(old)
    assert run["blocks.0.attn.weights"].labels.keys() == {"T"}


def test_gradients_pass_into_the_cache():
    run = piece("gpt2-tiny", targets=[[5, 6]])
    run.backward()
    for address in ("cache.blocks.0.attn.k", "cache.blocks.1.attn.v"):
        gradient = run.grad[address].array
        assert gradient[:, :2].any() and not gradient[:, 2:].any()  # what is replaced or hidden has no influence
        index, h = (0, 1, 2, 3), 1e-5
        up, down = (run.edit(address, index, add=step).look("loss") for step in (h, -h))
        assert gradient[index] == pytest.approx((up - down) / (2 * h), rel=1e-6, abs=1e-10)


K, V = (f"cache.blocks.1.attn.{name}" for name in "kv")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({V: np.zeros((1, 8, 4, 8))}, "cache.blocks.1.attn.v has 8 places and cache.blocks.0.attn.k has 9; give all"),
        ({K: np.zeros((1, 9, 2, 8))}, "cache.blocks.1.attn.k has shape .1, 9, 2, 8.; give .texts, places, 4, 8."),
        ({K: np.zeros((2, 9, 4, 8))}, "cache.blocks.1.attn.k has 2 texts, tokens has 1; give as many of both"),
        ({K: 0.0}, "piece by piece: cache.blocks.1.attn.k must be an array .B,S,G,K., zeros at first"),
        ({"positions": [[8, 9]]}, "position 9 has no place in the cache; its places are 0 … 8"),
        ({"positions": [[-1, 0]]}, "positions is -1 at .0, 0.; the table of positions has 0 … 63"),
    ],
)
def test_a_cache_that_does_not_fit_is_refused(given, message):
    with pytest.raises(InputError, match=message) as caught:
        piece("gpt2-tiny", **given)
    assert "\n" not in str(caught.value)


def test_a_cache_must_be_given():
    with pytest.raises(InputError, match="piece by piece: cache.blocks.0.attn.k must be an array"):
        inputs.prepare(cached("gpt2-tiny"), {"tokens": np.array([[1]])})
