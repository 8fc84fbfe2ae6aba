"""Plots at home: a meal, something that is learned, a noise at night."""

from __future__ import annotations

from byhand.texts.frames import friendship, lesson, opening, thanks, weather
from byhand.texts.telling import World

# What is cooked: its article and name, what it is made in or on, and what belongs in it.
MEALS = (
    ("some", "soup", "pot", "carrots onions beans potatoes"),
    ("a", "cake", "bowl", "flour butter eggs honey"),
    ("a", "pie", "bowl", "flour apples butter cherries"),
    ("some", "bread", "bowl", "flour milk nuts honey"),
    ("some", "jam", "pot", "cherries sugar plums honey"),
    ("a", "stew", "pot", "carrots tomatoes turnips beans"),
)
SKILLS = ("to swim", "to ride", "to read", "to dance", "to whistle", "to fish", "to draw", "to paint", "to bake bread")
WATERS = ("lake", "river", "pond")
NOISES = ("knock", "scratch", "howl", "tap", "whisper", "creak", "bump")
VISITORS = ("a cat", "a branch", "an owl", "a mouse", "a hedgehog", "the wind", "a goat")


def meal(w: World) -> None:
    """Something is missing for a meal, someone has it, and all eat together."""
    w.people("hero", "friend")
    w.elders("elder")
    w.places("home", outside=True)
    w.places("source")
    w.cast["a"], w.cast["dish"], w.cast["pan"], parts = w.chance.one(MEALS)
    w.cast["first"], w.cast["second"], w.cast["missing"] = w.chance.some(3, parts.split())
    opening(w)
    friendship(w)
    w.tell(
        "One day, they wanted to make {a} {dish} together.", '"I am hungry. Let us make {a} {dish}," said {hero:name}.'
    )
    w.tell("{hero:name} brought {first}, and {friend:name} brought {second}.", TWO)
    w.tell('"But we have no {missing}!" said {hero:name}.', '"We need {missing}, too," said {hero:name}.')
    w.tell('"{elder:name} has some," said {friend:name}.', '"Then ask {elder:name}," said {friend:name}.')
    w.goes("hero", "source")
    w.tell('"What do you need?" asked {elder:name}. "Some {missing} for our {dish}," said {hero:name}.')
    w.tell("{elder} gave {hero:them} some {missing}.", '"Take as much as you need," said {elder:name}.')
    w.goes("hero", "home")
    w.tell("They put the {first}, the {second} and the {missing} into the {pan}.", WORK)
    w.tell("Soon the whole house smelled [good|sweet|wonderful].", "They waited, and it was hard to wait.")
    w.maybe(0.5, '"Too much salt!" cried {friend:name}, but {hero:name} only laughed.', BURNED)
    w.tell('"We must bring some to {elder:name}," said {friend:name}. And they did.', GUEST)
    lesson(w, "It was the best {dish} they had ever eaten.", "There was nothing left of the {dish}.")


TWO = '"I have {first} and {second}," said {friend:name}.'
WORK = "{hero:name} stirred, and {friend:name} put in the {first}, the {second} and, last of all, the {missing}."
BURNED = "The {dish} looked a little strange, but nobody minded."
GUEST = "At noon, {elder:name} came to eat with them and [took two plates|praised the {dish}|asked for more]."


def learning(w: World) -> None:
    """Someone cannot do something, is taught, fails, and in the end can do it."""
    w.people("hero", "friend")
    w.elders("elder")
    w.cast["skill"] = skill = w.chance.one(SKILLS)
    w.places("home", outside=True)
    w.places("practice", outside=True, only=WATERS if skill in ("to swim", "to fish") else ())
    w.cast["doing"] = skill.removeprefix("to ")
    opening(w)
    friendship(w)
    w.tell(
        "{friend:name} knew how {skill}, but {hero:name} did not.",
        "Everyone could {doing}, only {hero:name} could not.",
    )
    w.tell('"I will never learn {skill}," said {hero:name} sadly.', '"I want to learn it, too," said {hero:name}.')
    w.tell('"I will teach you," said {elder:a}.', '{elder:a} heard it. "Come with me," {elder} said.')
    w.goes("hero", "practice")
    weather(w)
    w.tell('"Watch me," said {elder:name}, who was waiting there. "It is not as hard as it looks."')
    w.tell("{hero} tried, but it went wrong.", "The first time, {hero} did everything wrong.")
    w.tell('"Again," said {elder:name}.', '"Nobody can do it at once," said {elder:name}.')
    w.tell("{hero} tried a second time and a third time.", "Every day {hero} came back {practice:to} and tried again.")
    w.tell("And on the [fifth|seventh|tenth] day, {hero} could {doing}!", "And one evening it worked at last!")
    thanks(w, "hero", "elder")
    w.goes("hero", "home")
    w.tell('"Look, {friend:name}, now I can {doing}!" called {hero:name}.', SHOW)
    w.maybe(0.6, '"I knew you could do it," said {friend:name}.', '"You are better than I am!" said {friend:name}.')
    lesson(w, "If you try again and again, you will get there.", "Today {hero:name} teaches others how {skill}.")


SHOW = "{hero} showed {friend:name} what {hero:they} had learned from {elder:name}."


def noise(w: World) -> None:
    """Something makes a noise at night, and it is not a monster."""
    w.people("hero", "friend")
    w.things("light")
    w.places("home", outside=True)
    w.places("dark")
    w.cast["sound"], w.cast["visitor"] = w.chance.one(NOISES), w.chance.one(VISITORS)
    opening(w)
    friendship(w)
    w.has("friend", "light")
    w.tell(
        "One night, {hero:name} heard a [loud|soft|strange] {sound}.", "It was dark when {hero:name} heard a {sound}."
    )
    w.tell('"There is a monster {dark:at}," {hero} said.', "It came from {dark:name}.")
    w.tell("{hero} woke {friend:name}.", "{hero} ran to {friend:name}.")
    w.tell('"I am afraid of the dark," said {hero:name}.', '"Did you hear the {sound}, too?" asked {hero:name}.')
    w.tell('"I have {light:a} that brings luck," said {friend:name}. "It will help us."')
    w.gives("friend", "light", "hero", silently=True)
    w.goes("hero", "dark", also="friend")
    w.maybe(0.7, "Their hearts beat fast.", "They held their breath.", "It was so dark that they saw nothing at all.")
    w.tell("There was the {sound} again!", "Then they heard the {sound} once more, very close.")
    w.tell("{hero} held {light} tight and looked. It was only {visitor}!")
    w.tell('"{visitor}!" laughed {friend:name}. "And I thought it was a monster."', "How they laughed!")
    w.goes("hero", "home", also="friend")
    w.gives("hero", "light", "friend")
    w.tell('"I do not need it any more," said {hero:name}. "I am not afraid now."')
    lesson(w, "Most monsters are small when you look at them.", "Now {hero:name} likes the dark.")
