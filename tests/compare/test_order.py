"""A Llama and its own conversion into the other rotary order are the same; features read in the wrong order are not."""

from dataclasses import replace

import pytest

import byhand
from byhand.compare import compare

LLAMA = {"hf": ("llama-tiny", "model"), "gguf": ("llama-tiny-halves", "model.gguf")}


@pytest.mark.parametrize("form", LLAMA)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_model_and_its_conversion(tmp_path, form, swapped):
    name, file = LLAMA[form]
    model = byhand.load(name)
    other = byhand.load(model.save(tmp_path / file, format=form))
    assert other.config.rotary != model.config.rotary
    found = compare(other, model, "Hello") if swapped else compare(model, other, "Hello")
    assert found.verdict.startswith("same") and not found.causes
    assert any("they were put into one order" in note for note in found.notes)


def test_a_weight_that_was_lost_on_the_way_is_still_found(tmp_path):
    model = byhand.load("llama-tiny")
    other = byhand.load(model.save(tmp_path / "model", format="hf"))
    changed = other.edit("blocks.1.attn.k.weight", [3, 1, 2], add=1e-3)
    found = compare(model, changed, "Hello")
    assert found.first is not None and found.first.address == "blocks.1.attn.k"


@pytest.mark.parametrize(("one", "other"), [("pairs", "halves"), ("halves", "pairs")])
def test_features_read_in_the_wrong_order_stay_a_difference(one, other):
    model = byhand.load("llama-tiny")
    sides = [byhand.make("llama", replace(model.config, rotary=way), model.weights) for way in (one, other)]
    found = compare(sides[0], sides[1], [1, 2, 3])
    assert found.first is not None and found.first.address == "blocks.0.attn.q_rot"
    assert "rotary" in str(found.causes[0]) and not any("one order" in note for note in found.notes)
