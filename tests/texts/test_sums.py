"""The sums and brackets: every line worked out again by other means."""

import hashlib
import re
from collections import Counter
from itertools import islice

from byhand.texts import sums

LINES = list(islice(sums(0), 20_000))
PAIRS = dict(zip("([{<", ")]}>", strict=True))


def kind(line: str) -> str:
    return next(sign for sign in "#~=" if sign in line)


def reduced(line: str) -> str:
    """What is left when all neighbouring pairs are taken away again and again."""
    while (shorter := re.sub(r"\(\)|\[\]|\{\}|<>", "", line)) != line:
        line = shorter
    return line


def test_the_same_for_a_seed():
    assert LINES[:500] == list(islice(sums(0), 500)) != list(islice(sums(1), 500))
    assert hashlib.sha256("\n".join(LINES[:500]).encode()).hexdigest()[:16] == "17bea3494947849f"


def test_sums_are_true():
    checked = 0
    for line in LINES:
        if kind(line) == "=":
            left, right = line.split("=")
            assert re.fullmatch(r"[-+*()0-9]+", left) and re.fullmatch(r"-?\d+", right), line
            assert not re.search(r"\b0\d", line), line
            assert eval(left, {"__builtins__": {}}) == int(right), line
            checked += 1
    assert checked > 0.6 * len(LINES)


def test_brackets_are_closed():
    for line in LINES:
        if kind(line) == "~":
            opened, closing = line.split("~")
            assert closing and reduced(opened + closing) == "" and reduced(opened) != "", line
            assert closing == "".join(PAIRS[each] for each in reversed(reduced(opened))), line


def test_depths_are_right():
    for line in LINES:
        if kind(line) == "#":
            inside, depth = line.split("#")
            open_now = [sum(1 if each in PAIRS else -1 for each in inside[:end]) for end in range(len(inside) + 1)]
            assert reduced(inside) == "" and max(open_now) == int(depth), line


def test_all_kinds_come_often():
    counts = Counter(map(kind, LINES))
    assert min(counts.values()) > 0.08 * len(LINES) and len(counts) == 3
    for sign in ("+", "-", "*", "("):
        assert sum(sign in line and "=" in line for line in LINES) > 0.1 * len(LINES)
    assert max(map(len, LINES)) <= 24
    assert len(set("".join(LINES))) <= 32
