"""How the learning rate runs, and which weights decay."""

from math import cos, pi

import pytest

import byhand
from byhand.train import schedule
from byhand.train.settings import Settings


def settings(**given):
    return Settings(
        **({"family": "gpt2", "data": "x", "steps": 100, "rate": 2.0, "warmup": 10, "last_rate": 0.25} | given)
    )


def test_it_warms_up_in_a_line():
    rates = [schedule.rate(settings(), step) for step in range(1, 12)]
    assert rates[:10] == pytest.approx([0.2 * step for step in range(1, 11)])
    assert rates[10] < rates[9] == 2.0


@pytest.mark.parametrize(
    ("decay", "middle"),
    {"cosine": 2 * (0.25 + 0.75 * (1 + cos(pi / 2)) / 2), "linear": 2 * (0.25 + 0.75 / 2), "none": 2.0}.items(),
)
def test_it_decays_to_its_last_value(decay, middle):
    of = settings(decay=decay)
    assert schedule.rate(of, 55) == pytest.approx(middle)
    assert schedule.rate(of, 100) == pytest.approx(2.0 if decay == "none" else 0.5)
    assert schedule.rate(of, 32) > schedule.rate(of, 77) or decay == "none"
    assert schedule.rate(settings(decay="cosine"), 20) > schedule.rate(settings(decay="linear"), 20)


def test_without_warm_up_the_first_step_decays_already():
    assert schedule.rate(settings(warmup=0), 1) == pytest.approx(2 * (0.25 + 0.75 * (1 + cos(pi / 100)) / 2))
    assert schedule.rate(settings(warmup=1, steps=1), 1) == 2.0


@pytest.mark.parametrize(("steps", "warming"), [(20, 2), (2000, 100), (5, 0)])
def test_the_usual_warm_up(steps, warming):
    assert settings(warmup=None, steps=steps).warming == warming


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-tiny", "bert-tiny"])
def test_matrices_and_tables_decay(name):
    program = byhand.load(name).program_with(targets=True)
    decay = schedule.decay(settings(weight_decay=0.3), program)
    assert set(decay.values()) == {0.3} and "token.weight" in decay
    assert all(name.endswith(".weight") for name in decay)
    assert "blocks.0.attn.q.weight" in decay and "blocks.0.attn.q.bias" not in decay
    every = schedule.decay(settings(decayed="all"), program)
    learned = {address for step in program.path("loss") for address in step.gradients.values()}
    assert set(every) == set(program.weights) & learned
    assert ("pooler.weight" in program.weights) is (name == "bert-tiny") and "pooler.weight" not in every


def test_what_is_clipped():
    assert schedule.clipped(settings(clip=0.5), 2.0) == 0.25
    assert schedule.clipped(settings(clip=2.0), 2.0) == schedule.clipped(settings(clip=0.0), 9.0) == 1.0
