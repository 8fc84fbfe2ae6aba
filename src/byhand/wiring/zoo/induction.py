"""What followed the latest (or first) earlier copy of the current letter: ... x y ... x -> y."""

from __future__ import annotations

from byhand.wiring.parts import LATEST, equal, offset
from byhand.wiring.verifying import Spec
from byhand.wiring.wiring import Wiring


def induction(alphabet: str = "abcdef", *, context: int = 128, pick: str = LATEST) -> Wiring:
    """Two layers: every position learns which letter came before it; then the current letter looks for its like there.

    Where the letter is new, the begin token is predicted.
    """
    wiring = Wiring(alphabet, context=context, name=f"induction-{pick}")
    with wiring.layer():
        before = wiring.head("before", offset(-1), wiring.tokens, default=wiring.begin)
    with wiring.layer():
        same = equal(query=wiring.tokens, key=before)
        wiring.predict(wiring.head("followed", same, wiring.tokens, pick=pick, default=wiring.begin))
    return wiring


def follows(pick: str) -> Spec:
    """The letter behind the latest or first copy of the last letter; "^" where there is none."""

    def after(text: str) -> str:
        found = [text[at] for at in range(1, len(text)) if text[at - 1] == text[-1]]
        return (found[-1] if pick == LATEST else found[0]) if found else "^"

    return after
