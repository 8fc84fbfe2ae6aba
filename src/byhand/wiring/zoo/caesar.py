"""Caesar's cipher: a key, letters, and each of them shifted by the key: "dhello>khoor" for five (a shifts by 0)."""

from __future__ import annotations

from string import ascii_lowercase as LETTERS

import numpy as np

from byhand.wiring.parts import everywhere, offset
from byhand.wiring.verifying import Spec, Texts
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program


def caesar(length: int) -> Wiring:
    """One layer: the key is the first letter, the other one stands at a fixed distance, and the sum is a staircase."""
    wiring = Wiring(LETTERS + ">", context=2 * length + 3, name="caesar")
    shift = {letter: place for place, letter in enumerate(LETTERS)}
    with wiring.layer():
        key = wiring.head("key", everywhere(), wiring.tokens, pick="first", default=wiring.begin)
        letter = wiring.head("letter", offset(-length), wiring.tokens, default=wiring.begin)
        form = key.numbers(shift) + letter.numbers(shift)
        wiring.predict(wiring.steps("shifted", form, lambda z: LETTERS[int(z) % 26]))
    return wiring


def shifted(letters: str, key: str) -> str:
    return "".join(chr((ord(letter) + ord(key) - 2 * ord("a")) % 26 + ord("a")) for letter in letters)


def follows(length: int) -> Spec:
    """The next shifted letter, once the key and all letters are there."""

    def after(text: str) -> str | None:
        plain, mark, done = text.partition(">")
        if not mark or ">" in done or len(plain) != length + 1 or len(done) >= length:
            return None
        return shifted(plain[1:], plain[0])[len(done)]

    return after


def texts(length: int) -> Texts:
    """A random key and random letters, with their shifted ones."""

    def text(rng: np.random.Generator) -> str:
        key, *letters = rng.choice(list(LETTERS), length + 1)
        plain = "".join(letters)
        return f"{key}{plain}>{shifted(plain, str(key))}"

    return text


PROGRAMS = {"caesar": Program(lambda: caesar(16), follows(16), texts(16))}
