"""GPT-2 on one page of plain NumPy gives the logits of the package, from the same weights by their published names."""

import numpy as np
import pytest

import byhand


@pytest.mark.parametrize(("name", "text"), [("gpt2-tiny", "Hello, world"), ("aab-gpt2", "abaab")])
def test_one_page_gives_the_same_logits(example, name, text):
    page = example("06_gpt2_on_one_page")
    model = byhand.load(name)
    run = model.run(text, dtype="float64")
    tokens = run.inputs["tokens"][0]
    logits_TV = page.gpt2(lambda weight: run[weight].array, tokens, model.config.layers, model.config.heads)
    assert np.abs(logits_TV - run["logits"].array[0]).max() < 1e-12


def test_the_page_reads_every_weight(example):
    page, run = example("06_gpt2_on_one_page"), byhand.load("gpt2-tiny").run("Hi", dtype="float64")
    read = set()

    def look(weight):
        read.add(weight)
        return run[weight].array

    page.gpt2(look, run.inputs["tokens"][0], 2, 4)
    assert len(read) == 2 + 2 + 2 * 12  # the two tables, the last norm, and twelve arrays a block


def test_the_page_does_not_use_the_package(example):
    page = example("06_gpt2_on_one_page")
    assert not any(getattr(each, "__name__", "").startswith("byhand") for each in vars(page).values())
