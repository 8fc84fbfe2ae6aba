"""The 2017 transformer from PyTorch's own layers: post-norm, ReLU.

A decoder that has nothing to attend across to is an encoder with a causal mask.

PyTorch has no embedding with sinusoidal positions and no tied logits, so those few lines are written here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from byhand.aliases import expanded
from byhand.aliases.recipe import Make, Table, beside, row, same
from byhand.families import original

from .harness import Twin, make, tokens
from .transformers_models import SIZES, texts

Optional = torch.Tensor | None


def joined(weight_HKD: Any) -> Any:
    """The output projection as one matrix, [H, K, D] to [H*K, D]."""
    return weight_HKD.reshape(-1, weight_HKD.shape[-1])


def turned(make: Make) -> Make:
    """The same with the last axis first, as a torch Linear has it."""
    return lambda *arrays: make(*arrays).T


class Embedding(nn.Module):
    """Tokens times sqrt(D), plus the waves of the positions."""

    def __init__(self, c: original.Config) -> None:
        super().__init__()
        self.tokens = nn.Embedding(c.vocabulary, c.width)

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        x_BTD = self.tokens(ids_BT)
        D = x_BTD.shape[-1]
        rate_I = torch.exp(-math.log(10000.0) * torch.arange(0, D, 2, dtype=torch.float64) / D)
        angle_TI = torch.arange(ids_BT.shape[1], dtype=torch.float64)[:, None] * rate_I
        wave_TD = torch.stack([angle_TI.sin(), angle_TI.cos()], dim=-1).flatten(1)
        return x_BTD * math.sqrt(D) + wave_TD.to(x_BTD.dtype)


class Transformer(nn.Module):
    """An encoder or a decoder (`stack`), or both (`core`), between embedding and tied logits.

    batch_first: the order of the axes inside. In the other one, its own, PyTorch adds biases before it rounds.
    """

    def __init__(self, c: original.Config, batch_first: bool = True) -> None:
        super().__init__()
        self.part, self.batch_first = c.part, batch_first
        self.embed, self.logits = Embedding(c), nn.Linear(c.width, c.vocabulary, bias=False)
        self.logits.weight = self.embed.tokens.weight
        sizes: Any = {"d_model": c.width, "nhead": c.heads, "batch_first": batch_first}
        inside = {"dim_feedforward": c.hidden, "dropout": 0.0, "layer_norm_eps": c.eps, **sizes}
        encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(**inside), c.layers, enable_nested_tensor=False)
        if c.part == "encoder-decoder":
            # without the norms that nn.Transformer would put behind both stacks, where the paper has none
            decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**inside), c.layers)
            self.core = nn.Transformer(**sizes, custom_encoder=encoder, custom_decoder=decoder)
            self.source = Embedding(c)
            self.source.tokens.weight = self.embed.tokens.weight
        else:
            self.stack = encoder
        if not c.attention_bias:
            attention = {"embed_dim": c.width, "num_heads": c.heads, "bias": False, "batch_first": batch_first}
            replace_attention(self, lambda: nn.MultiheadAttention(**attention))

    def forward(self, ids_BT: torch.Tensor, source_BS: Optional, padding: Optional) -> torch.Tensor:
        """padding: True where the text that the encoder (or the only stack) reads is not real."""
        later_TT = torch.ones(ids_BT.shape[1], ids_BT.shape[1], dtype=torch.bool).triu(1)
        if source_BS is not None:
            seen = {"tgt_mask": later_TT, "src_key_padding_mask": padding, "memory_key_padding_mask": padding}
            x = self.core(self.ordered(self.source(source_BS)), self.ordered(self.embed(ids_BT)), **seen)
        else:
            mask = later_TT if self.part == "decoder" else None
            x = self.stack(self.ordered(self.embed(ids_BT)), mask=mask, src_key_padding_mask=padding)
        return self.logits(self.ordered(x))

    def ordered(self, x: torch.Tensor) -> torch.Tensor:
        """From the batch first to the order inside, or back."""
        return x if self.batch_first else x.transpose(0, 1).contiguous()


def replace_attention(module: nn.Module, make: Callable[[], nn.MultiheadAttention]) -> None:
    """Exchange every attention inside a module."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.MultiheadAttention):
            setattr(module, name, make())
        else:
            replace_attention(child, make)


def attention(name: str, at: str) -> Table:
    """An nn.MultiheadAttention, whose three input projections are one matrix."""
    weights, biases = ([f"{at}.{each}.{kind}" for each in "qkv"] for kind in ("weight", "bias"))
    return {
        name: f"{at}.out",
        f"{name}.in_proj_weight": row(turned(beside), "DD", *weights),
        f"{name}.in_proj_bias": row(beside, "D", *biases),
        f"{name}.out_proj.weight": row(turned(joined), "DD", f"{at}.out.weight"),
        f"{name}.out_proj.bias": f"{at}.out.bias",
    }


def norm(name: str, value: str, weights: str) -> Table:
    return {name: value, f"{name}.weight": f"{weights}.gain", f"{name}.bias": f"{weights}.shift"}


def layer(name: str, at: str, crossing: bool) -> Table:
    """One layer; in a layer that attends across, the norm after that is the second of three."""
    feed_forward: Table = {
        f"{name}.linear1": f"{at}.mlp.pre",
        f"{name}.linear1.weight": row(turned(same), "FD", f"{at}.mlp.up.weight"),
        f"{name}.linear1.bias": f"{at}.mlp.up.bias",
        f"{name}.linear2": f"{at}.mlp.out",
        f"{name}.linear2.weight": row(turned(same), "DF", f"{at}.mlp.down.weight"),
        f"{name}.linear2.bias": f"{at}.mlp.down.bias",
        name: f"{at}.out",
    }
    across = attention(f"{name}.multihead_attn", f"{at}.cross") if crossing else {}
    norms = {**norm(f"{name}.norm1", f"{at}.norm1.out", f"{at}.norm1")}
    if crossing:
        norms |= norm(f"{name}.norm2", f"{at}.norm_cross.out", f"{at}.norm_cross")
    norms |= norm(f"{name}.norm{3 if crossing else 2}", f"{at}.out", f"{at}.norm2")
    return {**attention(f"{name}.self_attn", f"{at}.attn"), **across, **norms, **feed_forward}


def embedding(name: str, at: str) -> Table:
    return {name: f"{at}.out", f"{name}.tokens": f"{at}.token", f"{name}.tokens.weight": "token.weight"}


ENDS: Table = {**embedding("embed", "embed"), "logits": "logits", "logits.weight": "token.weight"}
ONE: Table = {**layer("stack.layers.{l}", "blocks.{l}", crossing=False), "stack": "{last}.out"}
TWO: Table = {
    **embedding("source", "source.embed"),
    **layer("core.encoder.layers.{l}", "source.blocks.{l}", crossing=False),
    **layer("core.decoder.layers.{l}", "blocks.{l}", crossing=True),
    "core.encoder": "source.{last}.out",
    "core.decoder": "{last}.out",
    "core": "{last}.out",
}


def original_twin(part: str, B: int = 3, T: int = 7, seed: int = 0, padded: bool = True, **how: Any) -> Twin:
    """original beside PyTorch's layers.

    padded: whether the text (or the source text) of some ends early; how: batch_first, S (of the source), sizes.
    """
    S, batch_first = how.pop("S", 9), how.pop("batch_first", True)
    c = original.Config(part=part, **SIZES | how)
    given = texts(c.vocabulary, B, T, seed)
    read, name = (S, "source.mask") if part == "encoder-decoder" else (T, "mask")
    if padded:
        given[name] = np.arange(read) < np.array([read, read - 3, read - 1])[:B, None]
    if part == "encoder-decoder":
        given["source"] = tokens(c.vocabulary, B, S, seed + 2)
    padding = ~torch.from_numpy(given[name]) if padded else None
    source = torch.from_numpy(given["source"]) if "source" in given else None

    def logits(oracle):
        return oracle(torch.from_numpy(given["tokens"]), source, padding)

    model = make("original", original, c, seed)
    views = expanded(model.program, (ENDS, TWO if part == "encoder-decoder" else ONE))
    # PyTorch's attention is one call, whose inside is seen only through the gradients of its parameters
    inside = [f"*.{each}" for each in ("q", "k", "v", "scores", "masked", "weights", "heads")]
    seen = {"unseen": (*inside, "*embed.position", "*embed.scaled"), "silent": ("out_proj",)}
    return Twin(f"original {part}", model, lambda: Transformer(c, batch_first), logits, given, views, **seen)
