"""Random numbers checked by their formulas: all right as they are, and a planted defect found."""

import numpy as np
import pytest

from byhand.errors import InputError
from byhand.explorer import Session, trust
from byhand.explorer.digits import bits
from byhand.explorer.jobs import Cancelled, Job
from byhand.explorer.parameters import Parameters
from byhand.explorer.scene import read_scene
from byhand.explorer.wire import decoded, encoded

from ..small_models import TEXTS, model
from .scenes import edit, edited, scene_of

LOSS = {"of": "loss", "index": None}
CHECKED = [
    name for name in TEXTS if name not in ("bert-tiny", "original-encoder-tiny")
]  # those need targets for a loss


def asked(session, op="trust", **params):
    return decoded(encoded(session.handle(op, params))).head


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", CHECKED)
def test_random_numbers_and_gradients_are_what_their_formulas_give(name, dtype):
    head = asked(Session(model(name)), scene=scene_of(name, dtype=dtype, gradient=LOSS), count=60)
    assert (head["checked"], head["right"], head["failures"]) == (60, 60, [])
    assert sum(each["count"] for each in head["operators"]) == 60
    assert float(head["used"]) == max(float(each["used"]) for each in head["operators"]) <= 1
    assert float(head["worst"]["ulp"]) <= max(float(each["ulp"]) for each in head["operators"])


def test_more_numbers_than_addresses_look_at_every_address():
    head = asked(Session(model("gpt2-tiny")), scene=scene_of("gpt2-tiny"), count=200)
    assert (
        head["addresses"] == head["of"] == len(Session(model("gpt2-tiny")).run(read_scene(scene_of("gpt2-tiny"))).kept)
    )


def test_the_numbers_are_from_all_over_a_tensor(monkeypatch):
    session, scene = Session(model("gpt2-tiny")), scene_of("gpt2-tiny")
    run, looked, explain = session.run(read_scene(scene)), [], session.explain

    def noted(scene, address, index, job):
        looked.append((address, index))
        return explain(scene, address, index, job)

    monkeypatch.setattr(session, "explain", noted)
    asked(session, scene=scene, count=150)
    large = [(run.shape(address), index) for address, index in looked if len(run.shape(address)) == 4]
    for axis in (1, 2, 3):
        halves = {2 * index[axis] // shape[axis] for shape, index in large}
        assert halves == {0, 1}
    assert len(set(looked)) > 120


def test_another_seed_looks_at_other_numbers_and_the_same_at_the_same():
    session, scene = Session(model("llama-tiny")), scene_of("llama-tiny")
    first, again, other = ({**asked(session, scene=scene, count=40, seed=seed), "seconds": ""} for seed in (1, 1, 2))
    assert first == again != other


def test_a_number_that_is_off_is_found_and_named():
    session = Session(model("gpt2-tiny"))
    scene = scene_of("gpt2-tiny")
    run = session.run(read_scene(scene))
    spoiled = np.array(run.kept["blocks.1.mlp.act"])
    spoiled *= 1 + 2**-12
    run.kept["blocks.1.mlp.act"] = spoiled
    head = asked(session, scene=scene, count=200)
    assert head["right"] < head["checked"]
    found = {each["address"] for each in head["failures"]}
    assert "blocks.1.mlp.act" in found and found <= {"blocks.1.mlp.act", "blocks.1.mlp.out"}
    assert all(each["bits"] == bits(run.look(each["address"])[tuple(each["index"])]) for each in head["failures"])


def test_edited_numbers_are_right_too():
    scene = edited(
        scene_of("gpt2-tiny"), edit("blocks.0.mid", [None, 2], "scale", 1.5), edit("token.weight", [41], "add", 1)
    )
    head = asked(Session(model("gpt2-tiny")), scene=scene | {"gradient": LOSS}, count=200)
    assert head["right"] == head["checked"] == 200


def test_it_can_be_stopped_and_counts():
    session, job = Session(model("gpt2-tiny")), Job("j")
    session.run(read_scene(scene_of("gpt2-tiny")))
    steps = []
    job.step = lambda _=None: (steps.append(1), job.stop.set() if len(steps) == 5 else None, job.check())
    with pytest.raises(Cancelled):
        trust.trust(session, Parameters({"scene": scene_of("gpt2-tiny"), "count": 50}, "trust"), job)
    assert len(steps) == 5 and job.total == 50


def test_what_cannot_be_asked():
    for more, word in (({"count": 0}, "count"), ({"count": 10**6}, "count"), ({"cells": 1}, "cells")):
        with pytest.raises(InputError, match=word):
            asked(Session(model("aab")), scene=scene_of("aab"), **more)


# --- beside transformers ------------------------------------------------------------------------------------------


def test_without_transformers_it_says_so(monkeypatch):
    monkeypatch.setattr(trust, "find_spec", lambda name: None)
    head = asked(Session(model("gpt2-tiny")), "beside", scene=scene_of("gpt2-tiny"))
    assert head == {"available": False, "text": "torch and transformers not installed, so nothing is compared."}
