"""A small world and its teller: who is where and has what, told in sentences that agree with it.

A frame is a sentence with slots: `{hero}` is someone as the subject, by name or, where it is clear who is meant, as
she or he; `{hero:they}`, `{hero:them}`, `{hero:their}` are she, her, her and so on, and the name where that would be
unclear; `{hero:name}` is always the name, `{hero:own}` always her or his, `{hero:call}` how she is spoken to; `{toy}`
is the ball or the red ball, `{toy:a}` its first mention; `{home:at}`, `{home:to}` are places. `[ran|walked]` is one of
these words.
"""

from __future__ import annotations

import re
from functools import cache

from byhand.texts import words
from byhand.texts.chance import Chance
from byhand.texts.words import Noun

SLOT = re.compile(r"\{(\w+)(?::([\w']+))?\}|\[([^\]]*)\]")
FIRST = re.compile(r'(?:^|(?<=[.!?] ))"?[a-z]')  # what is to be a capital
LINKS = frozenset(words.listed("Then Soon So But There It In Now And They When That What One At"))  # not twice in a row
CLEAR = {"they": "name", "them": "name", "their": "name's"}  # what is said instead where a pronoun would be unclear
Frame = tuple["str | tuple[str, str] | list[Frame]", ...]


@cache
def parsed(frame: str) -> Frame:
    """The parts of a frame: text, (slot, form), or a list of frames of which one is taken."""
    parts: list[str | tuple[str, str] | list[Frame]] = []
    end = 0
    for found in SLOT.finditer(frame):
        parts.append(frame[end : found.start()])
        slot, form, either = found.groups()
        parts.append([parsed(each) for each in either.split("|")] if slot is None else (slot, form or ""))
        end = found.end()
    return (*parts, frame[end:])


class World:
    """One story while it is told.

    cast: the nouns by slot. holder: who has each thing, or the place where it lies. where: the place of each person,
    seen: those where each has been. told: the sentences so far.
    """

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.cast: dict[str, Noun | str] = {}
        self.holder: dict[Noun, Noun] = {}
        self.where: dict[Noun, Noun] = {}
        self.seen: dict[Noun, list[Noun]] = {}
        self.told: list[str] = []
        self.recent: list[Noun] = []  # mentioned in the sentence before
        self.now: list[Noun] = []  # mentioned in this one
        self.wild = chance.happens(0.25)  # animals instead of children

    # Who takes part

    def people(self, *slots: str) -> None:
        """Children or talking animals for these slots."""
        kinds = [self.chance.one("fm") for _ in slots]
        girls, boys = self.chance.some(len(slots), words.GIRLS), self.chance.some(len(slots), words.BOYS)
        animals, natures = self.chance.some(len(slots), words.ANIMALS), self.chance.some(len(slots), words.NATURES)
        for at, (slot, kind) in enumerate(zip(slots, kinds, strict=True)):
            name, child = (girls[at], "girl") if kind == "f" else (boys[at], "boy")
            self.cast[slot] = words.person(name, kind, natures[at], animals[at] if self.wild else child)

    def elders(self, *slots: str) -> None:
        """Grown-ups for these slots."""
        among = [*words.KIN, *(words.WILD if self.wild else words.TRADES)]
        for slot, each in zip(slots, self.chance.some(len(slots), among), strict=True):
            self.cast[slot] = words.elder(*each)

    def things(self, *slots: str) -> None:
        """Things for these slots, unlike each other and all that have a slot already."""
        taken = [each.name for each in self.cast.values() if isinstance(each, Noun)]
        names = self.chance.some(len(slots), [name for name in words.THINGS if f"the {name}" not in taken])
        looks = self.chance.some(len(slots), words.COLOURS if self.chance.happens(0.5) else words.LOOKS)
        for slot, name, look in zip(slots, names, looks, strict=True):
            self.cast[slot] = words.thing(name, look)

    def places(self, *slots: str, outside: bool = False, only: tuple[str, ...] = ()) -> None:
        """Different places for these slots, which have no slot yet; only: the names of those that fit."""
        free = [each for each in (words.OUTSIDE if outside else words.PLACES) if each not in self.cast.values()]
        among = [each for each in free if not only or each.name in only]
        self.cast |= zip(slots, self.chance.some(len(slots), among), strict=True)

    def noun(self, slot: str) -> Noun:
        """Who or what has this slot."""
        found = self.cast[slot]
        assert isinstance(found, Noun)
        return found

    # Telling

    def tell(self, *frames: str, **slots: Noun | str) -> None:
        """Tell one of these sentences."""
        before, self.cast = self.cast, self.cast | slots
        last = self.told[-1].split(" ", 1)[0] if self.told else ""
        for _ in range(4):
            self.now = []
            filled = self.filled(parsed(self.chance.one(frames)))
            sentence = FIRST.sub(lambda found: found[0].upper(), filled)
            if last not in LINKS or not sentence.startswith(f"{last} "):
                break
        self.cast, self.recent = before, self.now
        self.told.append(sentence)

    def maybe(self, share: float, *frames: str) -> None:
        """Tell one of these in this share of the stories."""
        if self.chance.happens(share):
            self.tell(*frames)

    def filled(self, parts: Frame) -> str:
        """The sentence of a frame, everything mentioned on the way."""
        said = []
        for part in parts:
            if isinstance(part, str):
                said.append(part)
            elif isinstance(part, list):
                said.append(self.filled(self.chance.one(part)))
            else:
                noun = self.cast[part[0]]
                said.append(noun if isinstance(noun, str) else self.mention(noun, part[1]))
        return "".join(said)

    def mention(self, noun: Noun, form: str) -> str:
        """A noun in a form, with a pronoun only where nobody and nothing else could be meant."""
        if not noun.kind:
            return noun.forms[form or "name"]
        if not form and noun.kind == "n":
            form = "name"
        elif not form:
            form = "they" if noun not in self.now and self.chance.happens(0.8) else "name"
        if form in CLEAR and not self.clear(noun):
            form = CLEAR[form]
        if form == "name" and "full" in noun.forms and self.chance.happens(0.3):
            form = "full"
        self.now.append(noun)
        return noun.forms[form]

    def clear(self, noun: Noun) -> bool:
        """Whether a pronoun would be understood: mentioned just now, and nobody else whom it could mean."""
        heard = [each for each in (*self.recent, *self.now) if each.kind == noun.kind]
        return bool(heard) and all(each is noun for each in heard)

    # What happens: the world changes, and it is told

    def has(self, person: str, thing: str) -> None:
        """From now on this person has this thing; what tells of it stands in the plot."""
        self.holder[self.noun(thing)] = self.noun(person)

    def gives(self, giver: str, thing: str, taker: str, silently: bool = False) -> None:
        """Someone gives what she has to someone else; silently where she has just said so."""
        given, one, other = self.noun(thing), self.noun(giver), self.noun(taker)
        assert self.holder[given] is one, f"{one.name} has no {given.name}"
        self.holder[given] = other
        self.tell(*GIVES, *([] if silently else SAYS), one=one, given=given, other=other)

    def swaps(self, one: str, thing: str, other: str, back: str) -> None:
        """Two people change what they have."""
        a, x, b, y = (self.noun(slot) for slot in (one, thing, other, back))
        assert self.holder[x] is a and self.holder[y] is b, f"{a.name} and {b.name} have not got what they swap"
        self.holder[x], self.holder[y] = b, a
        self.tell(*SWAPS, a=a, x=x, b=b, y=y)

    def leaves(self, person: str, thing: str, frames: tuple[str, ...]) -> None:
        """Something stays behind at the place where its owner is; the frames have `{spot}`."""
        lost, owner = self.noun(thing), self.noun(person)
        assert self.holder[lost] is owner, f"{owner.name} has no {lost.name}"
        self.holder[lost] = self.where[owner]
        self.cast[f"{thing}_spot"] = spot = self.chance.one(self.where[owner].spots)
        self.tell(*frames, spot=spot)

    def finds(self, person: str, thing: str) -> None:
        """Someone finds what was left at the place where she is."""
        finder, found = self.noun(person), self.noun(thing)
        assert self.holder[found] is self.where[finder], f"there is no {found.name} where {finder.name} is"
        self.holder[found] = finder
        self.tell(*FINDS, one=finder, found=found, spot=self.cast[f"{thing}_spot"])

    def at(self, person: str, place: str) -> None:
        """This person is at this place; what tells of it stands in the plot."""
        self.where[self.noun(person)] = self.noun(place)
        self.seen.setdefault(self.noun(person), []).append(self.noun(place))

    def goes(self, person: str, place: str, also: str = "", first: bool = False) -> None:
        """Someone goes to a place, or goes back to it; with someone else, if one is named.

        first: whether what happens in the story begins with this.
        """
        goer, goal = self.noun(person), self.noun(place)
        assert self.where[goer] is not goal, f"{goer.name} is there: {goal.name}"
        again = "back " if goal in self.seen[goer] else ""
        homeward = goal is self.cast["home"]
        self.at(person, place)
        if also:
            self.at(also, place)
            self.tell(
                *GO_HOME_TOGETHER if homeward else GO_TOGETHER, one=goer, other=self.noun(also), goal=goal, again=again
            )
        else:
            self.tell(*GO_OUT if first else GO_HOME if homeward else GOES, one=goer, goal=goal, again=again)

    def asks(self, one: str, thing: str, other: str) -> None:
        """Someone asks where a thing is, and is told what is so."""
        sought, asker, knower = self.noun(thing), self.noun(one), self.noun(other)
        answer = self.holder[sought]
        self.tell(*ASKS, *([WHO] if answer.kind else []), one=asker, sought=sought)
        if answer is knower:
            self.tell('"I have it," [said|answered] {other:name}.', other=knower)
        elif answer.kind:
            self.tell('"{answer:name} has it," [said|answered] {other:name}.', other=knower, answer=answer)
        else:
            self.tell('"It is {answer:at}," [said|answered] {other:name}.', other=knower, answer=answer)


GIVES = (
    "{one} gave {given} to {other:name}.",
    "{one} gave {other:them} {given}.",
    "{one} handed {given} to {other:them}.",
    "[Then|So] {one} gave {given:them} to {other:name}.",
    "With a [smile|laugh|nod], {one} gave {other:them} {given}.",
)
SAYS = (
    '"This is for you," said {one:name} and gave {other:them} {given}.',
    '"Here, take {given}," said {one:name} and handed {given:them} to {other:name}.',
)
SWAPS = (
    "So {a:name} gave {x} to {b:name} and got {y} for it.",
    "{b:name} took {x} and gave {y} to {a:name}.",
    "{a} held out {x}, and {b:name} gave {a:them} {y} for it.",
)
FINDS = (
    "There, {spot}, {one} found {found}!",
    "And what did {one} find {spot}? It was {found}!",
    "{one} looked {spot} and found {found}.",
    '"Here it is!" cried {one:name} and picked up {found}, which lay {spot}.',
)
GOES = (
    "{one} [went|walked|ran|hurried] {again}{goal:to}.",
    "[Then|Soon] {one} [went|walked|set off] {again}{goal:to}.",
    "{one} took the [short|long|old|shady] way {again}{goal:to}.",
    "It was not far, and {one} was soon {again}{goal:at}.",
)
GO_OUT = (
    "One [day|morning|afternoon], {one} [went|walked|ran] {goal:to}.",
    "One [sunny|fine|warm] [day|morning], {one} [went|walked|set off] {goal:to}.",
    "On a [fine|quiet|windy] [morning|day], {one} [went|walked] {goal:to}.",
)
GO_HOME = (
    "{one} [went|walked|ran|hurried] {again}home.",
    "[Then|Soon] {one} [went|walked|ran] {again}home.",
    "{one} came {again}home [out of breath|with a smile|after a while].",
)
GO_TOGETHER = (
    "{one} and {other:name} [went|walked|ran] {again}{goal:to}.",
    "Together, {one:name} and {other:name} [went|walked|hurried] {again}{goal:to}.",
    "Side by side, {one:name} and {other:name} [went|walked] {again}{goal:to}.",
)
GO_HOME_TOGETHER = (
    "{one} and {other:name} [went|walked] {again}home.",
    "Together, {one:name} and {other:name} [went|walked|ran] {again}home.",
)
WHO = '"Who has {sought}?" asked {one:name}.'
ASKS = (
    '"Where is {sought}?" asked {one:name}.',
    '"Do you know where {sought} is?" {one} asked.',
)
