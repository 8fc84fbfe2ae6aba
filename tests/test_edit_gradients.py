"""Gradients through edits: those of the edited function, against finite differences of an independent engine."""

import numpy as np
import pytest

from .edits import ALL, DRAW, INPUTS, STEPS, WEIGHTS, Case, chained
from .small_models import fresh, independent, model, run, same_bits

EVERYWHERE = ["token.weight", "blocks.0.attn.k.weight", "blocks.1.norm1.gain", "embed.out", "blocks.0.attn.q"]
EVERYWHERE += ["blocks.0.attn.scores", "blocks.0.attn.v", "blocks.0.mid", "blocks.1.attn.heads", "blocks.1.mlp.pre"]
# (a stream of zeros, as STEPS[4] makes it, bends too sharply in the next norm to be differentiated by small steps)
MOVED = Case("gpt2-tiny", "embed.out", {"position": 2}, {"set": DRAW.standard_normal((1, 32))}, (ALL, 2))
DIFFERENTIABLE = [
    [STEPS[0]],
    [STEPS[1]],  # softmax looks at its own output going back: the one it made
    [STEPS[1], MOVED, STEPS[5]],
    [STEPS[3]],
    [MOVED],
    [STEPS[6], STEPS[6], STEPS[0]],
    [STEPS[7]],
    [STEPS[9]],
    [Case("gpt2-tiny", "blocks.1.attn.weights", {"query": 4, "key": 0}, {"set": 0.75}, (..., 4, 0))],
    [Case("gpt2-tiny", "blocks.1.attn.weights", {"head": 0}, {"add": 0.1}, (ALL, 0))],
    [WEIGHTS[0], WEIGHTS[2], INPUTS[2]],
]


def slope(of, weights, inputs, patch, address, direction, before_edit):
    """The loss's change per step along a direction of one value, by central differences."""

    def loss(step):
        def moved(name, array):
            if name != address:
                return patch(name, array)
            return patch(name, array + step * direction) if before_edit else patch(name, array) + step * direction

        return float(independent(of, weights, inputs, moved)["loss"])

    h = 1e-6
    return (loss(h) - loss(-h)) / (2 * h)


@pytest.mark.parametrize("chain", DIFFERENTIABLE, ids=lambda chain: " ".join(map(str, chain)))
@pytest.mark.parametrize("keep", ["all", []], ids=str)
def test_gradients_are_those_of_the_edited_function(chain, keep):
    after = fresh("gpt2-tiny", keep=keep)
    for case in chain:
        after = case.edit(after)
    gradients = after.backward()
    draw = np.random.default_rng(1)
    plain = {name: array for name, array in fresh("gpt2-tiny").inputs.items()}
    for address in {*EVERYWHERE, *(case.address for case in chain)} - set(plain):
        direction = draw.standard_normal(after.look(address).shape)
        expected = slope(after.program, model("gpt2-tiny").weights, plain, chained(chain), address, direction, False)
        assert abs((gradients[address].array * direction).sum() - expected) < 2e-8, address
    for address in {case.address for case in chain} & set(after.program.producer):
        direction = draw.standard_normal(after.look(address).shape)
        expected = slope(after.program, model("gpt2-tiny").weights, plain, chained(chain), address, direction, True)
        assert abs((after[f"d:{address}@unedited"].array * direction).sum() - expected) < 2e-8, address


def test_set_stops_a_gradient_and_scale_scales_it():
    before = run("gpt2-tiny")
    stopped = before.edit("blocks.1.out", set=before["blocks.1.out"])
    stopped.backward()
    assert same_bits(stopped.look("d:blocks.1.out"), before.look("d:blocks.1.out"))
    assert not stopped.look("d:blocks.1.out@unedited").any() and not stopped.look("d:embed.out").any()
    assert stopped.look("d:final_norm.gain").any()
    partly = before.edit("blocks.1.out", position=2, set=before["blocks.1.out"].at(position=2))
    partly.backward()
    passed, whole = partly.look("d:blocks.1.out@unedited"), before.look("d:blocks.1.out")
    assert not passed[:, 2].any() and same_bits(np.delete(passed, 2, 1), np.delete(whole, 2, 1))
    scaled = before.edit("loss", scale=3.0)
    scaled.backward()
    assert scaled.look("d:loss") == 1 and scaled.look("d:loss@unedited") == 3
    assert np.allclose(scaled.look("d:embed.out"), 3 * before.look("d:embed.out"), rtol=1e-9, atol=1e-15)
    added = before.edit("blocks.0.mid", add=0.0)
    added.backward()
    assert same_bits(added.look("d:blocks.0.mid@unedited"), before.look("d:blocks.0.mid"))
