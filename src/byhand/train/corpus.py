"""The data of a training: token ids to learn from, others to validate with, and the tokenizer they are of.

What is held back is decided by a seed. Records (JSON lines, texts of a generator, many files) are drawn one by one. One
long text, and files of tokens, give up one stretch, whose place the seed draws: many small stretches would put what
validates right beside what is learned, and break the text at every border.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from byhand.checkpoints import tokens
from byhand.errors import InputError
from byhand.texts import GENERATORS
from byhand.tokenizer import Tokenizer, load
from byhand.train.encoding import Around, Encoded, Ids, Progress, encode, learned_by, silent, tokenizer_for
from byhand.train.reading import Source, apart, files_of, generated, source_of

Array = np.ndarray[Any, Any]
MANY = 100  # texts of a folder from which on whole ones are held back, not a stretch of all
KNOWN = 1 << 16  # ids at the beginning of a file of tokens by which it is known
SPLIT = 1  # keeps the draws of the split apart from all others of the same seed
VOCABULARIES = {"gpt2": 50257, "llama3": 128256}  # of the tokenizers of llm.c's shards


@dataclass(frozen=True, eq=False)
class Split:
    """One side of the data: stretches of the ids, as if they lay one behind the other.

    starts_N, ends_N: where each stretch lies in the ids, [N]; documents: whether each is one whole text (of pairs they
    are a source text and its translation by turns), not a part of a long one.
    """

    ids: Ids
    starts_N: Array
    ends_N: Array
    documents: bool
    pairs: bool = False

    @cached_property
    def places_N(self) -> Array:
        """Where each stretch begins among all that are here, and where the last one ends, [N+1]."""
        return np.concatenate([[0], np.cumsum(self.ends_N - self.starts_N)])

    def __len__(self) -> int:
        """How many ids there are."""
        return int(self.places_N[-1])

    @property
    def texts(self) -> int:
        """How many stretches there are."""
        return len(self.starts_N)

    def stretch(self, number: int) -> Array:
        """The ids of one stretch."""
        return self.ids.between(int(self.starts_N[number]), int(self.ends_N[number]))

    def window(self, start: int, length: int) -> Array:
        """Some ids in a row, [length], over the borders of stretches."""
        number = int(np.searchsorted(self.places_N, start, "right")) - 1
        cuts, left = [], length
        while left > 0:
            begin = int(self.starts_N[number]) + start - int(self.places_N[number])
            cut = self.ids.between(begin, min(begin + left, int(self.ends_N[number])))
            cuts.append(cut)
            start, left, number = start + len(cut), left - len(cut), number + 1
        return np.concatenate(cuts)


@dataclass(frozen=True, eq=False)
class Corpus:
    """The data of a training. tokenizer: None for files of tokens of which nobody said it; vocabulary: how many ids
    there are; identity: another one where the ids are others; around: what separates texts; skipped: what was left out,
    a line each.
    """

    name: str
    train: Split
    validation: Split
    tokenizer: Tokenizer | None
    vocabulary: int
    identity: str
    around: Around
    skipped: tuple[str, ...] = ()


def gather(
    given: str | Path,
    tokenizer: Tokenizer | str | None = None,
    *,
    folder: Path,
    seed: int = 0,
    validation: float = 0.1,
    examples: int = 20_000,
    masked: bool = False,
    progress: Progress = silent,
) -> Corpus:
    """The data from a file, a folder, a pattern such as ``shards/*.bin``, or the name of a generator.

    tokenizer: one, or what `encoding.tokenizer_for` reads: characters (also for None), bpe:1000, a path; folder: where
    encoded ids and a learned tokenizer stay; validation: the share held back, unless there are files called train and
    others called val; examples: texts that a generator writes; masked: for an objective that hides tokens.
    Raises InputError for what cannot be read, is empty, or too little to be split.
    """
    name = str(given)
    made = generator(name, seed, examples)
    files, skipped = ([], []) if made else files_of(given)
    refuse_inside(folder, Path(given), files)
    if any(tokens.recognise(each) or each.suffix == ".bin" for each in files):
        return of_tokens(name, files, tuple(skipped), tokenizer, (seed, validation))
    sources = [made] if made else [source_of(each, name) for each in apart(files) if each]
    if len({(each.pairs, each.records) for each in sources}) > 1:
        raise InputError(f"{name}: the files to train on and those to validate with hold different kinds of texts")
    if not isinstance(tokenizer, Tokenizer):
        tokenizer = tokenizer_for(tokenizer or "characters", joined(sources), folder, masked, progress)
    all_encoded = [encode(each, tokenizer, folder, progress) for each in sources]
    train, held = sides(name, all_encoded, seed, validation)
    identity = " ".join(each.identity for each in all_encoded)
    return Corpus(name, train, held, tokenizer, len(tokenizer), identity, Around.of(tokenizer), tuple(skipped))


def refuse_inside(folder: Path, given: Path, files: list[Path]) -> None:
    """Raise InputError where what training writes would be data the next time; hidden folders are not looked at."""
    inside, data = folder.resolve(), given.resolve()
    if not files or not data.is_dir() or not inside.is_relative_to(data):
        return
    if not any(part.startswith(".") for part in inside.relative_to(data).parts):
        raise InputError(f"{folder} lies in the folder of the data, {given}, and would be read as data; name another")


def generator(name: str, seed: int, examples: int) -> Source | None:
    """The source of a built-in generator; None for another name."""
    return generated(name, GENERATORS[name], seed, examples) if name in GENERATORS else None


def joined(sources: list[Source]) -> Source:
    """All texts, for a tokenizer that must know the characters of both sides."""
    first, *others = sources
    if not others:
        return first

    def pieces():
        for each in sources:
            yield from each.pieces()

    return replace(first, pieces=pieces, identity={"sources": [dict(each.identity) for each in sources]})


def of_tokens(
    name: str, files: list[Path], skipped: tuple[str, ...], given: Tokenizer | str | None, how: tuple[int, float]
) -> Corpus:
    """The data from files of token ids. how: the seed and the share to validate with. Raises InputError."""
    if isinstance(given, str) and learned_by(given):
        raise InputError(f"{name} holds token ids already; give the tokenizer that they are of, by its path, or none")
    tokenizer = given if isinstance(given, Tokenizer) else load(given or files[0].parent)
    kinds = {tokens.recognised(each) or "nanogpt" for each in files}
    if len(kinds) > 1:
        raise InputError(f"{name} has files of tokens of different kinds ({', '.join(sorted(kinds))}); train on one")
    kind = kinds.pop()
    vocabulary = len(tokenizer) if tokenizer else VOCABULARIES.get(kind)
    arrays = {each: tokens.read_tokens(each, vocabulary, kind).ids for each in files}
    if vocabulary is None:
        vocabulary = 1 + max(int(array.max(initial=0)) for array in arrays.values())
    both = [[arrays[each] for each in side if len(arrays[each])] for side in apart(files)]
    if not both[0]:
        raise InputError(f"{name} is empty; give files with tokens to train on")
    streams = [stream(each) for each in both if each]
    train, held = sides(name, streams, *how)
    around = Around.of(tokenizer) if tokenizer else Around((), (), (), ())
    identity = " ".join(each.identity for each in streams)
    return Corpus(name, train, held, tokenizer, vocabulary, identity, around, skipped)


def stream(arrays: list[Array]) -> Encoded:
    """Files of tokens as one text. They may be too large to be read whole: they are known by beginnings and lengths."""
    ids = Ids(arrays)
    beginnings = sha256(b"".join(each[:KNOWN].tobytes() for each in arrays)).hexdigest()
    return Encoded(ids, np.array([len(ids)]), f"{beginnings} {[len(each) for each in arrays]}")


# --- the split ----------------------------------------------------------------------------------------------------


def sides(name: str, encoded: list[Encoded], seed: int, share: float) -> tuple[Split, Split]:
    """What to learn from and what to validate with: two sources as they are, one split by the seed."""
    if len(encoded) == 2:
        first, second = (whole(each) for each in encoded)
        return first, second
    (one,) = encoded
    rng = np.random.default_rng([SPLIT, seed])
    by_text = one.records or len(one.ends_N) >= MANY
    train, held = texts_apart(one, rng, share) if by_text else stretch_apart(one, rng, share)
    if not len(train) or not len(held):
        what = f"{len(one.ends_N) // (1 + one.pairs)} records" if by_text else f"{len(one.ids)} tokens"
        raise InputError(f"{name} has {what}, too little to hold {share:g} of it back for validation; give more data")
    return train, held


def whole(encoded: Encoded) -> Split:
    """All texts of a source."""
    ends_N = np.asarray(encoded.ends_N)
    starts_N = np.concatenate([[0], ends_N[:-1]])
    documents = encoded.records or len(ends_N) >= MANY
    return Split(encoded.ids, starts_N, ends_N, documents, encoded.pairs)


def texts_apart(encoded: Encoded, rng: np.random.Generator, share: float) -> tuple[Split, Split]:
    """Some texts, drawn, apart from all others; both sides keep their order, and pairs stay together."""
    everything, size = whole(encoded), 1 + encoded.pairs
    count = len(encoded.ends_N) // size
    held = np.zeros(count, bool)
    held[rng.permutation(count)[: max(1, round(share * count))]] = True
    held_N = np.repeat(held, size)
    return some(everything, ~held_N), some(everything, held_N)


def some(split: Split, chosen_N: Array) -> Split:
    return replace(split, starts_N=split.starts_N[chosen_N], ends_N=split.ends_N[chosen_N])


def stretch_apart(encoded: Encoded, rng: np.random.Generator, share: float) -> tuple[Split, Split]:
    """One stretch, its place drawn, apart from what stands before and after it."""
    count = len(encoded.ids)
    size = round(share * count)
    start = int(rng.integers(0, count - size + 1))
    rest = [(begin, end) for begin, end in ((0, start), (start + size, count)) if end > begin]
    return stretches(encoded.ids, rest), stretches(encoded.ids, [(start, start + size)])


def stretches(ids: Ids, places: list[tuple[int, int]]) -> Split:
    starts_N, ends_N = np.array(places, np.int64).reshape(-1, 2).T
    return Split(ids, starts_N, ends_N, documents=False)
