"""Whom and what the stories are about: names, beings, things and places, and the forms in which each is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


def listed(words: str) -> list[str]:
    """These words, one by one."""
    return words.split()


GIRLS = listed("Anna Mia Lily Nora Ella Rosa Clara Ida Lucy Emma Ruth Sara Vera Zoe Maya Jane")
BOYS = listed("Ben Tom Leo Max Sam Finn Jack Otto Paul Emil Noah Hugo Peter Adam Oscar Luka")
ANIMALS = listed("fox bear rabbit mouse hedgehog duck squirrel badger frog otter")
NATURES = listed("little young clever brave kind shy curious cheerful quiet careful")

# Grown-ups: how one is named, how one is met for the first time, and whether it is a woman or a man.
KIN = [("Grandma", "Grandma", "f"), ("Grandpa", "Grandpa", "m"), ("Aunt May", "Aunt May", "f")]
KIN += [("Uncle Joe", "Uncle Joe", "m"), ("Mother", "Mother", "f"), ("Father", "Father", "m")]
TRADES = [("the baker", "the baker", "m"), ("the farmer", "the farmer", "f"), ("the miller", "the miller", "m")]
TRADES += [("the teacher", "the teacher", "f"), ("the sailor", "an old sailor", "m"), ("the king", "the king", "m")]
TRADES += [("the queen", "the queen", "f"), ("the painter", "an old painter", "f"), ("the smith", "the smith", "m")]
WILD = [("the owl", "an old owl", "f"), ("the goat", "an old goat", "m"), ("the heron", "a tall heron", "f")]
WILD += [("the wolf", "an old wolf", "m"), ("the raven", "a black raven", "m"), ("the deer", "a quiet deer", "f")]

THINGS = "ball kite doll drum boat whistle flute puppet hat scarf cap ring coin key shell feather button bell map"
THINGS = listed(f"{THINGS} lamp book box basket cup mirror lantern bucket blanket spoon marble umbrella")
COLOURS = listed("red blue green yellow white orange brown purple")
LOOKS = listed("small big tiny old new pretty shiny golden silver round")
PETS = listed("dog cat bird pony lamb goose hen puppy kitten donkey")
STATES = listed("small thin wet tired hungry old white black brown grey")

INDOORS = listed("barn:in mill:in tower:in library:in school:at bakery:in castle:in station:at kitchen:in attic:in")
OUTDOORS = listed("garden:in forest:in market:at river:by lake:by hill:on beach:on meadow:in orchard:in harbor:at")
OUTDOORS += listed("bridge:on well:by park:in farm:on square:in path:on field:in pond:by")
CORNERS = ["under a table", "behind the door", "in a dark corner", "on a shelf", "under an old chair", "on the stairs"]
NOOKS = ["under a bench", "behind a tree", "in the tall grass", "next to a big stone", "under a bush", "behind a wall"]


@dataclass(frozen=True, eq=False)
class Noun:
    """Someone, something or a place. kind: she, he or it as "f", "m", "n"; empty for a place.

    forms: how it is told, by the forms of the frames (see telling.py). spots: where in a place something can lie.
    """

    name: str
    kind: str
    forms: Mapping[str, str]
    spots: tuple[str, ...] = ()


PRONOUNS = {
    "f": {"they": "she", "them": "her", "their": "her", "own": "her"},
    "m": {"they": "he", "them": "him", "their": "his", "own": "his"},
    "n": {"they": "it", "them": "it", "their": "its", "own": "its"},
}


def article(words: str) -> str:
    """The words with a or an before them. (None of the words here begins otherwise than it is written.)"""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def person(name: str, kind: str, nature: str, creature: str) -> Noun:
    """Someone with a name: a clever girl named Mia."""
    first = f"{article(f'{nature} {creature}')} named {name}"
    return Noun(name, kind, {**PRONOUNS[kind], "name": name, "name's": f"{name}'s", "a": first, "call": name})


def elder(name: str, first: str, kind: str) -> Noun:
    """Someone older, who goes by a title."""
    call = name.replace("the ", "dear ")
    return Noun(name, kind, {**PRONOUNS[kind], "name": name, "name's": f"{name}'s", "a": first, "call": call})


def thing(name: str, look: str) -> Noun:
    """Something one can carry, or an animal: a red ball, then the ball or the red ball."""
    forms = {"name": f"the {name}", "name's": f"the {name}'s", "full": f"the {look} {name}", "noun": name, "look": look}
    return Noun(f"the {name}", "n", {**PRONOUNS["n"], **forms, "a": article(f"{look} {name}")})


def place(listed: str, spots: list[str]) -> Noun:
    """A place, from its name and the word that says that someone is there, as garden:in."""
    name, at = listed.split(":")
    forms = {"name": f"the {name}", "noun": name, "at": f"{at} the {name}", "to": f"to the {name}"}
    return Noun(name, "", {**forms, "near": f"near the {name}", "from": f"from the {name}"}, tuple(spots))


PLACES = tuple([place(each, CORNERS) for each in INDOORS] + [place(each, NOOKS) for each in OUTDOORS])
OUTSIDE = tuple(each for each in PLACES if each.spots == tuple(NOOKS))
