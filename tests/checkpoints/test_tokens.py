"""Token files: llm.c's shards and nanoGPT's ids without a header."""

from __future__ import annotations

import numpy as np
import pytest

from byhand import weights
from byhand.checkpoints import tokens
from byhand.checkpoints.tokens import read_tokens, write_tokens

from .bin_files import mutants, refusal, survives

IDS = [50256, 0, 1, 65535, 7]
HEADERS = {"gpt2": (20240520, 1, "<u2"), "llama3": (20240801, 7, "<u4")}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tiny_shakespeare_val.bin"


@pytest.mark.parametrize("kind", HEADERS)
def test_shards_are_those_of_llmc_and_come_back(kind, path):
    magic, version, dtype = HEADERS[kind]
    write_tokens(path, IDS, kind)
    data = path.read_bytes()
    assert np.frombuffer(data, "<i4", 256).tolist() == [magic, version, 5] + [0] * 253
    assert np.frombuffer(data, dtype, offset=1024).tolist() == IDS
    found = read_tokens(path, vocabulary=65536)
    assert tokens.recognise(path) and found.kind == kind and found.ids.tolist() == IDS
    assert not found.ids.flags.owndata and not found.ids.flags.writeable


def test_ids_alone_are_read_only_when_named(path):
    np.array(IDS, "<u2").tofile(path)
    assert not tokens.recognise(path) and "kind='nanogpt'" in refusal(lambda: read_tokens(path))
    assert read_tokens(path, kind="nanogpt").ids.tolist() == IDS
    write_tokens(path, IDS[::-1], "nanogpt", force=True)
    assert np.fromfile(path, "<u2").tolist() == IDS[::-1]
    path.write_bytes(b"abc")
    assert "no ids of two bytes" in refusal(lambda: read_tokens(path, kind="nanogpt"))


def test_no_ids_at_all(path):
    write_tokens(path, [])
    assert read_tokens(path, vocabulary=1).ids.shape == (0,)


def test_ids_outside_the_vocabulary_are_named(path, monkeypatch):
    monkeypatch.setattr(weights, "AT_ONCE", 2)
    write_tokens(path, IDS)
    line = refusal(lambda: read_tokens(path, vocabulary=50257))
    assert "token 65535 at place 3" in line and "50257" in line
    assert "vocabulary has 65535" in refusal(lambda: read_tokens(path, vocabulary=65535))


@pytest.mark.parametrize(
    ("ids", "kind", "says"),
    [
        ([65536], "gpt2", "0 to 65535"),
        ([-1], "llama3", "got -1"),
        ([2**32], "llama3", "got 4294967296"),
        ([[1, 2]], "gpt2", "one list"),
        ([1.5], "gpt2", "one list"),
        ([1], "gpt3", "there are gpt2, llama3, nanogpt"),
    ],
)
def test_ids_that_do_not_fit_are_not_written(ids, kind, says, path):
    assert says in refusal(lambda: write_tokens(path, ids, kind)) and not path.exists()


def test_existing_files_stay(path):
    write_tokens(path, IDS)
    assert "exists" in refusal(lambda: write_tokens(path, [1])) and read_tokens(path).ids.tolist() == IDS


@pytest.mark.parametrize(
    ("place", "number", "says"),
    [(0, 20240326, "no shard"), (1, 2, "version 2"), (2, 6, "cut off"), (2, 4, "damaged"), (2, -5, "damaged")],
)
def test_damage_is_named(place, number, says, path):
    write_tokens(path, IDS)
    data = path.read_bytes()
    path.write_bytes(data[: 4 * place] + number.to_bytes(4, "little", signed=True) + data[4 * place + 4 :])
    assert says in refusal(lambda: read_tokens(path))


def test_cut_off_and_empty_files(path):
    write_tokens(path, IDS)
    data = path.read_bytes()
    for length, says in ((0, "empty"), (4, "cut off"), (1024, "cut off"), (len(data) - 1, "cut off")):
        path.write_bytes(data[:length])
        assert says in refusal(lambda: read_tokens(path))


def test_damaged_headers_never_hang_crash_or_fill_the_memory(path):
    write_tokens(path, np.arange(30_000))
    data = path.read_bytes()
    refused, most = survives(path, lambda each: read_tokens(each, 50257), mutants(data, 12, 8))
    assert refused > 1800 and most < len(data)
