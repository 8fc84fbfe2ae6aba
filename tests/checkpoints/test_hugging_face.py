"""Hugging Face folders: every form is read, every setting counts, and what does not fit is one line."""

import json

import ml_dtypes
import numpy as np
import pytest

import byhand
from byhand import checkpoints
from byhand.errors import ByhandError, InputError
from byhand.families import llama

from ..small_models import same_bits
from . import torch_writer
from .folders import arrays_of, change_json, hugging_face, logits, model, rewrite

FAMILIES = ("gpt2-tiny", "llama-tiny-halves", "llama-tiny", "bert-tiny")


def refused(path, says, error=ByhandError):
    with pytest.raises(error, match=says) as caught:
        byhand.load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def finding(path, what):
    return next(each for each in checkpoints.read(path).findings if each.what == what)


@pytest.mark.parametrize("name", FAMILIES)
def test_saved_and_loaded(tmp_path, name):
    found = byhand.load(hugging_face(tmp_path / "m", name))
    assert np.abs(logits(found) - logits(model(name))).max() < 1e-12
    again = found.save(tmp_path / "again", format="hf")
    assert (tmp_path / "m/model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    assert (tmp_path / "m/config.json").read_bytes() == (again / "config.json").read_bytes()


@pytest.mark.parametrize("name", ["gpt2-tiny", "bert-tiny", "llama-tiny-halves"])
def test_weights_are_views_of_the_file(tmp_path, name):
    """Nothing is read or copied: every weight of such a model lies in the mapped file."""
    weights = checkpoints.read(hugging_face(tmp_path / "m", name)).weights
    assert all(isinstance(each, np.ndarray) and not each.flags.owndata for each in weights.values())


@pytest.mark.parametrize("dtype", ["f64", "f16", "bf16"])
def test_types_are_kept(tmp_path, dtype):
    model("gpt2-tiny").save(tmp_path / "m", format="hf", dtype=dtype)
    kind = {"f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16}[dtype]
    found = byhand.load(tmp_path / "m")
    assert {found.weights[address].dtype for address in found.weights} == {np.dtype(kind)}
    assert finding(tmp_path / "m", "dtype").value == np.dtype(kind).name
    for address, array in model("gpt2-tiny").weights.items():
        assert same_bits(found.weights[address], array.astype(kind))


# --- forms of the names --------------------------------------------------------------------------------------------


def bare(arrays):
    return {name.removeprefix("transformer.").removeprefix("bert."): each for name, each in arrays.items()}


def in_tensorflows_words(arrays):
    """As in bert-base-uncased, whose file is older than transformers."""
    return {
        n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): each
        for n, each in arrays.items()
    }


def with_buffers(arrays):
    return {
        **arrays,
        **{
            f"transformer.h.{i}.attn.{name}": np.ones((1, 1, 3, 3), bool)
            for i in (0, 1)
            for name in ("bias", "masked_bias")
        },
    }


def with_copy(arrays):
    return {**arrays, "lm_head.weight": arrays["transformer.wte.weight"]}


@pytest.mark.parametrize("shard", [10**9, 5000])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("gpt2-tiny", bare),
        ("gpt2-tiny", with_buffers),
        ("gpt2-tiny", with_copy),
        ("bert-tiny", in_tensorflows_words),
        ("bert-tiny", bare),
    ],
)
def test_other_forms(tmp_path, name, change, shard):
    rewrite(hugging_face(tmp_path / "m", name), change, shard)
    assert np.array_equal(logits(byhand.load(tmp_path / "m")), logits(model(name)))


@pytest.mark.parametrize("legacy", [False, True])
def test_bin_files(tmp_path, legacy):
    folder = hugging_face(tmp_path / "m")
    torch_writer.save(folder / "pytorch_model.bin", arrays_of(folder), legacy)
    (folder / "model.safetensors").unlink()
    assert np.array_equal(logits(byhand.load(folder)), logits(model("gpt2-tiny")))
    assert np.array_equal(logits(byhand.load(folder / "pytorch_model.bin")), logits(model("gpt2-tiny")))
    torch_writer.save(folder / "pytorch_model.bin", arrays_of(hugging_face(tmp_path / "n")), legacy, step=3)
    assert np.array_equal(logits(byhand.load(folder)), logits(model("gpt2-tiny")))


def test_one_file_beside_its_config(tmp_path):
    folder = hugging_face(tmp_path / "m")
    assert np.array_equal(logits(byhand.load(folder / "model.safetensors")), logits(model("gpt2-tiny")))


def test_ignored_arrays_are_told(tmp_path):
    rewrite(hugging_face(tmp_path / "m"), with_buffers)
    found = checkpoints.read(tmp_path / "m")
    assert set(found.ignored) == with_buffers({}).keys()
    assert dict(zip("abc", found.rows[2], strict=True))["b"] == ("blocks.0.norm1.gain",)


def test_a_lost_config(tmp_path):
    """The sizes are those of a built-in model; what sizes do not show is left open, and decided by running it."""
    for name in ("gpt2-tiny", "llama-tiny-halves", "bert-tiny"):
        folder = hugging_face(tmp_path / name, name)
        (folder / "config.json").unlink()
        found = checkpoints.read(folder)
        assert [each.name for each in found.doubts] == ["rotary" if "llama" in name else "activation"]
        assert "config.json" in str(finding(folder, "config")) and byhand.load(folder).findings
    folder = hugging_face(tmp_path / "x", "bert-tiny")
    (folder / "config.json").unlink()
    rewrite(folder, lambda arrays: {name: each for name, each in arrays.items() if "layer.1" not in name})
    refused(folder, "no published bert has layers 1, vocabulary 96, width 32; put its config.json beside")


# --- config.json ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("gpt2-tiny", {"activation_function": "gelu"}, {"activation": "gelu_erf"}),
        ("gpt2-tiny", {"activation_function": "relu"}, {"activation": "relu"}),
        ("gpt2-tiny", {"n_inner": None}, {"hidden": 128}),
        ("gpt2-tiny", {"n_positions": None, "n_ctx": 64}, {"context": 64}),
        ("gpt2-tiny", {"layer_norm_epsilon": 1e-3}, {"eps": 1e-3}),
        ("gpt2-tiny", {"model_type": None}, {"layers": 2}),
        ("gpt2-tiny", {"model_type": None, "architectures": None}, {"layers": 2}),
        ("llama-tiny-halves", {"rms_norm_eps": None}, {"eps": 1e-6}),
        ("llama-tiny-halves", {"head_dim": None}, {"head_width": 8}),
        ("llama-tiny-halves", {"rope_parameters": {"rope_type": "default", "rope_theta": 77.0}}, {"theta": 77.0}),
        ("llama-tiny-halves", {"rope_parameters": None, "rope_theta": 1e6}, {"theta": 1e6}),
        ("llama-tiny-halves", {"rope_parameters": None, "rope_theta": None}, {"theta": 10_000.0}),
        ("llama-tiny-halves", {"hidden_act": None}, {"rotary": "halves"}),
        ("bert-tiny", {"hidden_act": "gelu_new"}, {"activation": "gelu_tanh"}),
        ("bert-tiny", {"layer_norm_eps": 1e-5}, {"eps": 1e-5}),
    ],
)
def test_settings_that_change_numbers(tmp_path, name, values, expected):
    config = byhand.load(hugging_face(tmp_path / "m", name, **values)).config
    assert {field: getattr(config, field) for field in expected} == expected


@pytest.mark.parametrize("where", ["rope_parameters", "rope_scaling"])
@pytest.mark.parametrize("kind", ["rope_type", "type"])
def test_both_spellings_of_the_scaling(tmp_path, where, kind):
    said = {kind: "llama3", "factor": 32, "low_freq_factor": 1, "high_freq_factor": 4}
    said |= {"original_max_position_embeddings": 64}
    other = {"rope_parameters": None, "rope_scaling": None} | {where: said}
    config = byhand.load(hugging_face(tmp_path / "m", "llama-tiny-halves", rope_theta=123.0, **other)).config
    assert config.scaling == llama.Scaling(factor=32, original_context=64) and config.theta == 123


def test_a_silent_config_leaves_the_activation_open(tmp_path):
    found = checkpoints.read(hugging_face(tmp_path / "m", activation_function=None))
    assert [(each.name, each.choices) for each in found.doubts] == [("activation", ("gelu_tanh", "gelu_erf"))]


ROPE = {"rope_parameters": None, "rope_scaling": {"type": "yarn", "factor": 2.0}}


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("gpt2-tiny", {"n_embd": 64}, "shape \\(96, 32\\), but its config says vocab_size 96, n_embd 64"),
        ("gpt2-tiny", {"vocab_size": 97}, "vocab_size 97, n_embd 32, which needs \\(97, 32\\)"),
        ("gpt2-tiny", {"n_inner": 100}, "n_inner 100"),
        ("gpt2-tiny", {"n_positions": 65}, "n_positions 65"),
        ("gpt2-tiny", {"n_head": 5}, "width 32 cannot be shared evenly by 5 heads"),
        ("gpt2-tiny", {"n_layer": 3}, "lacks transformer.h.2.ln_1.weight.*with 3 layers"),
        ("gpt2-tiny", {"n_layer": 1}, "holds transformer.h.1.ln_1.weight"),
        ("gpt2-tiny", {"n_layer": 10**9}, "n_layer is 1000000000, but the file has 28 arrays"),
        ("gpt2-tiny", {"n_layer": "2"}, "n_layer is '2'; it should be a whole number"),
        ("gpt2-tiny", {"n_layer": 0}, "n_layer is 0"),
        ("gpt2-tiny", {"n_layer": None}, "does not say n_layer"),
        ("gpt2-tiny", {"layer_norm_epsilon": -1.0}, "layer_norm_epsilon is -1.0; it should be a number above 0"),
        ("gpt2-tiny", {"activation_function": "quick_gelu"}, "'quick_gelu'; byhand computes gelu_new"),
        ("gpt2-tiny", {"scale_attn_by_inverse_layer_idx": True}, "scales scores by the layer's number"),
        ("gpt2-tiny", {"scale_attn_weights": False}, "leaves scores unscaled"),
        ("gpt2-tiny", {"tie_word_embeddings": False}, "lacks lm_head.weight"),
        ("gpt2-tiny", {"tie_word_embeddings": "yes"}, "true or false"),
        ("gpt2-tiny", {"quantization_config": {"quant_method": "gptq"}}, "quantised by 'gptq'"),
        ("gpt2-tiny", {"model_type": "t5"}, "model of type 't5'; byhand has gpt2, llama, bert"),
        ("gpt2-tiny", {"model_type": "mistral"}, "model of type 'mistral'"),
        ("gpt2-tiny", {"model_type": None, "architectures": ["T5Model"]}, "this is a 'T5Model'"),
        ("gpt2-tiny", {"model_type": 3}, "model_type is 3; it should be a text"),
        ("gpt2-tiny", {"model_type": "llama"}, "does not say num_hidden_layers"),
        (
            "llama-tiny-halves",
            {"num_attention_heads": 8},
            "num_attention_heads 8 of head_dim 8 need a q_proj of 64 rows",
        ),
        ("llama-tiny-halves", {"num_key_value_heads": 4}, "num_key_value_heads 4 of head_dim 8 need a k_proj of 32"),
        ("llama-tiny-halves", {"num_key_value_heads": 3}, "cannot share num_key_value_heads 3"),
        ("llama-tiny-halves", {"head_dim": 16}, "of head_dim 16 need a q_proj of 64 rows, but the file's has 32"),
        ("llama-tiny-halves", {"head_dim": 7}, "q_proj of 28"),
        ("llama-tiny-halves", {"hidden_size": 36}, "hidden_size 36"),
        ("llama-tiny-halves", {"attention_bias": True}, "adds biases to attention"),
        ("llama-tiny-halves", {"hidden_act": "gelu"}, "another activation"),
        ("llama-tiny-halves", ROPE, "rope_type is 'yarn'; byhand computes default and llama3"),
        ("bert-tiny", {"position_embedding_type": "relative_key"}, "another kind of positions"),
        ("bert-tiny", {"is_decoder": True}, "reads left to right"),
        ("bert-tiny", {"type_vocab_size": 3}, "type_vocab_size 3"),
        ("bert-tiny", {"num_attention_heads": 5}, "hidden_size 32 cannot be shared evenly by 5"),
    ],
)
def test_configs_that_do_not_fit(tmp_path, name, values, says):
    refused(hugging_face(tmp_path / "m", name, **values), says)


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "\0" * 30, '{"model_type": "gpt2", "model_type": "bert"}', "[" * 10**5]
)
def test_damaged_config(tmp_path, text):
    (hugging_face(tmp_path / "m") / "config.json").write_text(text)
    refused(tmp_path / "m", "config.json")


# --- arrays --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a | {"transformer.h.0.extra": np.ones(2)}, "holds transformer.h.0.extra, which no"),
        (lambda a: {n: each for n, each in a.items() if n != "transformer.ln_f.bias"}, "lacks transformer.ln_f.bias"),
        (lambda a: a | {"transformer.ln_f.bias": np.ones(31)}, "shape \\(31,\\)"),
        (lambda a: a | {"transformer.ln_f.bias": np.ones(32, int)}, "ln_f.bias holds int64; a weight is"),
        (lambda a: a | {"lm_head.weight": a["transformer.wte.weight"] + 1}, "differs from transformer.wte.weight"),
        (lambda a: {n: each.T if "c_fc.weight" in n else each for n, each in a.items()}, "shape \\(128, 32\\)"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, change, says):
    rewrite(hugging_face(tmp_path / "m"), change)
    refused(tmp_path / "m", says)


def test_tokens_beyond_the_vocabulary(tmp_path):
    folder = hugging_face(tmp_path / "m")
    found = json.loads((folder / "tokenizer.json").read_text())
    found["model"]["vocab"]["é"] = 96
    (folder / "tokenizer.json").write_text(json.dumps(found))
    refused(folder, "the tokenizer has 97 ids, but the model has 96 rows")


def test_no_weights_and_too_many(tmp_path):
    folder = hugging_face(tmp_path / "m")
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    assert byhand.load(folder).config.layers == 2
    (folder / "b.safetensors").write_bytes(data)
    refused(folder, "safetensors files without model.safetensors.index.json|config.json but no weights")
    for name in ("a", "b"):
        (folder / f"{name}.safetensors").unlink()
    refused(folder, "config.json but no weights")


def test_what_it_cannot_hold(tmp_path):
    for name in ("aab", "original-tiny"):
        with pytest.raises(InputError, match="which transformers lacks; save it as byhand"):
            byhand.load(name).save(tmp_path / "m", format="hf")
    assert not list(tmp_path.iterdir())


def test_the_config_that_is_written(tmp_path):
    said = json.loads((hugging_face(tmp_path / "m") / "config.json").read_text())
    assert said["architectures"] == ["GPT2LMHeadModel"] and said["torch_dtype"] == "float32"
    assert said["bos_token_id"] is None  # transformers would put in 50256, which this vocabulary lacks
    change_json(tmp_path / "m/config.json", n_head=2)
    assert byhand.load(tmp_path / "m").config.heads == 2
