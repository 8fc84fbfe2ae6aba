"""The stories: the same for a seed, right in grammar, and consistent by what they say themselves."""

import hashlib
import re
import time
from collections import Counter
from functools import cache
from itertools import islice

import pytest

from byhand.texts import stories
from byhand.texts.chance import Chance
from byhand.texts.plots import PLOTS
from byhand.texts.telling import World

from .reader import KINDS, Reading


@cache
def many() -> list[str]:
    return list(islice(stories(0), 10_000))


def some() -> list[str]:
    return many()[:3000]


def test_the_same_for_a_seed():
    first = list(islice(stories(0), 200))
    assert first == many()[:200] and first != list(islice(stories(1), 200))
    assert hashlib.sha256("\n".join(first).encode()).hexdigest()[:16] == "906c7f59f1da57a2"


def test_no_story_twice():
    assert len(set(many())) > 9990


def test_lengths():
    counts = [len(story.split()) for story in many()]
    assert min(counts) >= 60 and max(counts) <= 210 and 120 < sum(counts) / len(counts) < 165


def test_once():
    assert sum(story.startswith("Once upon a time") for story in many()) > 5000
    assert sum(story.startswith("Once") for story in many()) > 7000


def test_vocabulary():
    """Few enough words for a small model, each often enough to be learned."""
    counts = Counter(word for story in many() for word in re.findall(r"[A-Za-z']+", story))
    assert 600 <= len({word.lower() for word in counts}) <= 1200
    assert min(counts.values()) >= 10, min(counts, key=counts.__getitem__)


def test_all_plots_are_told():
    whole = " ".join(many())
    for said in ("birthday", "quarrel", "promise", "race", "swap", "monster", "learn", "rain", "pie", "game", "lost"):
        assert said in whole
    assert len(PLOTS) >= 12


def test_only_letters_and_plain_signs():
    for story in some():
        assert re.fullmatch(r"[A-Za-z ,.!?'\"]+", story), story
        assert not re.search(r"  | [,.!?]|[,.]{2}|[!?]{2}|^ | $", story), story
        assert story.count('"') % 2 == 0, story


def test_every_sentence_ends_and_begins():
    for story in some():
        assert re.search(r'[.!?]"?$', story), story
        for found in re.finditer(r'[.!?] "?(\S)', story):
            assert found[1].isupper(), story[found.start() - 30 : found.end() + 20]
        spoken = re.findall(r'"([^"]*)"', story)
        assert all(each[-1] in ".!?," for each in spoken), story
        assert all(each[0].isupper() or f', "{each}' in story for each in spoken), story


@pytest.mark.parametrize(
    "wrong", [r"\b[Aa] [aeiouAEIOU]", r"\b[Aa]n (?!hour)[^aeiouAEIOU]", r"\b(the|a|an) (the|a|an)\b"]
)
def test_articles(wrong):
    for story in some():
        assert not (found := re.search(wrong, story, re.IGNORECASE if "the" in wrong else 0)), (found, story)


def test_pronouns_are_in_their_places():
    """No subject form where an object belongs, and the other way round."""
    for story in some():
        assert not re.search(r"\b(gave|to|with|for|told|asked|met|thanked) (she|he)\b", story), story
        assert not re.search(r"(^|[.!?] )(Them|Him)\b|\b(Her|him|them) (was|had|went|gave)\b", story), story
        assert not re.search(r"(gave|lend|handed) \w+ it\b|Give me it", story), story


def test_he_and_she_are_someone_named_before():
    for story in some():
        for found in re.finditer(r"\b([Ss]he|[Hh]e|[Hh]im|[Hh]is)\b", story):
            kind = "f" if found[0].lower() == "she" else "m"
            before = story[: found.start()].lower()
            assert any(name.lower() in before for name, each in KINDS.items() if each == kind), story


def test_who_has_what_is_consistent():
    readings = [Reading(story).read() for story in many()[:1000]]
    assert sum(each.given >= 1 for each in readings) > 650  # some plots are about no thing
    assert sum(each.checked >= 1 for each in readings) > 350


def test_the_reader_notices_a_contradiction():
    noticed = 0
    for story in some()[:500]:
        wrong = re.sub(r"\b[A-Z]\w+ still has (?=the)", "Grandma still has ", story)
        if wrong != story and "Grandma" not in story and Reading(story).read().checked:
            with pytest.raises(AssertionError):
                Reading(wrong).read()
            noticed += 1
    assert noticed >= 5


def test_places_that_are_returned_to_were_named_before():
    backs = 0
    for story in some():
        for found in re.finditer(r"back (?:to|on|in|at|by) (the \w+)", story):
            backs += 1
            assert found[1] in story[: found.start()], story
    assert backs > 200


def test_a_world_refuses_what_cannot_be():
    world = World(Chance(0))
    world.people("hero", "friend")
    world.things("toy")
    world.places("home")
    world.has("hero", "toy")
    with pytest.raises(AssertionError, match="has no"):
        world.gives("friend", "toy", "hero")


@pytest.mark.alone
def test_fast():
    start = time.perf_counter()
    written = sum(len(story) for story in islice(stories(5), 2000))
    assert written / (time.perf_counter() - start) > 0.5e6  # bytes a second; about 4 million on an idle machine
