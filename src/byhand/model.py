"""A model: a family's program with weights, and a tokenizer if it has one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from math import inf
from types import ModuleType
from typing import Any

import numpy as np

from byhand import generate, inputs
from byhand.addresses import place, resolve
from byhand.changes import planned
from byhand.engines.reference import precision
from byhand.errors import InputError
from byhand.families import FAMILIES, gpt2, handmade
from byhand.memory import value_bytes
from byhand.program import Program
from byhand.run import Keep, Progress, Run, execute, silent, to_keep
from byhand.setting import Tokens
from byhand.shapes import whole
from byhand.tokenizer import PRINTABLE, Characters
from byhand.weights import Weights, given, random

Array = np.ndarray[Any, Any]
Text = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]] | Array

ENGINES = ("reference",)


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A model that can be run, looked into, changed and continued. Nothing done with it changes it.

    family: the module of its family; config: its sizes; tokenizer: None for a model that works on token ids.
    """

    name: str
    family: ModuleType
    config: Any
    weights: Weights
    tokenizer: Characters | None = None
    programs: dict[bool, Program] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"<model {self.name}: {self.parameters:,} parameters, {self.config}>"

    @property
    def program(self) -> Program:
        """The steps of the model, without a loss."""
        return self.program_with(targets=False)

    def program_with(self, targets: bool) -> Program:
        """The steps of the model, with its loss if there are targets."""
        if targets not in self.programs:
            self.programs[targets] = self.family.program(self.config, targets)
        return self.programs[targets]

    def __reduce__(self) -> tuple[Any, ...]:
        """A family is a module, which pickle cannot write; its name is enough."""
        return restored, (self.name, self.family.__name__, self.config, self.weights, self.tokenizer)

    @property
    def parameters(self) -> int:
        return self.program.parameters

    def run(
        self,
        text: Text,
        *,
        dtype: str = "float32",
        engine: str = "reference",
        keep: Keep = "all",
        source: Text | None = None,
        targets: Any = None,
        progress: Progress = silent,
        **given: Any,
    ) -> Run:
        """Run the model on a text, token ids, or an array of ids [B,T].

        dtype: float64, float32 or bfloat16; keep: "all", or the addresses and patterns to keep; source: the text to
        translate, for an encoder-decoder; targets: [B,T] token ids that should come, negative where none (a model that
        reads left to right takes the text itself); mask, segments, positions: other inputs of the program.
        Raises InputError, ShapeError, MemoryRefused, NotANumber.
        """
        if engine not in ENGINES:
            raise InputError(f"no engine {engine!r}; there are: {', '.join(ENGINES)}")
        for name, instead in (("tokens", "the text"), ("source.tokens", "source=")):
            if name in given:
                raise InputError(f"{name} are given as {instead}; leave {name}= out")
        arrays = {name: value for name, value in given.items() if value is not None}
        arrays["tokens"] = self.token_ids(text)
        if source is not None:
            arrays["source.tokens"] = self.token_ids(source, "source text")
        arrays |= self.target_ids(targets, arrays)
        program = self.program_with("targets" in arrays)
        prepared = inputs.prepare(program, arrays)
        return execute(program, self.weights, prepared, precision(dtype), keep, self.tokens, progress)

    def kept_bytes(
        self, B: int, T: int, S: int | None = None, *, keep: Keep = "all", dtype: str = "float32"
    ) -> dict[str, int]:
        """Bytes that a run of B texts of T tokens (and source texts of S) keeps, by address, without running it.

        Raises AddressError for a pattern that fits nothing.
        """
        for name, size in (("B", B), ("T", T), ("S", T if S is None else S)):
            if whole(size) is None or not 1 <= size <= (inf if name == "B" else self.config.context):
                raise InputError(f"{name} is {size!r}; give a whole number from 1, a text up to {self.config.context}")
        program = self.program_with(self.program.inputs["mask"].rule == "causal" and T > 1)
        sizes = value_bytes(program, program.shapes(B, T, S), precision(dtype))
        return {address: size for address, size in sizes.items() if address in to_keep(program, keep)}

    def token_ids(self, text: Text, what: str = "text", most: float | None = None) -> Array:
        """Ids [B,T] of a text or of ids. most: how many, else what the model reads. Raises InputError."""
        vocabulary = self.program.sizes["V"]
        if isinstance(text, str):
            if self.tokenizer is None:
                raise InputError(f"{self.name} has no tokenizer; give token ids from 0 to {vocabulary - 1}")
            text = self.tokenizer.encode(text)
        elif isinstance(text, list | tuple) and (several := [each for each in text if isinstance(each, str)]):
            if len(several) < len(text):
                raise InputError(f"the {what} is a list of texts and other things; give texts only, or ids only")
            text = [self.token_ids(each, what, most)[0].tolist() for each in several]
        return inputs.token_array(text, vocabulary, self.config.context if most is None else most, what)

    def target_ids(self, targets: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        """The targets as an input: the caller's, or each next token where the model may not look ahead."""
        if targets is None and self.program.inputs["mask"].rule == "causal":
            real = given.get("mask")
            made = inputs.next_tokens(given["tokens"], None if real is None else inputs.array_of(real, "mask"))
            targets = made if (made >= 0).any() else None
        return {} if targets is None else {"targets": targets}

    @property
    def tokens(self) -> Tokens:
        """How this model's token ids are written."""
        return Tokens(self.tokenizer)

    def generate(
        self, text: Text, *, max_tokens: int = 20, source: Text | None = None, dtype: str = "float32"
    ) -> Iterator[str]:
        """Continue a text greedily, piece by piece; the model sees the last tokens that fit its context.

        Yields text, or the ids as text for a model without a tokenizer. Raises InputError for a model that reads both
        sides.
        """
        if self.program.inputs["mask"].rule != "causal" or "logits" not in self.program:
            raise InputError(f"{self.name} does not read left to right, so it cannot continue a text")
        if source is None and "source.tokens" in self.program.inputs:
            raise InputError(f"{self.name} translates; give source= and the beginning of what it should say")
        start = self.token_ids(text, most=inf)
        precision(dtype)
        if len(start) != 1:
            raise InputError(f"generate continues one text, got {len(start)}")

        def last_logits(ids: list[int]) -> Array:
            return self.run(ids, dtype=dtype, keep=["logits"], source=source).look("logits")[0, -1]

        chosen = generate.greedy(last_logits, start[0].tolist(), max_tokens, self.config.context)
        return (self.tokens.text(token) + ("" if self.tokenizer else " ") for token in chosen)

    def edit(self, address: str, index: Sequence[int | slice] | None = None, **change: Any) -> Model:
        """A new model with one weight changed; where and how as in `Run.edit`: head=, set=, add=, scale=, zero=."""
        address = resolve(self.program, address)
        if address not in self.weights:
            raise InputError(f"{address} is no weight; edit it in a run: model.run(...).edit({address!r}, ...)")
        actions = {name: change.pop(name, None) for name in ("set", "add", "scale", "zero")}
        before = self.weights[address]
        each = planned(address, place(self.program, address, before.shape, index, change), actions)
        return replace(self, weights=self.weights.edited(each))


def restored(name: str, family: str, config: Any, weights: Weights, tokenizer: Characters | None) -> Model:
    """The model that was pickled; unpickling its config has imported the family."""
    return Model(name, sys.modules[family], config, weights, tokenizer)


def check_config(module: ModuleType, config: Any) -> None:
    """Raise InputError for a config of another family and for a size that is no whole number from 1 on."""
    kind = getattr(module, "Config", None)
    if isinstance(kind, type) and not isinstance(config, kind):
        family = module.__name__.rpartition(".")[2]
        raise InputError(f"{family} needs a {family}.Config, got {config!r:.60}")
    for each in fields(config) if is_dataclass(config) else ():
        value = getattr(config, each.name)
        if each.type in (int, "int") and (whole(value) is None or value < 1):
            raise InputError(f"{each.name} is {value!r}; give a whole number, 1 or more")


# --- models by name ---------------------------------------------------------------------------------------------

TWIN = gpt2.Config(layers=1, width=8, heads=1, hidden=32, vocabulary=2, context=5)


def names() -> dict[str, str]:
    """Every built-in name with the name of its family."""
    shapes = {name: family for family, module in FAMILIES.items() for name in module.SHAPES}
    return {"aab": "handmade", "aab-gpt2": "gpt2", **shapes}


def load(name: str, *, seed: int = 0) -> Model:
    """A built-in model: `aab` and `aab-gpt2` with their hand-made weights, any other name with random ones from a seed.

    Weights are made when first used, so that tables and pseudocode of the largest models cost nothing.
    Raises InputError, with the nearest names, for an unknown one.
    """
    if name == "aab":
        return make(
            handmade, handmade.SHAPES[name], handmade.weights(), tokenizer=Characters(handmade.ALPHABET), name=name
        )
    if name == "aab-gpt2":
        return make(gpt2, TWIN, handmade.twin(TWIN.hidden), tokenizer=Characters(handmade.ALPHABET), name=name)
    family = names().get(name) if isinstance(name, str) else None
    if family is None:
        near = get_close_matches(str(name), names(), n=3, cutoff=0.5)
        hint = f"the nearest are {', '.join(near)}" if near else f"there are {', '.join(list(names())[:6])} and others"
        raise InputError(f"no model {name!r}; {hint}; `byhand models` lists all")
    config = FAMILIES[family].SHAPES[name]
    tokenizer = Characters(PRINTABLE) if config.vocabulary == len(PRINTABLE) else None
    return make(family, config, seed=seed, tokenizer=tokenizer, name=name)


def make(
    family: ModuleType | str,
    config: Any,
    weights: Mapping[str, Array] | None = None,
    *,
    seed: int = 0,
    tokenizer: Characters | None = None,
    name: str = "",
) -> Model:
    """A model of any size: ``make("gpt2", gpt2.Config(layers=3, ...))``.

    family: a family's name or a module with a `program` function of its own; weights: arrays by address, exactly those
    the program reads, or None for random ones from the seed. Raises InputError and ShapeError for what does not fit.
    """
    if not isinstance(family, ModuleType) and not (isinstance(family, str) and family in FAMILIES):
        raise InputError(f"no family {family!r}; there are: {', '.join(FAMILIES)}; or give a module")
    module = family if isinstance(family, ModuleType) else FAMILIES[family]
    check_config(module, config)
    program = module.program(config)
    program.shapes(T=2, S=3)  # sizes that do not fit together are refused here, not in the first run
    own = random(program, seed) if weights is None else given(program, weights)
    return Model(name or program.name, module, config, own, tokenizer, {False: program})
