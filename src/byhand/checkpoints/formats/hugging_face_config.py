"""config.json of transformers: to a family's Config and back.

Every setting that would change a number is read, or refused where byhand does not compute it. Source: the modules
configuration_gpt2, configuration_llama and configuration_bert of transformers, whose defaults stand here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from byhand.checkpoints.files.jsons import Fields
from byhand.checkpoints.record import Doubt, Finding, heads_of, yes
from byhand.errors import InputError
from byhand.families import bert, gpt2, llama
from byhand.shapes import split_evenly

# What config.json calls the fields of each family's Config.
COMMON = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "hidden": "intermediate_size",
    "vocabulary": "vocab_size",
    "context": "max_position_embeddings",
}
CALLED: dict[str, dict[str, str]] = {
    "gpt2": {
        "layers": "n_layer",
        "width": "n_embd",
        "heads": "n_head",
        "hidden": "n_inner",
        "vocabulary": "vocab_size",
        "context": "n_positions",
        "eps": "layer_norm_epsilon",
        "activation": "activation_function",
    },
    "llama": {**COMMON, "groups": "num_key_value_heads", "head_width": "head_dim", "eps": "rms_norm_eps"},
    "bert": {**COMMON, "segments": "type_vocab_size", "eps": "layer_norm_eps", "activation": "hidden_act"},
}
LETTERS = {
    "D": "width",
    "F": "hidden",
    "V": "vocabulary",
    "H": "heads",
    "G": "groups",
    "K": "head_width",
    "P": "context",
    "Y": "segments",
    "L": "layers",
}
EPS = {"gpt2": 1e-5, "llama": 1e-6, "bert": 1e-12}
TIED = {"gpt2": True, "llama": False, "bert": True}
CONFIGS = {"gpt2": gpt2.Config, "llama": llama.Config, "bert": bert.Config}

ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu": "gelu_erf",
    "gelu_python": "gelu_erf",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
OURS = {"gelu_tanh": "gelu_new", "gelu_erf": "gelu", "relu": "relu", "silu": "silu"}

# Settings whose usual value alone is computed here: what they change.
ONLY: dict[str, dict[str, tuple[Any, str]]] = {
    "gpt2": {
        "scale_attn_weights": (True, "which leaves scores unscaled"),
        "scale_attn_by_inverse_layer_idx": (False, "which scales scores by the layer's number"),
        "add_cross_attention": (False, "which adds attention to another text"),
    },
    "llama": {
        "hidden_act": ("silu", "another activation than a Llama's"),
        "attention_bias": (False, "which adds biases to attention"),
        "mlp_bias": (False, "which adds biases to the feed-forward"),
        "partial_rotary_factor": (1.0, "which turns only a part of each head"),
    },
    "bert": {
        "position_embedding_type": ("absolute", "another kind of positions"),
        "is_decoder": (False, "which reads left to right only"),
        "add_cross_attention": (False, "which adds attention to another text"),
    },
}


def words(family: str) -> dict[str, str]:
    """What config.json calls the size of a letter."""
    return {letter: CALLED[family][name] for letter, name in LETTERS.items() if name in CALLED[family]}


def config_of(family: str, said: Fields, names: Mapping[str, Any]) -> tuple[Any, list[Finding], list[Doubt]]:
    """A family's Config from config.json and the names of the arrays, what was found, and what it leaves open.

    Raises InputError for values that are missing, wrong, or mean something that byhand does not compute.
    """
    if said.values.get("quantization_config") is not None:
        method = said.inner("quantization_config").values.get("quant_method")
        raise InputError(
            f"{said.where}: its weights are quantised by {method!r:.40}; take the folder with plain weights"
        )
    for name, (usual, what) in ONLY[family].items():
        said.only(name, usual, what)
    called = CALLED[family]
    chosen: dict[str, Any] = {name: said.whole(called[name]) for name in ("layers", "width", "heads", "vocabulary")}
    if chosen["layers"] > len(names):
        raise InputError(
            f"{said.where}: {called['layers']} is {chosen['layers']}, but the file has {len(names)} arrays"
        )
    chosen |= {"eps": said.number(called["eps"], EPS[family])}
    chosen |= {"tied": said.flag("tie_word_embeddings", TIED[family])}
    chosen |= {"gpt2": of_gpt2, "llama": of_llama, "bert": of_bert}[family](said, chosen, names)
    doubts = []
    if "activation" in called:
        chosen["activation"], doubts = activation(said, called["activation"], family)
    config = CONFIGS[family](**chosen)
    return config, [*findings(family, said, chosen), heads_finding(config, called["heads"])], doubts


def of_gpt2(said: Fields, chosen: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    context = said.whole("n_positions") if "n_positions" in said or "n_ctx" not in said else said.whole("n_ctx")
    return {"hidden": said.whole("n_inner", 4 * chosen["width"]), "context": context}


def of_llama(said: Fields, chosen: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    head_width = said.whole("head_dim") if "head_dim" in said else even(said, chosen)
    groups = said.whole("num_key_value_heads", chosen["heads"])
    if chosen["heads"] % groups:
        raise InputError(
            f"{said.where}: num_attention_heads {chosen['heads']} cannot share num_key_value_heads {groups} evenly"
        )
    return {
        "hidden": said.whole("intermediate_size"),
        "context": said.whole("max_position_embeddings", 2048),
        "groups": groups,
        "head_width": head_width,
        "rotary": "halves",
        **rotation(said),
    }


def of_bert(said: Fields, chosen: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Which heads a BERT has is told by its arrays: a file may hold more than `architectures` says."""
    even(said, chosen)
    return {
        "hidden": said.whole("intermediate_size"),
        "context": said.whole("max_position_embeddings", 512),
        "segments": said.whole("type_vocab_size", 2),
        "masked_lm": any(name.startswith("cls.predictions.") for name in names),
        "pooler": any("pooler.dense." in name for name in names),
        "next_sentence": any(name.startswith("cls.seq_relationship.") for name in names),
    }


def even(said: Fields, chosen: Mapping[str, Any]) -> int:
    """The width of a head where every head has an equal part of the width."""
    try:
        return split_evenly(chosen["width"], chosen["heads"], "hidden_size", "heads (num_attention_heads)")
    except InputError as error:
        raise InputError(f"{said.where}: {error}") from None


def rotation(said: Fields) -> dict[str, Any]:
    """theta and scaling of the rotary angles: rope_parameters, or rope_theta and rope_scaling of older files."""
    rope = said.inner("rope_parameters") if "rope_parameters" in said else said.inner("rope_scaling")
    theta = rope.number("rope_theta") if "rope_theta" in rope else said.number("rope_theta", 10_000.0)
    kind = rope.text("rope_type", rope.text("type", "default"))
    rope.only("partial_rotary_factor", 1.0, "which turns only a part of each head")
    if kind == "default":
        return {"theta": theta, "scaling": None}
    if kind != "llama3":
        raise InputError(f"{rope.where}: rope_type is {kind!r:.40}; byhand computes default and llama3")
    return {
        "theta": theta,
        "scaling": llama.Scaling(
            factor=rope.number("factor"),
            low=rope.number("low_freq_factor"),
            high=rope.number("high_freq_factor"),
            original_context=rope.whole("original_max_position_embeddings"),
        ),
    }


def activation(said: Fields, called: str, family: str) -> tuple[str, list[Doubt]]:
    """The activation of the feed-forward; open where the file says nothing."""
    usual = "gelu_tanh" if family == "gpt2" else "gelu_erf"
    if called not in said:
        other = "gelu_erf" if family == "gpt2" else "gelu_tanh"
        return usual, [Doubt("activation", (usual, other), f"{said.where} does not say {called}")]
    name = said.text(called)
    if name not in ACTIVATIONS:
        raise InputError(f"{said.where}: {called} is {name!r:.40}; byhand computes {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name], []


def findings(family: str, said: Fields, chosen: Mapping[str, Any]) -> Iterator[Finding]:
    """What config.json settles, and where it is silent."""
    called = CALLED[family]
    if "activation" in chosen and called["activation"] in said:
        how = f"{called['activation']} {said.text(called['activation'])} in config.json"
        yield Finding("activation", chosen["activation"], how)
    yield Finding("eps", f"{chosen['eps']:g}", source(called["eps"], said))
    if chosen.get("masked_lm", True):
        yield Finding("tied", yes(chosen["tied"]), source("tie_word_embeddings", said))
    if family == "llama":
        yield Finding("rotary layout", "halves", "model_type llama in config.json: transformers turns j with j + K/2")
        named = "rope_parameters" if "rope_parameters" in said else "rope_theta"
        yield Finding("theta", f"{chosen['theta']:g}", source(named, said))
        scaled = "rope_parameters" if "rope_parameters" in said else "rope_scaling"
        yield Finding("scaling", str(chosen["scaling"] or "none"), source(scaled, said))


def heads_finding(config: Any, name: str) -> Finding:
    return Finding("heads", heads_of(config), f"{name} in config.json; shapes do not show it")


def source(name: str, said: Fields) -> str:
    return f"{name} in config.json" if name in said else f"config.json does not say {name}: transformers' default"


# --- written -------------------------------------------------------------------------------------------------------

FIXED: dict[str, dict[str, Any]] = {
    "gpt2": {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0},
    "llama": {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0},
    "bert": {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0},
}


def written(family: str, config: Any, model: str, dtype: str) -> dict[str, Any]:
    """config.json of a model. model: the class of transformers; dtype: of its weights."""
    values: dict[str, Any] = {"architectures": [model], "model_type": family, **FIXED[family]}
    for name, called in CALLED[family].items():
        value = getattr(config, name)
        values[called] = OURS[value] if name == "activation" else value
    values |= {"tie_word_embeddings": config.tied, "torch_dtype": dtype}
    if family == "llama":
        # Both spellings: rope_parameters since transformers 5, the others before.
        values |= {"rope_theta": config.theta, "rope_scaling": scaling(config)}
        values["rope_parameters"] = {"rope_theta": config.theta, **(scaling(config) or {"rope_type": "default"})}
    return values


def scaling(config: llama.Config) -> dict[str, Any] | None:
    s = config.scaling
    if s is None:
        return None
    return {
        "rope_type": "llama3",
        "factor": s.factor,
        "low_freq_factor": s.low,
        "high_freq_factor": s.high,
        "original_max_position_embeddings": s.original_context,
    }


# --- from shapes alone ---------------------------------------------------------------------------------------------


def published(family: str, sizes: Mapping[str, int], tied: bool) -> tuple[str, Any] | None:
    """The built-in shape, by name, that has these sizes; None if there is none."""
    module = {"gpt2": gpt2, "llama": llama, "bert": bert}[family]
    for name, config in module.SHAPES.items():
        present = {each.name for each in fields(config)}
        if config.tied == tied and all(getattr(config, size) == n for size, n in sizes.items() if size in present):
            return name, config
    return None
