"""Damaged and hostile GGUF files: one clear line each, at once, and never more memory than the file has bytes."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
from dataclasses import replace

import pytest

from byhand.checkpoints.formats import gguf
from byhand.errors import ByhandError

from .gguf_files import GPT2, LLAMA, Raw, characters, numbers, parts, raw, scalar, string, strings, written

MUTATIONS = 2400
AROUND = 2**20  # bytes that reading any model takes, for its program and names


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Raw:
    path = written(tmp_path_factory.mktemp("good") / "a.gguf", parts(LLAMA, tokenizer=characters()), "q8_0")
    return raw(path)


def refused(path, data: bytes) -> str:
    """The line that a file is refused with."""
    path.write_bytes(data)
    with pytest.raises(ByhandError) as caught:
        gguf.read(path)
    line = str(caught.value)
    assert "\n" not in line and str(path) in line and len(line) < 400, line
    return line


def test_the_parts_of_a_file_make_it_up_again(good, tmp_path):
    path = tmp_path / "a.gguf"
    path.write_bytes(good.bytes())
    assert gguf.read(path).config == LLAMA


def test_no_file_at_all(tmp_path, good):
    path = tmp_path / "a.gguf"
    assert "empty" in refused(path, b"")
    assert "too few" in refused(path, b"GGUF")
    assert "begins with" in refused(path, bytes(4096))
    assert "begins with" in refused(path, b"GGML" + good.bytes()[4:])


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.999])
def test_cut_off(share, tmp_path, good):
    whole = good.bytes()
    line = refused(tmp_path / "a.gguf", whole[: int(share * len(whole))])
    assert "cut off" in line or "claims" in line


def test_only_the_end_is_missing(tmp_path, good):
    assert "cut off" in refused(tmp_path / "a.gguf", good.bytes()[:-1])


def test_other_versions(tmp_path, good):
    path = tmp_path / "a.gguf"
    for version in (0, 1, 2, 4):
        assert f"version {version}" in refused(path, replace(good, version=version).bytes())
    assert "big-endian" in refused(path, replace(good, version=3 << 24).bytes())


@pytest.mark.parametrize("count", [2**20, 2**40, 2**63, 2**64 - 1])
def test_counts_beyond_the_file(count, tmp_path, good):
    path, key = tmp_path / "a.gguf", "tokenizer.ggml.tokens"
    for bad in (
        replace(good, counts={"keys": count}),
        replace(good, counts={"arrays": count}),
        good.with_key(key, strings(["a"] * 96, count)),
        good.with_key("tokenizer.ggml.token_type", numbers("i32", [1] * 96, count)),
    ):
        assert f"claims {count:,}" in refused(path, bad.bytes())
    line = refused(path, good.with_key("general.name", struct.pack("<IQ", 8, count)).bytes())
    assert "cut off" in line or "long" in line


def test_more_than_any_model_has(tmp_path):
    path, many = tmp_path / "a.gguf", 70_000
    head = struct.pack("<4sIQQ", b"GGUF", 3, many, 0)
    assert "more than any model" in refused(path, head + bytes(33 * many))


def test_a_text_longer_than_any_model_has(tmp_path):
    path, length = tmp_path / "a.gguf", 2**26 + 1
    path.write_bytes(struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, length))
    with path.open("rb+") as file:
        file.truncate(2 * length)
    with pytest.raises(ByhandError, match="67,108,865 bytes long"):
        gguf.read(path)


KEYS = {
    "twice": lambda good: replace(good, keys=(*good.keys, good.keys[-1])),
    "type 13": lambda good: good.with_key("general.name", struct.pack("<II", 13, 1)),
    "an array of arrays": lambda good: good.with_key("general.name", struct.pack("<IIQ", 9, 9, 1)),
    "an array of the unknown type 77": lambda good: good.with_key("general.name", struct.pack("<IIQ", 9, 77, 1)),
    "general.name' is not UTF-8": lambda good: good.with_key("general.name", string(b"\xff\xfe")),
    "tokens' is not UTF-8": lambda good: good.with_key("tokenizer.ggml.tokens", strings([b"\xc3"] * 96)),
    "alignment is 0": lambda good: good.with_key("general.alignment", scalar("u32", 0)),
    "alignment is 24": lambda good: good.with_key("general.alignment", scalar("u32", 24)),
    "alignment is 32.0": lambda good: good.with_key("general.alignment", scalar("f32", 32)),
    "lacks general.architecture": lambda good: good.without_key("general.architecture"),
    "architecture, which": lambda good: good.with_key("general.architecture", scalar("u32", 1)),
    "lacks the key llama.block_count": lambda good: good.without_key("llama.block_count"),
    "embedding_length is 32.0": lambda good: good.with_key("llama.embedding_length", scalar("f32", 32)),
    "context_length is 'x'": lambda good: good.with_key("llama.context_length", string("x")),
    "head_count is an array of 96": lambda good: good.with_key("llama.attention.head_count", strings(["a"] * 96)),
    "feed_forward_length is 0": lambda good: good.with_key("llama.feed_forward_length", scalar("u32", 0)),
    "block_count is True": lambda good: good.with_key("llama.block_count", scalar("bool", True)),
    "differs between layers": lambda good: good.with_key("llama.attention.head_count", numbers("u32", [4, 2])),
    "rms_epsilon is nan": lambda good: good.with_key(
        "llama.attention.layer_norm_rms_epsilon", scalar("f32", float("nan"))
    ),
    "scale is an array": lambda good: good.with_key("llama.attention.scale", numbers("f32", [1, 1])),
    "expert_count is 8": lambda good: good.with_key("llama.expert_count", scalar("u64", 8)),
    "array of 2 parts": lambda good: good.with_key("split.count", numbers("u32", [1, 2])),
    "tokens is 5": lambda good: good.with_key("tokenizer.ggml.tokens", scalar("u32", 5)),
    "token_type": lambda good: good.with_key("tokenizer.ggml.token_type", strings(["a"] * 96)),
    "merges": lambda good: good.with_key("tokenizer.ggml.merges", scalar("u32", 5)),
}


@pytest.mark.parametrize("needed", KEYS)
def test_keys(needed, tmp_path, good):
    assert needed in refused(tmp_path / "a.gguf", KEYS[needed](good).bytes())


K = "blk.0.attn_k.weight"
TABLES = {
    "two arrays named": {"name": b"blk.0.attn_q.weight"},
    "is not UTF-8": {"name": b"\xff"},
    "0 axes": {"dims": ()},
    "5 axes": {"dims": (32, 1, 1, 1, 16)},
    "shape [0, 32]": {"dims": (32, 0)},
    f"shape [{2**40}, {2**40}]": {"dims": (2**40, 2**40)},
    f"shape [{2**63}, 32]": {"dims": (32, 2**63)},
    "whole blocks of 32": {"dims": (16, 32)},
    "unknown type 4": {"kind": 4},
    "unknown type 4000000000": {"kind": 4_000_000_000},
    "not at a multiple of 32": {"offset": 16},
    "over one another": {"offset": 0},
    "cut off": {"offset": 2**40},
    "has shape (32, 32)": {"dims": (32, 32), "offset": 2**16},
    "lacks blk.0.attn_k.weight": {"name": b"blk.0.attn_x.weight"},
}


@pytest.mark.parametrize("needed", TABLES)
def test_the_table_of_arrays(needed, tmp_path, good):
    bad = replace(good.with_table(K, **TABLES[needed]), data=good.data + bytes(2**17))
    assert needed in refused(tmp_path / "a.gguf", bad.bytes())


def test_no_matrix_at_all(tmp_path, good):
    flat = tuple(replace(each, dims=(32,), kind=0) for each in good.tables)
    bad = replace(good, tables=flat, data=good.data + bytes(2**17)).with_key("tokenizer.ggml.model", string("none"))
    assert "token_embd.weight has shape (32,)" in refused(
        tmp_path / "a.gguf", bad.without_key("tokenizer.ggml.tokens").bytes()
    )


def test_many_blocks_in_name_only(tmp_path, good):
    """A program of so many blocks would take minutes to make."""
    bad = good.with_key("llama.block_count", scalar("u32", 2**31 - 1))
    assert "block_count is 2147483647" in refused(tmp_path / "a.gguf", bad.bytes())
    named = tuple(replace(each, name=f"blk.{number}.x".encode()) for number, each in enumerate(good.tables[1:]))
    bad = replace(good, tables=(good.tables[0], *named)).with_key("llama.block_count", scalar("u32", len(named)))
    assert f"block_count is {len(named)}" in refused(tmp_path / "a.gguf", bad.bytes())


def mutated(good: bytes, header: int, rng: random.Random) -> bytes:
    """A file with something else somewhere in its header."""
    data, at = bytearray(good), rng.randrange(header)
    way = rng.randrange(6)
    if way == 0:
        for _ in range(rng.choice((1, 1, 2, 8))):
            data[rng.randrange(header)] = rng.randrange(256)
    elif way == 1:
        data[at : at + 8] = struct.pack(
            "<Q", rng.choice((0, 1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1, rng.getrandbits(64)))
        )
    elif way == 2:
        data[at : at + 4] = struct.pack("<I", rng.choice((0, 6, 8, 9, 13, 2**31, 2**32 - 1)))
    elif way == 3:
        del data[at : at + rng.choice((1, 2, 4, 8, 100))]
    elif way == 4:
        data[at:at] = rng.randbytes(rng.choice((1, 4, 8, 100)))
    else:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


@pytest.mark.parametrize("config", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_a_header_with_anything_in_it(config, tmp_path):
    """Read, or refused in one line; neither takes long, nor more memory than the file."""
    path = written(tmp_path / "a.gguf", parts(config, tokenizer=characters()), "q4_0")
    good = path.read_bytes()
    header = min(each.offset for each in gguf.opened(path).entries.values())
    gguf.read(path)
    rng = random.Random(f"{config}")
    tracemalloc.start()
    slowest, outcomes = 0.0, {True: 0, False: 0}
    try:
        for _ in range(MUTATIONS // 2):
            data = mutated(good, header, rng)
            path.write_bytes(data)
            before, started = tracemalloc.get_traced_memory()[0], time.perf_counter()
            tracemalloc.reset_peak()
            try:
                gguf.read(path)
                outcomes[True] += 1
            except ByhandError as error:
                outcomes[False] += 1
                assert "\n" not in str(error)
            slowest = max(slowest, time.perf_counter() - started)
            assert tracemalloc.get_traced_memory()[1] - before < len(data) + AROUND
    finally:
        tracemalloc.stop()
    assert slowest < 5 and all(outcomes.values())
