"""The next letter from the last few: one head for each letter further back, one table."""

from __future__ import annotations

from collections.abc import Mapping

from byhand.wiring.parts import offset
from byhand.wiring.verifying import Spec
from byhand.wiring.wiring import Wiring
from byhand.wiring.zoo.program import Program

AAB = {"aa": "b", "ba": "a", "ab": "a"}
CYCLE = {"aaa": "b", "aba": "b", "bab": "b", "abb": "b"}  # with "a" otherwise: round all eight triples of a and b


def kgram(rows: Mapping[str, str], *, alphabet: str, default: str, context: int = 64, name: str = "kgram") -> Wiring:
    """A wiring that continues by a table: the next letter for the last k letters, `default` for all others."""
    k = len(next(iter(rows)))
    wiring = Wiring(alphabet, context=context, name=name)
    with wiring.layer():
        back = [
            wiring.head(f"{distance} back", offset(-distance), wiring.tokens, default=wiring.begin)
            for distance in range(k - 1, 0, -1)
        ]
        table = {tuple(last): following for last, following in rows.items()}
        wiring.predict(wiring.table("next", [*back, wiring.tokens], table, default=default))
    return wiring


def aab(context: int = 64) -> Wiring:
    """Continues "aabaabaab...": "b" after "aa", else "a"."""
    return kgram(AAB, alphabet="ab", default="a", context=context, name="aab")


def follows(rows: Mapping[str, str], default: str) -> Spec:
    """What comes after a text by such a table."""
    k = len(next(iter(rows)))
    return lambda text: rows.get(text[-k:], default)


PROGRAMS = {
    "aab": Program(aab, follows(AAB, "a")),
    "kgram-3": Program(lambda: kgram(CYCLE, alphabet="ab", default="a", name="kgram-3"), follows(CYCLE, "a")),
}
