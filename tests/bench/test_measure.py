"""What is made of the contestants' times and answers."""

import numpy as np
import pytest

from byhand.bench import Failed, Work, results
from byhand.bench.contest import ALLOWED, LOSS_ALLOWED, agree, agree_in_loss, apart

from .conftest import LOGITS

LOSSES = np.array([4.5, 4.0, 3.0])


def work(what: str = "decode", **more) -> Work:
    return Work(what=what, model="gpt2-tiny", tokens=10, **{"kind": "f32", "engine": "reference"} | more)


def test_medians_and_ratios(actors, measuring):
    actors("quick", "slow", "nearly")
    row = measuring.row(work(batch=2))
    assert row.timings["byhand"] == [0.5, 1.0, 1.5]
    assert row.figure("byhand") == 20 and row.figure("slow") == 5 and row.unit == "tok/s"
    assert row.ratio("slow") == 4 and row.ratio("quick") == 0.5
    assert row.checked == "0.0e+00 from quick, 0.0e+00 from slow, 1.0e-04 from nearly"
    assert row.limit == 1e9
    assert row.share == pytest.approx(row.need * 10 / 1.0 / 1e9)
    assert "machine" not in row.timings


def test_a_forward_run_is_in_milliseconds(actors, measuring):
    actors("slow")
    row = measuring.row(work("forward"))
    assert row.figure("byhand") == 1000 and row.unit == "ms"


def test_what_keeping_costs(actors, measuring):
    actors()
    row = measuring.row(work("capture"))
    assert row.others == ["byhand, nothing kept"]
    assert row.checked == "0.0e+00 from the reference engine"
    assert row.facts["byhand"] == {"values kept": 3}


def test_processes_that_start(actors, measuring):
    actors("slow")
    row = measuring.row(work("start-up", engine="cpu"))
    assert row.timings["byhand"] == [1.5] * 3 and row.timings["slow"] == [1.0] * 3
    assert row.others == ["slow", "byhand, nothing compiled"]
    assert 1.4 < row.facts["byhand"]["beyond reading"] < 1.5


def test_memory(actors, measuring, files):
    actors("slow")
    row = measuring.row(work("memory"))
    size = (files / "gpt2-tiny-f32.gguf").stat().st_size
    assert row.figure("byhand") == 0.5 and row.unit == "MB" and row.ratio("slow") == 4
    assert row.facts["byhand"] == {"bytes of the file": size, "of the file": 5e5 / size}


@pytest.mark.parametrize("what", ["decode", "prefill", "forward", "capture", "start-up", "memory"])
def test_a_wrong_answer_is_caught(actors, measuring, what):
    actors("slow", "liar")
    with pytest.raises(Failed, match=r"the logits of byhand and liar are 23.08% of their size apart; 0.2% is allowed"):
        measuring.row(work(what))


def test_a_peer_that_cannot_is_left_out(actors, measuring):
    actors("broken", "slow")
    row = measuring.row(work())
    assert row.others == ["slow"]
    assert row.left == {"broken": "broken cannot prepare: it is broken"}


def test_training(actors, measuring):
    actors("slow")
    row = measuring.row(work("train", batch=2))
    assert row.figure("byhand") == 1000 and row.unit == "ms" and row.ratio("slow") == 4
    assert row.tokens_a_second("byhand") == 20 and row.operations_a_second("slow") == row.need / 4
    assert row.checked == "losses 0.0e+00 from slow"
    assert row.memory("slow") == "2 MB" and row.facts["byhand"]["peak"] == 0.5e6
    assert results.limit_of(row).endswith(" of 1.00 GFLOP/s")
    line = results.page({"machine": results.machine(2, {}), "rows": [row.to_dict()]}).splitlines()[-1]
    assert line.startswith("| train 2×10, gpt2-tiny f32 | 1,000 ms, 500 kB | ")
    assert line.endswith(" | slow 4,000, 2 MB | 4.00× |")


@pytest.mark.parametrize("theirs", [LOSSES + 2 * LOSS_ALLOWED, LOSSES[:2], LOSSES * np.nan])
def test_wrong_losses(theirs):
    assert agree_in_loss(LOSSES, LOSSES + 0.5 * LOSS_ALLOWED, "them")
    with pytest.raises(Failed, match="the losses of byhand and them are 4.5, 4, 3 and .*; they may differ by 0.0001"):
        agree_in_loss(LOSSES, theirs, "them")


def test_training_is_caught_too(actors, measuring):
    actors("slow", "liar")
    with pytest.raises(Failed, match="the losses of byhand and liar are"):
        measuring.row(work("train"))


@pytest.mark.parametrize(
    ("theirs", "difference"),
    [
        (LOGITS * 2, 0.5),
        (LOGITS[:, :-1], np.inf),
        (np.where(LOGITS > 0.9, np.nan, LOGITS), np.inf),
        (LOGITS * 0, np.inf),
        (LOGITS, 0),
    ],
)
def test_how_far_apart(theirs, difference):
    assert apart(LOGITS, theirs) == difference


@pytest.mark.parametrize("kind", ALLOWED)
def test_what_is_allowed(kind):
    noise = np.random.default_rng(0).standard_normal((8, 1000)).astype(np.float32)
    other = np.random.default_rng(1).standard_normal((8, 1000)).astype(np.float32)
    assert agree(noise + 0.9 * ALLOWED[kind] * other, noise, kind, "them")
    with pytest.raises(Failed):
        agree(noise + 1.1 * ALLOWED[kind] * other, noise, kind, "them")


def test_a_result_survives_being_written(actors, measuring):
    actors("slow")
    row = measuring.row(work())
    assert results.Row.from_dict(row.to_dict()) == row


def test_the_table_of_a_page(actors, measuring):
    actors("slow", "quick")
    about = results.machine(2, {"bytes a second": 1e9})
    page = results.page({"machine": about, "rows": [measuring.row(work()).to_dict()]}).splitlines()
    assert page[0].startswith(about["processor"]) and "numpy" in page[0]
    assert page[2] == "| work | byhand | of the machine's limit | beside | byhand is |"
    assert page[4].startswith("| decode 10, gpt2-tiny f32 | 10.0 tok/s | ")
    assert page[4].endswith(" | slow 2.50 | 4.00× |")
    assert page[5] == "|  |  |  | quick 20.0 | 0.50× |"
