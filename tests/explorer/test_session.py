"""Scenes and what a session makes of them: runs found again, edits, patches, gradients, jobs, and copied Python."""

import threading
import time

import numpy as np
import pytest

import byhand
from byhand.errors import ByhandError
from byhand.explorer import Session
from byhand.explorer.jobs import Cancelled, Job
from byhand.explorer.scene import read_scene

from ..small_models import TEXTS, everything, fingerprint, model, same_bits
from .requests import EDITS, ask, session
from .scenes import edit, edited, scene_of

# --- runs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_scene_without_edits_is_the_models_run(name, dtype):
    own = session(name)
    scene = read_scene(scene_of(name, dtype=dtype))
    text, source = scene.prompt
    run = model(name).run(text, dtype=dtype, source=source)
    assert fingerprint(everything(own.run(scene))) == fingerprint(everything(run))


def test_edits_are_those_of_a_run():
    own, scene = session(), edited(scene_of("gpt2-tiny"), *EDITS)
    run = model("gpt2-tiny").run("Hello")
    run = run.edit("blocks.0.attn.heads", (0, slice(None), 1), zero=True)
    run = run.edit("blocks.0.mlp.down.weight", (3,), scale=-2.5)
    run = run.edit("blocks.1.mlp.act", (0, slice(1, 4), 7), add=0.3)
    run = run.edit("tokens", (0, 2), set=5)
    assert fingerprint(everything(own.run(read_scene(scene)))) == fingerprint(everything(run))
    head = ask(own, "run", scene=scene).head
    assert head["changes"] == [str(each) for each in run.edits]
    assert head["touched"][0] == "tokens" and "blocks.0.mlp.down.weight" not in head["touched"]
    assert (head["from_step"], [each["id"] for each in head["tokens"]][2]) == (0, 5)


def test_undoing_gives_the_same_bits_however_it_is_asked():
    own, fresh = session(), session()
    scenes = [edited(scene_of("gpt2-tiny"), *EDITS[:n]) for n in range(len(EDITS) + 1)]
    forward = [fingerprint(everything(own.run(read_scene(each)))) for each in scenes]
    assert len({str(each) for each in forward}) == len(scenes)
    for each, there in reversed(list(zip(scenes, forward, strict=True))):
        assert fingerprint(everything(own.run(read_scene(each)))) == there
        assert fingerprint(everything(fresh.run(read_scene(each)))) == there  # the last scene first


def test_an_edited_weight_is_not_taken_for_the_models():
    own, scene, address = session(), scene_of("gpt2-tiny"), "token.weight"
    other = edited(scene, edit(address, [3, 5], "set", 2.0))
    plain = own.look(read_scene(scene), address)
    assert own.look(read_scene(other), address)[3, 5] == 2 != plain[3, 5]
    assert own.look(read_scene({"text": "World"}), address) is plain


def test_the_order_of_edits_counts():
    own, scene, place = session(), scene_of("gpt2-tiny"), [0, 1, 3]
    to_two = edit("blocks.0.mlp.act", place, "set", 2.0)
    times_three = edit("blocks.0.mlp.act", place, "scale", 3.0)
    last = edit("blocks.1.mlp.act", place, "zero")
    for changes, expected in (((to_two, times_three), 6), ((times_three, to_two), 2)):
        own.run(read_scene(edited(scene, *changes)))
        made = own.run(read_scene(edited(scene, *changes[::-1], last)))
        assert made.look("blocks.0.mlp.act")[0, 1, 3] == 8 - expected


def test_what_an_edit_does_not_touch_stays_as_it_was():
    own, scene = session(), scene_of("gpt2-tiny")
    other = edited(scene, edit("blocks.1.attn.heads", [0, None, 1, None]))
    head = ask(own, "run", scene=other).head
    before, after = (own.run(read_scene(each)) for each in (scene, other))
    for address in before.program.addresses:
        assert same_bits(before.look(address), after.look(address)) != (address in head["touched"]), address


def test_a_patch_takes_the_part_of_another_scene():
    own, scene = session(), scene_of("gpt2-tiny")
    other = {"text": "World", "changes": EDITS[:1]}
    patched = edited(scene, edit("blocks.0.out", [0, [1, 3], None], "patch", other))
    expected = own.look(read_scene(scene), "blocks.0.out").copy()
    expected[0, 1:3] = own.look(read_scene(other), "blocks.0.out")[0, 1:3]
    assert np.array_equal(own.look(read_scene(patched), "blocks.0.out"), expected)
    whole = edited(scene, edit("blocks.0.out", [None, None, None], "patch", other))
    assert same_bits(own.look(read_scene(whole), "logits"), own.look(read_scene(other), "logits"))
    with pytest.raises(ByhandError, match="equal length"):
        ask(own, "run", scene=edited(scene, edit("blocks.0.out", [None] * 3, "patch", {"text": "longer"})))


def test_gradients_are_those_of_a_run():
    own = session()
    scene = edited(scene_of("gpt2-tiny"), EDITS[0]) | {"gradient": {"of": "logits", "index": [0, 3, 7]}}
    run = model("gpt2-tiny").run("Hello").edit("blocks.0.attn.heads", (0, slice(None), 1), zero=True)
    run.backward("logits", (0, 3, 7))
    made = own.run(read_scene(scene))
    assert all(same_bits(made.look(f"d:{address}"), run.look(f"d:{address}")) for address in run.grad)
    assert own.run(read_scene(scene).forward).gradients is None  # the run before is not changed


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (edit("nowhere", [0]), "no value 'nowhere'"),
        (edit("blocks.0.norm1.mean", [0, 0]), "only looked at"),
        (edit("blocks.0.attn.heads@unedited", [0]), "cannot be edited"),
        (edit("d:logits", [0, 0, 0]), "cannot be edited"),
        (edit("blocks.0.attn.heads", [0, 0, 9]), "out of range"),
        (edit("blocks.0.attn.heads", [0, [3, 3]]), "chooses nothing"),
        (edit("tokens", [0, 0], "set", 1000), "outside the vocabulary|vocabulary"),
        (edit("tokens", [0, 0], "add", 0.5), "cannot be done"),
    ],
)
def test_edits_that_cannot_be(change, line):
    own = session()
    with pytest.raises(ByhandError, match=line):
        ask(own, "run", scene=edited(scene_of("gpt2-tiny"), change))
    ask(own, "run", scene=scene_of("gpt2-tiny"))


# --- remembering ------------------------------------------------------------------------------------------------


def test_a_run_is_made_once(monkeypatch):
    own, made = session(), []
    plain = Session.plain
    monkeypatch.setattr(Session, "plain", lambda self, scene, job: made.append(scene) or plain(self, scene, job))
    for scene in (scene_of("gpt2-tiny"), edited(scene_of("gpt2-tiny"), *EDITS), scene_of("gpt2-tiny")):
        ask(own, "run", scene=scene)
    assert len(made) == 1


def test_runs_asked_for_longest_ago_are_let_go():
    own = session()
    ask(own, "run", scene={"text": "Hello"})
    own.most_bytes = own.bytes() * 3.5
    for text in ("World", "Again", "Hello", "Other", "Fifth"):
        ask(own, "run", scene={"text": text})
        assert own.bytes() <= own.most_bytes
    texts = [run.inputs["tokens"].tolist() for run in own.runs.values()]
    assert texts == [model("gpt2-tiny").token_ids(each).tolist() for each in ("Hello", "Other", "Fifth")]


def test_a_run_that_would_not_fit_keeps_less_and_gives_the_same():
    full, small = session(), session()
    small.most_bytes = 30_000
    scene = edited(scene_of("gpt2-tiny"), *EDITS)
    assert ask(small, "run", scene=scene).head["kept"] < ask(full, "run", scene=scene).head["kept"]
    for address in full.run(read_scene(scene)).program.addresses:
        assert same_bits(small.look(read_scene(scene), address), full.look(read_scene(scene), address)), address
    assert sum(each.nbytes for each in small.looked.values()) <= 30_000


# --- several at once, progress, cancelling ----------------------------------------------------------------------


class Slow:
    """Makes a run wait until it is let go on."""

    def __init__(self):
        self.begun, self.go = threading.Event(), threading.Event()

    def plain(self, session, scene, job):
        job.expect(3, "waiting")
        job.step()
        self.begun.set()
        while not self.go.wait(0.01):
            job.check()
        return session.model.run(scene.prompt[0], progress=job.step)


@pytest.fixture
def slow(monkeypatch):
    made = Slow()
    monkeypatch.setattr(Session, "plain", lambda self, scene, job: made.plain(self, scene, job))
    yield made
    made.go.set()


def in_thread(function, *arguments, **named):
    """The result or error of a call in a thread, in a list; and the thread."""
    found = []

    def call():
        try:
            found.append(function(*arguments, **named))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return found, thread


def test_progress_and_cancel(slow):
    own = session()
    found, thread = in_thread(ask, own, "run", scene={"text": "Hello"}, job="one")
    assert slow.begun.wait(10)
    head = ask(own, "progress", of="one").head
    assert head == {"running": True, "done": 1, "total": 3, "doing": "waiting"}
    assert ask(own, "cancel", of="another").head == {"stopped": False}
    assert ask(own, "cancel", of="one").head == {"stopped": True}
    thread.join(10)
    assert isinstance(found[0], Cancelled)
    assert ask(own, "progress", of="one").head["running"] is False
    slow.go.set()
    assert ask(own, "run", scene={"text": "Hello"}).head["kept"] > 40  # nothing is left half made


def test_one_that_waits_for_its_turn_can_be_cancelled(slow):
    own = session()
    first, one = in_thread(ask, own, "run", scene={"text": "Hello"}, job="one")
    assert slow.begun.wait(10)
    second, two = in_thread(ask, own, "run", scene={"text": "World"}, job="two")
    while not ask(own, "progress", of="two").head["running"]:
        time.sleep(0.01)
    ask(own, "cancel", of="two")
    two.join(10)
    assert isinstance(second[0], Cancelled) and not first
    slow.go.set()
    one.join(10)
    assert first[0].head["kept"] > 40


def test_what_is_kept_does_not_wait_for_a_slow_run(slow):
    own, scene = session(), {"text": "World"}
    slow.go.set()
    ask(own, "run", scene=scene)
    slow.go.clear()
    slow.begun.clear()
    _, thread = in_thread(ask, own, "run", scene={"text": "Hello"})
    assert slow.begun.wait(10)
    window = {"address": "blocks.0.attn.weights", "index": [0, 1, None, None]}
    quick, other = in_thread(ask, own, "window", scene=scene, **window)
    other.join(10)
    assert quick and quick[0].head["rows"] == [0, 5]
    assert thread.is_alive()


def test_a_cancelled_edit_leaves_the_run_before(monkeypatch):
    own, scene = session(), scene_of("gpt2-tiny")
    before = fingerprint(everything(own.run(read_scene(scene))))
    job = Job()
    monkeypatch.setattr(job, "step", lambda step=None: job.stop.set() or job.check())
    for more in ({"changes": EDITS}, {"gradient": {"of": "loss"}, "dtype": "float64"}):
        job.stop.clear()
        with pytest.raises(Cancelled):
            own.run(read_scene(scene | more), job)
    assert fingerprint(everything(own.run(read_scene(scene)))) == before


# --- what it says of the model and the text ---------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_the_model_is_described(name):
    own = session(name, first=read_scene(scene_of(name)))
    head, made = ask(own, "model").head, model(name)
    assert (head["name"], head["parameters"], head["version"]) == (made.name, made.parameters, byhand.__version__)
    assert head["sizes"] == made.program.sizes and head["first"] == scene_of(name)
    assert head["has_source"] == ("source" in scene_of(name) or "source_tokens" in scene_of(name))
    assert head["causal"] == (name not in ("bert-tiny", "original-encoder-tiny"))


def test_tokens_have_their_texts():
    assert ask(session(), "tokenize", text="Hey").head["tokens"] == [
        {"id": model("gpt2-tiny").tokenizer.encode(each)[0], "text": each} for each in "Hey"
    ]
    head = ask(session("original-tiny"), "run", scene=scene_of("original-tiny")).head
    assert "".join(each["text"] for each in head["source_tokens"]) == "Bonjour"


def test_a_run_says_what_it_is():
    own = session()
    head = ask(own, "run", scene=scene_of("gpt2-tiny")).head
    run = own.run(read_scene(scene_of("gpt2-tiny")))
    assert (head["kept"], head["values"], head["keeps_all"]) == (len(run.kept), len(run.program.producer), True)
    assert head["bytes"] == sum(each.nbytes for each in run.kept.values())
    assert np.float32(float(head["loss"])) == run.look("loss")
    assert head["touched"] == head["changes"] == [] and head["steps_done"] == len(run.program)
