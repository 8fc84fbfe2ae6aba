"""llm.c's model files: the bytes that llm.c reads, the same weights back, and one line for every damage."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest

from byhand.checkpoints.formats import llmc
from byhand.families import llama
from byhand.weights import Weights

from .bin_files import AROUND, GPT2, LLAMA, mutants, parts, refusal, same, survives

LONG = replace(LLAMA, theta=500000.0, scaling=llama.Scaling())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gpt2_124M.bin"


@pytest.fixture
def good(path) -> bytes:
    llmc.write(parts(GPT2), path)
    return path.read_bytes()


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("config", [GPT2, replace(GPT2, vocabulary=256, layers=1)], ids=["padded", "not padded"])
def test_weights_come_back_to_the_bit(config, dtype, path, tmp_path):
    model = parts(config, dtype=dtype)
    llmc.write(model, path)
    found = llmc.read(path)
    assert found.config == config and found.family == "gpt2" and same(found, model.weights)
    llmc.write(replace(model, weights=Weights(found.weights)), tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == path.read_bytes()


def test_the_bytes_are_those_that_llmc_reads(good, path):
    """Its own order and axes, cut out of the file by counting."""
    header = np.frombuffer(good, "<i4", 256)
    assert header[:8].tolist() == [20240326, 3, 24, 300, 2, 4, 32, 384] and not header[8:].any()
    C, L, Vp, T = 32, 2, 384, 24
    sizes = {"wte": Vp * C, "wpe": T * C, "ln1w": L * C, "ln1b": L * C, "qkvw": L * 3 * C * C, "qkvb": L * 3 * C}
    sizes |= {"attprojw": L * C * C, "attprojb": L * C, "ln2w": L * C, "ln2b": L * C, "fcw": L * 4 * C * C}
    sizes |= {"fcb": L * 4 * C, "fcprojw": L * 4 * C * C, "fcprojb": L * C, "lnfw": C, "lnfb": C}
    ends = np.cumsum([256, *sizes.values()])
    cut = {name: np.frombuffer(good, "<f4")[a:b] for name, (a, b) in zip(sizes, pairwise(ends), strict=True)}
    assert len(good) == 4 * ends[-1]
    w = parts(GPT2).weights
    assert np.array_equal(cut["wte"].reshape(Vp, C)[:300], w["token.weight"])
    assert not cut["wte"].reshape(Vp, C)[300:].any()
    k = w["blocks.1.attn.k.weight"].reshape(C, C)
    assert np.array_equal(cut["qkvw"].reshape(L, 3, C, C)[1, 1], k.T)
    assert np.array_equal(cut["qkvb"].reshape(L, 3, C)[0, 2], w["blocks.0.attn.v.bias"].ravel())
    assert np.array_equal(cut["attprojw"].reshape(L, C, C)[0], w["blocks.0.attn.out.weight"].reshape(C, C).T)
    assert np.array_equal(cut["fcw"].reshape(L, 4 * C, C)[1], w["blocks.1.mlp.up.weight"].T)
    assert np.array_equal(cut["fcprojw"].reshape(L, C, 4 * C)[1], w["blocks.1.mlp.down.weight"].T)
    assert np.array_equal(cut["ln1w"].reshape(L, C)[1], w["blocks.1.norm1.gain"])
    assert np.array_equal(cut["ln2b"].reshape(L, C)[0], w["blocks.0.norm2.shift"])
    assert np.array_equal(cut["lnfb"], w["final_norm.shift"])


def test_weights_are_views_of_the_file(good, path):
    found = llmc.read(path)
    assert all(not each.flags.owndata and not each.flags.writeable for each in found.weights.values())


def test_rows_behind_the_vocabulary_are_cut_off_and_said(good, path):
    assert "84 rows cut off" in str(llmc.read(path).findings) and "are zero" in str(llmc.read(path).findings)
    start = 1024 + 4 * 300 * 32
    path.write_bytes(good[:start] + b"\0\0\x80\x3f" + good[start + 4 :])
    assert "hold numbers, which no token reads" in str(llmc.read(path).findings)


def test_what_was_found_says_how_it_is_known(good, path):
    said = {each.what: each.value for each in llmc.read(path).findings}
    assert said["activation"] == "gelu_tanh" and said["eps"] == "1e-05" and said["tied"] == "yes"
    assert said["matrices"] == "output first" and said["heads"] == "4 of width 8" and said["tokenizer"] == "none"


def test_a_type_can_be_asked_for(path, tmp_path):
    model = parts(GPT2, dtype=np.float64)
    llmc.write(model, path)
    assert same(llmc.read(path), {name: each.astype(np.float32) for name, each in model.weights.items()})
    llmc.write(model, tmp_path / "narrow.bin", dtype="bf16")
    narrow = {name: each.astype(ml_dtypes.bfloat16) for name, each in model.weights.items()}
    assert same(llmc.read(tmp_path / "narrow.bin"), narrow)
    assert "f32 or bf16" in refusal(lambda: llmc.write(model, path, dtype="f16"))


@pytest.mark.parametrize(
    "change", [{"hidden": 100}, {"eps": 1e-6}, {"activation": "gelu_erf"}, {"tied": False}, {"bias": False}], ids=str
)
def test_what_the_file_cannot_say_is_not_written(change, path):
    (name,) = change
    assert name in refusal(lambda: llmc.write(parts(replace(GPT2, **change)), path)) and not path.exists()


def test_other_families_are_not_written(path):
    assert "gpt2 only" in refusal(lambda: llmc.write(parts(LLAMA), path)) and not path.exists()


# --- Llama ---------------------------------------------------------------------------------------------------------


def llama_file(config: llama.Config, dtype=np.float32) -> bytes:
    """What write_model of train_llama3.py makes of a model, put together by hand."""
    c, w = config, parts(config, dtype=dtype).weights
    sizes = [c.context, c.vocabulary, c.layers, c.heads, c.groups, c.width]
    lost = [1, 1024, 0, int(c.theta), int(c.scaling is not None), 4, 3, 1]
    header = [20240803, 5 if dtype != np.float32 else 3, *sizes, *lost]
    each = [f"blocks.{layer}" for layer in range(c.layers)]

    def heads(name: str) -> list[np.ndarray]:
        return [w[f"{at}.attn.{name}.weight"].reshape(c.width, -1).T for at in each]

    qkv = [row for layer in zip(heads("q"), heads("k"), heads("v"), strict=True) for row in layer]
    arrays = [w["token.weight"], *(w[f"{at}.norm1.gain"] for at in each), *qkv]
    arrays += [w[f"{at}.attn.out.weight"].reshape(-1, c.width).T for at in each]
    arrays += [w[f"{at}.norm2.gain"] for at in each]
    arrays += [w[f"{at}.mlp.{name}.weight"].T for name in ("up", "gate", "down") for at in each]
    arrays += [w["final_norm.gain"], w["unembed.weight"]]
    return np.array(header + [0] * (256 - len(header)), "<i4").tobytes() + b"".join(a.tobytes() for a in arrays)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("config", [LONG, replace(LONG, scaling=None, groups=6)], ids=["scaled", "plain"])
def test_a_llama_is_read(config, dtype, path):
    path.write_bytes(llama_file(config, dtype))
    found = llmc.read(path)
    assert found.config == config and same(found, parts(config, dtype=dtype).weights)
    assert "from the size of the file" in str(found.findings) and "rounds it to 0" in str(found.findings)


def test_a_damaged_llama_is_refused(path):
    data = llama_file(LONG)
    state = np.array([20240803, 4, 64] + [0] * 253, "<i4").tobytes()
    for damaged, says in (
        (data[:-4], "fit no hidden width"),
        (data + bytes(4), "fit no hidden width"),
        (data[:2000], "fit no hidden width"),
        (changed(data, 6, 4), "n_kv_head 4"),
        (changed(data, 11, 0), "rope_theta 0"),
        (state + bytes(4000), "debug state of train_llama3.py"),
    ):
        path.write_bytes(damaged)
        assert says in refusal(lambda: llmc.read(path))


# --- damage --------------------------------------------------------------------------------------------------------


def changed(data: bytes, place: int, number: int) -> bytes:
    return data[: 4 * place] + number.to_bytes(4, "little", signed=True) + data[4 * place + 4 :]


@pytest.mark.parametrize("version", [1, 2])
def test_old_versions_are_refused_with_what_helps(version, good, path):
    path.write_bytes(changed(good, 1, version))
    line = refusal(lambda: llmc.read(path))
    assert f"old version {version}" in line and "train_gpt2.py" in line


@pytest.mark.parametrize(
    ("place", "number", "says"),
    [
        (1, 4, "version 4"),
        (2, -24, "max_seq_len -24"),
        (3, 0, "vocab_size 0"),
        (3, 400, "padded_vocab_size 384 for vocab_size 400"),
        (4, 2**31 - 1, "num_layers 2147483647, which no model has"),
        (5, 5, "channels 32 for num_heads 5"),
        (6, 64, "needs"),
        (7, 2**31 - 1, "needs"),
        (0, 20240327, "debug state"),
        (0, 20240520, "tokens for training"),
        (0, 7, "starts with 7"),
    ],
)
def test_numbers_that_cannot_be_are_named(place, number, says, good, path):
    path.write_bytes(changed(good, place, number))
    line = refusal(lambda: llmc.read(path))
    assert says in line and str(path) in line


def test_cut_off_empty_and_longer_files(good, path):
    for length in (3, 1000, 1024, len(good) - 1):
        path.write_bytes(good[:length])
        assert "cut off" in refusal(lambda: llmc.read(path))
    path.write_bytes(good + b"\0")
    assert "something behind" in refusal(lambda: llmc.read(path))
    for data, says in ((b"", "empty"), (bytes(len(good)), "starts with 0")):
        path.write_bytes(data)
        assert not llmc.recognise(path) and says in refusal(lambda: llmc.read(path))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_damaged_headers_never_hang_crash_or_fill_the_memory(kind, path):
    llmc.write(parts(replace(GPT2, layers=1)), path)
    data = path.read_bytes() if kind == "gpt2" else llama_file(replace(LONG, layers=1))
    refused, most = survives(path, llmc.read, mutants(data, 32 if kind == "gpt2" else 52, 5))
    assert refused > 1300 and most < len(data) + AROUND
