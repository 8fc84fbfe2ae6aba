"""A row of a layout reads what it writes, for every family; nothing of a file is missed or left over."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import byhand
from byhand.errors import InputError, ShapeError
from byhand.families import bert, gpt2, llama
from byhand.layouts import hugging_face, joined, match, pieces, rows_for, shape, split, stored
from byhand.layouts.layout import Row, changes, reordered
from byhand.weights import Lazy

GPT2, BERT = gpt2.SHAPES["gpt2-tiny"], bert.SHAPES["bert-tiny"]
MODELS = {
    "gpt2": ("gpt2", GPT2),
    "gpt2, untied": ("gpt2", replace(GPT2, tied=False)),
    "gpt2 without biases": ("gpt2", replace(GPT2, bias=False)),
    "llama": ("llama", replace(llama.TINY, rotary="halves")),
    "llama in pairs": ("llama", replace(llama.TINY, tied=True)),
    "bert": ("bert", BERT),
    "bert, everything": ("bert", replace(BERT, tied=False, next_sentence=True)),
    "bert, bare": ("bert", replace(BERT, masked_lm=False)),
}


@cache
def model(name):
    return byhand.make(*MODELS[name], seed=4)


@cache
def arrays(name):
    """The arrays of a Hugging Face file of this model."""
    made = model(name)
    rows = rows_for(layout(name), made.program)
    return {row.name: joined(row, made.weights.__getitem__, made.program) for row in rows}


def layout(name):
    return hugging_face.LAYOUTS[MODELS[name][0]]


def matched(name, given, words=()):
    return match(layout(name), model(name).program, given, "model.safetensors", dict(words))


@pytest.mark.parametrize("name", MODELS)
def test_what_is_written_is_read_again(name):
    found = matched(name, arrays(name)).weights
    weights = model(name).weights
    assert found.keys() == weights.keys()
    for address, source in found.items():
        array = source() if isinstance(source, Lazy) else source
        assert source.shape == weights[address].shape and np.array_equal(array, weights[address]), address


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert, everything"])
def test_weights_are_views_of_the_files_arrays(name):
    stored_arrays = arrays(name)
    for source in matched(name, stored_arrays).weights.values():
        assert any(np.shares_memory(source, array) for array in stored_arrays.values())


def test_features_that_must_move_are_moved_only_when_asked_for():
    found = matched("llama in pairs", arrays("llama in pairs")).weights
    assert {address for address, source in found.items() if isinstance(source, Lazy)} == {
        f"blocks.{block}.attn.{each}.weight" for block in (0, 1) for each in "qk"
    }


def test_the_two_rotary_orders():
    weight_DHK = np.arange(2 * 3 * 8).reshape(2, 3, 8)
    halves = reordered(weight_DHK, "DHK", "pairs", "halves")
    assert halves[0, 0].tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert np.array_equal(reordered(halves, "DHK", "halves", "pairs"), weight_DHK)


def test_transformers_own_arrangement():
    """Written out by hand for one matrix of each kind."""
    weights, files = model("gpt2").weights, arrays("gpt2")
    q, v = weights["blocks.1.attn.q.weight"], weights["blocks.1.attn.v.weight"]
    c_attn = files["transformer.h.1.attn.c_attn.weight"]
    assert np.array_equal(c_attn[:, 8:16], q[:, 1]) and np.array_equal(c_attn[:, 64 + 24 : 64 + 32], v[:, 3])
    weights, files = model("llama").weights, arrays("llama")
    k, out = weights["blocks.0.attn.k.weight"], weights["blocks.0.attn.out.weight"]
    assert np.array_equal(files["model.layers.0.self_attn.k_proj.weight"][8:16], k[:, 1].T)
    assert np.array_equal(files["model.layers.0.self_attn.o_proj.weight"][:, 24:32], out[3].T)
    weights, files = model("bert").weights, arrays("bert")
    assert np.array_equal(files["bert.pooler.dense.weight"], weights["pooler.weight"].T)


def test_stacked_blocks_come_in_pieces():
    made = model("gpt2")
    addresses = tuple((f"blocks.{block}.attn.{each}.weight" for each in "qkv") for block in (0, 1))
    row = Row("qkvw", stored("L +HK D", "", "", ""), tuple(map(tuple, addresses)))
    whole = joined(row, made.weights.__getitem__, made.program)
    assert whole.shape == shape(row, made.program) == (2, 96, 32)
    in_pieces = [piece.tobytes() for piece in pieces(row, made.weights, made.program)]
    assert b"".join(in_pieces) == whole.tobytes() and len(in_pieces) == 2
    for address, array in split(row, whole, made.program).items():
        assert np.array_equal(array, made.weights[address])
    assert changes(row, made.program) == "blocks apart, parts apart, heads apart, turned over"


# --- what does not match ------------------------------------------------------------------------------------------


def test_what_is_missing_and_what_is_left_over_is_named():
    given = dict(arrays("gpt2"))
    del given["transformer.h.1.mlp.c_fc.bias"]
    with pytest.raises(InputError, match=r"model.safetensors lacks transformer.h.1.mlp.c_fc.bias, which Hugging Face"):
        matched("gpt2", given)
    extra = arrays("gpt2") | {"transformer.h.2.ln_1.weight": np.ones(32)}
    with pytest.raises(InputError, match=r"holds transformer.h.2.ln_1.weight, which no .* with 2 layers has"):
        matched("gpt2", extra)


def test_a_wrong_shape_names_both_sides():
    given = arrays("gpt2") | {"transformer.h.0.mlp.c_fc.weight": np.ones((32, 96), np.float32)}
    message = (
        r"h.0.mlp.c_fc.weight has shape \(32, 96\), but its config says n_embd 32, n_inner 128, which needs \(32, 128\)"
    )
    with pytest.raises(ShapeError, match=message):
        matched("gpt2", given, {"D": "n_embd", "F": "n_inner"}.items())


def test_what_may_be_left_out():
    given = arrays("gpt2") | {"transformer.h.0.attn.bias": np.ones((1, 1, 64, 64))}
    assert matched("gpt2", given).ignored == {"transformer.h.0.attn.bias": "the causal mask, an input here"}


def test_a_tied_table_that_stands_there_twice_must_be_the_same():
    table = arrays("gpt2")["transformer.wte.weight"]
    assert matched("gpt2", arrays("gpt2") | {"lm_head.weight": table.copy()}).copies
    other = table.copy()
    other[3, 4] += 1
    with pytest.raises(InputError, match=r"lm_head.weight differs from transformer.wte.weight, .* tied; set"):
        matched("gpt2", arrays("gpt2") | {"lm_head.weight": other})
