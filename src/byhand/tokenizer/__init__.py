"""Text to token ids and back, as the files of a model say, and how it comes about."""

from byhand.tokenizer.base import Tokenizer
from byhand.tokenizer.characters import PRINTABLE, Characters
from byhand.tokenizer.comparing import Difference, check, difference
from byhand.tokenizer.gguf import from_gguf, to_gguf
from byhand.tokenizer.loading import load
from byhand.tokenizer.merging import Match, Merge
from byhand.tokenizer.trace import Piece, Trace, quoted

__all__ = [
    "PRINTABLE",
    "Characters",
    "Difference",
    "Match",
    "Merge",
    "Piece",
    "Tokenizer",
    "Trace",
    "check",
    "difference",
    "from_gguf",
    "load",
    "quoted",
    "to_gguf",
]
