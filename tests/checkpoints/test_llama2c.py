"""llama2.c's model files in three versions: the bytes that run.c and runq.c read, and the same weights back."""

from __future__ import annotations

from dataclasses import replace
from struct import pack, unpack

import numpy as np
import pytest

from byhand.checkpoints.files.groups import dequantized, grouped
from byhand.checkpoints.formats import llama2c, llmc
from byhand.families.llama import Scaling
from byhand.layouts.layout import reordered
from byhand.weights import Weights

from .bin_files import AROUND, GPT2, LLAMA, mutants, parts, refusal, same, survives

CONFIGS = {"untied": LLAMA, "tied": replace(LLAMA, tied=True, groups=6)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "stories15M.bin"


def written(path, version, config=LLAMA) -> bytes:
    path.unlink(missing_ok=True)
    llama2c.write(parts(config), path, version=version)
    return path.read_bytes()


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_file_that_is_read_and_written_again_is_the_same_file(config, version, path, tmp_path):
    data = written(path, version, config)
    found = llama2c.read(path)
    assert llama2c.recognise(path) and found.config == config and found.family == "llama"
    assert version == 2 or same(found, parts(config).weights)
    again = replace(parts(config), weights=Weights(found.weights))
    llama2c.write(again, tmp_path / "again.bin", version=version)
    assert (tmp_path / "again.bin").read_bytes() == data


def test_the_bytes_are_those_that_run_c_reads(path):
    """Version 0 cut out by counting, in the order of memory_map_weights."""
    data, w = written(path, 0), parts(LLAMA).weights
    assert unpack("<7i", data[:28]) == (48, 96, 2, 6, 2, -200, 24)
    floats = np.frombuffer(data, "<f4", offset=28)
    D, F, L, V, KV, P, K = 48, 96, 2, 200, 16, 24, 8
    sizes = [V * D, L * D, L * D * D, L * KV * D, L * KV * D, L * D * D, L * D, L * F * D, L * D * F, L * F * D, D]
    sizes += [P * K // 2, P * K // 2, V * D]
    assert len(floats) == sum(sizes)
    cut = np.split(floats, np.cumsum(sizes)[:-1])
    assert np.array_equal(cut[0].reshape(V, D), w["token.weight"])
    assert np.array_equal(cut[1].reshape(L, D)[1], w["blocks.1.norm1.gain"])
    assert np.array_equal(cut[6].reshape(L, D)[0], w["blocks.0.norm2.gain"])
    assert np.array_equal(cut[3].reshape(L, KV, D)[1], w["blocks.1.attn.k.weight"].reshape(D, KV).T)
    assert np.array_equal(cut[5].reshape(L, D, D)[0], w["blocks.0.attn.out.weight"].reshape(D, D).T)
    assert np.array_equal(cut[7].reshape(L, F, D)[1], w["blocks.1.mlp.gate.weight"].T)
    assert np.array_equal(cut[8].reshape(L, D, F)[1], w["blocks.1.mlp.down.weight"].T)
    assert np.array_equal(cut[9].reshape(L, F, D)[1], w["blocks.1.mlp.up.weight"].T)
    angle = 5 * 10000.0 ** (-2 / K)
    assert np.isclose(cut[11].reshape(P, -1)[5, 1], np.cos(angle))
    assert np.isclose(cut[12].reshape(P, -1)[5, 1], np.sin(angle))
    assert np.array_equal(cut[13].reshape(V, D), w["unembed.weight"])


def test_the_bytes_are_those_that_runq_c_reads(path):
    data, w = written(path, 2), parts(LLAMA).weights
    assert unpack("<Ii", data[:8]) == (0x616B3432, 2)
    assert data[8:36] == pack("<7i", 48, 96, 2, 6, 2, 200, 24) and data[36:41] == pack("<B", 0) + pack("<i", 16)
    assert not any(data[41:256])
    norms = np.frombuffer(data, "<f4", 5 * 48, 256)
    assert np.array_equal(norms[-48:], w["final_norm.gain"]) and np.array_equal(norms[:48], w["blocks.0.norm1.gain"])
    start = 256 + 4 * 5 * 48
    numbers = np.frombuffer(data, "i1", 200 * 48, start).reshape(-1, 16)
    factors = np.frombuffer(data, "<f4", 600, start + 9600)
    table = w["token.weight"].reshape(-1, 16)
    assert np.array_equal(factors, np.abs(table).max(1) / np.float32(127))
    assert np.array_equal(numbers, np.rint(table / factors[:, None]))
    assert np.abs(numbers * factors[:, None] - table).max() <= factors.max() / 2 * 1.001


def test_groups_that_were_read_are_found_again_though_dividing_rounds():
    draw = np.random.default_rng(0)
    numbers = draw.integers(-127, 128, (4000, 32)).astype(np.int8)
    numbers[:, 3] = 127
    numbers[0] = 0
    factors = draw.random(4000, np.float32) * np.float32(1e-2)
    factors[0] = 0
    weights = dequantized(numbers, factors)
    plain = np.abs(weights).max(1) / np.float32(127)
    assert (plain != factors).any()  # else this would show nothing
    again, same_factors = grouped(weights)
    assert np.array_equal(again, numbers) and np.array_equal(same_factors, factors)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_what_was_found_says_how_it_is_known(version, path):
    written(path, version)
    said = {each.what: f"{each.value}, {each.how}" for each in llama2c.read(path).findings}
    assert (
        said["rotary layout"].startswith("pairs") and said["eps"].startswith("1e-05") and said["tied"].startswith("no")
    )
    assert said["theta"].startswith("10000") and ("agree" in said["theta"]) == (version == 0)
    assert ("int8, 16 in a group" in said["dtype"]) == (version == 2)


def test_groups_divide_both_widths(path):
    """runq.c cuts what a matrix reads into the same groups, so 64 will not do for a hidden width of 96."""
    assert written(path, 2, replace(LLAMA, width=64, heads=8))[37:41] == pack("<i", 32)


def test_a_table_of_other_angles_is_said(path):
    data = bytearray(written(path, 0))
    start = len(data) - 4 * (200 * 48 + 2 * 24 * 4)
    data[start : start + 2 * 24 * 4 * 4] = bytes(2 * 24 * 4 * 4)
    path.write_bytes(data)
    assert "off by 1," in str(llama2c.read(path).findings)


def test_halves_are_written_as_pairs(path):
    model = parts(replace(LLAMA, rotary="halves"))
    llama2c.write(model, path)
    found = llama2c.read(path)
    assert found.config == LLAMA
    moved = reordered(model.weights["blocks.1.attn.k.weight"], "DGK", "halves", "pairs")
    assert np.array_equal(found.weights["blocks.1.attn.k.weight"], moved)


@pytest.mark.parametrize(
    "change", [{"theta": 5e5}, {"eps": 1e-6}, {"scaling": Scaling()}, {"head_width": 16, "groups": 1}], ids=str
)
def test_what_the_file_cannot_say_is_not_written(change, path):
    name = next(iter(change))
    assert name in refusal(lambda: llama2c.write(parts(replace(LLAMA, **change)), path)) and not path.exists()


def test_other_things_are_not_written(path):
    assert "a llama only" in refusal(lambda: llama2c.write(parts(GPT2), path))
    assert "f32 or q8_0" in refusal(lambda: llama2c.write(parts(LLAMA), path, dtype="f16"))
    assert "version 0, 1 or 2" in refusal(lambda: llama2c.write(parts(LLAMA), path, version=3))
    model = parts(LLAMA)
    broken = {**model.weights, "token.weight": model.weights["token.weight"] * np.float32(np.inf)}
    broken["token.weight"][0, 0] = np.inf
    assert "inf or NaN" in refusal(lambda: llama2c.write(replace(model, weights=Weights(broken)), path, dtype="q8_0"))


def test_a_type_chooses_the_version(path, tmp_path):
    llama2c.write(parts(LLAMA), path, dtype="q8_0")
    assert "version 2" in llama2c.read(path).description
    llama2c.write(parts(LLAMA), tmp_path / "b.bin")
    assert "version 0" in llama2c.read(tmp_path / "b.bin").description


# --- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "place", "number", "says"),
    [
        (0, 0, 0, "dim 0"),
        (0, 4, -96, "hidden_dim -96"),
        (0, 8, 2**31 - 1, "n_layers 2147483647"),
        (0, 12, 5, "n_heads 5"),
        (0, 16, 4, "n_kv_heads 4"),
        (0, 20, 200, "has something behind"),
        (0, 24, 25, "cut off"),
        (1, 4, 3, "version 3"),
        (1, 28, -200, "vocab_size -200"),
        (1, 36, 2, "shared table is 2"),
        (2, 37, 32, "group size 32"),
        (2, 37, 0, "group size 0"),
    ],
)
def test_numbers_that_cannot_be_are_named(version, place, number, says, path):
    data = written(path, version)
    width = 1 if place == 36 else 4
    path.write_bytes(data[:place] + number.to_bytes(width, "little", signed=True) + data[place + width :])
    line = refusal(lambda: llama2c.read(path))
    assert says in line and str(path) in line


@pytest.mark.parametrize("version", [0, 1, 2])
def test_cut_off_longer_and_empty_files(version, path):
    data = written(path, version)
    for changed, says in ((data[:20], "file has 20"), (data[:-1], "cut off"), (data + b"\0", "something behind")):
        path.write_bytes(changed)
        assert says in refusal(lambda: llama2c.read(path))
    path.write_bytes(b"")
    assert not llama2c.recognise(path) and "empty" in refusal(lambda: llama2c.read(path))


def test_other_files_are_not_taken_for_one(path, tmp_path):
    llmc.write(parts(GPT2), tmp_path / "other.bin")
    others = [(tmp_path / "other.bin").read_bytes(), bytes(4096), b"GGUF" + bytes(64), b"PK\3\4" + bytes(64)]
    others += [b"{" * 64, pack("<Q", 512) + b'{"a":' + b" " * 64, np.arange(1, 99, dtype="<u2").tobytes()]
    for data in others:
        path.write_bytes(data)
        assert not llama2c.recognise(path)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_damaged_headers_never_hang_crash_or_fill_the_memory(version, path):
    data = written(path, version, replace(LLAMA, layers=1))
    refused, most = survives(path, llama2c.read, mutants(data, 28 if version == 0 else 44, 9 + version))
    assert refused > 1500 and most < len(data) + AROUND
