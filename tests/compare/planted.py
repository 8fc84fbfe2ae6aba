"""Models with one thing planted in them, and what a comparison with the sound model has to say."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

import byhand
from byhand.families import FAMILIES, bert, gpt2, llama
from byhand.program import Program
from byhand.tokenizer import Characters

SIZES: dict[str, Any] = {"layers": 2, "width": 24, "heads": 6, "hidden": 40, "vocabulary": 60, "context": 32}
CONFIGS = {
    "gpt2": gpt2.Config(**SIZES),
    "llama": llama.Config(**SIZES, groups=2, head_width=4, theta=100.0),
    "bert": bert.Config(**SIZES),
}
BEGIN = 7


class Planted(NamedTuple):
    """kind: of the cause that must be named; first: the step, or the beginning of its name, that must be found."""

    family: str
    kind: str
    first: str
    model: Any


def sound(family: str, seed: int = 0, **sizes: Any) -> Any:
    return byhand.make(family, replace(CONFIGS[family], **sizes), seed=seed, name=family)


def other(family: str, seed: int = 0, **setting: Any) -> Any:
    """The same weights in a model with another setting."""
    weights = dict(sound(family, seed).weights)
    return byhand.make(family, replace(CONFIGS[family], **setting), weights, name=f"{family} planted")


def reweighted(family: str, address: str, make: Any, seed: int = 0) -> Any:
    """The model with one weight made anew."""
    weights = dict(sound(family, seed).weights)
    weights[address] = make(np.array(weights[address]))
    return byhand.make(family, CONFIGS[family], weights, name=f"{family} planted")


def turned(weight: Any) -> Any:
    return weight.reshape(24, 24).T.reshape(weight.shape)


def plus(weight: Any) -> Any:
    weight.flat[weight.size // 2 + 1] += 1e-3
    return weight


def swapped(weight: Any) -> Any:
    return weight[:, [0, 4, 2, 3, 1, 5]]


def padded(family: str) -> Any:
    weights = dict(sound(family).weights)
    for address in ("token.weight", "unembed.weight", "unembed.bias"):
        if address in weights:
            extra = np.zeros((4, *weights[address].shape[1:]), np.float32)
            weights[address] = np.concatenate([weights[address], extra])
    return byhand.make(family, replace(CONFIGS[family], vocabulary=64), weights, name=f"{family} padded")


def rewritten(family: str, change: Any) -> Any:
    """The model with some steps of its program replaced, as another implementation would have them."""

    def program(config: Any, targets: bool = False) -> Program:
        made = FAMILIES[family].program(config, targets)
        steps = {step.address: change(step) for step in made.steps}
        made.steps = list(steps.values())
        made.producer = {name: steps[step.address] for name, step in made.producer.items()}
        return made

    module: Any = SimpleNamespace(__name__=f"planted.{family}", program=program, Config=type(CONFIGS[family]))
    model = sound(family)
    return replace(model, family=module, programs={}, name=f"{family} planted")


def computing(name: str, forward: Any) -> Any:
    """Every step of an operator computed in another way."""
    own = replace(byhand.operators[name], forward=forward)
    return lambda step: replace(step, operator=own) if step.operator.name == name else step


def scores_in_turn(query_BTHK: Any, key_BSGK: Any, *, rounded: Any = None) -> Any:
    H, G = query_BTHK.shape[2], key_BSGK.shape[2]
    key_BSHK = key_BSGK[:, :, np.arange(H) % G]
    return np.einsum("BTHK,BSHK->BHTS", query_BTHK, key_BSHK) / np.sqrt(query_BTHK.shape[-1]).astype(query_BTHK.dtype)


def scores_undivided(query_BTHK: Any, key_BSGK: Any, *, rounded: Any = None) -> Any:
    groups = query_BTHK.shape[2] // key_BSGK.shape[2]
    return np.einsum("BTHK,BSHK->BHTS", query_BTHK, np.repeat(key_BSGK, groups, 2))


def unmasked(score_BHTS: Any, allowed_BTS: Any, *, fill: float = -np.inf) -> Any:
    return score_BHTS


def no_division(step: Any) -> Any:
    return computing("scores", scores_undivided)(step)


def begins(model: Any) -> Any:
    """The model with a tokenizer that puts a token before every text."""
    tokenizer = copy(lettered(model).tokenizer)
    tokenizer.begin = (BEGIN,)
    return replace(model, tokenizer=tokenizer)


def lettered(model: Any) -> Any:
    return replace(model, tokenizer=Characters("abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?'-"[:59]))


B0, B1 = "blocks.0", "blocks.1"
PLANTED = {
    "rotary layout": Planted("llama", "rotary layout", f"{B0}.attn.q_rot", other("llama", rotary="halves")),
    "GELU, gpt2": Planted("gpt2", "GELU form", f"{B0}.mlp.act", other("gpt2", activation="gelu_erf")),
    "GELU, bert": Planted("bert", "GELU form", f"{B0}.mlp.act", other("bert", activation="gelu_tanh")),
    "activation": Planted("gpt2", "activation", f"{B0}.mlp.act", other("gpt2", activation="relu")),
    "eps, gpt2": Planted("gpt2", "eps", f"{B0}.norm1", other("gpt2", eps=1e-3)),
    "eps, llama": Planted("llama", "eps", f"{B0}.norm1", other("llama", eps=2.5e-4)),
    "eps, bert": Planted("bert", "eps", "embed", other("bert", eps=1e-5)),
    "theta": Planted("llama", "theta", "rotary.angle", other("llama", theta=120.0)),
    "scaling": Planted(
        "llama", "rope scaling", "rotary.angle", other("llama", scaling=llama.Scaling(original_context=64))
    ),
    "padded, gpt2": Planted("gpt2", "padded vocabulary", "logits", padded("gpt2")),
    "padded, llama": Planted("llama", "padded vocabulary", "logits", padded("llama")),
    "padded, bert": Planted("bert", "padded vocabulary", "logits", padded("bert")),
    "grouping": Planted(
        "llama", "grouping", f"{B0}.attn.scores", rewritten("llama", computing("scores", scores_in_turn))
    ),
    "undivided": Planted("gpt2", "attention scale", f"{B0}.attn.scores", rewritten("gpt2", no_division)),
    "no mask": Planted("llama", "mask", f"{B0}.attn.masked", rewritten("llama", computing("mask", unmasked))),
}
for family in CONFIGS:
    up = f"{B1}.mlp.up" if family == "llama" else f"{B1}.mlp.pre"
    PLANTED |= {
        f"transposed, {family}": Planted(
            family, "transposed matrix", f"{B1}.attn.q", reweighted(family, f"{B1}.attn.q.weight", turned)
        ),
        f"out transposed, {family}": Planted(
            family, "transposed matrix", f"{B1}.attn.out", reweighted(family, f"{B1}.attn.out.weight", turned)
        ),
        f"a weight, {family}": Planted(family, "a weight changed", up, reweighted(family, f"{B1}.mlp.up.weight", plus)),
        f"swapped heads, {family}": Planted(
            family, "swapped heads", f"{B1}.attn.q", reweighted(family, f"{B1}.attn.q.weight", swapped)
        ),
    }
