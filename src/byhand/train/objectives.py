"""What a model learns to predict, as batches of inputs: the next token, hidden tokens, or a translation.

A batch is a function of the seed, the step and the part alone, so a training that was stopped goes on as if it had not
been, and no batch depends on how many were made before. Texts are drawn anew for every batch (with replacement).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from byhand.errors import InputError
from byhand.inputs import NO_TARGET
from byhand.train.corpus import Corpus, Split

Array = np.ndarray[Any, Any]
TRAINING, VALIDATING = 2, 3  # keep the draws of batches apart from all others of the same seed
STEP = 16  # padded batches have lengths of so many: few different shapes, few plans of an engine
HIDDEN, REPLACED, KEPT = 0.15, 0.1, 0.1  # shares of Devlin et al. 2019, section 3.1
MASKS = ("[MASK]", "<mask>")


def batches(objective: str, corpus: Corpus, *, batch: int, length: int, seed: int, packed: bool = True) -> Batches:
    """What makes the batches of a training.

    objective: one of OBJECTIVES; batch: texts of one part; length: tokens of each at most; packed: whether texts fill
    the whole length, one behind the other, rather than stand alone and are padded (pairs always are).
    Raises InputError for data that the objective cannot use, or that is shorter than the length.
    """
    if objective not in OBJECTIVES:
        raise InputError(f"objective is {objective!r:.40}; give one of {', '.join(OBJECTIVES)}")
    return OBJECTIVES[objective](corpus, batch, length, seed, packed)


class Batches(ABC):
    """Batches for `inputs.prepare`: ``at(step, part)`` to learn from, `validation` always the same ones."""

    pairs = False

    def __init__(self, corpus: Corpus, batch: int, length: int, seed: int, packed: bool) -> None:
        self.corpus, self.batch, self.length, self.seed = corpus, batch, length, seed
        self.packed = packed or not corpus.train.documents
        if corpus.train.pairs is not self.pairs:
            has, wants = ("pairs", "single texts") if corpus.train.pairs else ("single texts", "source and target")
            raise InputError(f"{corpus.name} has {has}, but this objective learns from {wants}; choose another")
        self.check(corpus.train, "training")
        self.check(corpus.validation, "validation")

    def at(self, step: int, part: int = 0) -> dict[str, Array]:
        """One part of a step's batch. step: from 1; part: from 0."""
        rng = np.random.default_rng([TRAINING, self.seed, step, part])
        split = self.corpus.train
        return self.made(split, rng.integers(0, self.choices(split), self.batch), rng)

    def validation(self, count: int) -> Iterator[dict[str, Array]]:
        """At most so many batches, spread evenly over what is held back; fewer where that would repeat a text."""
        split = self.corpus.validation
        count = max(1, min(count, self.apart(split) // self.batch))
        chosen = np.linspace(0, self.choices(split) - 1, count * self.batch).astype(np.int64)
        for place, each in enumerate(chosen.reshape(count, self.batch)):
            yield self.made(split, each, np.random.default_rng([VALIDATING, self.seed, place]))

    @abstractmethod
    def check(self, split: Split, side: str) -> None:
        """Raise InputError where there is nothing to choose from."""

    @abstractmethod
    def choices(self, split: Split) -> int:
        """How many places or texts there are to choose from."""

    @abstractmethod
    def apart(self, split: Split) -> int:
        """How many of them have no token in common."""

    @abstractmethod
    def made(self, split: Split, chosen_B: Array, rng: np.random.Generator) -> dict[str, Array]:
        """The inputs of the chosen ones."""


# --- one text a row -----------------------------------------------------------------------------------------------


class Texts(Batches):
    """Rows of one text, or of a stretch of all. more: how many ids of a row are only predicted."""

    more = 0

    def check(self, split: Split, side: str) -> None:
        if self.packed and len(split) < self.length + self.more:
            raise InputError(
                f"the {side} data of {self.corpus.name} has {len(split)} tokens, but a text of length {self.length} "
                f"needs {self.length + self.more}; give more data, or a smaller length"
            )

    def choices(self, split: Split) -> int:
        return len(split) - self.length - self.more + 1 if self.packed else split.texts

    def apart(self, split: Split) -> int:
        return len(split) // (self.length + self.more) if self.packed else split.texts

    def rows(self, split: Split, chosen_B: Array, rng: np.random.Generator) -> list[Array]:
        """The ids of each row, at most `length + more`; of a longer text a stretch that is drawn."""
        most = self.length + self.more
        if self.packed:
            return [split.window(int(each), most) for each in chosen_B]
        first = np.array(self.corpus.around.first, np.int64)
        texts = [np.concatenate([first, split.stretch(int(each))]) for each in chosen_B]
        starts = [int(rng.integers(0, max(len(text) - most, 0) + 1)) for text in texts]
        return [text[start : start + most] for text, start in zip(texts, starts, strict=True)]


class Causal(Texts):
    """Each token is predicted from those before it."""

    more = 1

    def made(self, split: Split, chosen_B: Array, rng: np.random.Generator) -> dict[str, Array]:
        rows = self.rows(split, chosen_B, rng)
        if not self.packed:
            return shifted(rows, self.length)
        rows_BT = np.stack(rows)
        return {"tokens": rows_BT[:, :-1], "targets": rows_BT[:, 1:]}


def shifted(rows: Sequence[Array], most: int) -> dict[str, Array]:
    """Rows of at most `most` + 1 ids as tokens and what comes after each, padded."""
    tokens_BT, mask_BT = padded([row[:-1] for row in rows], most)
    targets_BT, _ = padded([row[1:] for row in rows], most, NO_TARGET)
    return {"tokens": tokens_BT, "targets": targets_BT, "mask": mask_BT}


def padded(rows: Sequence[Array], most: int, filling: int = 0) -> tuple[Array, Array]:
    """Rows of different lengths, none above `most`, as one array [B,T], and where it is real."""
    longest = max(map(len, rows))
    rows_BT = np.full((len(rows), min(-(-longest // STEP) * STEP, most)), filling, np.int64)
    real_BT = np.arange(rows_BT.shape[1]) < np.array([len(row) for row in rows])[:, None]
    rows_BT[real_BT] = np.concatenate(rows)
    return rows_BT, real_BT


class Masked(Texts):
    """Some tokens are hidden, and predicted from all others: Devlin et al. 2019, section 3.1.

    Of the tokens of a row (at least one, none that is special) 15 % are to be predicted; of these 80 % are replaced by
    the mask token, 10 % by any token, and 10 % stay.
    """

    def __init__(self, corpus: Corpus, batch: int, length: int, seed: int, packed: bool) -> None:
        self.special = corpus.tokenizer.special if corpus.tokenizer else {}
        mask = next((self.special[name] for name in MASKS if name in self.special), None)
        if mask is None:
            raise InputError(
                f"{corpus.name}: the tokenizer has no {MASKS[0]} to hide a token with; learn one: bpe:1000"
            )
        self.mask = mask
        super().__init__(corpus, batch, length, seed, packed)

    def made(self, split: Split, chosen_B: Array, rng: np.random.Generator) -> dict[str, Array]:
        rows = self.rows(split, chosen_B, rng)
        right_BT, real_BT = (np.stack(rows), None) if self.packed else padded(rows, self.length)
        may_BT = ~np.isin(right_BT, [*self.special.values()])
        hidden_BT = drawn(may_BT if real_BT is None else may_BT & real_BT, rng)
        how_BT = rng.random(right_BT.shape)
        tokens_BT = np.where(hidden_BT & (how_BT < 1 - REPLACED - KEPT), self.mask, right_BT)
        any_BT = rng.integers(0, self.corpus.vocabulary, right_BT.shape)
        tokens_BT = np.where(hidden_BT & (how_BT >= 1 - REPLACED), any_BT, tokens_BT)
        inputs = {"tokens": tokens_BT, "targets": np.where(hidden_BT, right_BT, NO_TARGET)}
        return inputs if real_BT is None else inputs | {"mask": real_BT}


def drawn(may_BT: Array, rng: np.random.Generator) -> Array:
    """15 % of the places of each row that may be drawn, and one at least where there is one."""
    order_BT = np.where(may_BT, rng.random(may_BT.shape), 2).argsort(-1).argsort(-1)
    count_B = np.maximum(np.round(HIDDEN * may_BT.sum(-1)), 1)
    return may_BT & (order_BT < count_B[:, None])


# --- two texts a row ----------------------------------------------------------------------------------------------


class Translation(Batches):
    """A text is predicted token by token from another one, its source: Vaswani et al. 2017, section 3.1.

    Pairs of which one is too long are left out, see `left_out`.
    """

    pairs = True

    def __init__(self, corpus: Corpus, batch: int, length: int, seed: int, packed: bool) -> None:
        self.fitting: dict[int, Array] = {}
        super().__init__(corpus, batch, length, seed, packed=False)
        if not corpus.around.start:
            raise InputError(
                f"{corpus.name}: the tokenizer has no token that a translation begins after; learn another"
            )

    @property
    def left_out(self) -> int:
        """How many pairs of both sides are longer than the length."""
        splits = self.corpus.train, self.corpus.validation
        return sum(each.texts // 2 - len(self.fitting[id(each)]) for each in splits)

    def check(self, split: Split, side: str) -> None:
        self.fitting[id(split)] = fitting_pairs(split, self.length)
        if not self.choices(split):
            raise InputError(
                f"none of the {split.texts // 2} pairs of the {side} data of {self.corpus.name} fits into "
                f"{self.length} tokens; give a larger length"
            )

    def choices(self, split: Split) -> int:
        return len(self.fitting[id(split)])

    def apart(self, split: Split) -> int:
        return self.choices(split)

    def made(self, split: Split, chosen_B: Array, rng: np.random.Generator) -> dict[str, Array]:
        pairs = self.fitting[id(split)][chosen_B]
        source_BS, real_BS = padded([split.stretch(2 * each) for each in pairs], self.length)
        target = shifted([split.stretch(2 * each + 1) for each in pairs], self.length)
        return {"source.tokens": source_BS, "source.mask": real_BS, **target}


def fitting_pairs(split: Split, length: int) -> Array:
    """The numbers of the pairs whose source, and whose target but for its last token, are no longer than this."""
    sizes_N2 = (split.ends_N - split.starts_N).reshape(-1, 2)
    return np.flatnonzero((sizes_N2[:, 0] <= length) & (sizes_N2[:, 1] <= length + 1))


OBJECTIVES: dict[str, type[Batches]] = {"causal": Causal, "masked": Masked, "translation": Translation}
