"""GPT-2's 124 million weights and a text as long as it reads: less is kept, the rest is made when it is looked at."""

import numpy as np
import pytest

import byhand
from byhand.explorer import Session
from byhand.explorer.jobs import Cancelled, Job
from byhand.explorer.scene import read_scene
from byhand.explorer.wire import encoded

TOKENS, KEPT = 1024, 600_000_000  # bytes of all values: 2.9 GB


@pytest.fixture(scope="module")
def session():
    made = Session(byhand.load("gpt2-124m"))
    made.most_bytes = 3 * KEPT
    return made


@pytest.fixture(scope="module")
def scene():
    return {"tokens": np.random.default_rng(0).integers(0, 50257, TOKENS).tolist()}


def test_a_long_text_keeps_little_and_shows_all(session, scene):
    head = session.handle("run", {"scene": scene}).head
    assert not head["keeps_all"] and head["bytes"] < KEPT
    of = {"scene": scene, "address": "blocks.7.attn.weights", "index": [0, 3, None, None]}
    asked = {**of, "rows": [1000, 1024], "columns": [0, 1024], "height": 24, "width": 1024}
    answer = session.handle("window", asked)
    assert len(encoded(answer)) < 4_000_000
    run = session.run(read_scene(scene))
    assert "blocks.7.attn.weights" not in run.kept
    weights_TS = answer.arrays["values"]
    assert np.abs(weights_TS.sum(-1) - 1).max() < 1e-5 and not weights_TS[0, 1001:].any()
    number = session.handle("number", {"scene": scene, "address": "blocks.7.attn.out", "index": [0, 1000, 5]}).head
    assert number["within"] and number["count"] == 769  # of 12 heads with 64 features, and the bias


def test_work_on_it_can_be_cancelled(session, scene):
    job = Job("slow")

    def step(_=None):
        job.done += 1
        if job.done == 20:
            job.stop.set()
        job.check()

    job.step = step
    changed = {**scene, "changes": [{"address": "token.weight", "index": [5, 7], "action": "add", "value": 1.0}]}
    with pytest.raises(Cancelled):
        session.handle("run", {"scene": changed}, job)
    assert session.remembered(read_scene(scene)) is not None and session.remembered(read_scene(changed)) is None
