"""The peers of `byhand bench` that are installed agree with byhand, at every work that they take part in."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from byhand.bench import Measuring, Work, material
from byhand.bench.entries import PEERS
from byhand.bench.suites import USUAL

# torch.compile needs a C++ compiler and a path without spaces, which a machine may not have
HERE = [each for each in PEERS if each.version and each.name != "torch.compile"]
TIMED = ("decode", "prefill", "forward", "capture")
WORKS = [(each, what, kinds[0]) for each in HERE for what, kinds in each.works.items() if what in TIMED]


@contextmanager
def making(what):
    yield lambda name, done, total: None


@pytest.mark.parametrize(("entry", "what", "kind"), WORKS, ids=lambda each: getattr(each, "name", each))
def test_a_peer_agrees(tmp_path, monkeypatch, entry, what, kind):
    monkeypatch.setattr(material, "folder", lambda: tmp_path)
    monkeypatch.setattr("byhand.bench.measure.peers", lambda work: [entry])
    work = Work(what=what, model=USUAL[what].small, kind=kind, tokens=6, engine="reference", threads=2)
    row = Measuring(1, True, lambda what: None, making).row(work)
    assert row.left == {}
    assert row.checked.endswith(f"from {entry.name}")
    assert entry.name in row.timings
