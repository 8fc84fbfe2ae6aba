"""Every cell of a sweep is what a run of its own gives."""

from threading import Thread
from time import monotonic, sleep

import numpy as np
import pytest

from byhand.errors import InputError
from byhand.explorer import Session, sweeping
from byhand.explorer.jobs import Cancelled, Job
from byhand.explorer.scene import read_scene

from ..small_models import everything, model, same_bits
from .scenes import edit, edited, scene_of

ALL = None
HEADS = edit("blocks.*.attn.heads", [ALL, ALL, "*", ALL])
SWEEPS = {
    "heads of all layers": ("gpt2-tiny", "layer×head", HEADS),
    "grouped keys": ("llama-tiny", "layer×head", edit("blocks.*.attn.k", [ALL, ALL, "*"], "scale", 0.5)),
    "weights of heads": ("llama-tiny", "layer×head", edit("blocks.*.attn.q.weight", [ALL, "*"], "add", 0.1)),
    "one layer": ("gpt2-tiny", "head", edit("blocks.1.attn.heads", [ALL, ALL, "*"])),
    "layers": ("original-tiny", "layer", edit("blocks.*.cross.out", [])),
    "positions": ("gpt2-tiny", "position", edit("embed.position", [ALL, "*"])),
    "streams": ("bert-tiny", "layer×position", edit("blocks.*.mid", [ALL, "*", 3], "add", 2)),
    "heads at positions": ("gpt2-tiny", "head×position", edit("blocks.0.attn.heads", [0, "*", "*"], "set", 1)),
    "source": ("original-tiny", "layer×position", edit("source.blocks.*.out", [0, "*"])),
    "patching": ("gpt2-tiny", "layer×position", edit("blocks.*.out", [ALL, "*"], "patch", {"text": "World"})),
}
CASES = pytest.mark.parametrize("name, over, change", SWEEPS.values(), ids=SWEEPS)


def sweep(session, scene, over, change, **measure):
    return session.handle("sweep", {"scene": scene, "over": over, "change": change, "measure": measure})


def filled(change, over, row, column):
    """The edit of one cell, put together anew."""
    address, index = change["address"], list(change["index"])
    for word, number in zip(over.split("×"), (row, column), strict=False):
        if word == "layer":
            address = address.replace("*", str(number))
        elif word == "position":
            index[1] = number
        else:
            index[index.index("*", 2 if len(index) > 2 else 0)] = number
    return change | {"address": address, "index": index}


@CASES
def test_a_cell_is_the_single_run(name, over, change):
    session, scene = Session(model(name)), scene_of(name)
    answer = sweep(session, scene, over, change, token=5, position=3)
    rows, columns = answer.head["rows"], answer.head["columns"]
    assert answer.arrays["values"].shape == (rows, columns)
    for row in range(rows):
        for column in range(columns):
            single = edited(scene, filled(change, over, row, column))
            logit = Session(model(name)).run(read_scene(single)).look("logits")[0, 3, 5]
            assert answer.head["bits"][row][column] == f"{logit.view(np.uint32):08x}"
            assert np.float32(answer.head["texts"][row][column]) == logit
            assert answer.arrays["values"][row, column] == logit
    plain = session.run(read_scene(scene)).look("logits")[0, 3, 5]
    assert np.float32(answer.head["base"]) == plain
    effects = (answer.arrays["values"] - plain).astype(np.float32)
    assert (answer.arrays["effects"] == effects).all()
    assert [[np.float32(each) for each in row] for row in answer.head["effect_texts"]] == effects.tolist()
    assert [np.float32(each) for each in answer.head["effect_ends"]] == [effects.min(), effects.max()]
    assert len({bits for row in answer.head["bits"] for bits in row}) > 1


@pytest.mark.parametrize("kind", ["logit", "probability", "loss", "kl"])
def test_every_measure(kind):
    session, scene = Session(model("gpt2-tiny")), scene_of("gpt2-tiny")
    answer = sweep(session, scene, "layer×head", HEADS, kind=kind)
    run = session.run(read_scene(scene))
    token = int(run.look("logits")[0, -1].argmax())
    assert answer.head["measure"] == {"kind": kind, "token": token, "position": 4}
    for layer in range(2):
        for head in range(4):
            other = edited(scene, edit(f"blocks.{layer}.attn.heads", [ALL, ALL, head]))
            got = answer.arrays["values"][layer, head]
            compared = session.handle("compare", {"scene": scene, "other": other}).head
            expected = {
                "logit": lambda head=compared: head["logit"]["after"]["text"],
                "probability": lambda other=other: session.run(read_scene(other)).look("probs")[0, -1, token],
                "loss": lambda other=other: session.run(read_scene(other)).look("loss"),
                "kl": lambda head=compared: head["kl"],
            }[kind]()
            assert got == (np.float32(expected) if kind == "logit" else float(expected))
    assert answer.head["base"] == "0" if kind == "kl" else float(answer.head["base"])


def test_rows_and_columns_are_named():
    session, scene = Session(model("gpt2-tiny")), scene_of("gpt2-tiny")
    head = sweep(session, scene, "layer×position", edit("blocks.*.out", [ALL, "*"])).head
    assert head["names"] == ["layer", "position"]
    assert head["labels"] == [["", ""], list("Hello")]
    assert head["numbers"] == [[0, 1], [0, 1, 2, 3, 4]]
    source = sweep(
        Session(model("original-tiny")),
        scene_of("original-tiny"),
        "position",
        edit("source.blocks.0.attn.k", [ALL, "*"]),
    ).head
    assert source["labels"][0] == list("Bonjour")
    assert source["names"] == ["position", ""] and source["labels"][1] == [""]


def test_a_sweep_goes_on_from_the_edits_there_are():
    session, scene = Session(model("gpt2-tiny")), scene_of("gpt2-tiny")
    already = edited(scene, edit("blocks.0.mid", [0, 2], "scale", 3))
    got = sweep(session, already, "layer×head", HEADS, token=1).arrays["values"]
    assert not np.array_equal(got, sweep(session, scene, "layer×head", HEADS, token=1).arrays["values"])
    both = edited(already, edit("blocks.1.attn.heads", [ALL, ALL, 2]))
    assert got[1, 2] == session.run(read_scene(both)).look("logits")[0, -1, 1]


def test_a_sweep_leaves_what_is_remembered():
    session, scene = Session(model("gpt2-tiny")), scene_of("gpt2-tiny")
    before = everything(session.run(read_scene(scene)))
    sweep(session, scene, "layer×head", HEADS)
    assert list(session.runs) == [read_scene(scene).key]
    after = everything(session.run(read_scene(scene)))
    assert all(same_bits(before[address], after[address]) for address in before)


# --- stopping --------------------------------------------------------------------------------------------------------


def test_a_sweep_can_be_watched_and_stopped(monkeypatch):
    session, scene = Session(model("gpt2-tiny")), scene_of("gpt2-tiny")
    before = everything(session.run(read_scene(scene)))
    heard, failed = [], []
    measured = sweeping.measured

    def slow(*given):
        sleep(0.05)
        heard.append((given[-1].done, given[-1].total))
        return measured(*given)

    monkeypatch.setattr(sweeping, "measured", slow)

    def work():
        try:
            change = edit("blocks.*.mlp.act", [ALL, "*"])
            session.handle("sweep", {"scene": scene, "over": "layer×position", "change": change, "job": "long"})
        except Cancelled as error:
            failed.append(str(error))

    thread = Thread(target=work)
    thread.start()
    start = monotonic()
    while len(heard) < 3 and monotonic() - start < 10:
        sleep(0.01)
    job = session.jobs.find("long")
    assert job is not None
    job.stop.set()
    thread.join(10)
    assert failed == ["cancelled"] and session.jobs.find("long") is None
    assert heard[:3] == [(0, 10), (1, 10), (2, 10)] and len(heard) < 6
    after = everything(session.run(read_scene(scene)))
    assert list(session.runs) == [read_scene(scene).key]
    assert all(same_bits(before[address], after[address]) for address in before)


def test_stopping_reaches_into_the_run_of_a_cell():
    session, scene, job = Session(model("gpt2-tiny")), scene_of("gpt2-tiny"), Job()
    session.run(read_scene(scene))
    beside = session.run(read_scene(scene)).look("logits")[0, 0]
    job.stop.set()
    measure = sweeping.Measure("logit", 0, 0, beside)
    with pytest.raises(Cancelled):
        sweeping.measured(session, read_scene(scene), edit("blocks.0.attn.heads", []), measure, job)
    assert job.done == 0


# --- what cannot be swept --------------------------------------------------------------------------------------------

WRONG = {
    "no star in the address": ("layer", edit("blocks.0.out", []), r"needs one \* where the number of the layer"),
    "no such value": ("layer", edit("blocks.*.attn.bananas", []), "has no value 'blocks.*.attn.bananas' in any layer"),
    "no star in the index": ("head", edit("blocks.0.attn.heads", []), r"its index has no \* on axis H"),
    "no heads": ("head", edit("blocks.0.out", [ALL, "*"]), "blocks.0.out has axes BTD"),
    "a star too many": ("head", edit("blocks.*.attn.heads", [ALL, "*", "*"]), r"a \* that the sweep does not go over"),
    "no change": ("head", None, "change is missing"),
    "an unknown action": ("head", edit("blocks.0.attn.heads", [ALL, ALL, "*"], "burn"), "one of set, add, scale, zero"),
    "no index": ("head", {"address": "blocks.0.attn.heads", "action": "zero"}, "index is None"),
    "unknown words": ("heads", HEADS, "one of layer, head, position"),
}


@pytest.mark.parametrize("over, change, message", WRONG.values(), ids=WRONG)
def test_what_cannot_be_swept(over, change, message):
    with pytest.raises(InputError, match=message):
        sweep(Session(model("gpt2-tiny")), scene_of("gpt2-tiny"), over, change)


@pytest.mark.parametrize(
    "measure, message",
    [
        ({"kind": "size"}, "one of logit, probability, loss, kl"),
        ({"token": 96}, "from 0 to 95"),
        ({"position": 5}, "from -1 to 4"),
        ({"tokens": 1}, "measure has no parameter 'tokens'"),
    ],
)
def test_what_cannot_be_measured(measure, message):
    with pytest.raises(InputError, match=message):
        sweep(Session(model("gpt2-tiny")), scene_of("gpt2-tiny"), "layer×head", HEADS, **measure)


def test_a_loss_that_is_not_there():
    with pytest.raises(InputError, match="has no loss, so it cannot be swept for loss"):
        sweep(Session(model("bert-tiny")), scene_of("bert-tiny"), "layer×head", HEADS, kind="loss")


def test_a_sweep_of_too_many_runs(monkeypatch):
    monkeypatch.setattr(sweeping, "MOST_CELLS", 7)
    with pytest.raises(InputError, match="2 x 4 runs are more than 7"):
        sweep(Session(model("gpt2-tiny")), scene_of("gpt2-tiny"), "layer×head", HEADS)


def test_a_wrong_cell_is_noticed(monkeypatch):
    """The first test catches a sweep that edits another place than it says."""
    right = sweeping.filled

    def next_head(starred, *cell):
        made = right(starred, *cell)
        return made | {"index": [*made["index"][:2], (made["index"][2] + 1) % 4]}

    monkeypatch.setattr(sweeping, "filled", next_head)
    with pytest.raises(AssertionError):
        test_a_cell_is_the_single_run(*SWEEPS["one layer"])
