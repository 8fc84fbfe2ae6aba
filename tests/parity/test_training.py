"""Training beside PyTorch: gradients, steps of AdamW, clipping, parts of a batch, dropout and the learning rate."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch
from torch import nn

from byhand.engines import ENGINES
from byhand.engines.learning import adamw
from byhand.engines.tolerances import TOLERANCES
from byhand.train import dropout, schedule
from byhand.train.settings import Settings

from .harness import tensor
from .torch_layers import original_twin
from .training import NO_SLOPE, How, Training, draw, loss_of, wrong
from .transformers_models import bert_twin, gpt2_twin, llama_twin
from .watch import wide

# The fewer numbers a ReLU sees, the less likely is one so near 0 that rounding decides whether it has a gradient.
SMALL = {"hidden": 16, "T": 4, "S": 5}
TWINS = {
    "gpt2": gpt2_twin,
    "llama": llama_twin,
    "llama, tied, multi-query": lambda **how: llama_twin(tied=True, groups=1, **how),
    "bert": bert_twin,
    "original": lambda **how: original_twin("encoder-decoder", attention_bias=True, **SMALL, **how),
    "original encoder": lambda **how: original_twin("encoder", **SMALL, **how),
    "original decoder": lambda **how: original_twin("decoder", **SMALL, **how),
}
BOTH = pytest.mark.parametrize("kind", ENGINES)
ALL = pytest.mark.parametrize("make", TWINS.values(), ids=TWINS)


@BOTH
@ALL
def test_the_gradient_of_every_parameter(make, kind):
    training, what = Training(make(), kind, How()), f"{kind} gradients"
    draw(training.twin, 1)
    loss, gradients = training.gradients(), training.learner.parameters.gradients
    with wide():
        oracle = training.twin.oracle(training.twin.run("float64"))
        expected = loss_of(training.twin, oracle)
        expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    largest = max(float(each.grad.abs().max()) for each in oracle.parameters() if each.grad is not None)
    for name, parameter in oracle.named_parameters():
        view, right = training.twin.views[name], parameter.grad.numpy()
        keys = view.addresses[0].endswith(NO_SLOPE)
        size = largest if keys else max(float(np.abs(right).max()), 0.01 * largest)
        difference = float(np.abs(view.build(gradients.__getitem__) - right).max()) / size
        training.twin.record(what, difference)
        assert difference <= TOLERANCES[kind, "float32"], f"the gradient of {name} is {difference:.2g} off"


@BOTH
@ALL
def test_twenty_steps(make, kind):
    losses = Training(make(), kind, How()).check(20, f"{kind} 20 steps")
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.05


@BOTH
@ALL
def test_twenty_steps_with_torchs_own_settings(make, kind):
    """At a rate so small that no single number goes wrong by 1e-4, see How."""
    Training(make(), kind, How(3e-5, (0.9, 0.999), 1e-8, 0.01)).check(20, f"{kind} 20 steps, torch's settings")


@BOTH
def test_everything_decays(kind):
    Training(gpt2_twin(), kind, How(decay=5.0, decayed="all")).check(20, f"{kind} all decay")


@BOTH
@ALL
def test_clipping(make, kind):
    training = Training(make(), kind, How(clip=0.2))
    training.step()
    ours, theirs = training.lengths
    assert ours == pytest.approx(theirs, rel=1e-5) and ours > 0.2
    training.check(9, f"{kind} clipped")


@BOTH
@ALL
def test_parts_are_one_batch(make, kind):
    Training(make(B=3), kind, How(parts=3)).check(10, f"{kind} in parts")


@BOTH
def test_four_parts_are_one_batch(kind):
    Training(gpt2_twin(B=8), kind, How(parts=4)).check(10, f"{kind} in parts")


# --- dropout --------------------------------------------------------------------------------------------------------


class Given(nn.Module):
    """In the place of a dropout: it multiplies by what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = torch.ones(())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.noise


def thinned(oracle: nn.Module) -> dict[str, Given]:
    """What stands for GPT-2's dropouts, by the address of byhand's noise."""
    names = {"transformer.drop": "embed.out"}
    for layer in range(2):
        names[f"transformer.h.{layer}.attn.resid_dropout"] = f"blocks.{layer}.attn.out"
        names[f"transformer.h.{layer}.mlp.dropout"] = f"blocks.{layer}.mlp.out"
    made = {f"{address}{dropout.NOISE}": Given() for address in names.values()}
    for name, address in names.items():
        oracle.set_submodule(name, made[f"{address}{dropout.NOISE}"])
    return made


@BOTH
def test_dropout_with_the_same_noise(kind):
    twin, rate = gpt2_twin(), 0.3
    program = dropout.dropped(twin.model.program_with(True), rate)
    training = Training(twin, kind, How(), program)
    places = thinned(training.oracle)
    shapes = program.shapes(*twin.given["tokens"].shape)
    for number in range(1, 21):
        noise = dropout.noise(program, shapes, rate, 0, number)
        assert noise.keys() == places.keys()
        for address, place in places.items():
            place.noise = tensor(noise[address])
        ours, theirs = training.step(noise=noise)
        assert abs(ours - theirs) <= 1e-5, number
    training.check_weights(f"{kind} dropout")


# --- the learning rate ----------------------------------------------------------------------------------------------


def rates(make, steps: int) -> list[float]:
    """The learning rate of every step of a schedule of torch's, from 1e-3."""
    optimiser = torch.optim.AdamW([nn.Parameter(torch.zeros(()))], lr=1e-3)
    schedule, found = make(optimiser), []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


@pytest.mark.parametrize("decay", ["cosine", "linear", "none"])
@pytest.mark.parametrize("warmup", [0, 10])
def test_the_rate_is_torchs(decay, warmup):
    steps, left = 100, 0.25
    made = Settings(family="gpt2", data="none", steps=steps, warmup=warmup, decay=decay, last_rate=left, rate=1e-3)
    torchs = torch.optim.lr_scheduler
    after = {
        "cosine": lambda of: torchs.CosineAnnealingLR(of, steps - warmup, eta_min=left * 1e-3),
        "linear": lambda of: torchs.LinearLR(of, 1.0, left, steps - warmup),
        "none": lambda of: torchs.ConstantLR(of, 1.0),
    }[decay]

    # ours has the full rate at step `warmup`, and the first step of the decay is the next
    def both(of):
        warming = torchs.LinearLR(of, 1 / warmup, 1.0, warmup - 1)
        return torchs.SequentialLR(of, [warming, after(of)], [warmup - 1])

    expected = rates(both, steps + 1) if warmup else rates(after, steps + 1)[1:]
    ours = [schedule.rate(made, step) for step in range(1, steps + 1)]
    assert np.abs(np.subtract(ours, expected[:steps])).max() < 1e-12


# --- each of these can fail -----------------------------------------------------------------------------------------


def step_of(value, gradient, first, second, how, decay, *, coupled=False, correct=True, scaled=True):
    """AdamW as it is, and with a mistake."""
    gradient = gradient * (how.scale if scaled else 1.0) + (decay * value if coupled else 0.0)
    value *= 1 - how.rate * (0.0 if coupled else decay)
    first += (1 - how.beta1) * (gradient - first)
    second += (1 - how.beta2) * (gradient**2 - second)
    free = (1 - how.beta1**how.number, 1 - how.beta2**how.number) if correct else (1.0, 1.0)
    value -= how.rate / free[0] * first / (np.sqrt(second) / sqrt(free[1]) + how.eps)


def other(**change):
    """AdamW with another setting."""
    return lambda *arrays: adamw(*arrays[:4], replace(arrays[4], **change), arrays[5])


MISTAKES = {
    "another beta1": other(beta1=0.899),
    "another beta2": other(beta2=0.9495),
    "another eps": other(eps=1e-5),
    "the number of the step": lambda *a: adamw(*a[:4], replace(a[4], number=a[4].number + 1), a[5]),
    "no correction": lambda *a: step_of(*a, correct=False),
    "coupled decay": lambda *a: step_of(*a, coupled=True),
    "no decay": lambda *a: adamw(*a[:5], 0.0),
    "biases decay": lambda *a: adamw(*a[:5], 0.1),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_step_is_caught(mistake):
    Training(gpt2_twin(), "reference", How()).check(20, "right")
    with wrong(mistake), pytest.raises(AssertionError, match="losses are|differs by"):
        Training(gpt2_twin(), "reference", How()).check(20, "wrong")


def test_a_right_step_written_otherwise_is_not_caught():
    with wrong(step_of):
        Training(gpt2_twin(), "reference", How()).check(20, "otherwise")


def test_a_gradient_that_is_not_clipped_is_caught():
    with wrong(lambda *a: step_of(*a, scaled=False)), pytest.raises(AssertionError, match="losses are|differs by"):
        Training(gpt2_twin(), "reference", How(clip=0.2)).check(9, "not clipped")


def test_parts_of_equal_weight_are_caught(monkeypatch):
    """Where parts have unequally many targets, the mean of their losses is not the loss of all."""
    training = Training(gpt2_twin(B=3), "reference", How(parts=3))
    learn = training.learner.learn
    monkeypatch.setattr(training.learner, "learn", lambda given, share, fresh: learn(given, 1 / 3, fresh))
    with pytest.raises(AssertionError, match="losses are|differs by"):
        training.check(10, "equal parts")


def test_noise_of_another_step_is_caught():
    twin, rate = gpt2_twin(), 0.3
    program = dropout.dropped(twin.model.program_with(True), rate)
    training = Training(twin, "reference", How(), program)
    places, shapes = thinned(training.oracle), program.shapes(*twin.given["tokens"].shape)
    for address, place in places.items():
        place.noise = tensor(dropout.noise(program, shapes, rate, 0, 2)[address])
    ours, theirs = training.step(noise=dropout.noise(program, shapes, rate, 0, 1))
    assert abs(ours - theirs) > 1e-3
