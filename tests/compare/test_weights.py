"""What is said of weights that differ: it is true of all of them, and many are told in one line."""

import ml_dtypes
import numpy as np
import pytest

import byhand
from byhand.compare import compare
from byhand.families import gpt2, llama

from .planted import CONFIGS, reweighted, sound

IDS = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7]
WIDE = {"layers": 2, "width": 64, "heads": 4, "hidden": 96, "vocabulary": 64, "context": 32}


def remade(family, change):
    """The model with every weight changed by its address."""
    weights = {a: change(a, np.array(w)) for a, w in sound(family).weights.items()}
    return byhand.make(family, CONFIGS[family], weights, name=f"{family} remade")


def exchanged(family, *pairs):
    """The model with names of weights exchanged in pairs, in all their addresses."""
    weights = {a: np.array(w) for a, w in sound(family).weights.items()}

    def other(address):
        for one, two in pairs:
            if one in address:
                return address.replace(one, two)
            if two in address:
                return address.replace(two, one)
        return address

    return byhand.make(family, CONFIGS[family], {a: weights[other(a)] for a in weights}, name="exchanged")


@pytest.mark.parametrize("kind", [ml_dtypes.bfloat16, np.float16])
@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("family", CONFIGS)
def test_rounded_weights_are_rounding_in_whatever_type_they_are_stored(family, kind, stored):
    """Also where some are so near zero that float16 has few digits for them."""
    for size in (1.0, 1e-4):
        model = remade(family, lambda _, w, size=size: w * np.float32(size))
        rounded = {a: np.array(w).astype(kind) for a, w in model.weights.items()}
        other = byhand.make(
            family, CONFIGS[family], rounded if stored else {a: w.astype(np.float32) for a, w in rounded.items()}
        )
        for found in (compare(model, other, IDS), compare(other, model, IDS)):
            assert found.verdict == "same up to rounding", str(found)
            assert "differ by rounding alone" in found.notes[0]


def test_one_number_changed_is_no_rounding():
    """Though a model made of whole numbers is what bfloat16 makes of it with a little more in one place."""
    model = byhand.load("aab")
    found = compare(model, model.edit("blocks.0.attn.v.weight", (5, 0, 7), add=1e-3), "aab")
    assert (found.verdict, found.causes[0].kind) == ("differ", "a weight changed")


def test_a_change_among_rounded_weights_is_found():
    def change(address, weight):
        weight = weight.astype(ml_dtypes.bfloat16).astype(np.float32)
        weight.flat[5] += 0.25 * (address == "blocks.1.mlp.up.weight")
        return weight

    found = compare(sound("gpt2"), remade("gpt2", change), IDS)
    assert found.first.weight == "blocks.1.mlp.up.weight"
    assert [cause.kind for cause in found.causes] == ["a weight changed"]
    assert "blocks.1.mlp.up.weight[0,5]" in found.causes[0].said


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
@pytest.mark.parametrize("config", [gpt2.Config(**WIDE), llama.Config(**WIDE, groups=2, head_width=16)], ids=str)
def test_quantised_weights_are_one_cause(config, kind, tmp_path):
    family = type(config).__module__.rpartition(".")[2]
    model = byhand.make(family, config, seed=0, name=family)
    path = model.save(tmp_path / "model.gguf", format="gguf", dtype=kind)
    for a, b, words in ((model, path, "quantised to"), (path, model, "as before being quantised to")):
        found = compare(a, b, IDS)
        assert [cause.kind for cause in found.causes] == ["quantised weights"]
        assert f"{words} {kind.upper()}, in blocks of 32" in found.causes[0].said
        assert "off by 0.0" in found.causes[0].said
        assert set(found.causes[0].explains) == {each.address for each in found.steps if each.state == "differs"}


CHANGES = {
    "factor": (lambda w: w * np.float32(1.1), "factor", "{} times 1.1"),
    "one more": (lambda w: w + 1, "gain", "{} plus 1"),
    "zeros": (np.zeros_like, "zeros", "{} all zeros"),
    "heads": (lambda w: w[:, [1, 2, 3, 4, 5, 0]], "swapped heads", "heads of {} in the order [1, 2, 3, 4, 5, 0]"),
    "backwards": (lambda w: w[::-1].copy(), "order", "{} along D from last to first"),
    "features": (
        lambda w: w.reshape(24, 24)[:, np.arange(24).reshape(6, 4).T.ravel()].reshape(w.shape),
        "order",
        "features of all heads of {} taken as 6 by 4 numbers and transposed",
    ),
}


@pytest.mark.parametrize(("make", "kind", "said"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("family", CONFIGS)
def test_what_was_done_to_a_weight(family, make, kind, said):
    address = "blocks.1.attn.q.weight"
    found = compare(sound(family), reweighted(family, address, make), IDS)
    assert [(cause.kind, cause.said) for cause in found.causes] == [(kind, said.format(address))]


def test_a_table_moved_by_one():
    found = compare(sound("gpt2"), reweighted("gpt2", "position.weight", lambda w: np.roll(w, 1, 0)), IDS)
    assert [(cause.kind, cause.said) for cause in found.causes] == [("positions", "position.weight along P moved by 1")]


@pytest.mark.parametrize("family", CONFIGS)
def test_exchanged_blocks_and_exchanged_weights(family):
    found = compare(sound(family), exchanged(family, ("blocks.0.", "blocks.1.")), IDS)
    assert [cause.said for cause in found.causes] == [
        "the weights of blocks.1 in place of those of blocks.0",
        "the weights of blocks.0 in place of those of blocks.1",
    ]
    found = compare(sound(family), exchanged(family, ("attn.k.", "attn.v.")), IDS)
    assert [cause.said for cause in found.causes] == [
        "a block's attn.v in place of its attn.k",
        "a block's attn.k in place of its attn.v",
    ]
    assert "blocks.1.attn.k" in found.causes[0].explains


@pytest.mark.parametrize("family", CONFIGS)
def test_many_weights_are_told_in_few_lines(family):
    noise = np.random.default_rng(1)
    for change, said in (
        (lambda _, w: w + noise.normal(size=w.shape).astype(np.float32) * np.float32(1e-3), "a little different"),
        (lambda _, w: noise.normal(size=w.shape).astype(np.float32), "different, off by"),
    ):
        found = compare(sound(family), remade(family, change), IDS)
        assert len(found.causes) == 1
        assert said in found.causes[0].said
        assert set(found.causes[0].explains) == {
            each.address for each in found.steps if each.state == "differs" and each.weight
        }


def test_what_is_not_told_is_counted():
    def change(address, weight):
        weight.flat[3] += 0.1
        return weight

    found = compare(sound("gpt2"), remade("gpt2", change), IDS)
    told = {address for cause in found.causes[:-1] for address in cause.explains}
    late = {each.address for each in found.steps if each.state == "differs" and each.weight} - told
    assert len(found.causes) == 6
    assert set(found.causes[-1].unlike) == late
    assert str(found.causes[-1]).startswith(f"{len(late)} other steps differ too")
