"""Meta's folders: one shard and several, the order of rotary features, params.json with what it leaves out."""

import json
from dataclasses import replace

import numpy as np
import pytest

import byhand
from byhand import checkpoints
from byhand.checkpoints.files import torch_files
from byhand.checkpoints.files.jsons import Fields
from byhand.checkpoints.formats.meta import by_formula, context_of, scaling_of
from byhand.errors import ByhandError
from byhand.families import llama
from byhand.layouts import joined, match, rows_for
from byhand.layouts.meta import LLAMA

from . import torch_writer
from .folders import logits

CONFIG = replace(llama.TINY, context=8192)
AXES = {"wq": 0, "wk": 0, "wv": 0, "wo": 1, "w1": 0, "w3": 0, "w2": 1, "output": 0}
PARAMS = {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "vocab_size": 96, "multiple_of": 32}
PARAMS |= {"norm_eps": 1e-5, "rope_theta": 500000.0}


def made(**change):
    return byhand.make("llama", replace(CONFIG, **change), seed=4)


def meta(folder, model=None, count=1, table=0, change=dict, **params):
    """A folder. table: the axis along which the token table is cut; change: of the arrays of each shard."""
    model = model or made()
    folder.mkdir()
    (folder / "params.json").write_text(json.dumps(PARAMS | params))
    arrays = {row.name: joined(row, model.weights.__getitem__, model.program) for row in rows_for(LLAMA, model.program)}
    arrays["rope.freqs"] = np.ones(4, np.float32)
    axes = AXES | {"tok_embeddings": table}
    for shard in range(count):
        parts = {n: cut(each, axes.get(n.split(".")[-2]), count, shard) for n, each in arrays.items()}
        torch_writer.save(folder / f"consolidated.{shard:02}.pth", change(parts))
    return folder


def cut(array, axis, count, shard):
    return array if axis is None else np.ascontiguousarray(np.split(array, count, axis)[shard])


def refused(path, says):
    with pytest.raises(ByhandError, match=says) as caught:
        byhand.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("count", "table"), [(1, 0), (2, 0), (2, 1)])
@pytest.mark.parametrize("tied", [False, True])
def test_the_same_model(tmp_path, count, table, tied):
    model = made(tied=tied)
    found = byhand.load(meta(tmp_path / "m", model, count, table))
    assert found.config == model.config and (found.config.rotary, found.config.tied) == ("pairs", tied)
    assert np.array_equal(logits(found), logits(model))


def test_the_rotary_permutation(tmp_path):
    """Meta's folder, Hugging Face's, which holds other rows of queries and keys, and GGUF give the same logits."""
    model = made()
    for format in ("hf", "gguf", "byhand"):
        model.save(tmp_path / format, format=format)
        assert np.abs(logits(byhand.load(tmp_path / format)) - logits(model)).max() < 1e-12
    hf, found = byhand.load(tmp_path / "hf"), byhand.load(meta(tmp_path / "m", model, 2))
    assert hf.config.rotary == "halves" and found.config.rotary == "pairs"
    assert not np.array_equal(hf.weights["blocks.0.attn.q.weight"], found.weights["blocks.0.attn.q.weight"])
    assert np.abs(logits(hf) - logits(found)).max() < 1e-12
    mixed = byhand.make("llama", replace(found.config, rotary="halves"), found.weights)
    assert np.abs(logits(mixed) - logits(found)).max() > 1e-3


def test_the_table_knows_both_orders(tmp_path):
    """Meta's arrays in a program that turns halves: every query and key has its rows moved when it is asked for."""
    found = checkpoints.read(meta(tmp_path / "m"))
    other = replace(found.config, rotary="halves")
    arrays = torch_files.read(tmp_path / "m/consolidated.00.pth")
    moved = match(LLAMA, llama.program(other), arrays, "x", {}).weights
    assert {at.rpartition(".")[0][-1] for at, each in moved.items() if not isinstance(each, np.ndarray)} == {"q", "k"}
    assert np.abs(logits(byhand.make("llama", other, moved)) - logits(made())).max() < 1e-12


def test_one_shard_is_mapped_and_several_are_joined_when_asked(tmp_path):
    one, two = meta(tmp_path / "1"), meta(tmp_path / "2", count=2)
    assert all(isinstance(each, np.ndarray) for each in checkpoints.read(one).weights.values())
    lazy = [at for at, each in checkpoints.read(two).weights.items() if not isinstance(each, np.ndarray)]
    assert len(lazy) == 2 * 7 + 2
    assert checkpoints.read(two).ignored == {"rope.freqs": "the rotary frequencies, computed from theta here"}


def test_what_params_json_leaves_out(tmp_path):
    model = made(theta=10_000.0, context=4096, groups=4, hidden=96)
    found = byhand.load(meta(tmp_path / "m", model, n_kv_heads=None, vocab_size=-1, rope_theta=None, multiple_of=None))
    assert found.config == model.config
    whole = byhand.load(meta(tmp_path / "n", model, n_kv_heads=4, rope_theta=10000, max_seq_len=99))
    assert whole.config == replace(model.config, context=99)


def test_a_file_alone(tmp_path):
    folder = meta(tmp_path / "m")
    assert np.array_equal(logits(byhand.load(folder / "consolidated.00.pth")), logits(made()))


@pytest.mark.parametrize(
    ("name", "multiple_of", "multiplier"),
    [
        ("llama2-7b", 256, 1.0),
        ("llama2-13b", 256, 1.0),
        ("llama2-70b", 4096, 1.3),
        ("llama3-8b", 1024, 1.3),
        ("llama3-70b", 4096, 1.3),
        ("llama3.1-405b", 4096, 1.2),
        ("llama3.2-1b", 256, 1.5),
        ("llama3.2-3b", 256, 1.0),
    ],
)
def test_the_formula_of_the_width(name, multiple_of, multiplier):
    config = llama.SHAPES[name]
    assert by_formula(config.width, multiple_of, multiplier) == config.hidden


def test_the_scaling_of_published_models():
    """params.json of 3.1 and 3.2 says only that there is one."""
    said = Fields({"use_scaled_rope": True}, "x")
    for name in ("llama3.1-8b", "llama3.1-405b", "llama3.2-1b", "llama3.2-3b"):
        config = llama.SHAPES[name]
        assert scaling_of(said, config.layers, config.width)[0] == config.scaling, name
        assert context_of(said, config.theta, True)[0] == config.context
    assert scaling_of(said, 3, 32)[0] == llama.Scaling()
    assert scaling_of(Fields({"use_scaled_rope": True, "rope_scaling_factor": 5}, "x"), 3, 32)[0].factor == 5
    assert scaling_of(Fields({}, "x"), 32, 4096)[0] is None


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"dim": 64}, "dim 64"),
        ({"n_heads": 5}, "dim 32 cannot be shared evenly by 5"),
        ({"n_heads": 8}, "dim / n_heads 4"),
        ({"n_kv_heads": 4}, "n_kv_heads 4"),
        ({"n_layers": 3}, "lacks layers.2"),
        ({"n_layers": 10**9}, "n_layers is 1000000000, but the weights are"),
        ({"multiple_of": 64}, "feed-forward width of 128, but w1 has 96 rows"),
        ({"ffn_dim_multiplier": 1e300}, "w1 has 96 rows"),
        ({"vocab_size": 97}, "vocab_size 97"),
        ({"vocab_size": -2}, "vocab_size is -2"),
        ({"moe": {"experts": 8}}, "'moe' is .*does not know"),
        ({"use_scaled_rope": "yes"}, "true or false"),
    ],
)
def test_params_that_do_not_fit(tmp_path, params, says):
    refused(meta(tmp_path / "m", **params), says)


def test_shards_that_do_not_belong(tmp_path):
    folder = meta(tmp_path / "m", count=2)
    (folder / "consolidated.00.pth").rename(folder / "consolidated.02.pth")
    refused(folder, "lacks consolidated.00.pth")
    parts = iter(range(2))
    refused(
        meta(tmp_path / "norms", count=2, change=lambda a: a | {"norm.weight": a["norm.weight"] + next(parts)}),
        "norm.weight differs",
    )
    parts = iter([{"x": np.ones(1)}, {}])
    refused(meta(tmp_path / "more", count=2, change=lambda a: a | next(parts)), "x is in one of")
    parts = iter([3, 4])
    wrong = "layers.0.attention.wq.weight"
    refused(meta(tmp_path / "sizes", count=2, change=lambda a: a | {wrong: a[wrong][: next(parts)]}), "shapes")
    refused(
        meta(tmp_path / "table", change=lambda a: {n: each for n, each in a.items() if "tok" not in n}),
        "lack tok_embeddings",
    )


def test_a_folder_cut_short(tmp_path):
    folder = meta(tmp_path / "m", count=2)
    (folder / "consolidated.01.pth").unlink()
    refused(folder, "shape|rows")
    (folder / "consolidated.00.pth").write_bytes(b"PK\x03\x04 and no more")
    refused(folder, "consolidated.00.pth is a damaged zip archive")
    (folder / "consolidated.00.pth").unlink()
    refused(folder, "params.json but no weights; consolidated.00.pth is missing")
