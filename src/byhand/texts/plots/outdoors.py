"""Plots out of doors: a treasure, a seed that grows, a way that is lost and found."""

from __future__ import annotations

from byhand.texts.frames import friendship, keeps, lesson, opening, thanks
from byhand.texts.telling import World
from byhand.texts.words import THINGS, article, thing

SEEDS = (("bean", "vine"), ("nut", "tree"), ("seed", "flower"), ("pumpkin seed", "pumpkin"), ("acorn", "oak"))
SIGNS = ("arrow", "cross", "circle", "star", "moon", "eye", "sun")
BEDS = ("garden", "meadow", "orchard", "field", "farm", "park", "hill")


def treasure(w: World) -> None:
    """A sign on an old paper leads to something that was buried."""
    w.people("hero", "friend")
    w.things("find")
    w.places("home", "dig", outside=True)
    w.cast["mark"] = mark = w.chance.one(SIGNS)
    w.cast["sign"] = article(mark)
    w.cast["paper"] = w.chance.one(["a letter", "a piece of paper", "a page", "an old card"])
    opening(w)
    friendship(w)
    w.tell(
        "One [day|evening], {hero:name} found {paper} [in a drawer|under the roof|behind a picture].",
        "In an old chest, {hero:name} found {paper}.",
    )
    w.tell('It showed {sign} and said, "Look {dig:at}."', 'There was {sign} on it, and under it stood, "Go {dig:to}."')
    w.tell('"A treasure!" cried {friend:name}.', '"Do you think it is a treasure?" asked {friend:name}.')
    w.goes("hero", "dig", also="friend")
    w.maybe(0.4, "They looked behind every tree and under every stone.", "They walked in circles until noon.")
    w.tell('"I see the {mark}!" cried {friend:name} at last.', '"Here is the {mark}!" called {friend:name}.')
    w.tell(
        "They dug with their hands and with a [spoon|spade|stick].",
        "{hero} dug, and {friend:name} pulled out the stones.",
    )
    w.has("hero", "find")
    w.tell(
        "Deep in the ground lay {find:a}.",
        "And there, at last, they saw {find:a}!",
        "Under the last stone lay {find:a}.",
    )
    w.maybe(
        0.4, '"Who may have left it here?" asked {friend:name}.', '"It is not gold, but I like it," said {hero:name}.'
    )
    if w.chance.happens(0.5):
        w.gives("hero", "find", "friend")
        w.tell('"You saw the {mark} first," {hero} said.', '"Without you I would not have found it," {hero} said.')
    else:
        w.tell('"You found the paper, so {find} is yours," said {friend:name}.')
    keeps(w, "find")
    lesson(w, "Nobody ever learned who had drawn the {mark}.")


def growing(w: World) -> None:
    """Something is planted, cared for through the seasons, and given away or shared."""
    w.people("hero", "friend")
    w.elders("elder")
    w.places("home", outside=True)
    w.places("bed", only=BEDS)
    small, large = w.chance.one(SEEDS)
    w.cast["seed"], w.cast["plant"] = thing(small, w.chance.one(["small", "brown", "round"])), thing(large, "big")
    opening(w)
    w.has("elder", "seed")
    w.tell("In spring, {elder:a} came with {seed:a}.", "One day in March, {hero} met {elder:a}, who had {seed:a}.")
    w.gives("elder", "seed", "hero")
    w.tell(
        '"Plant it and wait," said {elder:name}.', '"If you are patient, you will see something," said {elder:name}.'
    )
    w.goes("hero", "bed")
    w.tell("There {hero} dug a hole and put the {seed:noun} into the ground.")
    w.tell("Every morning {hero} brought water.", "{hero} came back every day with a cup of water.")
    w.maybe(0.6, '"Nothing will come of it," said {friend:a}. But {hero:name} waited.', MOCKED)
    w.tell("In May, there was a tiny green leaf.", "After three weeks, something green came out of the ground.")
    w.tell("It grew and grew, and in [July|August] it was as tall as {hero:name}.", "By summer it was {plant:a}.")
    w.maybe(0.5, "One night there was a storm, but the {plant:noun} did not break.", "Even the bees came to see it.")
    w.tell(
        '"{elder:call}, look at my {plant:noun}!" called {hero:name}.',
        '"You were right, {elder:call}!" said {hero:name}.',
    )
    w.tell('"You did it all by yourself," said {elder:name}.', "{elder:name} was proud of {hero:name}.")
    lesson(w, "Good things need time.", "Every spring {hero:name} goes back {bed:to} to look at the {plant:noun}.")


MOCKED = "{friend:a} laughed about it, but {hero:name} did not mind."


def astray(w: World) -> None:
    """Someone loses the way, is led home, and thanks the one who led."""
    w.people("hero", "guide")
    w.places("home", "wild", outside=True)
    name = w.chance.one([each for each in THINGS if each != "map"])
    w.cast["reward"] = thing(name, w.chance.one(["small", "silver", "red", "warm", "pretty"]))
    opening(w)
    w.has("hero", "reward")
    w.goes("hero", "wild", first=True)
    w.tell("{hero} followed a [butterfly|bird|rabbit] and did not look at the path.", DREAMED)
    w.tell("Suddenly {hero} did not know where {hero:they} was.", "When {hero} turned around, the path was gone.")
    w.tell('"Hello? Is anybody there?" called {hero:name}.', "{hero} wanted to cry.", "It was getting dark.")
    w.tell("Then {guide:a} came along.", "Behind a tree stood {guide:a}.", "{guide:a} heard {hero:them} and came.")
    w.tell('"I am lost," said {hero:name}. "I live {home:near}."', '"How do I get {home:to}?" asked {hero:name}.')
    w.tell('"I know the way," said {guide:name}. "Come with me."', '"Follow me," said {guide:name}.')
    w.maybe(0.5, "They [crossed a stream|climbed over a fence|walked under the stars] and sang to forget the dark.")
    w.at("guide", "wild")
    w.goes("guide", "home", also="hero")
    w.tell("There was a light in the window.", "{hero:name} saw the house and was [happy|so glad].")
    thanks(w, "hero", "guide")
    w.tell(
        "{hero:name} ran inside and came out with {reward:a}.", '"Wait, I have {reward:a} for you," said {hero:name}.'
    )
    w.gives("hero", "reward", "guide")
    if w.chance.happens(0.5):
        keeps(w, "reward")
    lesson(w, "Since then, {hero:name} always looks at the path.", "And that was how the two became friends.")


DREAMED = "{hero} picked flowers, one here and one there, and went on and on."
