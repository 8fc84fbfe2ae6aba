"""Feeding a model token by token, with the keys and values of what it has read kept or with everything run again.

Both ways give the same bits, and so does a run of the whole text: an element does not depend on what stands beside it
(operators/product.py), and the key of position p lies at place p of the cache, in every text of a batch. Where texts
get different numbers of tokens, a shorter row repeats its last token at its own position, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from inspect import signature
from types import ModuleType
from typing import Any

import numpy as np

from byhand.addresses import matches, resolve
from byhand.changes import Edit
from byhand.engines import REFERENCE, Engine, Steps
from byhand.engines.reference import Precision
from byhand.errors import AddressError, InputError
from byhand.growing import NO_END, Cache, Placed, checked, crossing, static_addresses
from byhand.inputs import array_of, changed_input, prepare, within
from byhand.memory import refuse_too_large
from byhand.operators import append, mask
from byhand.program import Program
from byhand.run import Run, silent, to_keep
from byhand.setting import Setting, Tokens
from byhand.shapes import Shape, whole
from byhand.tensor import Tensor
from byhand.weights import Weights, frozen

Array = np.ndarray[Any, Any]


@dataclass(eq=False, repr=False)
class Decoding:
    """A batch of texts that grow: feed it tokens, get the logits of what comes next::

        decoding = Decoding(gpt2, config, weights, precision("float32"))
        logits_BV = decoding.feed([[5, 7, 2], [9]])  # two prompts of different lengths
        logits_BV = decoding.feed([[4], [6]])        # one more token each
        logits_BV = decoding.feed([[1], []])         # the second text is finished: its row stays what it was

    family, config, weights: of a model (``model.family, model.config, model.weights``). cached: whether keys and values
    are kept (by the family's cached program) or the whole texts are run again at each step; both give the same bits.
    given: inputs that stay the same for every step: for an encoder-decoder "source.tokens" [B,S], and "source.mask"
    [B,S] if some of it is padding. keep: addresses and patterns to collect, see `captured`. tokens: how token ids are
    written, for the labels of what is captured. engine: what computes; cache_dtype: the type in which keys and values
    are kept, float32 or bfloat16; the precision's own where none is named.

    edits: changes that hold during the whole generation, as `Run.edit` makes them (addresses of the ordinary program,
    positions counted from the front), of weights, inputs and activations. What an edit would do to a key that comes
    after its query is left out, since it would let a token read what is not written yet.

    A text longer than the model's context is seen from its end: the model reads its last `context` tokens. Their
    positions then count from 0 anew, so nothing that was kept fits, and each step runs all of them again; edits and
    captures then speak of the positions in that window.

    Raises InputError for a family that does not read left to right or has no cached program and for edits that cannot
    hold while a text grows, AddressError for an unknown address.
    """

    family: ModuleType
    config: Any
    weights: Weights
    precision: Precision
    cached: bool = field(default=True, kw_only=True)
    given: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    keep: Sequence[str] | str = field(default=(), kw_only=True)
    edits: Sequence[Edit] = field(default=(), kw_only=True)
    tokens: Tokens = field(default_factory=Tokens, kw_only=True)
    engine: Engine = field(default=REFERENCE, kw_only=True)
    cache_dtype: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self.program: Program = self.family.program(self.config)
        sight = self.program.inputs.get("mask")
        if sight is None or sight.rule != "causal" or "logits" not in self.program:
            raise InputError(f"{self.program.name} does not read left to right, so it cannot continue a text")
        self.reading = cached_program(self.family, self.config) if self.cached else self.program
        self.context = getattr(self.config, "context", NO_END)
        self.static = static_addresses(self.program)
        self.fixed = fixed_inputs(self.program, self.given)
        self.kept = addresses_to_keep(self.program, self.keep)
        self.changes = [checked(self.program, edit) for edit in self.edits]
        for edit in self.changes:
            if edit.address in self.program.weights:
                self.weights = self.weights.edited(edit)
        self.source: dict[str, Array] = {}
        self.read: list[list[int]] = []
        self.cache: dict[str, Array] = {}
        self.ways: dict[tuple[Any, ...], Way] = {}
        self.in_place = self.cached and self.engine is not REFERENCE
        kept_as = np.dtype(self.precision.kept if self.cache_dtype is None else self.cache_dtype)
        self.keeping = Cache(self.reading, list(self.joins), kept_as, self.in_place, self.context)
        self.pieces: list[Piece] = []
        self.lasting: dict[str, Array] = {}

    def __repr__(self) -> str:
        counts = ", ".join(str(len(text)) for text in self.read) or "no"
        return f"<decoding of {self.reading.name}: {counts} tokens read, {self.precision.name}>"

    def feed(self, new: Sequence[Sequence[int]]) -> Array:
        """Read the next tokens of every text and return the logits [B,V] after the last token of each.

        The first call says how many texts there are and gives each at least one token. A text that gets no token keeps
        its last logits. The array has the type that the precision keeps, and may be written to. Raises InputError for
        ids outside the vocabulary or another number of texts, MemoryRefused for what would not fit, NotANumber.
        """
        texts = self.continued(new)
        if not self.read:
            self.begin(len(texts))
        rows = [self.row(before, text) for before, text in zip(self.read or [[]] * len(texts), texts, strict=True)]
        if self.cached and "logits" not in self.kept and max(len(tokens) for tokens, _ in rows) > 1:
            # only the last token of each text is asked what comes next
            self.compute(Piece.of([(tokens[:-1] or tokens, first) for tokens, first in rows], True), False)
            rows = [(tokens[-1:], first + len(tokens) - 1) for tokens, first in rows]
        piece = Piece.of(rows, self.cached)
        made = self.compute(piece, True)
        self.read = texts
        if piece.tokens.shape[1] == 1 and "logits" not in self.kept:
            return made["logits"][:, 0]
        return made["logits"][range(len(texts)), [length - 1 for length in piece.lengths]]

    def compute(self, piece: Piece, logits: bool) -> dict[str, Array]:
        """Run a piece, with its logits or only for what is kept of it, and keep that."""
        inputs = self.inputs(piece)
        edits = [self.placed(edit, piece) for edit in self.changes if edit.address not in self.program.weights]
        for edit in edits:
            if edit.address in inputs and edit.address not in self.static:
                inputs[edit.address] = changed_input(edit, inputs[edit.address], self.reading)
        way = self.way(inputs, logits)
        way.inputs.update(inputs)
        if way.repeated is None or edits:
            setting = Setting(
                self.reading, self.weights, way.inputs, self.precision, frozenset(), self.tokens, engine=self.engine
            )
            task = Run(setting, {}, tuple(edits)).task(way.steps, way.targets, silent)
            own = frozenset(self.cache) if self.in_place else frozenset[str]()
            way.repeated = self.engine.repeated(replace(task, shapes=lambda: way.shapes, own=own))
        made = way.repeated()
        if not self.in_place:
            self.cache = self.keeping.arrays = {past: made[joined] for past, joined in self.joins.items()}
        self.collect(piece, made)
        return made

    def way(self, inputs: Mapping[str, Array], logits: bool) -> Way:
        """Which steps make what is wanted of a piece of these sizes. Raises MemoryRefused if it would not fit."""
        key = (logits, inputs["tokens"].shape, next((array.shape[1] for array in self.cache.values()), 0))
        if key not in self.ways:
            shapes = {name: array.shape for name, array in inputs.items() if array is not None}
            B, T = shapes["tokens"]
            places = next((array.shape[1] for array in self.cache.values()), T)
            source = next((shape[1] for name, shape in shapes.items() if name.endswith(".cross.k")), None)
            S = source or shapes.get("source.tokens", (B, T))[1]
            sizes = self.reading.shapes(B, T, S, places)
            targets = self.targets() if logits else self.targets() - {"logits"}
            self.ways.clear()
            refuse_too_large(self.reading, sizes, targets, self.precision, self.weights, self.engine)
            steps = Steps.of(self.reading, self.reading.needed(targets, lambda address: False))
            self.ways[key] = Way(frozenset(targets), steps, sizes)
        return self.ways[key]

    def captured(self, address: str) -> Tensor:
        """The value at an address that `keep` asked for, at all positions read so far, as a run of the text has it.

        In a batch of texts of different lengths it is as long as the longest, 0 behind the end of the shorter ones. A
        key that comes after its query was not there yet when the query asked: its score is 0 here. Raises AddressError
        for a value that was not kept, InputError before the first token.
        """
        address = resolve(self.program, address)
        if address not in self.kept:
            raise AddressError(f"{address} was not kept; name it in keep= when the generation starts")
        if not self.read:
            raise InputError(f"{address}: nothing was read yet; feed a token first")
        axes, labels = self.program.axes(address), self.labels(address)
        if address in self.lasting:
            return Tensor(self.lasting[address], axes, address, labels)
        return Tensor(frozen(self.assembled(address)), axes, address, labels)

    @property
    def texts(self) -> list[list[int]]:
        """All tokens that were fed, by text."""
        return [list(text) for text in self.read]

    # --- what is read next --------------------------------------------------------------------------------------

    def continued(self, new: Sequence[Sequence[int]]) -> list[list[int]]:
        """Every text with its new tokens. Raises InputError."""
        if self.read and len(new) != len(self.read):
            raise InputError(f"got tokens for {len(new)} texts, but there are {len(self.read)}; give a list for each")
        if not len(new):
            raise InputError("there is no text to read; give a list of token ids for each")
        for i, tokens in enumerate(new):
            if not all(whole(token) is not None for token in tokens):
                raise InputError(f"text {i}: token ids must be whole numbers, got {list(tokens)!r:.50}")
            if not self.read and not len(tokens):
                raise InputError(f"text {i} is empty; give at least one token")
            if not all(0 <= token < self.program.sizes["V"] for token in tokens):
                within(
                    np.array(tokens, np.int64), 0, self.program.sizes["V"], f"token id of text {i}", "the vocabulary"
                )
        before = self.read or [[]] * len(new)
        return [[*text, *map(int, tokens)] for text, tokens in zip(before, new, strict=True)]

    def row(self, before: list[int], text: list[int]) -> tuple[list[int], int]:
        """The tokens of one text to run now, and the position of the first."""
        start = max(0, len(text) - self.context)
        if not self.cached or (start and len(text) > len(before)):
            return text[start:], 0
        first = min(len(before), len(text) - 1)  # without new tokens the last one is read again
        return text[first:], first - start

    def inputs(self, piece: Piece) -> dict[str, Array]:
        """All inputs of the program for a piece."""
        B, T = piece.tokens.shape
        if not self.cached:
            return prepare(self.program, {"tokens": piece.tokens, "positions": piece.positions, **self.source})
        self.cache = self.keeping.room(B, int(piece.positions.max()) + 1)
        places = next((array.shape[1] for array in self.cache.values()), T)
        # an engine that writes in place counts for itself how far each position may see
        by_rule = self.in_place and not any(edit.address == "mask" for edit in self.changes)
        seen_BTS: Any = None if by_rule else np.arange(places) <= piece.positions[:, :, None]
        crossed = {name: array for name, array in self.lasting.items() if name in self.reading.inputs}
        if crossed:
            crossed["cross.mask"] = np.repeat(self.source["cross.mask"][:, None], T, axis=1)
        return {"tokens": piece.tokens, "positions": piece.positions, "mask": seen_BTS, **crossed, **self.cache}

    @cached_property
    def joins(self) -> dict[str, str]:
        """For every cache, the value that it is the next time."""
        return {str(step.reads[0]): step.address for step in self.reading if step.operator is append}

    def targets(self) -> set[str]:
        """What has to be computed of a piece."""
        return {"logits", *self.joins.values(), *(self.kept - self.lasting.keys())}

    def placed(self, edit: Edit, piece: Piece) -> Edit:
        """The edit of a run of the whole text as an edit of a piece of it."""
        if edit.address in self.static:
            return edit
        axes = self.reading.axes(edit.address)
        own = "" if crossing(edit.address) else "S"
        return Placed(**vars(edit), axes=axes, own=own, positions=piece.positions)

    # --- what stays the same: the source text of a translation ------------------------------------------------------

    def begin(self, B: int) -> None:
        """Make the inputs of the source text, and read it once and for all if keys and values are kept."""
        if not self.fixed:
            return
        inputs = prepare(self.program, {"tokens": np.zeros((B, 1), np.int64), **self.fixed})
        for edit in self.changes:
            if edit.address in self.static & inputs.keys():
                inputs[edit.address] = changed_input(edit, inputs[edit.address], self.program)
        self.source = {name: inputs[name] for name in self.static & inputs.keys()}
        self.source["cross.mask"] = inputs["cross.mask"][:, 0]
        if self.cached:
            setting = Setting(
                self.program, self.weights, inputs, self.precision, frozenset(), self.tokens, engine=self.engine
            )
            wanted = self.kept & self.static | self.reading.inputs.keys() & self.program.producer.keys()
            refuse_too_large(self.program, setting.shapes, wanted, self.precision, self.weights, self.engine)
            self.lasting = Run(setting, {}, tuple(self.changes)).compute(wanted, silent)

    # --- what is kept -------------------------------------------------------------------------------------------

    def collect(self, piece: Piece, made: Mapping[str, Array]) -> None:
        """Keep what was asked for; what is read from the first position on takes the place of all before it."""
        if not self.kept:
            return
        if not piece.positions[:, 0].any():
            self.pieces.clear()
        piece.values = {address: made[address] for address in self.kept if address in made}
        self.pieces.append(piece)

    def assembled(self, address: str) -> Array:
        """A value from the pieces in which it was computed."""
        first = self.pieces[0].values[address]
        if address in self.static:
            return first
        axes, ends = self.reading.axes(address), self.ends()
        own = axes[-1] == "S" and "T" in axes and not crossing(address)
        at = axes.index("T") if "T" in axes else axes.index("S")
        shape = [max(ends) if i == at or (own and i == len(axes) - 1) else n for i, n in enumerate(first.shape)]
        whole_BT = np.moveaxis(np.zeros(shape, first.dtype), at, 1)
        hidden = self.hidden(address) if own else 0
        for piece in self.pieces:
            made_BT = np.moveaxis(piece.values[address], at, 1)
            for b, t in piece.rows():
                p = piece.positions[b, t]
                if p < ends[b] and own:
                    whole_BT[b, p] = hidden
                    whole_BT[b, p, ..., : p + 1] = made_BT[b, t, ..., : p + 1]
                elif p < ends[b]:
                    whole_BT[b, p] = made_BT[b, t]
        return np.ascontiguousarray(np.moveaxis(whole_BT, 1, at))

    def ends(self) -> list[int]:
        """How many positions of each text the model sees."""
        return [int(min(len(text), self.context)) for text in self.read]

    def hidden(self, address: str) -> Any:
        """What a value has for keys after the query: what the mask puts there, else 0."""
        step = self.program.producer[address]
        fill = step.attributes["fill"] if step.operator is mask else 0.0
        return self.precision.rounded(np.asarray(fill, self.precision.computed))

    def labels(self, address: str) -> dict[str, list[Any]]:
        """The tokens along the position axes, as a run has them."""
        longest = max(self.ends())
        seen = [text[-end:] for text, end in zip(self.read, self.ends(), strict=True)]
        texts = [[self.tokens.text(token) for token in text] + [""] * (longest - len(text)) for text in seen]
        source = [[self.tokens.text(int(token)) for token in text] for text in self.source.get("source.tokens", ())]
        asking = source if address.startswith("source.") else texts
        asked = source if address.startswith("source.") or crossing(address) else texts
        if len(texts) == 1:
            return {"T": asking[0], "S": asked[0]}
        return {"T": asking, "S": asked} if "B" in self.program.axes(address) else {}


@dataclass
class Way:
    """How a piece of some size is computed: what is wanted of it, by which steps, the shapes of all values, the inputs
    of the last such piece, and what computes it again for others.
    """

    targets: frozenset[str]
    steps: Steps
    shapes: dict[str, Shape]
    inputs: dict[str, Array] = field(default_factory=dict)
    repeated: Callable[[], dict[str, Array]] | None = None


@dataclass
class Piece:
    """The tokens of one step, their positions and how many of each row are not repeated; values: what was kept."""

    tokens: Array
    positions: Array
    lengths: list[int]
    values: dict[str, Array]

    @classmethod
    def of(cls, rows: Sequence[tuple[list[int], int]], repeated: bool) -> Piece:
        """From the tokens of every text and their first position. repeated: fill up with the last token as it stands,
        else with further positions that nobody sees.
        """
        lengths = [len(tokens) for tokens, _ in rows]
        last = np.array(lengths)[:, None] - 1
        count_BT = np.tile(np.arange(max(lengths)), (len(rows), 1))
        tokens_BT = np.array([tokens + tokens[-1:] * (max(lengths) - len(tokens)) for tokens, _ in rows])
        starts_B1 = np.array([first for _, first in rows])[:, None]
        return cls(tokens_BT, starts_B1 + (np.minimum(count_BT, last) if repeated else count_BT), lengths, {})

    def rows(self) -> Iterable[tuple[int, int]]:
        """The text and row of every token."""
        return ((b, t) for b, length in enumerate(self.lengths) for t in range(length))


# --- the two programs ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def cached_program(family: ModuleType, config: Any) -> Program:
    """The family's program that reads piece by piece. Raises InputError for a family of one's own that has none."""
    if "cached" not in signature(family.program).parameters:
        name = family.__name__.rpartition(".")[2]
        raise InputError(f"{name}.program takes no cached=, so it cannot read piece by piece; ask for cached=False")
    return family.program(config, cached=True)


def fixed_inputs(program: Program, given: Mapping[str, Any]) -> dict[str, Array]:
    """The arrays a caller gave for the source text. Raises InputError for others and for none where one is needed."""
    usable = [name for name in program.inputs if name.startswith(("source.", "cross."))]
    for name in given:
        if name not in usable:
            raise InputError(f"{name} cannot be given for texts that grow; there is: {', '.join(usable) or 'nothing'}")
    if usable and "source.tokens" not in given:
        raise InputError(f"{program.name} translates; give source.tokens, the text to translate")
    return {name: array_of(value, name) for name, value in given.items()}


def addresses_to_keep(program: Program, keep: Sequence[str] | str) -> frozenset[str]:
    """The addresses of the values to collect, the logits only where they are asked for. Raises AddressError."""
    asked = to_keep(program, keep)
    named = matches(program, (("*",) if keep == "all" else (keep,)) if isinstance(keep, str) else list(keep))
    return asked.intersection(named)
