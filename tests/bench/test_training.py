"""Training as a work: the same batches for everybody, all steps of a turn counted, and models of its own."""

import numpy as np
import pytest

from byhand.bench import Work, costs, shapes, suites, training
from byhand.bench.entries import PEERS
from byhand.bench.material import described, made
from byhand.bench.own import Train
from byhand.bench.training import CHECKED, Trained, batch
from byhand.loading import names

from .conftest import making


def work(**more) -> Work:
    return described(Work(**{"what": "train", "model": "gpt2-tiny", "kind": "f32", "tokens": 8, "batch": 3} | more))


@pytest.fixture
def trainer(files) -> Train:
    return Train(made(work(engine="reference"), False, making))


def test_everybody_reads_the_same_batches():
    (tokens, targets), again = batch(work(), 5), batch(work(), 5)
    assert tokens.shape == targets.shape == (3, 8) and tokens.max() < 96
    assert (tokens[:, 1:] == targets[:, :-1]).all()
    assert (tokens == again[0]).all() and (targets == again[1]).all()


def test_the_first_steps_share_a_batch():
    first = [batch(work(), step)[0] for step in range(1, CHECKED + 2)]
    assert all((each == first[0]).all() for each in first[:-1])
    assert (first[-1] != first[0]).any()


def test_the_losses_show_what_updates_did(trainer):
    first, *others = trainer.answer()
    assert first == pytest.approx(np.log(96), rel=0.3)
    assert all(later < first - 0.01 for later in others) and others == sorted(others, reverse=True)


def test_only_matrices_and_tables_decay(trainer):
    ends = {address.rpartition(".")[2] for address in trainer.program.weights.keys() - trainer.decay.keys()}
    assert ends == {"bias", "gain", "shift"}
    assert {address.rpartition(".")[2] for address in trainer.decay} == {"weight"}


def test_a_turn_is_as_many_steps_as_fit(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(training, "TURN", 7.5)
    monkeypatch.setattr(training, "perf_counter", lambda: next(clock))
    trained = Trained(work(), lambda tokens, targets: 0.0)
    assert trained.run() == pytest.approx(9 / 7)  # looks at 1 … 8, and one to see how long it took
    assert trained.steps == 7


def test_operations_are_three_times_those_of_a_forward_run():
    model = shapes.load("gpt2-tiny")
    assert costs.operations(work(), model) == 3 * costs.operations(work(what="forward"), model)


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_shapes_of_its_own(name):
    model, c = shapes.load(name), shapes.SHAPES[name]
    assert name not in names() and shapes.has(name)
    assert model.config == c and model.program.shapes()["token.weight"] == (c.vocabulary, c.width)
    assert described(Work(what="train", model=name, kind="f32", tokens=c.context, batch=2)).family == "gpt2"


def test_the_targets_of_training():
    found = [each for each in suites.works(["targets"], suites.Given()) if each.what == "train"]
    assert [str(each) for each in found] == [
        "train 4×64, gpt2-124m f32",
        "train 1×256, gpt2-124m f32",
        "train 1×1024, gpt2-124m f32",
        "train 8×256, gpt2-12m f32",
        "train 12×64, gpt2-0.8m f32",
    ]
    assert all([each.name for each in PEERS if each.takes(described(work))] == BESIDE for work in found)


BESIDE = ["torch", "torch.compile"]


def test_how_many_texts_at_once():
    assert [each.batch for each in suites.works(["train", "forward"], suites.Given())] == [4, 1]
    assert [each.batch for each in suites.works(["train", "forward"], suites.Given(batch=2))] == [2, 2]
