"""What happened to a text on its way to token ids, step by step, and how that reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from byhand.tokenizer.merging import Match, Merge

BytesOf = Callable[[str], bytes]

MARKED = {" ": "␣", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True)
class Piece:
    """A part of the text that becomes tokens without a look at its neighbours.

    text: it as the vocabulary writes it; symbols: what merging began with; steps: its merges, or its longest matches;
    ids and tokens: the result; note: what else is to say, such as an added token.
    """

    text: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    symbols: tuple[str, ...] = ()
    steps: tuple[Merge | Match, ...] = ()
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Trace:
    """A text, what was made of it before it was cut (None: nothing), and its pieces; `str` of it is for reading.

    bytes_of: the bytes that a symbol of the vocabulary stands for; by_score: ranks are the negatives of scores.
    """

    text: str | bytes
    pieces: tuple[Piece, ...]
    bytes_of: BytesOf = field(repr=False, compare=False)
    normalized: str | None = None
    by_score: bool = False

    @property
    def ids(self) -> list[int]:
        """The ids that `encode` gives."""
        return [token for piece in self.pieces for token in piece.ids]

    def to_dict(self) -> dict[str, Any]:
        text = self.text if isinstance(self.text, str) else self.text.hex(" ")
        return {"text": text, "normalized": self.normalized, "pieces": [piece.to_dict() for piece in self.pieces]}

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        shown = marked(self.text if isinstance(self.text, bytes) else self.text.encode("utf-8"))
        yield f"text        {shown}"
        if self.normalized is not None:
            yield f"normalized  {marked(self.normalized.encode('utf-8', 'surrogateescape'))}"
        yield f"pieces      {len(self.pieces)}"
        for place, piece in enumerate(self.pieces):
            yield ""
            yield from self.piece_lines(place, piece)

    def piece_lines(self, place: int, piece: Piece) -> Iterator[str]:
        """One piece: its bytes, each merge with its rank and what it leaves, and the ids."""
        whole = self.bytes_of(piece.text)
        note = f"  ({piece.note})" if piece.note else ""
        yield f"piece {place}  {marked(whole)}{note}"
        if piece.symbols:
            yield f"  bytes    {whole.hex(' ')}"
            yield f"  start    {self.row(piece.symbols)}"
        symbols = list(piece.symbols)
        width = max((len(self.order(step)) for step in piece.steps), default=0)
        for step in piece.steps:
            if isinstance(step, Match):
                yield f"  {self.order(step)}  {self.shown(step.piece)}  ({step.tried} longer tried)"
                continue
            symbols[step.at : step.at + 2] = [step.left + step.right]
            pair = f"{self.shown(step.left)} + {self.shown(step.right)}"
            yield f"  {self.order(step):<{width}}  {pair}  →  {self.row(symbols)}"
        listed = (f"{token} {self.shown(text)}" for token, text in zip(piece.ids, piece.tokens, strict=True))
        yield f"  ids      {'   '.join(listed)}".rstrip()

    def order(self, step: Merge | Match) -> str:
        """Why a step had its turn: its place in the list of merges, its score, or that its piece is the longest."""
        if isinstance(step, Match):
            return "longest"
        return f"score {-step.rank:g}" if self.by_score else f"rank {step.rank:<2.0f}"

    def row(self, symbols: Sequence[str]) -> str:
        return " ".join(map(self.shown, symbols))

    def shown(self, symbol: str) -> str:
        return marked(self.bytes_of(symbol))


def marked(data: bytes) -> str:
    """Bytes for reading: a space as ␣, a line end as \\n, what is no UTF-8 or cannot be seen by its number."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(MARKED.get(sign) or (sign if sign.isprintable() else written(sign)) for sign in text)


def quoted(text: str) -> str:
    """A decoded token in quotes. A byte that is no whole character is written by `decode` and not escaped again."""
    return re.sub(r"\\\\(x[89a-f][0-9a-f])", r"\\\1", repr(text))


def written(sign: str) -> str:
    """A sign that cannot be seen, by its number."""
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
