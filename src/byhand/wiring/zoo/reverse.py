"""Writing a text backwards: of a fixed length ("abc" and then "cba"), or up to a mark of any length ("abc>cba.").

Position p of the copy holds what stood at the mirrored position. A stock Llama has no positions in its stream, only
distances in its scores, so both programs count first where they are.
"""

from __future__ import annotations

import numpy as np

from byhand.wiring.parts import equal, having, scores
from byhand.wiring.verifying import Spec, Texts
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program

LETTERS = "abcdefgh"


def fixed(length: int) -> Wiring:
    """Two layers: every position counts where it is; then it looks as far before the last letter as it is behind it.

    Before the last letter the begin token is predicted.
    """
    wiring = Wiring(LETTERS, context=2 * length + 1, name=f"reverse-{length}")
    with wiring.layer():
        place = wiring.position("place")
    with wiring.layer():
        mirrored = {(length + back, length - back): 1 for back in range(length)}
        wiring.predict(wiring.head("letter", scores(place, place, mirrored), wiring.tokens, default=wiring.begin))
    return wiring


def follows_fixed(length: int) -> Spec:
    """The letters backwards, once all are there."""

    def after(text: str) -> str:
        left = 2 * length - len(text)
        return text[left - 1] if 0 < left <= length else "^"

    return after


def variable(longest: int) -> Wiring:
    """Three layers: where am I, where is the mark, what stands as far before the mark as the next letter behind it?

    With the mark at place m, the position p is followed by what stands at 2 m - p - 1; by "." where that is none.
    """
    wiring = Wiring(LETTERS + ">.", context=2 * longest + 3, name="reverse", example="ab>ba")
    with wiring.layer():
        place = wiring.position("place")
    with wiring.layer():
        mark = wiring.head("mark", having(wiring.tokens, ">"), place, pick="latest", default="none")
        mirrored = {
            (m, p): 2 * m - p - 1 for m in range(1, longest + 2) for p in range(m, 2 * m - 1)
        }  # of a word of m - 1 letters
        wanted = wiring.table("wanted", [mark, place], mirrored, default="none")
    with wiring.layer():
        wiring.predict(wiring.head("letter", equal(wanted, place), wiring.tokens, default="."))
    return wiring


def follows_variable(longest: int) -> Spec:
    """The word before the mark backwards, then "."."""

    def after(text: str) -> str | None:
        word, mark, done = text.rpartition(">")
        if not mark or len(word) > longest:
            return None
        return word[-1 - len(done)] if len(done) < len(word) else "."

    return after


def texts(longest: int) -> Texts:
    """A random word, every other one as long as they get, and what should follow it."""

    def text(rng: np.random.Generator) -> str:
        length = longest if rng.random() < 0.5 else int(rng.integers(longest))
        word = "".join(rng.choice(list(LETTERS), length))
        return f"{word}>{word[::-1]}."

    return text


PROGRAMS = {
    "reverse-16": Program(lambda: fixed(16), follows_fixed(16)),
    "reverse": Program(lambda: variable(16), follows_variable(16), texts(16)),
}
