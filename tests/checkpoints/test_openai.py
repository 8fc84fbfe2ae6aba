"""OpenAI's GPT-2 folders and TensorFlow's bundles, which nothing but NumPy reads here."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from struct import pack

import numpy as np
import pytest

from byhand.checkpoints.files.crc32c import crc32c, masked
from byhand.checkpoints.files.leveldb import unpacked
from byhand.checkpoints.files.tensorflow import read_bundle
from byhand.checkpoints.formats import openai
from byhand.errors import InputError

from . import bundles
from .bin_files import AROUND, GPT2, mutants, parts, refusal, same, survives

SAID = {"n_vocab": 300, "n_ctx": 24, "n_embd": 32, "n_head": 4, "n_layer": 2}


def variables(config=GPT2) -> dict[str, np.ndarray]:
    """A model under OpenAI's names, put together by hand."""
    w, D = parts(config).weights, config.width
    found = {"model/wte": w["token.weight"], "model/wpe": w["position.weight"]}
    found |= {"model/ln_f/g": w["final_norm.gain"], "model/ln_f/b": w["final_norm.shift"]}
    for layer in range(config.layers):
        at, to = f"blocks.{layer}", f"model/h{layer}"
        qkv = [w[f"{at}.attn.{each}.weight"].reshape(D, D) for each in "qkv"]
        found[f"{to}/attn/c_attn/w"] = np.concatenate(qkv, 1)[None]
        found[f"{to}/attn/c_attn/b"] = np.concatenate([w[f"{at}.attn.{each}.bias"].ravel() for each in "qkv"])
        found[f"{to}/attn/c_proj/w"] = w[f"{at}.attn.out.weight"].reshape(D, D)[None]
        found[f"{to}/attn/c_proj/b"] = w[f"{at}.attn.out.bias"]
        for theirs, ours in (("c_fc", "up"), ("c_proj", "down")):
            found[f"{to}/mlp/{theirs}/w"] = w[f"{at}.mlp.{ours}.weight"][None]
            found[f"{to}/mlp/{theirs}/b"] = w[f"{at}.mlp.{ours}.bias"]
        for theirs, ours in (("ln_1", "norm1"), ("ln_2", "norm2")):
            found[f"{to}/{theirs}/g"], found[f"{to}/{theirs}/b"] = w[f"{at}.{ours}.gain"], w[f"{at}.{ours}.shift"]
    return found


@pytest.fixture
def folder(tmp_path):
    bundles.write(tmp_path / "model.ckpt", variables())
    (tmp_path / "hparams.json").write_text(json.dumps(SAID))
    return tmp_path


def said(folder, **changed):
    (folder / "hparams.json").write_text(json.dumps(SAID | changed))
    return refusal(lambda: openai.read(folder))


def rewrite(folder, **changed):
    """The same index with some arrays changed: ``name=dict(of fields)``, or None to leave it out."""
    entries = bundles.write(folder / "model.ckpt", variables())
    for name, fields in changed.items():
        if fields is None:
            del entries[name]
        else:
            entries[name] = entries[name]._replace(**fields)
    bundles.index(folder / "model.ckpt", entries)


@pytest.mark.parametrize(("blocks", "kind"), [(1, 0), (5, 0), (2, 1)])
def test_a_folder_is_read(blocks, kind, folder):
    bundles.write(folder / "model.ckpt", variables(), blocks=blocks, kind=kind)
    found = openai.read(folder)
    assert openai.recognise(folder) and found.config == GPT2 and same(found, parts(GPT2).weights)
    assert all(not each.flags.owndata and not each.flags.writeable for each in found.weights.values())
    assert openai.read(folder / "model.ckpt.index").config == GPT2
    assert openai.verify(folder) == 4 + 2 * 12
    facts = {each.what: each.value for each in found.findings}
    assert facts["matrices"] == "input first" and facts["activation"] == "gelu_tanh" and facts["tied"] == "yes"


def test_the_optimiser_is_left_out(folder):
    more = {f"{name}/Adam": each for name, each in variables().items()} | {"beta1_power": np.float32(0.9)}
    bundles.write(folder / "model.ckpt", variables() | more)
    found = openai.read(folder)
    assert same(found, parts(GPT2).weights) and len(found.ignored) == len(more)


def test_of_several_checkpoints_the_one_that_is_named_newest(folder):
    bundles.write(folder / "model-2", {name: each * 2 for name, each in variables().items()})
    assert "model-2.index, model.ckpt.index" in refusal(lambda: openai.read(folder))
    (folder / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/model-2"\n')
    assert np.array_equal(openai.read(folder).weights["final_norm.gain"], variables()["model/ln_f/g"] * 2)
    (folder / "checkpoint").write_text('model_checkpoint_path: "../../secret"\n')
    assert "name one" in refusal(lambda: openai.read(folder))


def test_other_places_are_no_such_folder(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    assert not openai.recognise(other) and not openai.recognise(folder / "hparams.json")
    (other / "model.ckpt.index").write_bytes(bytes(100))
    assert not openai.recognise(other / "model.ckpt.index") and not openai.recognise(other)


# --- what does not go together -----------------------------------------------------------------------------------


def test_wrong_sizes_are_named_with_what_needs_them(folder):
    assert "n_layer 3" in said(folder, n_layer=3) and "has 2 layers" in said(folder, n_layer=3)
    assert "model/wte has shape (300, 32)" in said(folder, n_vocab=301) and "n_vocab 301" in said(folder, n_vocab=301)
    assert "n_ctx 25" in said(folder, n_ctx=25) and "n_embd 64" in said(folder, n_embd=64)
    assert "shared evenly" in said(folder, n_head=5) and "whole number" in said(folder, n_head="4")
    (folder / "hparams.json").write_text("{")
    assert "no JSON" in refusal(lambda: openai.read(folder))


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("model/wte", None, "lacks model/wte"),
        ("model/wpe", {"size": 4}, "4 bytes for shape"),
        ("model/wpe", {"offset": 2**40}, "should lie at bytes"),
        ("model/wpe", {"offset": -4}, "should lie at bytes"),
        ("model/wpe", {"shape": (24, -32)}, "no array has"),
        ("model/wpe", {"shape": (2**40, 2**40)}, "no array has"),
        ("model/wpe", {"shard": 1}, "in data file 1 of 1"),
        ("model/wpe", {"dtype": 7}, "type 7"),
        ("model/wpe", {"dtype": 3}, "int32"),
        ("model/wpe", {"extra": bundles.field(7, b"")}, "slices"),
        ("model/wpe", {"extra": bundles.field(2, bundles.field(3, 1))}, "no known shape"),
    ],
)
def test_damaged_entries_are_named(name, fields, says, folder):
    rewrite(folder, **{name: fields})
    line = refusal(lambda: openai.read(folder))
    assert says in line and str(folder) in line


def test_damaged_headers_are_named(folder):
    entries = bundles.write(folder / "model.ckpt", variables())
    for head, says in (
        (bundles.header(endian=1), "big-endian"),
        (bundles.header(shards=0), "0 data files"),
        (bundles.header(shards=2**31 - 1), "2147483647 data files"),
        (bundles.header(shards=2), "model.ckpt.data-00000-of-00002"),
        (b"\xff", "number without an end"),
        (b"\x0b\x01", "no message"),
    ):
        bundles.index(folder / "model.ckpt", entries, head=head)
        assert says in refusal(lambda: openai.read(folder))


def test_damaged_index_files_are_named(folder):
    path = folder / "model.ckpt.index"
    good = path.read_bytes()
    for data, says in (
        (b"", "empty"),
        (good[:40], "cut off"),
        (good[:-1], "cut off or is another"),
        (bytes(len(good)), "cut off or is another"),
        (bytes(2**24 + 1), "too many for an index"),
        (b"x" + good[1:], "wrong checksum"),
        (bundles.table({b"": bundles.header()}, kind=2), "compressed in way 2"),
    ):
        path.write_bytes(data)
        assert says in refusal(lambda: openai.read(folder))
    rows = [(b"", bundles.header()), (b"b", b""), (b"a", b"")]
    path.write_bytes(unsorted(rows))
    assert "'a' after 'b'" in refusal(lambda: openai.read(folder))


def unsorted(rows) -> bytes:
    data = bundles.block(rows)
    listed = bundles.block([(b"z", bundles.varint(0) + bundles.varint(len(data)))])
    made, place = bundles.with_trailer(data), bundles.varint(len(data) + 5) + bundles.varint(len(listed))
    made += bundles.with_trailer(listed)
    return made + (place + place).ljust(40, b"\0") + pack("<Q", 0xDB4775248B80FB57)


def test_a_changed_weight_is_found_when_checksums_are_asked_for(folder):
    path = folder / "model.ckpt.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    openai.read(folder)
    assert "the checksum of model/h0" in refusal(lambda: openai.verify(folder))
    path.write_bytes(data[:-1])
    assert "cut off" in refusal(lambda: openai.read(folder))
    path.unlink()
    assert "cannot read" in refusal(lambda: openai.read(folder))


# --- checksums and packing ---------------------------------------------------------------------------------------


def test_checksums_are_those_of_the_standard():
    def of(data: bytes) -> int:
        return crc32c(np.frombuffer(data, np.uint8))

    assert of(b"123456789") == 0xE3069283 and of(bytes(32)) == 0x8A9136AA and of(b"\xff" * 32) == 0x62A8AB43
    for length in (0, 1, 16383, 16384, 16390, 3 * 16384 + 5):
        data = np.random.default_rng(length).bytes(length)
        assert masked(of(data)) == bundles.checksum(data)


def test_packed_blocks_are_unpacked(folder):
    entries = bundles.write(folder / "model.ckpt", variables())
    rows = {b"": bundles.header()} | {name.encode(): bundles.entry(each) for name, each in entries.items()}
    data = bundles.block(sorted(rows.items()))
    packed = bundles.snappy(data)
    expected = data[:100] + data[80:86] + (data[:100] + data[80:86])[-14:][:4] + data[100:]
    assert unpacked(packed, "here") == expected
    overlapping = bundles.varint(9) + bytes([0]) + b"a" + bytes([(8 - 4) << 2 | 1, 1])
    assert unpacked(overlapping, "here") == b"a" * 9
    with pytest.raises(InputError, match="too many for an index"):
        unpacked(bundles.varint(2**40), "here")
    for damaged in (packed[:-1], packed + b"\0", b"\x04\x01\x01", b"\x04\x01\x00", b"\x05\xff"):
        with pytest.raises(InputError):
            unpacked(damaged, "here")


# --- damage at random --------------------------------------------------------------------------------------------


def resealed(data: bytes, ends: list[tuple[int, int]]) -> bytes:
    """The file with the checksums of its blocks made right again, so that damage gets past them."""
    made = bytearray(data)
    for start, end in ends:
        if end + 5 <= len(made):
            made[end + 1 : end + 5] = pack("<I", bundles.checksum(bytes(made[start : end + 1])))
    return bytes(made)


def test_damaged_indexes_never_hang_crash_or_fill_the_memory(tmp_path):
    small = replace(GPT2, layers=1)
    bundles.write(tmp_path / "model.ckpt", variables(small), blocks=1)
    (tmp_path / "hparams.json").write_text(json.dumps(SAID | {"n_layer": 1}))
    path = tmp_path / "model.ckpt.index"
    good = path.read_bytes()
    held = sum(each.stat().st_size for each in tmp_path.iterdir())
    first = len(good) - bundles.FOOTER - 5
    ends = [(0, length) for length in range(first) if resealed(good, [(0, length)]) == good]
    assert len(ends) == 1
    whole = mutants(good, len(good), 3)
    refused, most = survives(path, lambda _: openai.read(tmp_path), (resealed(each, ends) for each in whole))
    assert refused > 1200 and most < held + AROUND
    refused, most = survives(path, partial(read_quietly, tmp_path), mutants(good, len(good), 4, 300))
    assert refused > 250 and most < held + AROUND


def read_quietly(folder, _) -> None:
    read_bundle(folder / "model.ckpt")
