"""llm.c's debug state: the bytes that its test reads, a run's numbers back, and one line for what does not belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from byhand.checkpoints import llmc_state
from byhand.checkpoints.formats import llmc
from byhand.families import gpt2, llama
from byhand.model import Model

from .bin_files import AROUND, GPT2, LLAMA, Parts, mutants, parts, refusal, survives

TOKENS = np.array([[5, 299, 7, 0, 12], [1, 2, 3, 4, 5]])
TARGETS = np.array([[299, 7, 0, 12, 9], [2, 3, 4, 5, 6]])


def model(made: Parts) -> Model:
    return Model("tiny", gpt2 if made.family == "gpt2" else llama, made.config, made.weights)


def ran(config=GPT2, targets=TARGETS, dtype="float32"):
    run = model(parts(config)).run(TOKENS, targets=targets, dtype=dtype)
    run.backward()
    return run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.bin"


@pytest.fixture
def good(path) -> bytes:
    llmc_state.write_state(ran(), path)
    return path.read_bytes()


def test_a_run_comes_back_to_the_bit(good, path):
    run, state = ran(), llmc_state.read_state(path, GPT2)
    assert np.array_equal(state.tokens, TOKENS) and np.array_equal(state.targets, TARGETS)
    assert np.array_equal(state.logits, run.look("logits")) and state.loss == run.look("loss")
    assert state.gradients.keys() == run.program.weights.keys()
    assert all(np.array_equal(state.gradients[name], run.grad.look(name)) for name in state.gradients)


def test_the_bytes_are_those_that_llmc_reads(good):
    header, run = np.frombuffer(good, "<i4", 256), ran()
    assert header[:4].tolist() == [20240327, 2, 2, 5] and not header[4:].any()
    ids = np.frombuffer(good, "<i4", 20, 1024)
    assert ids.tolist() == [*TOKENS.ravel(), *TARGETS.ravel()]
    floats = np.frombuffer(good, "<f4", offset=1024 + 80)
    assert np.array_equal(floats[: 10 * 300], run.look("logits").ravel()) and floats[3000] == run.look("loss")
    d_wte = floats[3001:][: 384 * 32].reshape(384, 32)
    assert np.array_equal(d_wte[:300], run.grad.look("token.weight")) and not d_wte[300:].any()
    d_wpe = floats[3001 + 384 * 32 :][: 24 * 32].reshape(24, 32)
    assert np.array_equal(d_wpe, run.grad.look("position.weight"))
    assert np.array_equal(floats[-64:-32], run.grad.look("final_norm.gain"))
    assert len(floats) == 3001 + llmc.gpt2_numbers(32, 2, 24, 384)


def test_gradients_and_logits_are_views_of_the_file(good, path):
    state = llmc_state.read_state(path, GPT2)
    assert not any(each.flags.owndata or each.flags.writeable for each in (state.logits, *state.gradients.values()))


def test_float64_runs_are_rounded(path):
    run = ran(dtype="float64")
    llmc_state.write_state(run, path)
    found = llmc_state.read_state(path, GPT2).gradients["blocks.1.attn.q.weight"]
    assert np.array_equal(found, run.grad.look("blocks.1.attn.q.weight").astype(np.float32))


def test_a_released_model_is_known_by_the_length_of_the_file(path, monkeypatch):
    monkeypatch.setitem(gpt2.SHAPES, "small", GPT2)
    llmc_state.write_state(ran(), path)
    assert llmc_state.read_state(path).config == GPT2
    assert llmc_state.total(4, 64, gpt2.SHAPES["gpt2-124m"]) == 549_369_860  # the released file's length


def test_what_llmc_has_no_place_for_is_not_written(path):
    def refused(run):
        assert not path.exists()
        return refusal(lambda: llmc_state.write_state(run, path))

    assert "target at every place" in refused(ran(targets=np.where(TARGETS == 9, -1, TARGETS)))
    assert "another feed-forward width" in refused(ran(replace(GPT2, hidden=64)))
    assert "another feed-forward width" in refused(ran(replace(GPT2, tied=False)))
    other = ran()
    other.backward("logits", index=(0, 0, 0))
    assert "these are of logits" in refused(other)
    assert "no gradients yet" in refused(model(parts(GPT2)).run(TOKENS, targets=TARGETS))
    rotary = model(parts(LLAMA)).run(TOKENS % 200, targets=TARGETS % 200)
    assert "run of llama" in refused(rotary)


def test_an_existing_file_stays(good, path):
    assert "exists" in refusal(lambda: llmc_state.write_state(ran(), path)) and path.read_bytes() == good


def changed(data: bytes, place: int, number: int) -> bytes:
    return data[: 4 * place] + number.to_bytes(4, "little", signed=True) + data[4 * place + 4 :]


@pytest.mark.parametrize(
    ("place", "number", "says"),
    [
        (0, 20240326, "no debug state"),
        (0, 20240803, "train_llama3.py's states"),
        (1, 1, "version 1"),
        (2, 0, "0 texts"),
        (2, -2, "-2 texts"),
        (3, 2**31 - 1, "2147483647 tokens"),
        (3, 6, "another model"),
        (256, 300, "tokens go from"),
        (266, -1, "targets go from -1"),
    ],
)
def test_damage_is_named(place, number, says, good, path):
    path.write_bytes(changed(good, place, number))
    line = refusal(lambda: llmc_state.read_state(path, GPT2))
    assert says in line and str(path) in line


def test_cut_off_empty_and_foreign_files(good, path):
    for length, says in ((0, "empty"), (5, "cut off"), (1024, "cut off"), (len(good) - 4, "cut off")):
        path.write_bytes(good[:length])
        assert says in refusal(lambda: llmc_state.read_state(path, GPT2))
    path.write_bytes(good)
    assert "fit none of" in refusal(lambda: llmc_state.read_state(path))
    assert "vocabulary 301" in refusal(lambda: llmc_state.read_state(path, replace(GPT2, vocabulary=301)))
    assert "no GPT-2" in refusal(lambda: llmc_state.read_state(path, LLAMA))


def test_damaged_files_never_hang_crash_or_fill_the_memory(path):
    small = replace(GPT2, layers=1)
    llmc_state.write_state(ran(small), path)
    data = path.read_bytes()
    for header, count, expected in ((16, 2000, 1800), (1024 + 80, 200, 20)):
        files = mutants(data, header, 6, count)
        refused, most = survives(path, lambda each: llmc_state.read_state(each, small), files)
        assert refused > expected and most < len(data) + AROUND
