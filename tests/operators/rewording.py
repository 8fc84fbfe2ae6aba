"""The arithmetic of an operator, changed on purpose."""

from byhand.operators.record import Operator


def reworded(record: Operator, *changes: tuple[str, str]) -> str:
    """The arithmetic with some of its text changed."""
    text = record.arithmetic
    for old, new in changes:
        assert old in text, f"{record}: {old} is not in the arithmetic"
        text = text.replace(old, new)
    return text
