"""Small wirings that several tests use."""

from byhand.wiring import Wiring, equal, offset

FAMILIES = ("gpt2", "llama")


def histogram(most=5, context=24):
    """How often the current letter came so far, as a digit."""
    wiring = Wiring("ab012345", context=context, name="histogram")
    with wiring.layer():
        count = wiring.count("count", equal(wiring.tokens, wiring.tokens), most=most)
    with wiring.layer():
        wiring.predict(wiring.function("digit", [count], str))
    return wiring


def doubled():
    """The letter before the letter before, through two heads of one layer and a rule."""
    wiring = Wiring("ab", context=12, name="doubled")
    with wiring.layer():
        one = wiring.head("one", offset(-1), wiring.tokens, default="a")
        two = wiring.head("two", offset(-2), wiring.tokens, default="a")
        wiring.predict(wiring.rules("out", [({one: "b", two: {"a", "b"}, wiring.tokens: "b"}, "b")], default="a"))
    return wiring
