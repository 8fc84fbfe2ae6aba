"""Which works there are, what they need at least, and the files for them."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest

import byhand
from byhand.bench import Work, costs, suites
from byhand.bench.entries import PEERS, peers
from byhand.bench.material import described, made
from byhand.bench.work import KINDS, PROMPT
from byhand.errors import InputError

from .conftest import making


def work(what: str = "decode", model: str = "llama-tiny", **more) -> Work:
    return Work(what=what, model=model, **{"kind": "f32", "tokens": 8} | more)


def test_all_works_by_default():
    assert [each.what for each in suites.works([], suites.Given())] == list(suites.USUAL)


def test_all_works_without_float32_are_all_but_training():
    found = suites.works([], suites.Given(kinds=["q8", "bf16"]))
    assert {each.what for each in found} == suites.USUAL.keys() - {"train"}


def test_one_work_for_each_kind():
    given = suites.Given(model="gpt2-tiny", kinds=["q8", "f32"], tokens=4, batch=3, engine="reference")
    found = suites.works(["decode"], given)
    assert [(each.kind, each.tokens, each.batch, each.engine) for each in found] == [
        ("q8", 4, 3, "reference"),
        ("f32", 4, 3, "reference"),
    ]


def test_every_target_fits_its_model():
    for each in suites.works(["targets"], suites.Given()):
        described(each)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"kind": "q9"}, "--dtype is 'q9'; give f32, f16, bf16, q8, q4"),
        ({"tokens": 49}, "--tokens is 49, but llama-tiny has room for 48"),
        ({"what": "train", "kind": "q8"}, "--dtype is q8, but training is in f32"),
        ({"model": "bert-tiny"}, "bert-tiny is a bert; byhand bench measures gpt2 and llama"),
    ],
)
def test_what_cannot_be_measured(wrong, line):
    with pytest.raises(InputError, match=line):
        described(replace(work(), **wrong))


def test_an_unknown_work():
    with pytest.raises(InputError, match="there is no work 'decoding'; there are decode, prefill"):
        suites.works(["decoding"], suites.Given())


def test_everybody_reads_the_same_tokens():
    first, second = described(work(batch=2)), described(work(batch=2))
    assert first.ids.shape == (2, PROMPT + 8)
    assert (first.ids == second.ids).all() and 0 <= first.ids.min() <= first.ids.max() < 96
    assert described(work("prefill", batch=2)).ids.shape == (2, 8)


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_hold_one_model(files, kind):
    found = made(described(work(kind=kind)), True, making)
    here, there = byhand.load(found.file), byhand.load(found.folder)
    ours, theirs = (each.run([5, 7, 2], engine="reference")["logits"].array for each in (here, there))
    # gains are rounded too where the folder is in bfloat16
    assert np.abs(ours - theirs).max() < (5e-2 if kind == "bf16" else 1e-5)


def test_files_are_made_once(files):
    first = made(described(work()), True, making)
    times = {path: path.stat().st_mtime_ns for path in files.rglob("*")}
    assert made(described(work()), True, making) == first
    assert {path: path.stat().st_mtime_ns for path in files.rglob("*")} == times


def test_a_model_of_ones_own(files, tmp_path):
    path = byhand.load("llama-tiny", seed=3).save(tmp_path / "mine.gguf", format="gguf")
    found = made(described(work(model=str(path), kind="q8")), False, making)
    assert found.file.startswith(str(files / "mine-")) and found.file.endswith("-q8.gguf")


# --- what a work needs at least -------------------------------------------------------------------------------------


def test_bytes_of_a_step():
    model = byhand.load("llama-tiny")
    c = model.config
    cache = 2 * c.layers * 4 * c.groups * c.head_width * (PROMPT + 4)
    looked_up = (c.vocabulary - 1) * c.width * 4  # the table of tokens is its own: one row is read of it
    assert costs.bytes_of_a_step(work(), model) == 4 * model.parameters - looked_up + cache
    tied = byhand.load("gpt2-tiny")
    assert costs.bytes_of_a_step(work(), tied) > 4 * (tied.parameters - tied.config.context * tied.config.width)


def test_operations():
    model = byhand.load("gpt2-tiny")
    program, T = model.program, 8
    matrices = [name for name in program.weights if len(program.weights[name]) > 1 and name != "position.weight"]
    products = sum(2 * T * prod(program.shapes()[name]) for name in matrices)
    attention = 2 * model.config.layers * 4 * (T * T / 2) * model.config.width
    assert costs.operations(work("forward"), model) == products + attention / 2
    last = 2 * (T - 1) * model.config.width * model.config.vocabulary
    assert costs.operations(work("prefill"), model) == products + attention / 2 - last


# --- who takes part -------------------------------------------------------------------------------------------------


def test_peers_that_are_not_installed_take_no_part(monkeypatch):
    monkeypatch.setattr("byhand.bench.entries.Entry.version", "")
    assert peers(described(work())) == []


def test_peers_do_what_they_can(monkeypatch):
    monkeypatch.setattr("byhand.bench.entries.Entry.version", "1")
    pairs = [(each, kind) for each in suites.USUAL for kind in ("f32", "q8") if (each, kind) != ("train", "q8")]
    names = {
        (each, kind): [e.name for e in peers(described(work(each, "gpt2-tiny", kind=kind)))] for each, kind in pairs
    }
    assert names["decode", "f32"] == ["llama.cpp", "transformers"] and names["decode", "q8"] == ["llama.cpp"]
    assert names["forward", "q8"] == ["torch", "torch.compile"]
    assert names["train", "f32"] == ["torch", "torch.compile"]
    assert names["capture", "f32"] == ["TransformerLens"] and names["capture", "q8"] == []
    assert {each.name for each in PEERS} == {name for found in names.values() for name in found}
