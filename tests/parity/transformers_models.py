"""Tiny transformers models and their byhand twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers
from transformers.models.bert import modeling_bert
from transformers.models.gpt2 import modeling_gpt2
from transformers.models.llama import modeling_llama

from byhand.families import bert, gpt2, llama
from byhand.inputs import NO_TARGET

from .harness import Array, Twin, make, tokens

EAGER = {"attn_implementation": "eager"}  # the attention whose every step can be compared
SIZES = {"layers": 2, "width": 32, "heads": 4, "hidden": 64, "vocabulary": 96, "context": 48}


def texts(vocabulary: int, B: int, T: int, seed: int) -> dict[str, Array]:
    """Tokens, and targets of which one is not to be predicted."""
    given = {"tokens": tokens(vocabulary, B, T, seed), "targets": tokens(vocabulary, B, T, seed + 1)}
    given["targets"][0, -1] = NO_TARGET
    return given


def gpt2_twin(activation: str = "gelu_pytorch_tanh", B: int = 2, T: int = 9, seed: int = 0, **sizes: Any) -> Twin:
    """gpt2 beside GPT2LMHeadModel. activation: transformers' name for the GELU, see test_bfloat16."""
    c = gpt2.Config(**SIZES | sizes)
    given = texts(c.vocabulary, B, T, seed)

    def logits(oracle):
        return oracle(torch.from_numpy(given["tokens"])).logits

    model = make("gpt2", gpt2, c, seed)
    return Twin("gpt2", model, lambda: gpt2_oracle(c, activation), logits, given, modeling=modeling_gpt2)


def gpt2_oracle(c: gpt2.Config, activation: str = "gelu_pytorch_tanh") -> transformers.GPT2LMHeadModel:
    config = transformers.GPT2Config(
        n_layer=c.layers,
        n_embd=c.width,
        n_head=c.heads,
        n_inner=c.hidden,
        vocab_size=c.vocabulary,
        n_positions=c.context,
        layer_norm_epsilon=c.eps,
        activation_function=activation,
        **EAGER,
    )
    return transformers.GPT2LMHeadModel(config)


def llama_twin(name: str = "llama", B: int = 2, T: int = 9, seed: int = 0, **sizes: Any) -> Twin:
    """llama beside LlamaForCausalLM."""
    c = llama.Config(**SIZES | {"groups": 2, "head_width": 8, "rotary": "halves"} | sizes)
    given = texts(c.vocabulary, B, T, seed)

    def logits(oracle):
        return oracle(torch.from_numpy(given["tokens"])).logits

    model, seen = make("llama", llama, c, seed), {"modeling": modeling_llama, "silent": ("rotary_emb",)}
    return Twin(name, model, lambda: llama_oracle(c), logits, given, **seen)


def llama_oracle(c: llama.Config) -> transformers.LlamaForCausalLM:
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": c.theta}
    if c.scaling:
        rope |= {"rope_type": "llama3", "factor": c.scaling.factor, "low_freq_factor": c.scaling.low}
        rope |= {"high_freq_factor": c.scaling.high, "original_max_position_embeddings": c.scaling.original_context}
    config = transformers.LlamaConfig(
        num_hidden_layers=c.layers,
        hidden_size=c.width,
        num_attention_heads=c.heads,
        num_key_value_heads=c.groups,
        head_dim=c.head_width,
        intermediate_size=c.hidden,
        vocab_size=c.vocabulary,
        max_position_embeddings=c.context,
        rms_norm_eps=c.eps,
        rope_parameters=rope,
        tie_word_embeddings=c.tied,
        **EAGER,
    )
    return transformers.LlamaForCausalLM(config)


def bert_twin(of: str = "logits", B: int = 3, T: int = 9, seed: int = 0, **sizes: Any) -> Twin:
    """bert beside BertForMaskedLM, or beside BertModel whose pooled output is compared (of="pooler.out")."""
    c = bert.Config(**SIZES | sizes)
    given = texts(c.vocabulary, B, T, seed)
    given["targets"] = np.where(np.random.default_rng(seed).random((B, T)) < 0.4, given["tokens"], NO_TARGET)
    given["segments"] = (np.arange(T) >= T // 2) * np.ones((B, 1), int)
    given["mask"] = np.arange(T) < np.array([T, T - 3, T - 1])[:B, None]
    ids, segments, mask = (torch.from_numpy(given[name]) for name in ("tokens", "segments", "mask"))

    def output(oracle):
        result = oracle(ids, token_type_ids=segments, attention_mask=mask.long())
        return result.logits if of == "logits" else result.pooler_output

    kind = transformers.BertForMaskedLM if of == "logits" else transformers.BertModel
    name, model = "bert" if of == "logits" else "bert pooler", make("bert", bert, c, seed)
    seen = {"of": of, "modeling": modeling_bert, "unseen": ("embed.sum",)}
    return Twin(name, model, lambda: bert_oracle(c, kind), output, given, **seen)


def bert_oracle(c: bert.Config, kind: Any) -> torch.nn.Module:
    config = transformers.BertConfig(
        num_hidden_layers=c.layers,
        hidden_size=c.width,
        num_attention_heads=c.heads,
        intermediate_size=c.hidden,
        vocab_size=c.vocabulary,
        max_position_embeddings=c.context,
        type_vocab_size=c.segments,
        layer_norm_eps=c.eps,
        pad_token_id=None,  # torch would give this token's row no gradient
        **EAGER,
    )
    return kind(config)
