"""Dropout: where it stands in a program, and that its noise can be made again."""

from __future__ import annotations

import numpy as np
import pytest

import byhand
from byhand import engines, inputs
from byhand.engines import Parameters
from byhand.errors import InputError
from byhand.train.dropout import dropped, noise

GIVEN = {
    "gpt2-tiny": {"tokens": [[1, 2, 3, 4]]},
    "llama-tiny": {"tokens": [[1, 2, 3, 4]]},
    "bert-tiny": {"tokens": [[1, 2, 3, 4]], "targets": [[-1, 5, -1, 6]]},
    "original-tiny": {"tokens": [[1, 2, 3, 4]], "source.tokens": [[5, 6, 7]]},
}
IN_BLOCKS = {
    "gpt2-tiny": ["attn.out", "mlp.out"],
    "llama-tiny": ["attn.out", "mlp.out"],
    "bert-tiny": ["attn.out", "mlp.out"],
    "original-tiny": ["attn.out", "cross.out", "mlp.out"],
}


def prepared(name: str, rate: float = 0.5, step: int = 1):
    """A program with dropout, its inputs and the noise."""
    model = byhand.load(name)
    program = model.program_with(True)
    thin = dropped(program, rate)
    given = inputs.prepare(program, GIVEN[name])
    return model, thin, given, noise(thin, thin.shapes(B=1, T=4, S=3), rate, 3, step)


@pytest.mark.parametrize("name", GIVEN)
def test_it_stands_where_the_paper_has_it(name):
    _, thin, _, made = prepared(name)
    layers = range(byhand.load(name).config.layers)
    sides = ["", "source."] if name == "original-tiny" else [""]
    parts = {side: [each for each in IN_BLOCKS[name] if not (side and each == "cross.out")] for side in sides}
    wanted = {f"{side}embed.out" for side in sides}
    wanted |= {f"{side}blocks.{layer}.{each}" for side in sides for layer in layers for each in parts[side]}
    assert made.keys() == {f"{address}.noise" for address in wanted}
    for address in wanted:
        (reader,) = thin.readers(address)
        assert reader.address == f"{address}.dropped" and reader.reads == (address, f"{address}.noise")
        assert thin.readers(reader.address)
        assert "embed.out" in address or all(each.operator.name == "add" for each in thin.readers(reader.address))


@pytest.mark.parametrize("name", GIVEN)
def test_without_noise_it_is_the_program_itself(name):
    model, thin, given, made = prepared(name)
    assert [*thin.weights] == [*model.program_with(True).weights]
    ones = {address: np.ones_like(array) for address, array in made.items()}
    plain = model.program_with(True)
    losses = [
        engines.REFERENCE.learner(program, Parameters(program, model.weights)).learn(given | more)
        for program, more in ((plain, {}), (thin, ones), (thin, made))
    ]
    assert losses[0] == losses[1] != losses[2]
    assert dropped(plain, 0) is plain


def test_what_is_left_out_gives_and_gets_nothing():
    model, thin, given, made = prepared("gpt2-tiny")
    silent = {address: array * (not address.startswith("blocks.1.mlp")) for address, array in made.items()}
    parameters = Parameters(thin, model.weights)
    engines.REFERENCE.learner(thin, parameters).learn(given | silent)
    assert not parameters.gradients["blocks.1.mlp.up.weight"].any()
    assert parameters.gradients["blocks.0.mlp.up.weight"].any()


def test_the_noise_can_be_made_again():
    _, thin, _, first = prepared("gpt2-tiny")
    shapes = thin.shapes(B=1, T=4)
    address = "blocks.0.attn.out.noise"
    again = noise(thin, shapes, 0.5, 3, 1, 0)
    assert all(np.array_equal(first[each], again[each]) for each in first)
    others = [noise(thin, shapes, 0.5, *draw)[address] for draw in ((4, 1, 0), (3, 2, 0), (3, 1, 1))]
    others += [first["blocks.1.attn.out.noise"], first["blocks.0.mlp.out.noise"]]
    assert not any(np.array_equal(first[address], each) for each in others)


@pytest.mark.parametrize("rate", [0.1, 0.75])
def test_its_numbers_have_the_rate_and_the_average_one(rate):
    thin = dropped(byhand.load("gpt2-tiny").program_with(True), rate)
    made = noise(thin, thin.shapes(B=64, T=64), rate, 0, 1)["embed.out.noise"]
    assert made.dtype == np.float32 and made.shape == (64, 64, 32)
    assert set(np.unique(made)) == {np.float32(0), np.float32(1 / (1 - rate))}
    assert (made == 0).mean() == pytest.approx(rate, abs=0.01) and made.mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("rate", [1, -0.1, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(InputError, match="dropout is"):
        dropped(byhand.load("gpt2-tiny").program_with(True), rate)
