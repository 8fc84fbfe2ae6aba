"""The models in the box: small, loaded by name, as good as is said, and made as is said."""

import tomllib

import pytest

import byhand
from byhand import boxed
from byhand.train.settings import from_toml

from .figures import FIGURES, early, figures

SAID = tomllib.loads(FIGURES.read_text())
NAMES = pytest.mark.parametrize("name", boxed.MODELS)
MOST = 2_000_000  # bytes


def test_all_of_them_have_figures():
    assert list(SAID) == list(boxed.MODELS)


@NAMES
def test_a_model_is_small_and_of_its_family(name):
    assert sum(each.stat().st_size for each in boxed.path(name).iterdir()) <= MOST
    model = byhand.load(name)
    assert model.name == name and model.family.__name__.endswith(boxed.MODELS[name])
    assert model.parameters == SAID[name]["parameters"]
    assert all(model.weights.dtype(address) == "float16" for address in model.weights)


@NAMES
def test_it_is_as_good_as_is_said(name):
    found, said = figures(name), SAID[name]
    assert {what: said[what] for what in found} == pytest.approx(found, abs=2e-3)
    assert said.get("loss", 0) < 0.8 and said.get("right", 1) > 0.8


@NAMES
def test_its_training_begins_as_is_said(name):
    assert early(from_toml(boxed.recipe(name))) == pytest.approx(SAID[name]["early_loss"], abs=2e-3)


def test_words_are_turned_around():
    model = byhand.load("reversals")
    assert model.generate("", source="reverse garden", max_tokens=12).finish().text == "nedrag"
