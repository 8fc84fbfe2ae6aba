"""GGUF: what is written is read again to the bit, and other people's files as they mean it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants

from byhand.checkpoints.files.quantized import Quantized
from byhand.checkpoints.formats import gguf
from byhand.checkpoints.formats.rope_factors import factors, scaling_of
from byhand.errors import ByhandError, InputError
from byhand.families.llama import Scaling
from byhand.layouts.layout import reordered
from byhand.weights import Weights

from .gguf_files import FAMILIES, GPT2, LLAMA, characters, parts, raw, scalar, string, strings, written

DTYPES = ("f32", "f16", "bf16", "q8_0", "q4_0")
CONFIGS = {
    "gpt2": GPT2,
    "gpt2 untied": replace(GPT2, tied=False),
    "llama": LLAMA,
    "llama tied, wide heads": replace(LLAMA, tied=True, head_width=16, groups=1),
    "llama 3.1": replace(LLAMA, theta=50.0, scaling=Scaling(original_context=64)),
}


def arrays(found: Any) -> dict[str, np.ndarray[Any, Any]]:
    return dict(Weights(found.weights))


def logits(found: Any, tokens: tuple[int, ...] = (5, 17, 33, 2, 90, 41, 41, 7)) -> np.ndarray[Any, Any]:
    from byhand.model import Model

    model = Model("read", FAMILIES[found.family], found.config, Weights(found.weights))
    return model.run(list(tokens), dtype="float64", keep=["logits"]).look("logits")


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_float32_comes_back_to_the_bit(config, tmp_path):
    model = parts(config)
    found = gguf.read(written(tmp_path / "a.gguf", model))
    assert found.config == config and found.family == model.family
    assert all(np.array_equal(each, model.weights[address]) for address, each in arrays(found).items())
    assert {address for _, addresses, _ in found.rows for address in addresses} == set(model.weights)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("config", [GPT2, CONFIGS["llama 3.1"]], ids=["gpt2", "llama"])
def test_a_file_that_is_read_and_written_again_is_the_same_file(config, dtype, tmp_path):
    first = written(tmp_path / "a.gguf", parts(config), dtype)
    found = gguf.read(first)
    second = written(tmp_path / "b.gguf", parts(found.config, found.weights))
    third = written(tmp_path / "c.gguf", parts(found.config, found.weights), dtype)
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_library_reads_the_same_numbers(dtype, tmp_path):
    model = parts(LLAMA)
    path = written(tmp_path / "a.gguf", model, dtype)
    found = arrays(gguf.read(path))
    reader = GGUFReader(path)
    read = {each.name: quants.dequantize(each.data, each.tensor_type) for each in reader.tensors}
    kinds = {each.name: each.tensor_type.name for each in reader.tensors}
    assert np.array_equal(found["token.weight"], read["token_embd.weight"])
    assert np.array_equal(found["blocks.1.mlp.up.weight"], read["blk.1.ffn_up.weight"].T)
    for letter in "qkv":  # as they are: the model's rotary order is the file's
        assert np.array_equal(
            found[f"blocks.1.attn.{letter}.weight"].reshape(32, -1), read[f"blk.1.attn_{letter}.weight"].T
        )
    assert kinds["blk.0.attn_k.weight"] == dtype.upper() and kinds["output_norm.weight"] == "F32"
    assert reader.get_field("general.architecture").contents() == "llama"
    assert reader.get_field("llama.attention.head_count_kv").contents() == LLAMA.groups


def test_vectors_positions_and_rows_that_are_no_whole_blocks_are_not_quantised(tmp_path):
    narrow = replace(GPT2, width=40, hidden=64)
    kinds = {
        each.name: each.tensor_type.name
        for each in GGUFReader(written(tmp_path / "a.gguf", parts(narrow), "q4_0")).tensors
    }
    assert kinds["position_embd.weight"] == kinds["blk.0.attn_qkv.bias"] == kinds["blk.0.ffn_norm.weight"] == "F32"
    assert kinds["token_embd.weight"] == "F16" and kinds["blk.0.ffn_down.weight"] == "Q4_0"


def test_blocks_are_kept_apart_for_each_weight(tmp_path):
    """GPT-2's q, k and v lie in one array; each has its own rows of blocks, and these are the file's bytes."""
    path = written(tmp_path / "a.gguf", parts(GPT2), "q8_0")
    found = gguf.read(path).weights
    joint = next(each for each in GGUFReader(path).tensors if each.name == "blk.0.attn_qkv.weight").data
    for place, letter in enumerate("qkv"):
        weight = found[f"blocks.0.attn.{letter}.weight"]
        assert isinstance(weight, Quantized) and weight.kind == "Q8_0" and weight.axes == "HK D"
        assert np.array_equal(weight.blocks, joint[32 * place : 32 * place + 32])
        plain = quants.dequantize(weight.blocks, GGMLQuantizationType.Q8_0)
        assert np.array_equal(weight(), plain.T.reshape(32, 2, 16))


def test_an_edited_weight_leaves_the_blocks_of_all_others(tmp_path):
    found = gguf.read(written(tmp_path / "a.gguf", parts(LLAMA), "q8_0"))
    changed = dict(found.weights)
    changed["blocks.0.attn.v.weight"] = arrays(found)["blocks.0.attn.v.weight"].astype(np.float64) + 1
    kinds = {
        each.name: each.tensor_type.name
        for each in GGUFReader(written(tmp_path / "b.gguf", parts(LLAMA, changed))).tensors
    }
    assert kinds.pop("blk.0.attn_v.weight") == "F32"
    assert {kind for name, kind in kinds.items() if "norm" not in name} == {"Q8_0"}


@pytest.mark.parametrize("dtype", ["q8_0", "q4_0"])
def test_blocks_are_not_made_anew(dtype, tmp_path):
    """Blocks with any bytes: their numbers, quantised again, would be others."""
    found = gguf.read(written(tmp_path / "a.gguf", parts(LLAMA), dtype))
    name, rng = "blocks.1.attn.q.weight", np.random.default_rng(0)
    blocks = rng.integers(0, 100, found.weights[name].blocks.shape, np.uint8)
    changed = {**found.weights, name: replace(found.weights[name], blocks=blocks)}
    for asked in (None, dtype):
        again = gguf.read(written(tmp_path / "b.gguf", parts(LLAMA, changed), asked)).weights[name]
        assert np.array_equal(again.blocks, blocks)


def test_blocks_of_two_kinds_in_one_array_become_float32(tmp_path):
    one, other = (gguf.read(written(tmp_path / dtype, parts(GPT2), dtype)).weights for dtype in ("q8_0", "q4_0"))
    name = "blocks.0.attn.k.weight"
    mixed = {**one, name: other[name]}
    found = gguf.read(written(tmp_path / "mixed", parts(GPT2, mixed))).weights
    assert found[name].dtype == np.float32 and not isinstance(found[name], Quantized)
    assert np.array_equal(found[name], Weights(other)[name]) and isinstance(found["token.weight"], Quantized)


@pytest.mark.parametrize("dtype", ["f32", "q8_0"])
def test_halves_are_written_as_pairs_and_give_the_same_logits(dtype, tmp_path):
    halves = parts(replace(LLAMA, rotary="halves", scaling=Scaling(original_context=64), theta=50.0))
    found = gguf.read(written(tmp_path / "a.gguf", halves, dtype))
    assert found.config == replace(halves.config, rotary="pairs")
    moved = reordered(halves.weights["blocks.1.attn.k.weight"], "DGK", "halves", "pairs")
    near = 0 if dtype == "f32" else 0.01
    assert np.abs(arrays(found)["blocks.1.attn.k.weight"] - moved).max() <= near
    if dtype == "f32":
        assert np.abs(logits(found) - logits(halves)).max() < 1e-12


def test_a_file_as_the_converter_writes_it(tmp_path):
    """Made with the library, queries and keys reordered by the converter's own formula, another alignment, no rope key
    but the factors' array, and the heads said once for each layer.
    """
    halves = parts(replace(LLAMA, rotary="halves", scaling=Scaling(original_context=64), tied=True))
    c, path = halves.config, tmp_path / "a.gguf"
    names = {"attn_norm": "norm1.gain", "ffn_norm": "norm2.gain", "attn_output": "attn.out.weight"}
    names |= {f"attn_{each}": f"attn.{each}.weight" for each in "qkv"}
    names |= {f"ffn_{each}": f"mlp.{each}.weight" for each in ("gate", "up", "down")}
    arrays_ = {"token_embd": halves.weights["token.weight"], "output_norm": halves.weights["final_norm.gain"]}
    arrays_["rope_freqs"] = factors(c.scaling, c.theta, 4).astype(np.float32)
    for layer in range(c.layers):
        for name, weight in names.items():
            array = halves.weights[f"blocks.{layer}.{weight}"]
            heads = {"attn_q": c.heads, "attn_k": c.groups}.get(name)
            array = array.reshape(-1, c.width).T if name == "attn_output" else array.reshape(len(array), -1).T
            if heads:
                array = array.reshape(heads, 2, 4, c.width).swapaxes(1, 2).reshape(array.shape)
            arrays_[f"blk.{layer}.{name}"] = array.ravel() if "norm" in name else array
    writer = GGUFWriter(path, "llama")
    writer.add_custom_alignment(64)
    writer.add_context_length(c.context)
    writer.add_embedding_length(c.width)
    writer.add_block_count(c.layers)
    writer.add_feed_forward_length(c.hidden)
    writer.add_head_count([c.heads] * c.layers)
    writer.add_head_count_kv([c.groups] * c.layers)
    writer.add_layer_norm_rms_eps(c.eps)
    for name, array in arrays_.items():
        writer.add_tensor(f"{name}.weight", np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = gguf.read(path)
    assert found.config == replace(c, rotary="pairs")
    assert np.abs(logits(found) - logits(halves)).max() < 1e-12


def test_a_gpt2_without_biases_gets_zeros(tmp_path):
    model = parts(replace(GPT2, bias=False))
    found = gguf.read(written(tmp_path / "a.gguf", model))
    assert found.config == GPT2 and not arrays(found)["blocks.0.mlp.up.bias"].any()
    assert np.abs(logits(found) - logits(model)).max() == 0


def test_float64_and_narrow_weights(tmp_path):
    for dtype, kind in ((np.float16, "F16"), (np.float64, "F32")):
        tensors = GGUFReader(written(tmp_path / "a.gguf", parts(LLAMA, dtype=dtype))).tensors
        assert {each.tensor_type.name for each in tensors if len(each.shape) > 1} == {kind}


def test_an_output_that_is_the_token_table_again_is_tied(tmp_path):
    """Older converters write GPT-2's table twice."""
    twice = parts(replace(GPT2, tied=False))
    table = twice.weights["token.weight"]
    same = parts(twice.config, {**twice.weights, "unembed.weight": table})
    assert gguf.read(written(tmp_path / "a.gguf", same)).config == GPT2
    other = parts(twice.config, {**twice.weights, "unembed.weight": table + np.float32(1e-6)})
    assert gguf.read(written(tmp_path / "a.gguf", other)).config == twice.config


def test_the_tokenizer_goes_along(tmp_path):
    path = written(tmp_path / "a.gguf", parts(GPT2, tokenizer=characters()))
    assert gguf.read(path).tokenizer.encode("Hello") == characters().encode("Hello")
    assert len(gguf.opened(path).keys["tokenizer.ggml.merges"]) == 0  # llama.cpp asks for the key all the same
    assert gguf.read(written(tmp_path / "b.gguf", parts(GPT2))).tokenizer is None


def test_a_tokenizer_with_fewer_tokens_than_rows_is_filled_up(tmp_path):
    path = written(tmp_path / "a.gguf", parts(replace(GPT2, vocabulary=128), tokenizer=characters()))
    assert len(list(gguf.opened(path).keys["tokenizer.ggml.tokens"])) == 128
    again = gguf.read(path).tokenizer
    assert list(again.encode("Hi you")) == characters().encode("Hi you")
    with pytest.raises(InputError, match="96 tokens, but a table of 64 rows"):
        written(path, parts(replace(GPT2, vocabulary=64), tokenizer=characters()))


def test_a_tokenizer_of_another_way_is_left_out_and_said(tmp_path):
    path = written(tmp_path / "a.gguf", parts(GPT2, tokenizer=characters()))
    path.write_bytes(raw(path).with_key("tokenizer.ggml.pre", string("qwen2")).bytes())
    found = gguf.read(path)
    said = [each.how for each in found.findings if each.what == "tokenizer"]
    assert found.tokenizer is None and "qwen2" in said[0]


def test_findings_say_how_each_is_known(tmp_path):
    found = gguf.read(written(tmp_path / "a.gguf", parts(CONFIGS["llama 3.1"]), "q4_0"))
    said = {each.what: each.value for each in found.findings}
    assert (said["rotary layout"], said["tied"], said["eps"]) == ("pairs", "no", "1e-05")
    assert said["scaling"] == "factor 8, low 1, high 4, context 64" and "Q4_0" in found.description
    assert said["dtype"] == "Q4_0 (16 arrays), float32 (5 arrays)"


RULES = {
    "3.1": (Scaling(), 500_000.0, 64),
    "3.2": (Scaling(factor=32.0), 500_000.0, 32),
    "short": (Scaling(original_context=64), 50.0, 4),
    "other": (Scaling(factor=5.0, high=2.5, original_context=1000), 10_000.0, 32),
    "with no pair slowed in part": (Scaling(original_context=300), 10_000.0, 2),
}


@pytest.mark.parametrize("rule, theta, J", RULES.values(), ids=RULES)
def test_the_rule_behind_the_factors_is_found(rule, theta, J):
    given = factors(rule, theta, J).astype(np.float32)
    assert 1 in given and (given > 1).any()
    found = scaling_of(given, theta)
    assert found is not None and np.allclose(factors(found, theta, J), given, rtol=2e-5)
    partly = ((given > 1) & (given < rule.factor)).any()
    assert found == rule or rule.high != 4 or not partly  # else others give the same factors


@pytest.mark.parametrize("given", [[1, 3, 2, 8], [0.5, 1, 1, 8], [1, np.nan, 8, 8], [1, 2, 8, 64]])
def test_factors_of_no_such_rule_are_refused(given):
    assert scaling_of(np.array(given, np.float32), 50.0) is None


NOT_COMPUTED = {
    "expert_count": scalar("u32", 8),
    "rope.scaling.type": string("yarn"),
    "rope.dimension_count": scalar("u32", 4),
    "attention.value_length": scalar("u32", 16),
    "attention.scale": scalar("f32", 0.5),
}


@pytest.mark.parametrize("key", NOT_COMPUTED)
def test_what_byhand_does_not_compute_is_refused(key, tmp_path):
    path = written(tmp_path / "a.gguf", parts(LLAMA))
    path.write_bytes(raw(path).with_key(f"llama.{key}", NOT_COMPUTED[key]).bytes())
    with pytest.raises(InputError, match=key):
        gguf.read(path)


def test_other_architectures_types_and_parts_are_named(tmp_path):
    path = written(tmp_path / "a.gguf", parts(LLAMA))
    file = raw(path)
    for bad, needed in (
        (file.with_key("general.architecture", string("qwen3")), "architecture 'qwen3'; byhand reads gpt2 and llama"),
        (file.with_key("split.count", scalar("u32", 3)), "one of 3 parts"),
        (file.with_table("blk.0.attn_q.weight", kind=10, dims=(256, 4)), r"Q2_K \(1 arrays\)"),
        (file.with_key("tokenizer.ggml.tokens", strings(["a", "b"])), "has 2 tokens, but token_embd.weight 96 rows"),
        (file.with_key("llama.embedding_length", scalar("u32", 64)), "llama.embedding_length 64"),
        (file.with_key("llama.block_count", scalar("u32", 3)), "block_count is 3"),
    ):
        path.write_bytes(bad.bytes())
        with pytest.raises(ByhandError, match=needed):
            gguf.read(path)


def test_what_a_file_cannot_hold_is_refused(tmp_path):
    path = tmp_path / "a.gguf"
    large = {**parts(GPT2).weights, "token.weight": np.full((96, 32), 1e5, np.float32)}
    for model, dtype, needed in (
        (parts(replace(GPT2, activation="relu")), None, "gelu_tanh"),
        (parts(GPT2), "q5_1", "use f32, f16"),
        (parts(GPT2, large), "f16", "token_embd.weight holds 100000, too large for F16"),
        (
            parts(GPT2, {**large, "token.weight": np.full((96, 32), np.nan, np.float32)}),
            "q8_0",
            "nan, which Q8_0 cannot",
        ),
        (replace(parts(GPT2), family="bert"), None, "not bert"),
    ):
        with pytest.raises(InputError, match=needed):
            written(path, model, dtype)


def test_recognised_by_content_or_by_name(tmp_path):
    path = written(tmp_path / "model", parts(GPT2))
    (tmp_path / "empty.gguf").touch()
    (tmp_path / "other.bin").write_bytes(b"GGML")
    assert gguf.recognise(path) and gguf.recognise(tmp_path / "empty.gguf")
    assert not gguf.recognise(tmp_path / "other.bin") and not gguf.recognise(tmp_path)


def test_a_folder_with_one_file_is_that_file(tmp_path):
    written(tmp_path / "a.gguf", parts(GPT2))
    assert gguf.recognise(tmp_path) and gguf.read(tmp_path).config == GPT2
    written(tmp_path / "b.gguf", parts(LLAMA))
    with pytest.raises(InputError, match="holds 2 GGUF files: a.gguf, b.gguf; name one"):
        gguf.read(tmp_path)
