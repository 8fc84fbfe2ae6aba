"""A delayed copy: every next letter is the one that stood a fixed number of places before it."""

from __future__ import annotations

from byhand.wiring.parts import offset
from byhand.wiring.verifying import Spec
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program


def delayed(delay: int, alphabet: str = "abcdefgh", *, context: int = 64) -> Wiring:
    """One head and nothing else; the begin token where the text is still too short."""
    wiring = Wiring(alphabet, context=context, name="delayed-copy")
    with wiring.layer():
        wiring.predict(wiring.head("copied", offset(1 - delay), wiring.tokens, default=wiring.begin))
    return wiring


def follows(delay: int) -> Spec:
    """The letter `delay` places before the next one."""
    return lambda text: text[-delay] if len(text) >= delay else "^"


PROGRAMS = {"delayed-copy": Program(lambda: delayed(8), follows(8))}
