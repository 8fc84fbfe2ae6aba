"""Continuing texts: feed the model, choose a token, write it down, until something ends the text."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from byhand.addresses import place, resolve
from byhand.changes import Edit, planned
from byhand.engines import Engine
from byhand.engines.reference import Precision
from byhand.errors import InputError
from byhand.memory import fit
from byhand.program import Program
from byhand.sampling import Choice, Chooser, Settings, program
from byhand.setting import Tokens
from byhand.shapes import whole
from byhand.tensor import Tensor

Array = np.ndarray[Any, Any]
Piece = Any  # str; of several texts tuple[int, str]
Change = Edit | tuple[str, Mapping[str, Any]]


class Feeding(Protocol):
    """What continuing texts needs of a model that reads them, see `decoding.Decoding`."""

    def feed(self, new: Sequence[Sequence[int]]) -> Array: ...

    def captured(self, address: str) -> Tensor: ...

    @property
    def engine(self) -> Engine: ...

    @property
    def precision(self) -> Precision: ...


class Writing(Protocol):
    """What it needs of a tokenizer."""

    @property
    def stops(self) -> Sequence[int]: ...

    def encode(self, text: str) -> list[int]: ...

    def decode_bytes(self, ids: Iterable[int]) -> bytes: ...


class Stream:
    """Text out of tokens, given out piece by piece: no part of a character, and nothing that may begin a stop string.

    last: the token before the first, which decides about a space between the two. Bytes that are no text are written as
    ``\\xe2``. Without a tokenizer a token is written as its id and a space.
    """

    def __init__(self, tokenizer: Writing | None, last: int, stops: Sequence[str]) -> None:
        self.tokenizer, self.last, self.stops = tokenizer, last, stops
        self.decoder = getincrementaldecoder("utf-8")("backslashreplace")
        self.held = ""

    def add(self, token: int) -> tuple[str, str | None]:
        """What of the text is sure after one more token, and the stop string that it ends before, if there is one."""
        self.held += self.decoder.decode(self.new_bytes(token))
        found = (
            min((place, stop) for stop in self.stops if (place := self.held.find(stop)) >= 0) if self.met() else None
        )
        sure = found[0] if found else len(self.held) - self.doubtful()
        text, self.held = self.held[:sure], "" if found else self.held[sure:]
        return text, found[1] if found else None

    def met(self) -> bool:
        return any(stop in self.held for stop in self.stops)

    def doubtful(self) -> int:
        """How many of the last characters may be the beginning of a stop string."""
        lengths = (n for stop in self.stops for n in range(1, len(stop)) if self.held.endswith(stop[:n]))
        return max(lengths, default=0)

    def rest(self) -> str:
        """What was held back, at the end of the text; half a character is written as its bytes."""
        text, self.held = self.held + self.decoder.decode(b"", final=True), ""
        return text

    def new_bytes(self, token: int) -> bytes:
        """The bytes that a token adds to the text."""
        if self.tokenizer is None:
            return f"{token} ".encode()
        before = self.tokenizer.decode_bytes([self.last])
        both = self.tokenizer.decode_bytes([self.last, token])
        self.last = token
        return both[len(before) :]


class Continuation:
    """One text that is continued. ends: token ids after which it stops, with what is then said of it."""

    def __init__(self, prompt: Sequence[int], chooser: Chooser, stream: Stream, ends: Mapping[int, str]) -> None:
        self.prompt, self.chooser, self.stream, self.ends = list(prompt), chooser, stream, ends
        self.choices: list[Choice] = []
        self.text = ""
        self.stopped: str | None = None if chooser.settings.max_tokens else "max_tokens"

    @property
    def tokens(self) -> list[int]:
        return [each.token for each in self.choices]

    def choose(self, logits_V: Array) -> str:
        """Choose one more token and return the piece of text that is sure now."""
        choice = self.chooser.choose(logits_V, [*self.prompt, *self.tokens])
        self.choices.append(choice)
        if choice.token in self.ends:
            return self.end(self.ends[choice.token], self.stream.rest())
        piece, stop = self.stream.add(choice.token)
        if stop is not None:
            return self.end(f"stop string {stop!r}", piece)
        if len(self.choices) == self.chooser.settings.max_tokens:
            return self.end("max_tokens", piece + self.stream.rest())
        self.text += piece
        return piece

    def end(self, why: str, piece: str) -> str:
        self.stopped = why
        self.text += piece
        return piece


class Generation(Iterator[Piece]):
    """Texts as they are continued. Iterate over it for the pieces; ask it for what there is so far at any time.

    The pieces of one prompt are strings; those of several are pairs (place of the text, string). Together they are the
    text: a stop string and the token that ends a text are not part of it. Leaving the loop pauses it, and another loop
    goes on; `close` and Ctrl-C end it, and what there is so far stays.
    """

    def __init__(
        self,
        decoding: Feeding,
        prompts: Sequence[Sequence[int]],
        settings: Settings,
        vocabulary: int,
        tokenizer: Any = None,
        alone: bool = True,
    ) -> None:
        self.decoding, self.settings, self.alone = decoding, settings, alone
        steps, tokens = program(settings, vocabulary), Tokens(tokenizer)
        ends, stops = endings(settings, vocabulary, tokenizer)
        refuse_choices(settings, len(prompts), vocabulary)
        self.continuations = [
            Continuation(prompt, Chooser(settings, steps, tokens, i), Stream(tokenizer, prompt[-1], stops), ends)
            for i, prompt in enumerate(prompts)
        ]
        self.pieces = self.going_on()

    def __repr__(self) -> str:
        counts = ", ".join(str(len(each.choices)) for each in self.continuations)
        return f"<generation of {len(self.continuations)} text{'s' * (not self.alone)}, {counts} tokens so far>"

    # --- going on ---------------------------------------------------------------------------------------------

    def __next__(self) -> Piece:
        return next(self.pieces)

    def going_on(self) -> Generator[Piece, None, None]:
        new = [each.prompt for each in self.continuations]
        try:
            while any(each.stopped is None for each in self.continuations):
                logits_BV = self.decoding.feed(new)
                for i, each in enumerate(self.continuations):
                    if each.stopped is None and (piece := each.choose(logits_BV[i])):
                        yield piece if self.alone else (i, piece)
                new = [[] if each.stopped else each.tokens[-1:] for each in self.continuations]
        finally:
            for each in self.continuations:
                each.stopped = each.stopped or "interrupted"

    def close(self) -> None:
        """Stop here."""
        self.pieces.close()
        for each in self.continuations:
            each.stopped = each.stopped or "interrupted"

    def finish(self) -> Generation:
        """Go on to the end, and return this generation: ``model.generate("Once").finish().text``."""
        for _ in self:
            pass
        return self

    # --- what there is so far ---------------------------------------------------------------------------------

    @property
    def prompts(self) -> list[list[int]]:
        """The token ids of every prompt, with what was put before the text."""
        return [list(each.prompt) for each in self.continuations]

    @property
    def texts(self) -> list[str]:
        """What was written after each prompt: its pieces together."""
        return [each.text for each in self.continuations]

    @property
    def text(self) -> str:
        """What was written after the one prompt. Raises InputError where there are several."""
        if not self.alone:
            raise InputError(f"there are {len(self.continuations)} texts here; ask for texts")
        return self.continuations[0].text

    @property
    def tokens(self) -> Any:
        """The ids that were chosen, also the one that ended the text; for several prompts a list of such lists."""
        return self.told([each.tokens for each in self.continuations])

    @property
    def choices(self) -> Any:
        """How each token was chosen: `sampling.Choice`; for several prompts a list of such lists."""
        return self.told([list(each.choices) for each in self.continuations])

    @property
    def stopped(self) -> Any:
        """Why the text ended: "end of text", "stop string '...'", "stop token 5", "max_tokens", "interrupted"; None
        while it goes on; for several prompts a list of them.
        """
        return self.told([each.stopped for each in self.continuations])

    def told(self, each: list[Any]) -> Any:
        return each[0] if self.alone else each

    def captured(self, address: str) -> Tensor:
        """A value that `keep` asked for, at all positions read so far; the last token of a text was not read yet.

        Raises AddressError for a value that was not kept.
        """
        return self.decoding.captured(address)


def endings(settings: Settings, vocabulary: int, tokenizer: Any) -> tuple[dict[int, str], list[str]]:
    """The token ids that end a text, with what is then said of it, and the strings. Raises InputError."""
    strings = [each for each in settings.stops if isinstance(each, str)]
    ids = [int(each) for each in settings.stops if not isinstance(each, str)]
    for each in ids:
        if each >= vocabulary:
            raise InputError(f"stop token {each} is not in the vocabulary; it has 0 … {vocabulary - 1}")
    if strings and tokenizer is None:
        raise InputError(f"stop is {strings[0]!r}, but this model has no tokenizer; give the token ids that end a text")
    for each in strings:
        tokenizer.encode(each)  # a string that cannot be written will never come
    own = tokenizer.stops if tokenizer is not None and settings.stop_at_end else ()
    return dict.fromkeys(own, "end of text") | {each: f"stop token {each}" for each in ids}, strings


def refuse_choices(settings: Settings, texts: int, vocabulary: int) -> None:
    """Raise MemoryRefused if the logits that the choices keep would not fit."""
    if settings.explainable:
        count = texts * settings.max_tokens
        what = f"keeping the {vocabulary} logits of up to {count} choices"
        fit(count * vocabulary * 4, what, "lower max_tokens, or keep none with explainable=False")


# --- edits that hold during a generation ----------------------------------------------------------------------------


def planned_edits(of: Program, B: int, T: int, S: int | None, changes: Iterable[Change]) -> list[Edit]:
    """Edits as a run has them, or pairs of an address and the settings of `Run.edit`. Raises ByhandError.

    B, T, S: how many texts there are and the most positions that they and their sources can have.
    """
    if isinstance(changes, str) or not isinstance(changes, Iterable):
        raise InputError(f"edits is {changes!r:.60}; give a list of pairs such as ('blocks.0.mid', {{'zero': True}})")
    shapes = of.shapes(B, T, S)
    return [each if isinstance(each, Edit) else edit(of, shapes, each) for each in changes]


def edit(of: Program, shapes: Mapping[str, tuple[int, ...]], change: Any) -> Edit:
    match change:
        case (str(address), Mapping() as given):
            address = resolve(of, address)
        case _:
            raise InputError(f"edits holds {change!r:.60}; give pairs such as ('blocks.0.mid', {{'zero': True}})")
    if address not in shapes:
        raise InputError(f"{address} cannot be edited during a generation")
    actions = {name: given.get(name) for name in ("set", "add", "scale", "zero")}
    choice = {name: value for name, value in given.items() if name not in (*actions, "index")}
    index = given.get("index")
    refuse_from_the_end(of.axes(address), index, choice, address)
    return planned(address, place(of, address, shapes[address], index, choice), actions)


def refuse_from_the_end(axes: str, index: Any, choice: Mapping[str, Any], address: str) -> None:
    """Raise InputError for a position counted from the end of a text that still grows."""
    named = [value for word, value in choice.items() if word in ("position", "query", "key", "T", "S")]
    listed = index if isinstance(index, tuple | list) else () if index is None else (index,)
    placed = [value for letter, value in zip(axes, listed, strict=False) if letter in "TS"]
    for value in [*named, *placed]:
        ends = (value.start, value.stop) if isinstance(value, slice) else (value,)
        if any((number := whole(end)) is not None and number < 0 for end in ends):
            raise InputError(f"edit of {address}: position {value} counts from an end that moves; count from the front")
