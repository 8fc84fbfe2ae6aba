"""nanoGPT's ckpt.pt: matrices turned over against Hugging Face's, with and without biases, compiled or not."""

from dataclasses import replace

import numpy as np
import pytest

import byhand
from byhand import checkpoints
from byhand.errors import ByhandError
from byhand.families import gpt2
from byhand.layouts import joined, rows_for
from byhand.layouts.nanogpt import GPT2

from . import torch_writer
from .folders import logits

CONFIG = replace(gpt2.SHAPES["gpt2-tiny"], activation="gelu_erf")
ARGS = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 64, "bias": True, "vocab_size": 96, "dropout": 0.0}


def nano(path, model, legacy=False, prefix="", args=ARGS, change=dict):
    arrays = {row.name: joined(row, model.weights.__getitem__, model.program) for row in rows_for(GPT2, model.program)}
    arrays["lm_head.weight"] = arrays["transformer.wte.weight"]
    state = {f"{prefix}{name}": each for name, each in change(arrays).items()}
    beside = {"optimizer": {"state": {}, "param_groups": [{"lr": 6e-4, "betas": (0.9, 0.95), "params": [0, 1]}]}}
    return torch_writer.save(path, state, legacy, model_args=dict(args), iter_num=5, best_val_loss=1.5, **beside)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module._orig_mod."])
def test_the_same_model(tmp_path, bias, prefix):
    model = byhand.make("gpt2", replace(CONFIG, bias=bias), seed=4)
    path = nano(tmp_path / "ckpt.pt", model, prefix=prefix.removeprefix("module."), args=ARGS | {"bias": bias})
    for place in (path, tmp_path):
        found = byhand.load(place)
        assert found.config == model.config and np.array_equal(logits(found), logits(model))
    assert not any("copy" in name for name in checkpoints.read(path).ignored)


def test_matrices_are_output_first(tmp_path):
    """The first feature of a query is a row of c_attn here, a column in Hugging Face's files."""
    model = byhand.make("gpt2", CONFIG, seed=4)
    seen = {}
    nano(tmp_path / "x.pt", model, change=lambda a: seen.update(a) or a)
    q_D = model.weights["blocks.0.attn.q.weight"][:, 1, 2]
    assert np.array_equal(seen["transformer.h.0.attn.c_attn.weight"][1 * 8 + 2], q_D)
    assert seen["transformer.h.0.mlp.c_fc.weight"].shape == (128, 32)
    assert (
        next(each.value for each in checkpoints.read(tmp_path / "x.pt").findings if each.what == "matrices")
        == "output first"
    )


def test_which_gelu_is_left_open(tmp_path):
    found = checkpoints.read(nano(tmp_path / "x.pt", byhand.make("gpt2", CONFIG, seed=4)))
    assert [(each.name, each.choices) for each in found.doubts] == [("activation", ("gelu_erf", "gelu_tanh"))]


def test_old_arguments_and_buffers(tmp_path):
    """Before there was `bias`, all had biases; before torch 2, the causal mask was in the file."""
    model = byhand.make("gpt2", CONFIG, seed=4)
    args = {name: value for name, value in ARGS.items() if name != "bias"}
    mask = {f"transformer.h.{i}.attn.bias": np.ones((1, 1, 64, 64), np.float32) for i in (0, 1)}
    found = checkpoints.read(nano(tmp_path / "x.pt", model, legacy=True, args=args, change=lambda a: a | mask))
    assert found.config.bias and set(found.ignored) == set(mask)


def test_padding_and_alphabet(tmp_path):
    wide = replace(CONFIG, vocabulary=50304, layers=1, width=8, heads=1, hidden=32)
    args = ARGS | {"n_layer": 1, "n_embd": 8, "n_head": 1, "vocab_size": 50304}
    found = checkpoints.read(nano(tmp_path / "x.pt", byhand.make("gpt2", wide), args=args))
    assert found.config.vocabulary == 50304
    assert any(each.what == "padding" and each.value.startswith("47 rows") for each in found.findings)
    letters = {"vocab_size": 2, "itos": {0: "a", 1: "b"}, "stoi": {"a": 0, "b": 1}}
    (tmp_path / "meta.pkl").write_bytes(torch_writer.START + torch_writer.plain(letters) + b".")
    small = nano(tmp_path / "y.pt", byhand.make("gpt2", CONFIG))
    assert byhand.load(small).tokenizer.encode("abba") == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("args", "change", "says"),
    [
        ({"n_embd": 64}, dict, "n_embd 64"),
        ({"n_head": 5}, dict, "cannot be shared evenly by 5 heads"),
        ({"n_layer": 3}, dict, "lacks transformer.h.2"),
        ({"n_layer": 10**8}, dict, "n_layer is 100000000, but the file has"),
        ({"block_size": 65}, dict, "block_size 65"),
        ({"bias": False}, dict, "holds transformer.h.0.ln_1.bias"),
        ({"bias": 1}, dict, "true or false"),
        ({"n_head": None}, dict, "does not say n_head"),
        ({}, lambda a: a | {"lm_head.weight": a["transformer.wte.weight"] * 2}, "lm_head.weight differs"),
        ({}, lambda a: a | {"transformer.ln_f.bias": np.ones(32, np.int64)}, "holds int64"),
        ({}, lambda a: a | {"a\nb": np.ones(32)}, "names are short texts in one line"),
    ],
)
def test_what_does_not_fit(tmp_path, args, change, says):
    path = nano(tmp_path / "ckpt.pt", byhand.make("gpt2", CONFIG, seed=4), args=ARGS | args, change=change)
    with pytest.raises(ByhandError, match=says) as caught:
        byhand.load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_other_files_of_that_name(tmp_path):
    torch_writer.save(tmp_path / "ckpt.pt", {"a": np.ones(2)}, epoch=3)
    for place in (tmp_path, tmp_path / "ckpt.pt"):
        with pytest.raises(ByhandError, match="no model_args|without a config"):
            byhand.load(place)
