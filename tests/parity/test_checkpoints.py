"""Folders that transformers and torch wrote: the same logits here; and back again, the same bits there."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import byhand
from byhand.checkpoints.files import torch_files
from byhand.families import gpt2 as gpt2_family

from . import checkpoint_models as models
from .harness import Array
from .watch import wide

TOKENS = np.array([[5, 17, 95, 0, 33, 2, 61], [1, 1, 90, 44, 8, 70, 12]])
WITHIN = {torch.float32: ("float32", 5e-5), torch.float64: ("float64", 1e-10)}
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "gpt2": (models.gpt2, {}),
    "gpt2 bare": (models.gpt2, {"prefix": False}),
    "gpt2 with buffers": (models.gpt2, {"buffers": True}),
    "gpt2 bare with buffers": (models.gpt2, {"prefix": False, "buffers": True}),
    "llama": (models.llama, {}),
    "llama tied": (models.llama, {"tied": True}),
    "llama tied bare": (models.llama, {"tied": True, "prefix": False}),
    "llama scaled with buffers": (models.llama, {"scaled": True, "buffers": True}),
    "bert": (models.bert, {}),
    "bert bare": (models.bert, {"kind": "bare"}),
    "bert pretraining with buffers": (models.bert, {"kind": "pretraining", "buffers": True}),
}


def output_of(oracle: Any, dtype: torch.dtype) -> Array:
    """Logits of a transformers model, or the pooled output of one without; the model itself stays as it is."""
    with torch.no_grad(), wide() if dtype == torch.float64 else nullcontext():
        made = type(oracle)(oracle.config).to(dtype).eval()  # anew, for rotary frequencies in float64
        made.load_state_dict(oracle.state_dict())
        result = made(torch.from_numpy(TOKENS))
    names = ("logits", "prediction_logits", "pooler_output")
    return next(result[name] for name in names if name in result).numpy()


def output_here(model: byhand.Model, dtype: str) -> Array:
    run = model.run(TOKENS, dtype=dtype)
    return run.look("logits") if "logits" in model.program else run.look("pooler.out")[:, 0]


def same_output(model: byhand.Model, oracle: Any) -> None:
    for dtype, (name, tolerance) in WITHIN.items():
        there, here = output_of(oracle, dtype), output_here(model, name)
        assert there.shape == here.shape and np.abs(there - here).max() < tolerance, (name, np.abs(there - here).max())


@pytest.mark.parametrize("form", models.FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_logits(tmp_path, kind, form):
    make, how = KINDS[kind]
    oracle = make(tmp_path / "in", form, **how)
    same_output(byhand.load(tmp_path / "in"), oracle)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_saved_again_and_the_same_bits_there(tmp_path, kind, dtype):
    make, how = KINDS[kind]
    oracle = make(tmp_path / "in", dtype=dtype, **how)
    byhand.load(tmp_path / "in").save(tmp_path / "out", format="hf")
    again, about = type(oracle).from_pretrained(tmp_path / "out", dtype="auto", output_loading_info=True)
    assert not any(about.values()), about
    there, here = oracle.state_dict(), again.state_dict()
    assert there.keys() == here.keys()
    for name, tensor in there.items():
        assert here[name].dtype == tensor.dtype and torch.equal(here[name], tensor), name
    same_output(byhand.load(tmp_path / "out"), again)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gpt2-tiny", transformers.GPT2LMHeadModel),
        ("llama-tiny", transformers.LlamaForCausalLM),
        ("llama-tiny-halves", transformers.LlamaForCausalLM),
        ("bert-tiny", transformers.BertForMaskedLM),
    ],
)
def test_our_own_models_there(tmp_path, name, kind):
    """llama-tiny turns rotary pairs, so its queries and keys are put into the other order."""
    model = byhand.load(name)
    model.save(tmp_path / "out", format="hf")
    oracle = kind.from_pretrained(tmp_path / "out", attn_implementation="eager")
    for dtype, (precision, tolerance) in WITHIN.items():
        assert np.abs(output_of(oracle, dtype) - output_here(model, precision)).max() < tolerance


def test_variants_that_config_json_must_say(tmp_path):
    """No biases, the exact GELU, ReLU, an untied table, another eps and width: all said, or made of zeros."""
    base = gpt2_family.SHAPES["gpt2-tiny"]
    variants = [
        replace(base, bias=False, activation="gelu_erf"),
        replace(base, tied=False, eps=1e-3, hidden=80),
        replace(base, activation="relu", context=20),
    ]
    for number, config in enumerate(variants):
        model = byhand.make("gpt2", config, seed=number)
        model.save(tmp_path / str(number), format="hf")
        oracle = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / str(number), attn_implementation="eager")
        assert np.abs(output_of(oracle, torch.float64) - output_here(model, "float64")).max() < 1e-10


def test_shards_that_transformers_reads(tmp_path):
    from byhand.checkpoints import Parts
    from byhand.checkpoints.formats import hugging_face

    model = byhand.load("gpt2-tiny")
    parts = Parts("x", "gpt2", model.config, model.program, model.weights)
    hugging_face.write(parts, tmp_path / "out", shard=20_000)
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 2
    oracle = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "out", attn_implementation="eager")
    assert np.abs(output_of(oracle, torch.float64) - output_here(model, "float64")).max() < 1e-10


# --- Meta ----------------------------------------------------------------------------------------------------------

BLOCK = {
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.up_proj": "feed_forward.w3",
    "mlp.down_proj": "feed_forward.w2",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}
ENDS = {"model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output"}
AXES = {"wq": 0, "wk": 0, "wv": 0, "wo": 1, "w1": 0, "w3": 0, "w2": 1, "output": 0}


def meta_names(oracle: Any) -> dict[str, torch.Tensor]:
    """A transformers Llama as Meta's files hold it, with the permutation written out anew, feature by feature."""
    found = {}
    for name, tensor in oracle.state_dict().items():
        name = name.removesuffix(".weight")
        if name in ENDS:
            found[f"{ENDS[name]}.weight"] = tensor
            continue
        _, _, layer, rest = name.split(".", 3)
        found[f"layers.{layer}.{BLOCK[rest]}.weight"] = (
            in_pairs(tensor) if rest[-6:] in ("q_proj", "k_proj") else tensor
        )
    return found | {"rope.freqs": torch.ones(4)}


def in_pairs(tensor: torch.Tensor) -> torch.Tensor:
    """Rows of 8 a head; feature j of the first half and of the second become neighbours."""
    heads = [rows for rows in tensor.split(8)]
    return torch.cat([rows[each] for rows in heads for j in range(4) for each in ([j], [j + 4])])


def write_meta(folder: Path, oracle: Any, count: int, table: int) -> None:
    """table: the axis along which the token table is cut, 1 for Llama 2 and 0 for Llama 3."""
    folder.mkdir()
    params = {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "vocab_size": -1 if table else 96}
    params |= {"norm_eps": oracle.config.rms_norm_eps, "multiple_of": 8, "rope_theta": 10000.0}
    (folder / "params.json").write_text(json.dumps(params))
    axes = AXES | {"tok_embeddings": table}
    for shard in range(count):
        part = {}
        for name, tensor in meta_names(oracle).items():
            axis = axes.get(name.split(".")[-2])
            part[name] = tensor if axis is None else tensor.chunk(count, axis)[shard].clone()
        torch.save(part, folder / f"consolidated.{shard:02}.pth")


@pytest.mark.parametrize(("count", "table"), [(1, 0), (2, 0), (2, 1)])
def test_the_rotary_permutation(tmp_path, count, table):
    """One model in Meta's layout and in Hugging Face's: the same logits, though each turns other features."""
    oracle = models.llama(tmp_path / "hf")
    write_meta(tmp_path / "meta", oracle, count, table)
    meta, hf = byhand.load(tmp_path / "meta"), byhand.load(tmp_path / "hf")
    assert (meta.config.rotary, hf.config.rotary) == ("pairs", "halves")
    assert np.abs(output_here(meta, "float64") - output_here(hf, "float64")).max() < 1e-12
    assert np.abs(output_here(meta, "float64") - output_of(oracle, torch.float64)).max() < 1e-10
    meta.save(tmp_path / "out", format="hf")
    again = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "out")
    for name, tensor in oracle.float().state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


# --- nanoGPT -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [True, False])
def test_nanogpt(tmp_path, compiled):
    """A checkpoint as nanoGPT's train.py writes it: Linear matrices, tied head, optimiser, arguments."""
    oracle = models.gpt2(tmp_path / "hf")
    config = transformers.GPT2Config.from_pretrained(tmp_path / "hf", activation_function="gelu")
    oracle = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "hf", config=config)
    turned = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    prefix = "_orig_mod." if compiled else ""
    state = {prefix + at: each.T if at.endswith(turned) else each for at, each in oracle.state_dict().items()}
    optimiser = torch.optim.AdamW(oracle.parameters())
    args = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 48, "bias": True, "vocab_size": 96, "dropout": 0.0}
    saved = {"model": state, "optimizer": optimiser.state_dict(), "model_args": args, "iter_num": 2000}
    torch.save(saved | {"best_val_loss": torch.tensor(1.4), "config": {"lr": 6e-4}}, tmp_path / "ckpt.pt")
    model = byhand.load(tmp_path / "ckpt.pt")
    assert np.abs(output_here(model, "float64") - output_of(oracle, torch.float64)).max() < 1e-10


# --- torch files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
def test_everything_that_torch_saves(tmp_path, legacy):
    """Shared, strided, empty, scalar and parameter tensors of every type, in both formats."""
    base = torch.arange(24.0).reshape(4, 6)
    value = {
        "types": [
            base.to(t) for t in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
        ],
        "shared": (base, base[1:3, ::2], base.T, base[2]),
        "parameter": torch.nn.Parameter(base[0].clone()),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "size": base.shape,
        "plain": {"x": None, 3: [1.5, True, "text", 2**40]},
    }
    torch.save(value, tmp_path / "x.pt", _use_new_zipfile_serialization=not legacy)
    compare(value, torch_files.read(tmp_path / "x.pt"))


def compare(there: Any, here: Any) -> None:
    if isinstance(there, torch.Tensor):
        assert here.shape == tuple(there.shape) and here.dtype.name == str(there.dtype).removeprefix("torch.")
        assert torch.equal(torch.from_numpy(here.astype(np.float64)), there.detach().double())
    elif isinstance(there, dict):
        assert there.keys() == here.keys()
        for name in there:
            compare(there[name], here[name])
    elif isinstance(there, list | tuple):
        assert len(there) == len(here)
        for one, other in zip(there, here, strict=True):
            compare(one, other)
    else:
        assert there == here
