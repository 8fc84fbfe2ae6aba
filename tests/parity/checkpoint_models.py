"""Tiny random models written by transformers and torch, in every form in which people have them on disk.

Each of gpt2, llama and bert makes a model, writes it into a folder and returns it, in evaluation mode and in the
number type of the file, to be compared with what is read from there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

FORMS = ("safetensors", "safetensors shards", "bin", "bin legacy", "bin shards")
SHARD = 20_000  # bytes, so that a tiny model has several
EAGER = {"attn_implementation": "eager"}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
BERT_KINDS = {
    "masked": transformers.BertForMaskedLM,
    "bare": transformers.BertModel,
    "pretraining": transformers.BertForPreTraining,
}

transformers.utils.logging.disable_progress_bar()

Tensors = dict[str, torch.Tensor]
Model = transformers.PreTrainedModel


def gpt2(folder: Path, form: str = "safetensors", *, seed: int = 0, **how: Any) -> Model:
    """GPT-2, 2 blocks of width 32. how: as of written; prefix=False writes the names without ``transformer.``."""
    torch.manual_seed(seed)
    sizes = {"n_layer": 2, "n_embd": 32, "n_head": 4, "vocab_size": 96, "n_positions": 48}
    config = transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, **EAGER)
    return written(transformers.GPT2LMHeadModel(config), folder, form, **how)


def llama(
    folder: Path, form: str = "safetensors", *, tied: bool = False, scaled: bool = False, seed: int = 0, **how: Any
) -> Model:
    """Llama with 4 query heads over 2 key/value heads. tied: one table for both ends; scaled: Llama 3.1's positions.

    how: as of written; prefix=False writes the names without ``model.``, for which the model must be tied.
    """
    torch.manual_seed(seed)
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 88, "vocab_size": 96}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64}
    rope = LLAMA3_ROPE if scaled else {"rope_type": "default", "rope_theta": 10_000.0}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": tied}
    config = transformers.LlamaConfig(**sizes, **heads, **ids, rope_parameters=rope, **EAGER)
    if not (tied or how.get("prefix", True)):
        raise ValueError("a Llama without its prefix has no output table of its own; tie it")
    return written(transformers.LlamaForCausalLM(config), folder, form, **how)


def bert(folder: Path, form: str = "safetensors", *, kind: str = "masked", seed: int = 0, **how: Any) -> Model:
    """BERT with 2 blocks. kind: masked, bare (whose names have no ``bert.``) or pretraining; how: as of written."""
    torch.manual_seed(seed)
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.BertConfig(**sizes, vocab_size=96, max_position_embeddings=48, **EAGER)
    return written(BERT_KINDS[kind](config), folder, form, **how)


def written(
    model: Model,
    folder: Path,
    form: str,
    *,
    dtype: torch.dtype = torch.float32,
    prefix: bool = True,
    buffers: bool = False,
) -> Model:
    """The model, after it was written.

    form: one of FORMS; dtype: bfloat16, float16 or float32; prefix: False writes the bare model inside; buffers: also
    the constants that old versions of transformers wrote.
    """
    if form not in FORMS:
        raise ValueError(f"no form {form!r}; there are {FORMS}")
    randomize(model, dtype)
    model.eval()
    saved = model if prefix else model.base_model
    kind, _, manner = form.partition(" ")
    saved.save_pretrained(folder, max_shard_size=SHARD if manner == "shards" else "5GB")
    constants = old_buffers(saved) if buffers else {}
    if kind == "bin":
        for file in folder.glob("model*.safetensors*"):
            file.unlink()
        write_bin(folder, dict(saved.state_dict()) | constants, manner)
    elif constants:
        add_constants(folder, constants)
    return model


def randomize(model: Model, dtype: torch.dtype) -> None:
    """Parameters of this type; also the gains and biases, which start as ones and zeros, are random.

    Buffers stay as they are, because transformers keeps the rotary frequencies of a 16 bit model in float32.
    """
    for parameter in model.parameters():
        parameter.data = (parameter.data + 0.1 * torch.randn_like(parameter)).to(dtype)
    model.tie_weights()


def old_buffers(model: Model) -> Tensors:
    """What old versions wrote besides the weights, under the names that this model's other weights have."""
    config, names = model.config, list(model.state_dict())
    made: Tensors = {}
    for name in names:
        if config.model_type == "gpt2" and name.endswith("attn.c_attn.weight"):
            start, length = name.removesuffix("c_attn.weight"), config.n_positions
            made[f"{start}bias"] = torch.ones(length, length).tril().bool().view(1, 1, length, length)
            made[f"{start}masked_bias"] = torch.tensor(-1e4)
        elif name.endswith("self_attn.q_proj.weight"):
            start, width = name.removesuffix("q_proj.weight"), config.head_dim
            made[f"{start}rotary_emb.inv_freq"] = 1e4 ** -(torch.arange(0, width, 2) / width)
        elif name.endswith("embeddings.word_embeddings.weight"):
            start = name.removesuffix("word_embeddings.weight")
            made[f"{start}position_ids"] = torch.arange(config.max_position_embeddings).view(1, -1)
    return made


def add_constants(folder: Path, constants: Tensors) -> None:
    """Write them into the (last) file of a folder that has safetensors, and into its index."""
    path = max(folder.glob("model*.safetensors"))
    save_file(load_file(path) | constants, path, metadata={"format": "pt"})
    index = folder / "model.safetensors.index.json"
    if index.exists():
        data = json.loads(index.read_text())
        data["weight_map"] |= dict.fromkeys(constants, path.name)
        index.write_text(json.dumps(data))


def write_bin(folder: Path, state: Tensors, manner: str) -> None:
    """torch.save as it is today (a zip), as it was before 1.6 (legacy), or over several files with an index."""
    if manner != "shards":
        torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=manner != "legacy")
        return
    count, names = 3, list(state)
    files = {name: f"pytorch_model-{1 + i * count // len(names):05}-of-{count:05}.bin" for i, name in enumerate(names)}
    for file in set(files.values()):
        torch.save({name: state[name].clone() for name in names if files[name] == file}, folder / file)
    size = sum(tensor.nbytes for tensor in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": files}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
