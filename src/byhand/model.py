"""A model: a family's program with weights, and a tokenizer if it has one."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from byhand import checkpoints, engines, inputs, sampling
from byhand.addresses import place, resolve
from byhand.changes import planned
from byhand.checkpoints import Finding
from byhand.checkpoints.files.places import place_of
from byhand.checkpoints.files.quantized import Quantized
from byhand.decoding import Decoding
from byhand.engines import Engine
from byhand.engines.reference import precision
from byhand.errors import InputError
from byhand.families import FAMILIES
from byhand.generate import Change, Generation, planned_edits
from byhand.memory import value_bytes
from byhand.program import Program
from byhand.run import Keep, Progress, Run, execute, silent, to_keep
from byhand.setting import Tokens
from byhand.shapes import whole
from byhand.tokenizer import Tokenizer
from byhand.weights import Weights

Array = np.ndarray[Any, Any]
Text = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]] | Array


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A model that can be run, looked into, changed and continued. Nothing done with it changes it.

    family: the module of its family; config: its sizes; tokenizer: None for a model that works on token ids; findings:
    what was found out about the files it was loaded from, and how.
    """

    name: str
    family: ModuleType
    config: Any
    weights: Weights
    tokenizer: Tokenizer | None = None
    programs: dict[bool, Program] = field(default_factory=dict, repr=False)
    findings: tuple[Finding, ...] = ()

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
        module = self.family.__name__
        return restored, (self.name, module, self.config, self.weights, self.tokenizer, self.findings)

    @property
    def parameters(self) -> int:
        return self.program.parameters

    def run(
        self,
        text: Text,
        *,
        dtype: str = "float32",
        engine: str | None = None,
        keep: Keep = "all",
        source: Text | None = None,
        targets: Any = None,
        progress: Progress = silent,
        **given: Any,
    ) -> Run:
        """Run the model on a text, token ids, or an array of ids [B,T].

        dtype: float64, float32 or bfloat16, or int8: as float32, but products with weights in blocks (q8_0, q4_0) round
        what they read. engine: cpu, which has float32 and int8 and is the one for them if none is named, or reference,
        which has the others. keep: "all", or the addresses and patterns to keep; source: the text to translate, for an
        encoder-decoder; targets: [B,T] token ids that should come, negative where none (a model that reads left to
        right takes the text itself); mask, segments, positions: other inputs of the program.
        Raises InputError, ShapeError, MemoryRefused, NotANumber.
        """
        chosen = engines.engine(engine, dtype)
        program, prepared = self.prepared(text, source, targets, **given)
        made = execute(program, self.weights, prepared, precision(dtype), keep, self.tokens, progress, chosen)
        return replace(made, setting=replace(made.setting, model=self))

    def prepared(
        self, text: Text, source: Text | None = None, targets: Any = None, **given: Any
    ) -> tuple[Program, dict[str, Array]]:
        """The program for these inputs, and all its inputs by address, as `run` makes them. Raises InputError."""
        for name, instead in (("tokens", "the text"), ("source.tokens", "source=")):
            if name in given:
                raise InputError(f"{name} are given as {instead}; leave {name}= out")
        arrays = {name: value for name, value in given.items() if value is not None}
        arrays["tokens"] = self.token_ids(text)
        if source is not None:
            arrays["source.tokens"] = self.token_ids(source, "source text")
        arrays |= self.target_ids(targets, arrays)
        program = self.program_with("targets" in arrays)
        return program, inputs.prepare(program, arrays)

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
        """Ids [B,T] of a text, with what the model's own files put around it, or of ids. Raises InputError.

        most: how many there may be, else as many as the model reads.
        """
        vocabulary = self.program.sizes["V"]
        if isinstance(text, str):
            if self.tokenizer is None:
                raise InputError(f"{self.name} has no tokenizer; give token ids from 0 to {vocabulary - 1}")
            text = self.tokenizer.prepared(text)
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
    def fastest(self) -> str:
        """The precision in which tokens are generated if none is named: int8 where weights are held in blocks."""
        return "int8" if any(isinstance(each, Quantized) for each in self.weights.sources.values()) else "float32"

    @property
    def tokens(self) -> Tokens:
        """How this model's token ids are written."""
        return Tokens(self.tokenizer)

    def generate(
        self,
        text: Text,
        *,
        source: Text | None = None,
        engine: str | None = None,
        dtype: str | None = None,
        cached: bool | str = True,
        keep: Keep = (),
        edits: Sequence[Change] = (),
        **settings: Any,
    ) -> Generation:
        """Continue a text, or several of any lengths at once; iterate over what is returned for the pieces.

        settings: how tokens are chosen and when a text ends, by name, see `sampling.Settings`: max_tokens, temperature,
        top_k, top_p, min_p, repetition_penalty, seed, stop, stop_at_end, probabilities, explainable. source: the text
        that is translated, or one for each; cached: keep keys and values rather than run the whole text again, True as
        the model computes them or "bfloat16" in half the memory (the cpu engine only); keep: values to collect, see
        `Generation.captured`; edits: changes that hold all the time, those of a run or pairs such as
        ``("blocks.0.attn.heads", {"head": 1, "zero": True})``.
        Raises InputError, AddressError, ShapeError, MemoryRefused before anything is computed.
        """
        if self.program.inputs["mask"].rule != "causal" or "logits" not in self.program:
            raise InputError(f"{self.name} does not read left to right, so it cannot continue a text")
        dtype = self.fastest if dtype is None else dtype
        computing = engines.engine(engine, dtype)
        alone, prompts = self.prompts(text)
        given = self.sources(source, len(prompts))
        S = given["source.tokens"].shape[1] if given else None
        decoding = Decoding(
            self.family,
            self.config,
            self.weights,
            precision(dtype),
            cached=cached is not False,
            cache_dtype=cache_dtype(cached, computing),
            given=given,
            keep=keep,
            edits=planned_edits(self.program, len(prompts), self.config.context, S, edits),
            tokens=self.tokens,
            engine=computing,
        )
        chosen = sampling.settings(settings)
        return Generation(decoding, prompts, chosen, self.program.sizes["V"], self.tokenizer, alone)

    def prompts(self, text: Any, what: str = "text", most: float = inf) -> tuple[bool, list[list[int]]]:
        """Whether one text was given, not a list of them, and the ids of each; texts begin as the model's files say.

        most: how many ids a text may have. Raises InputError.
        """
        if isinstance(text, str) and self.tokenizer is not None:
            text = [*self.tokenizer.begin, *self.tokenizer.encode(text)]
        if isinstance(text, list | tuple) and any(whole(each) is None for each in text):
            return False, [self.prompts(each, what, most)[1][0] for each in text]
        return np.ndim(text) == 1, self.token_ids(text, what, most).tolist()

    def sources(self, source: Text | None, count: int) -> dict[str, Array]:
        """The inputs made from the texts to translate, the shorter ones padded. Raises InputError."""
        if ("source.tokens" in self.program.inputs) != (source is not None):
            way = "translates; give source= and the beginning of what it should say"
            raise InputError(f"{self.name} {way if source is None else 'does not translate; leave out source='}")
        if source is None:
            return {}
        _, listed = self.prompts(source, "source text", self.config.context)
        if len(listed) != count:
            raise InputError(f"the texts are {count} and the source texts {len(listed)}; give one for each")
        real_BS = np.array([[s < len(ids) for s in range(max(map(len, listed)))] for ids in listed])
        tokens_BS = np.zeros(real_BS.shape, np.int64)
        tokens_BS[real_BS] = [token for ids in listed for token in ids]
        return {"source.tokens": tokens_BS, **({} if real_BS.all() else {"source.mask": real_BS})}

    def edit(self, address: str, index: Sequence[int | slice] | None = None, **change: Any) -> Model:
        """A new model with one weight changed; where and how as in `Run.edit`: head=, set=, add=, scale=, zero=."""
        address = resolve(self.program, address)
        if address not in self.weights:
            raise InputError(f"{address} is no weight; edit it in a run: model.run(...).edit({address!r}, ...)")
        actions = {name: change.pop(name, None) for name in ("set", "add", "scale", "zero")}
        before = self.weights[address]
        each = planned(address, place(self.program, address, before.shape, index, change), actions)
        return replace(self, weights=self.weights.edited(each))

    def save(
        self,
        path: str | Path,
        *,
        format: str = "byhand",
        dtype: str | None = None,
        force: bool = False,
        progress: checkpoints.Progress = checkpoints.silent,
    ) -> Path:
        """Write the model, its tokenizer with it, and return where. The file or folder appears whole or not at all.

        format: byhand, hf, llmc, llama2c or gguf; dtype: f32, f16, bf16, q8 or q4 (see docs/checkpoints.md), or
        None for the weights as they are; force: replace what is there. Raises InputError for what the format cannot
        hold.
        """
        module = self.family.__name__.rpartition(".")[2]
        if FAMILIES.get(module) is not self.family:
            raise InputError(f"{self.name} is of a family of your own, {module}, which no format can name; save arrays")
        parts = checkpoints.Parts(self.name, module, self.config, self.program, self.weights, self.tokenizer)
        return checkpoints.save(parts, place_of(path), format, dtype=dtype, force=force, progress=progress)


def cache_dtype(cached: bool | str, engine: Engine) -> np.dtype[Any] | None:
    """The type that keys and values are kept in; None for that in which they are computed. Raises InputError."""
    if isinstance(cached, bool):
        return None
    if not isinstance(cached, str) or cached != "bfloat16":
        raise InputError(f"cached is {cached!r:.40}; give True, False or 'bfloat16'")
    if engine.name != "cpu":
        raise InputError("only the cpu engine keeps keys and values in bfloat16; leave out engine= or cached=")
    return precision("bfloat16").kept


def restored(
    name: str, family: str, config: Any, weights: Weights, tokenizer: Tokenizer | None, findings: tuple[Finding, ...]
) -> Model:
    """The model that was pickled; unpickling its config has imported the family."""
    return Model(name, sys.modules[family], config, weights, tokenizer, findings=findings)
