"""Small wirings that several tests use, and what they should do in plain Python."""

from byhand.wiring import Wiring, equal, offset
from byhand.wiring.zoo.addition import task

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


def aab_follows(text):
    return "b" if text.endswith("aa") else "a"


def induction_follows(text, pick="latest"):
    """The letter behind the latest or first earlier copy of the last letter; a letter may be its own copy."""
    if not text:
        return "^"
    found = [text[at] for at in range(1, len(text)) if text[at - 1] == text[-1]]
    return (found[-1] if pick == "latest" else found[0]) if found else "^"


def sum_follows(digits):
    """The next digit of the sum, where the text so far is the beginning of a sum."""

    def follows(text):
        head, equals, _ = text.partition("=")
        first, plus, second = head.partition("+")
        if not (equals and plus and len(first) == len(second) == digits and (first + second).isdigit()):
            return None
        whole = task(int(first[::-1]), int(second[::-1]), digits)
        return whole[len(text)] if whole.startswith(text) and len(text) < len(whole) else None

    return follows


def random_sum(digits):
    """A random sum of full length; half of them are long chains of carries."""

    def text(rng):
        a, b = (int(rng.integers(10**digits)) for _ in range(2))
        if rng.random() < 0.5:
            b = 10**digits - 1 - a + int(rng.integers(2))
        return task(a, b % 10**digits, digits)

    return text
