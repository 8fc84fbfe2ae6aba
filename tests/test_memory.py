"""Memory: what is predicted is what is taken, and what does not fit is refused before anything is computed."""

import re
import tracemalloc

import ml_dtypes
import numpy as np
import pytest

import byhand
from byhand import memory
from byhand.engines import ENGINES, reference
from byhand.engines.cpu import engine as cpu
from byhand.engines.reference import precision
from byhand.errors import MemoryRefused
from byhand.families import gpt2
from byhand.weights import random

from .small_models import TEXTS, fresh, model

COMPUTED = [("float64", "reference"), ("float32", "reference"), ("bfloat16", "reference"), ("float32", "cpu")]
COMPUTED += [("int8", "cpu")]
each_engine = pytest.mark.parametrize("engine", ENGINES)
KEEPS = ["all", [], ["blocks.*.attn.weights"], ["*.mean", "rotary.angle", "pooler.*", "probs"]]


def kept_patterns(name, keep):
    """The patterns that mean something in this model."""
    return keep if keep == "all" else [pattern for pattern in keep if memory.any_match(model(name).program, pattern)]


def owner_of(array):
    """The array that the memory of this one belongs to; what stands behind that is no array."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(("dtype", "engine"), COMPUTED)
def test_predicted_bytes_are_the_bytes_taken(name, dtype, engine):
    for keep in KEEPS:
        run = fresh(name, dtype, keep=kept_patterns(name, keep), engine=engine)
        predicted = memory.value_bytes(run.program, run.setting.shapes, precision(dtype))
        assert {address: array.nbytes for address, array in run.kept.items()} == {a: predicted[a] for a in run.kept}
        for address, array in run.kept.items():
            assert owner_of(array).nbytes == array.nbytes, f"{address} keeps a larger array alive"
        owners = {id(owner_of(array)) for array in run.kept.values()}
        assert len(owners) == len(run.kept)


# --- refusing -----------------------------------------------------------------------------------------------------


@pytest.fixture
def free(monkeypatch):
    """Set how many bytes are free; nothing may be computed then."""

    def set_to(count, compute=None, planned=None):
        monkeypatch.setattr(memory, "available", lambda: count)
        monkeypatch.setattr(reference, "compute", compute)
        monkeypatch.setattr(cpu, "planned", planned)

    return set_to


@each_engine
def test_a_run_that_does_not_fit_is_refused_before_it_starts(free, engine):
    free(100_000)
    large = byhand.load("gpt2-124m")
    with pytest.raises(MemoryRefused) as caught:
        large.run([1, 2, 3, 4] * 16, engine=engine)
    message = str(caught.value)
    assert "\n" not in message
    assert re.fullmatch(
        r"running gpt2 \(weights still to make 498 MB, working space 1\d\d MB\) and keeping 2\d\d values "
        r"\(\d\d\.?\d? MB, the largest logits with 12.9 MB\) needs 7\d\d MB but 100 kB is free; "
        r"run a shorter text or a smaller model; tables and pseudocode of this one need no memory",
        message,
    )
    free(690_000_000)
    with pytest.raises(MemoryRefused, match=r"keep=\['blocks.\*.out', 'logits'\] keeps \d\d\.?\d? MB; keep less, or"):
        large.run([1, 2, 3, 4] * 16, engine=engine)
    assert all(large.weights.pending(address) for address in large.weights)


@each_engine
def test_what_to_keep_instead_does_keep_less(monkeypatch, engine):
    asked = []
    monkeypatch.setattr(memory, "fit", lambda need, what, instead: asked.append((need, instead)))
    fresh("gpt2-tiny", "float32", engine=engine)
    few = fresh("gpt2-tiny", "float32", keep=list(memory.FEW), engine=engine)
    assert asked[1][0] < asked[0][0]
    assert (
        f"keeps {memory.size(sum(array.nbytes for a, array in few.kept.items() if a not in ('loss', 'losses')))};"
        in asked[0][1]
    )


@each_engine
def test_many_texts_are_told_how_many_fit_at_once(free, monkeypatch, engine):
    of = model("gpt2-tiny")
    asked = []
    with monkeypatch.context() as watched:
        watched.setattr(memory, "fit", lambda need, what, instead: asked.append(need))
        for count in (1, 3):
            of.run([[1, 2, 3, 4]] * count, engine=engine)
    for room, fitting in ((asked[1], "3 texts"), (asked[1] - 1, "2 texts"), (asked[0], "1 text"), (asked[0] - 1, "")):
        free(room)
        with pytest.raises(MemoryRefused) as caught:
            of.run([[1, 2, 3, 4]] * 7, engine=engine)
        message = str(caught.value)
        assert "\n" not in message and "weights still to make" not in message
        assert "running gpt2 (working space " in message
        said = re.search(r"free; run at most (.*?) of 4 tokens at once; ", message)
        assert (said[1] if said else "") == fitting
    free(10)
    with pytest.raises(MemoryRefused) as caught:
        of.run([1, 2, 3, 4], engine=engine)
    assert "at once" not in str(caught.value)


@each_engine
def test_exactly_enough_is_enough(free, monkeypatch, engine):
    asked = []
    monkeypatch.setattr(memory, "fit", lambda need, what, instead: asked.append(need))
    fresh("gpt2-tiny", "float32", engine=engine)
    monkeypatch.undo()
    free(asked[0], reference.compute, cpu.planned)
    fresh("gpt2-tiny", "float32", engine=engine)
    free(asked[0] - 1)
    with pytest.raises(MemoryRefused, match=r"B but .* is free"):
        fresh("gpt2-tiny", "float32", engine=engine)


@pytest.mark.parametrize(
    "act, message",
    [
        (
            lambda run: run.edit("blocks.1.mid", zero=True),
            r"computing 1\d values again after an edit of blocks.1.mid needs .* run with",
        ),
        (
            lambda run: run.edit("token.weight", zero=True),
            r"computing 4\d values again after an edit of token.weight needs",
        ),
        (
            lambda run: run.backward(),
            r"the backward run of gpt2 with \d\d gradients needs .* run a shorter text or a smaller",
        ),
    ],
    ids=["value", "weight", "backward"],
)
def test_edits_and_backward_runs_are_refused_too(free, act, message):
    run = fresh("gpt2-tiny")
    held = dict(run.kept)
    free(10_000)
    with pytest.raises(MemoryRefused, match=message) as caught:
        act(run)
    assert "\n" not in str(caught.value) and run.kept == held and run.gradients is None


# --- what a run really takes ----------------------------------------------------------------------------------------


@pytest.fixture
def middling():
    config = gpt2.Config(layers=6, width=64, heads=4, hidden=256, vocabulary=256, context=64)
    of = byhand.Model("middling", gpt2, config, random(gpt2.program(config), 0))
    for engine in ENGINES:
        of.run([1], keep=[], engine=engine)  # makes the weights
    return of


def taken(of, keep, engine):
    """Bytes after a run and at its peak, and the bytes that were said to be needed."""
    said = []
    fit = memory.fit
    memory.fit = lambda need, what, instead: said.append(need)
    tracemalloc.start()
    try:
        run = of.run([[5] * 64] * 4, keep=keep, engine=engine)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        memory.fit = fit
    return run, after, peak, said[0]


def test_a_run_takes_no_more_than_was_said_and_lets_go_of_what_is_not_kept(middling):
    sizes = {}
    for keep in ("all", ["logits"]):
        run, after, peak, said = taken(middling, keep, "reference")
        kept = sum(array.nbytes for array in run.kept.values())
        assert kept <= after <= kept + 300_000  # and the lists and names around them
        assert 0.3 * said < peak <= 1.1 * said
        sizes[str(keep)] = kept, peak
    assert sizes["['logits']"][0] < sizes["all"][0] / 30
    assert sizes["['logits']"][1] < sizes["all"][1] / 4


@pytest.mark.parametrize("keep", ["all", ["logits"]])
def test_the_cpu_engine_takes_what_is_kept_and_its_plan_and_uses_both_again(middling, keep):
    run, after, peak, _ = taken(middling, keep, "cpu")
    kept = sum(array.nbytes for array in run.kept.values())
    plan = next(reversed(cpu.prepared(middling.weights).plans.values()))
    assert kept <= after <= peak <= kept + plan.nbytes + 1_500_000  # and small weights, and the lists of calls
    held, before = run["logits"].array, run["logits"].array.copy()
    other, more, _, _ = taken(middling, keep, "cpu")  # nothing of a run that somebody holds
    assert more >= kept
    assert not any(np.shares_memory(run.kept[address], other.kept[address]) for address in run.kept)
    del run, other
    _, again, most, _ = taken(middling, keep, "cpu")  # nothing new but what is held
    assert again <= most <= held.nbytes + 300_000
    assert (held == before).all()


def test_alive_bytes_by_hand():
    program = model("aab").program
    sizes = dict.fromkeys(program.producer, 1)
    first = program.steps[:3]  # token, position, their sum
    assert memory.alive_bytes(first, sizes, keep=[]) == 3
    assert memory.alive_bytes(first, sizes, keep=["embed.out"]) == 2
    chain = program.steps[6:10]  # scores, masked, weights, heads
    assert memory.alive_bytes(chain, sizes, keep=[]) == 2
    assert memory.alive_bytes(chain, sizes, keep=program.producer) == 0
    assert memory.alive_bytes([], sizes, keep=[]) == memory.working_bytes([], {}, precision("float64")) == 0


# --- how much there is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit, used, stat, expected",
    [
        ("1000\n", "300\n", "anon 5\ninactive_file 0\n", 700),
        ("1000\n", "900\n", "anon 5\ninactive_file 250\nslab 7\n", 350),  # files read lately can be dropped
        ("1000\n", "1300\n", "", 0),
        ("max\n", "300\n", "", None),
        (None, None, None, None),
        ("1000\n", "300\n", None, 700),
    ],
)
def test_a_containers_limit_counts(tmp_path, monkeypatch, limit, used, stat, expected):
    import psutil

    monkeypatch.setattr(memory, "CONTAINER", ())
    machine = memory.available()
    assert 0 < machine <= psutil.virtual_memory().total
    paths = [tmp_path / name for name in ("limit", "used", "stat")]
    for path, text in zip(paths, (limit, used, stat), strict=True):
        if text is not None:
            path.write_text(text)
    monkeypatch.setattr(memory, "CONTAINER", (tuple(map(str, paths)),))
    assert memory.available() == expected if expected is not None else memory.available() > 10_000


def test_bytes_for_people():
    for count, text in [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (2_500_000, "2.5 MB"),
        (16_060_522_240, "16.1 GB"),
        (3e12, "3 TB"),
        (5e15, "5e+03 TB"),
    ]:
        assert memory.size(count) == text


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("keep", ["all", ["blocks.*.attn.weights"], "preatt"])
def test_a_model_says_what_a_run_will_keep(dtype, keep):
    model = byhand.load("gpt2-tiny")
    run = model.run([[1, 2, 3, 4], [5, 6, 7, 8]], dtype=dtype, keep=keep)
    assert model.kept_bytes(2, 4, keep=keep, dtype=dtype) == {name: array.nbytes for name, array in run.kept.items()}


def test_a_lookup_takes_its_rows_and_leaves_the_table_as_it_is():
    config = gpt2.Config(layers=1, width=64, heads=2, hidden=128, vocabulary=50_000, context=8)
    made = byhand.make("gpt2", config, random(gpt2.program(config), 0, ml_dtypes.bfloat16))
    table_VD = made.weights["token.weight"]
    for address in made.weights:
        assert made.weights[address].nbytes
    run = made.run([1, 2, 3], dtype="float64", keep=[])
    run.kept.clear()
    tracemalloc.start()
    row_BTD = run.look("embed.token")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (row_BTD[0] == table_VD[[1, 2, 3]].astype(float)).all()
    assert most < table_VD.nbytes / 10
