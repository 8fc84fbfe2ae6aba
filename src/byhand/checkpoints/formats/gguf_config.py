"""A GGUF file's keys as a family's config, and a config as keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from byhand.checkpoints.files.gguf_file import Entry, File, Texts
from byhand.checkpoints.formats.rope_factors import scaling_of
from byhand.checkpoints.record import Finding, heads_of
from byhand.errors import InputError
from byhand.families import gpt2, llama

FAMILIES = {"gpt2": gpt2, "llama": llama}
ROPE_FACTORS = "rope_freqs.weight"
LARGEST = 2**31
LEAST_ARRAYS = 9  # of a block of Llama, which has fewer than one of GPT-2

# What the sizes of a program are called in a file, for messages; {a} is the architecture.
WORDS = {
    "D": "{a}.embedding_length",
    "F": "{a}.feed_forward_length",
    "H": "{a}.attention.head_count",
    "G": "{a}.attention.head_count_kv",
    "K": "width of a head",
    "V": "number of tokens",
    "P": "{a}.context_length",
    "L": "{a}.block_count",
}

# Keys that change what is computed, with the values at which they change nothing here.
PLAIN = {
    "{a}.expert_count": (0,),
    "{a}.rope.scaling.type": ("none", ""),
    "{a}.rope.scale_linear": (1, 1.0),
    "{a}.attention.scale": (0, 0.0),
    "{a}.attention.clamp_kqv": (0, 0.0),
    "{a}.attention.causal": (True,),
    "{a}.use_parallel_residual": (False,),
}


@dataclass
class Keys:
    """The keys of one file, taken with a check of each. taken: those that were asked for."""

    path: Any
    arch: str
    given: Mapping[str, Any]
    taken: set[str] = field(default_factory=set)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a key of this architecture. Raises InputError where there is neither a key nor a default."""
        key = f"{self.arch}.{name}"
        self.taken.add(key)
        if key not in self.given and default is None:
            raise InputError(f"{self.path} lacks the key {key}, which every {self.arch} model has; convert it anew")
        return self.given.get(key, default)

    def whole(self, name: str, default: int | None = None) -> int:
        """A size, from 1 on; one for each layer is taken where all are the same."""
        value = self.get(name, default)
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and len(value):
            if not (value == value[0]).all():
                raise InputError(f"{self.path}: {self.arch}.{name} differs between layers; byhand's have all the same")
            value = value[0].item()
        if type(value) is not int or not 1 <= value < LARGEST:
            raise InputError(f"{self.path}: {self.arch}.{name} is {shown(value)}, not a whole number from 1 on")
        return value

    def real(self, name: str, default: float | None = None) -> float:
        """A number above zero: the shortest decimal that a float32 of the file can stand for, 1e-05 for 1e-5."""
        value = self.get(name, default)
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            raise InputError(f"{self.path}: {self.arch}.{name} is {shown(value)}, not a number above 0")
        with np.errstate(over="ignore", under="ignore"):
            return float(str(np.float32(value)))


def is_one_of(value: Any, choices: tuple[Any, ...]) -> bool:
    return not isinstance(value, np.ndarray | Texts) and value in choices


def shown(value: Any) -> str:
    """A value of any size, short."""
    return f"an array of {len(value)}" if isinstance(value, np.ndarray | Texts | list) else f"{value!r:.40}"


def architecture(file: File) -> str:
    """The family of the file. Raises InputError for one that byhand does not have, and for a part of a model."""
    path, arch = file.mapped.path, file.keys.get("general.architecture")
    if not isinstance(arch, str):
        raise InputError(f"{path} lacks general.architecture, which says what model it is; the file is damaged")
    if arch not in FAMILIES:
        raise InputError(f"{path} holds a model of architecture {arch!r:.40}; byhand reads {' and '.join(FAMILIES)}")
    parts = file.keys.get("split.count", 1)
    if not is_one_of(parts, (0, 1)):
        raise InputError(f"{path} is one of {shown(parts)} parts of a model; join them with llama-gguf-split --merge")
    return arch


def config(file: File, arch: str) -> tuple[Any, tuple[Finding, ...]]:
    """The config of a file, with what was found out. Raises InputError for a model that byhand cannot compute."""
    keys = Keys(file.mapped.path, arch, file.keys)
    for key, plain in PLAIN.items():
        name = key.format(a=arch)
        keys.taken.add(name)
        if name in file.keys and not is_one_of(file.keys[name], plain):
            raise InputError(
                f"{keys.path}: {name} is {shown(file.keys[name])}, which changes the {arch} model in a way that byhand "
                "does not compute"
            )
    made, findings = (gpt2_config if arch == "gpt2" else llama_config)(keys, file)
    unknown = [key for key in file.keys if key.startswith(f"{arch}.") and key not in keys.taken]
    if unknown:
        findings.append(Finding("not used", ", ".join(unknown), "nothing in the model reads them"))
    return made, tuple(findings)


def gpt2_config(keys: Keys, file: File) -> tuple[gpt2.Config, list[Finding]]:
    tied, tying = tying_of(file)
    keys.get("vocab_size", 0)
    made = gpt2.Config(
        layers=layers(keys, file),
        width=keys.whole("embedding_length"),
        heads=keys.whole("attention.head_count"),
        hidden=keys.whole("feed_forward_length"),
        vocabulary=vocabulary(keys, file),
        context=keys.whole("context_length"),
        eps=keys.real("attention.layer_norm_epsilon"),
        tied=tied,
    )
    if keys.whole("attention.head_count_kv", made.heads) != made.heads:
        raise InputError(f"{keys.path}: gpt2.attention.head_count_kv is not its head_count; GPT-2 shares no keys")
    return made, [
        Finding("activation", made.activation, "what llama.cpp computes for gpt2; the file does not say"),
        Finding("heads", heads_of(made), "gpt2.attention.head_count; shapes do not show it"),
        Finding("eps", f"{made.eps:g}", "gpt2.attention.layer_norm_epsilon"),
        tying,
    ]


def llama_config(keys: Keys, file: File) -> tuple[llama.Config, list[Finding]]:
    tied, tying = tying_of(file)
    keys.get("vocab_size", 0)
    width, heads = keys.whole("embedding_length"), keys.whole("attention.head_count")
    head_width = keys.whole("attention.key_length", max(1, width // heads))
    for name in ("attention.value_length", "rope.dimension_count"):
        if (other := keys.whole(name, head_width)) != head_width:
            raise InputError(
                f"{keys.path}: llama.{name} is {other}, but a head's width {head_width}; byhand needs both"
            )
    theta = keys.real("rope.freq_base", 10000.0)
    scaling, scaled = scaling_in(keys, file, theta, head_width)
    made = llama.Config(
        layers=layers(keys, file),
        width=width,
        heads=heads,
        groups=keys.whole("attention.head_count_kv", heads),
        hidden=keys.whole("feed_forward_length"),
        vocabulary=vocabulary(keys, file),
        context=keys.whole("context_length"),
        head_width=head_width,
        theta=theta,
        scaling=scaling,
        rotary="pairs",
        tied=tied,
        eps=keys.real("attention.layer_norm_rms_epsilon"),
    )
    return made, [
        Finding("rotary layout", "pairs", "the order of every GGUF file of architecture llama"),
        Finding("theta", f"{theta:g}", "llama.rope.freq_base"),
        scaled,
        Finding("heads", heads_of(made), "llama.attention.head_count; shapes do not show it"),
        Finding("eps", f"{made.eps:g}", "llama.attention.layer_norm_rms_epsilon"),
        tying,
    ]


def layers(keys: Keys, file: File) -> int:
    """How many blocks. Raises InputError when the key and the names of the arrays disagree."""
    count = keys.whole("block_count")
    numbers = {name.split(".")[1] for name in file.entries if name.startswith("blk.")}
    if len(numbers) != count or len(file.entries) < count * LEAST_ARRAYS:
        raise InputError(
            f"{keys.path}: {keys.arch}.block_count is {count}, but it has {len(file.entries)} arrays "
            f"of {len(numbers)} blocks; the config does not belong to these weights, or a part is absent"
        )
    return count


def vocabulary(keys: Keys, file: File) -> int:
    """The rows of the token table. Raises InputError when the tokenizer has another number of tokens."""
    if "token_embd.weight" not in file.entries:
        raise InputError(f"{keys.path} lacks the array token_embd.weight, which every {keys.arch} model has")
    rows = file.entries["token_embd.weight"].shape[0]
    tokens = file.keys.get("tokenizer.ggml.tokens")
    if tokens is not None and not isinstance(tokens, Texts):
        raise InputError(f"{keys.path}: tokenizer.ggml.tokens is {shown(tokens)}, not an array of texts")
    if tokens is not None and len(tokens) != rows:
        raise InputError(
            f"{keys.path}: its tokenizer has {len(tokens):,} tokens, but token_embd.weight {rows:,} rows; "
            "they do not belong together"
        )
    return rows


def tying_of(file: File) -> tuple[bool, Finding]:
    """Whether logits come from the token table: there is no other one, or the other one is a copy of it."""
    output, table = file.entries.get("output.weight"), file.entries.get("token_embd.weight")
    if output is None or table is None:
        return True, Finding("tied", "yes", "there is no output.weight")
    if same_bytes(file, output, table):
        return True, Finding("tied", "yes", "output.weight is token_embd.weight again")
    return False, Finding("tied", "no", "output.weight differs from token_embd.weight")


def same_bytes(file: File, one: Entry, other: Entry) -> bool:
    """Compared piece by piece, so that tables that differ cost nothing."""
    if (one.kind, one.shape) != (other.kind, other.shape):
        return False
    step = 2**22
    return all(
        file.mapped.bytes(one.offset + at, min(step, one.size - at))
        == file.mapped.bytes(other.offset + at, min(step, one.size - at))
        for at in range(0, one.size, step)
    )


def scaling_in(keys: Keys, file: File, theta: float, head_width: int) -> tuple[llama.Scaling | None, Finding]:
    """Llama 3.1's scaling, from the factor of each rotary pair. Raises InputError for factors of no such rule."""
    entry = file.entries.get(ROPE_FACTORS)
    if entry is None:
        return None, Finding("scaling", "none", f"there is no {ROPE_FACTORS}")
    if entry.kind != "F32" or entry.shape != (head_width // 2,):
        raise InputError(
            f"{keys.path}: {ROPE_FACTORS} is {entry.kind} {list(entry.shape)}, but heads of width {head_width} need "
            f"F32 [{head_width // 2}]"
        )
    factors = file.mapped.array("<f4", entry.shape, entry.offset, ROPE_FACTORS)
    if (factors == 1).all():
        return None, Finding("scaling", "none", f"{ROPE_FACTORS} is 1 everywhere")
    found = scaling_of(factors, theta)
    if found is None:
        raise InputError(
            f"{keys.path}: {ROPE_FACTORS} slows rotary pairs by {factors.min():g} to {factors.max():g} in a way that "
            "Llama 3.1's rule does not; byhand computes no other"
        )
    return found, Finding("scaling", str(found), f"the rule that gives every factor of {ROPE_FACTORS}")
