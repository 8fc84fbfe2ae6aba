"""Reads a story back: who has what by what its sentences say, and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from byhand.texts import words

KINDS = dict.fromkeys(words.GIRLS, "f") | dict.fromkeys(words.BOYS, "m")
KINDS |= {name.removeprefix("the "): kind for name, _, kind in (*words.KIN, *words.TRADES, *words.WILD)}
PRONOUNS = {"she": "f", "her": "f", "he": "m", "him": "m"}
NAMES = "|".join(KINDS)
LOOKS = "|".join([*words.COLOURS, *words.LOOKS, "long", "thick", "warm"])
THINGS = "|".join([*words.THINGS, "coat", "cloak", "pumpkin seed", "seed", "bean", "nut", "acorn"])
WHO = rf"\b(?:(?:[Tt]he )?(?:{NAMES})|[Ss]he|[Hh]e|her|him)\b"
WHAT = rf"(?:\b(?:[Tt]he|[Aa]n?) (?:(?:{LOOKS}) )?(?:{THINGS})\b|\bit\b)"


def pattern(text: str) -> re.Pattern[str]:
    """A pattern of names and words, in which A and B are people, X and Y things."""
    groups = {"A": rf"(?P<A>{WHO})", "B": rf"(?P<B>{WHO})", "X": rf"(?P<X>{WHAT})", "Y": rf"(?P<Y>{WHAT})"}
    return re.compile(re.sub(r"\b[ABXY]\b", lambda found: groups[found[0]], text))


# A gives X to B; A and B swap X and Y; A leaves X, finds X; A has X, which is either new or to be checked.
EVENTS = {
    "give": [
        "A gave X to B(?! and got)",
        "A gave B X(?! for it)",
        "A handed X to B",
        "said A and gave B X",
        'take X," said A and handed it to B',
    ],
    "swap": [
        "A gave X to B and got Y for it",
        "B took X and gave Y to A",
        "A held out X, and B gave [a-zA-Z ]+? Y for it",
    ],
    "leave": ["A left X", "A put X (?!next to h)", "A hid X"],
    "find": ["A found X", "A looked [a-z ]+ and found X", "did A find [a-z ]+[?] It was X", "cried A and picked up X"],
    "has": ["A had X", "A still has X", "A put X next to h", "X belonged to A", "A kept X", "X was always with A"],
    "say": ["if you visit A, you can still see X", "A has never gone anywhere without X"],
    "answer": ['(?:Where is|Who has|know where) X[^"]*"[^"]*"A has it,'],
    "mine": ['(?:Where is|Who has|know where) X[^"]*"[^"]*"I have it," (?:said|answered) A'],
}
PATTERNS = [(event, pattern(each)) for event, several in EVENTS.items() for each in several]


@dataclass
class Reading:
    """holder: of each thing, "" for nobody; given: how often something changed hands; checked: statements compared."""

    story: str
    holder: dict[str, str] = field(default_factory=dict)
    given: int = 0
    checked: int = 0

    def person(self, found: re.Match[str], group: str) -> str:
        """The name; a pronoun means whoever of this kind was named last."""
        said = found[group]
        if said.lower() not in PRONOUNS:
            return said.removeprefix("The ").removeprefix("the ")
        named = re.findall(rf"\b({NAMES})\b", self.story[: found.start(group)])
        return [name for name in named if KINDS[name] == PRONOUNS[said.lower()]][-1]

    def thing(self, found: re.Match[str], group: str) -> str:
        """The thing; it is whatever was named last."""
        named = re.findall(rf"\b({THINGS})\b", self.story[: found.end(group)])
        return (named[-1] if found[group] == "it" else found[group]).split()[-1]

    def read(self) -> Reading:
        """Follow the story. Raises AssertionError for a sentence that contradicts an earlier one."""
        found = [(each.start(), event, each) for event, one in PATTERNS for each in one.finditer(self.story)]
        for _, event, each in sorted(found, key=lambda entry: entry[:2]):
            person, thing = self.person(each, "A"), self.thing(each, "X")
            if event == "give":
                self.change(thing, person, self.person(each, "B"))
            elif event == "swap":
                other = self.person(each, "B")
                self.change(thing, person, other)
                self.change(self.thing(each, "Y"), other, person)
            elif event == "leave":
                self.change(thing, person, "")
            elif event == "find":
                self.change(thing, "", person)
            else:
                self.checked += thing in self.holder
                self.expect(thing, person)
        return self

    def change(self, thing: str, giver: str, taker: str) -> None:
        self.expect(thing, giver)
        self.holder[thing] = taker
        self.given += 1

    def expect(self, thing: str, person: str) -> None:
        """Someone must have it, where it is known who has it."""
        there = self.holder.setdefault(thing, person)
        assert there == person, f"{there or 'nobody'} has the {thing}, not {person or 'nobody'}: {self.story}"
