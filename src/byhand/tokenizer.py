"""Text to token ids and back."""

from __future__ import annotations

from collections.abc import Sequence

from byhand.errors import InputError

PRINTABLE = "\n" + "".join(map(chr, range(32, 127)))


class Characters:
    """One token a character of a fixed alphabet; its place there is its id."""

    def __init__(self, alphabet: str) -> None:
        self.alphabet = alphabet
        self.ids = {character: i for i, character in enumerate(alphabet)}

    def __len__(self) -> int:
        return len(self.alphabet)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text. Raises InputError naming the first character that is not in the alphabet."""
        for place, character in enumerate(text):
            if character not in self.ids:
                some = self.alphabet if len(self.alphabet) < 20 else f"{self.alphabet[1:12]}..."
                raise InputError(
                    f"character {character!r} at {place} is not in the alphabet {some!r} of this model; use only those"
                )
        return [self.ids[character] for character in text]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(self.alphabet[token] for token in tokens)
