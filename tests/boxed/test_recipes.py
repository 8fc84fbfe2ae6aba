"""The recipes of the models in the box: they are right, small enough, and learn from texts that fit."""

from pathlib import Path

import numpy as np
import pytest

import byhand
from byhand.train.beginning import gathered, new, objective_of, silent
from byhand.train.objectives import batches
from byhand.train.settings import Settings, from_toml, made

RECIPES = Path(byhand.__file__).parent / "boxed" / "recipes"
FEW = 1000  # texts; the tokenizer has about as many tokens as from all
MOST = 1_950_000  # bytes as f16, which leaves room in 2 MB for the tokenizer


def recipe(name: str) -> Settings:
    return made(from_toml(RECIPES / f"{name}.toml") | {"examples": FEW})


def test_there_are_four():
    found = sorted(path.stem for path in RECIPES.glob("*.toml"))
    assert found == ["reversals", "stories", "stories-llama", "sums"]


@pytest.mark.parametrize("name", ["reversals", "stories", "stories-llama", "sums"])
def test_a_recipe_is_ready_and_small(name, tmp_path):
    settings = recipe(name)
    corpus = gathered(settings, tmp_path, None, silent)
    model = new(settings, corpus)
    assert 2 * sum(model.weights[address].size for address in model.weights) < MOST
    objective = objective_of(settings, None, corpus)
    length = settings.length or model.config.context
    batch = batches(objective, corpus, batch=2, length=length, seed=0, packed=True).at(1)
    assert batch["tokens"].shape[0] == 2 and batch["tokens"].max() < corpus.vocabulary
    assert np.issubdtype(batch["targets"].dtype, np.integer) and (batch["targets"] >= 0).any()


def test_stories_fit_into_the_context(tmp_path):
    """Most stories are shorter than what the models read at once."""
    settings = recipe("stories")
    split = gathered(settings, tmp_path, None, silent).train
    lengths = [len(split.stretch(number)) for number in range(split.texts)]
    assert np.mean(np.array(lengths) <= 256) > 0.9


def test_lines_are_apart(tmp_path):
    """Every sum ends with a token that is no part of it, so that a model can stop."""
    corpus = gathered(recipe("sums"), tmp_path, None, silent)
    assert corpus.around.after and corpus.tokenizer.decode(list(corpus.around.after)) not in "0123456789+-*()=#~"
