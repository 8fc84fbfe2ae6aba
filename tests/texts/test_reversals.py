"""The pairs of words to be reversed or sorted."""

import hashlib
from collections import Counter
from itertools import islice, pairwise

from byhand.texts import GENERATORS, reversals

PAIRS = list(islice(reversals(0), 5000))


def test_the_same_for_a_seed():
    assert PAIRS[:500] == list(islice(reversals(0), 500)) != list(islice(reversals(1), 500))
    assert hashlib.sha256(repr(PAIRS[:500]).encode()).hexdigest()[:16] == "c7a110a679be03b7"


def test_targets_are_right():
    for source, target in PAIRS:
        task, word = source.split()
        assert Counter(word) == Counter(target)
        if task == "sort":
            assert all(a <= b for a, b in pairwise(target)), source
        else:
            assert task == "reverse" and all(a == b for a, b in zip(word, reversed(target), strict=True)), source


def test_lengths_and_kinds():
    lengths = Counter(len(target) for _, target in PAIRS)
    assert set(lengths) == set(range(1, 13))
    assert min(Counter(source.split()[0] for source, _ in PAIRS).values()) > 2000
    assert min(Counter(target.isdigit() for _, target in PAIRS).values()) > 2000


def test_generators_by_name():
    assert list(GENERATORS) == ["stories", "sums", "reversals"]
    assert next(GENERATORS["reversals"](0)) == PAIRS[0]
