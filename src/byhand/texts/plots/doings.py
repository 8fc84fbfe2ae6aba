"""Plots about what one does: a journey, a quarrel, bad weather, an animal, a meal, learning, a noise at night."""

from __future__ import annotations

from byhand.texts.frames import friendship, homeward, keeps, lesson, opening, thanks, weather
from byhand.texts.telling import World
from byhand.texts.words import PETS, STATES, thing


def journey(w: World) -> None:
    """Something is brought to someone who lives far away, and someone is met on the road."""
    w.people("hero", "stranger")
    w.elders("sender", "elder")
    w.things("load", "reward")
    w.places("home", "middle", "goal", outside=True)
    opening(w)
    w.has("sender", "load")
    w.has("elder", "reward")
    w.tell(
        '"{elder:name} lives {goal:near} and needs {load:a}," said {sender:a} one day. "Can you bring it there?"',
        'One morning, {sender:a} came with {load:a}. "Please bring it to {elder:name} {goal:at}," {sender} said.',
    )
    w.maybe(
        0.5, '"I will go at once," said {hero:name}.', "{hero:name} was glad to help.", '"Of course," said {hero:name}.'
    )
    w.gives("sender", "load", "hero")
    w.goes("hero", "middle")
    w.tell("{middle:at}, {hero} met {stranger:a}.", "There, on a stone, sat {stranger:a}.")
    w.tell(
        '"What do you have there?" asked {stranger:name}. "{load:a} for {elder:name}," said {hero:name}.',
        '"Where are you going, {hero:name}?" asked {stranger:name}. "To {elder:name}, with {load}," said {hero:name}.',
    )
    w.maybe(
        0.5,
        '"Stay here and play with me," said {stranger:name}. But {hero:name} shook {hero:own} head.',
        '"Do not take the path on the left," said {stranger:name}. "The bridge is broken."',
        '"Then you must go on before it rains," said {stranger:name}.',
    )
    w.goes("hero", "goal")
    w.maybe(0.5, "{elder:name} was already at the door.", "{hero} knocked, and {elder:name} opened the door.")
    w.gives("hero", "load", "elder")
    w.tell('"I have waited for it so long," said {elder:name}. "Take {reward:a} for your trouble."')
    w.gives("elder", "reward", "hero", silently=True)
    if w.chance.happens(0.5):
        thanks(w, "hero", "elder")
    if w.chance.happens(0.7):
        homeward(w, "hero")
    if w.chance.happens(0.4):
        w.asks("sender", "load", "hero")
    else:
        keeps(w, "reward")
    lesson(w, "The way had been long, but it had been worth it.")


def quarrel(w: World) -> None:
    """Two want the same thing, part in anger, and make up."""
    w.people("hero", "friend")
    w.things("toy")
    w.places("home", "alone", outside=True)
    opening(w)
    friendship(w)
    w.has("hero", "toy")
    w.tell("One day, {hero:name} got {toy:a}.", "{hero:name} had found {toy:a} in a box.", "{hero:name} had {toy:a}.")
    w.tell('"I want to play with {toy}, too," said {friend:name}.', '"Give me {toy}!" said {friend:name}.')
    w.tell('"No, {toy} is mine," said {hero:name}.', '"You will only break it," said {hero:name}.')
    w.tell(
        '"Then you are not my friend," said {friend:name} and ran away.',
        "{friend:name} shouted, {hero:name} shouted back, and then {friend:name} slammed the door.",
        '{friend:name} got red in the face. "Keep it, then!" {friend:they} said and left.',
    )
    w.goes("hero", "alone")
    w.tell(
        "{hero} wanted to play with {toy} there, but alone it was no fun.",
        "{hero} sat down and looked at {toy}, but it did not make {hero:them} happy.",
    )
    weather(w)
    w.tell('"I was not [nice|kind|fair]," thought {hero:name}.', '"I miss {friend:name}," thought {hero:name}.')
    w.goes("hero", "home")
    w.tell("{friend:name} was sitting on the steps with a sad face.", "{hero} knocked at {friend:name's} door.")
    w.tell('"I am sorry, {friend:name}," said {hero:name}.', '"Please forgive me," said {hero:name}.')
    w.tell('"I am sorry, too," said {friend:name}.', '"I was angry, but now it is over," said {friend:name}.')
    if w.chance.happens(0.7):
        w.gives("hero", "toy", "friend")
        w.maybe(0.6, '"[Today|This week] you may have it," {hero} said.', '"You can have it first," {hero} said.')
        w.maybe(0.4, "Now {friend:name} had {toy:full}, and nobody was angry.")
    else:
        w.tell("From then on, they played with {toy} together.", "So they took turns with {toy}.")
    lesson(w, "A friend is worth more than {toy:a}.", "They never quarreled again.")


def storm(w: World) -> None:
    """Bad weather, and something that keeps one dry or warm is shared."""
    w.people("hero", "friend")
    cover = w.chance.one(["umbrella", "coat", "blanket", "cloak"])
    w.cast["cover"] = thing(cover, w.chance.one(["green", "yellow", "old", "long", "thick"]))
    w.things("first")
    w.places("home", "away", outside=True)
    w.cast["rain"], w.cast["rained"] = w.chance.one([("rain", "rain hard"), ("snow", "snow"), ("hail", "hail")])
    opening(w)
    w.has("hero", "cover")
    w.tell("{hero:their} favorite thing was {cover:a}.", "{hero} never left the house without {cover:a}.")
    w.goes("hero", "away", first=True)
    w.tell("Dark clouds came up, and the wind [blew hard|was cold].", "Then the sky turned [dark|grey|black].")
    w.tell("It began to {rained}.", "Soon it began to {rained}, and it did not stop.")
    w.tell(
        "{away:at} stood {friend:a}, who was wet and cold.",
        "Under a tree, {hero} saw {friend:a}, wet from head to toe.",
    )
    w.tell('"I have nothing to keep me dry," said {friend:name}.', '"I am so cold," said {friend:name}.')
    if w.chance.happens(0.5):
        w.gives("hero", "cover", "friend")
    else:
        w.tell('"{cover} is big enough for two," said {hero:name}.', '"Come under {cover} with me," said {hero:name}.')
    w.tell(
        "They waited together and told each other [stories|jokes|riddles].", "They sang until the sky was bright again."
    )
    w.tell(
        "At last the {rain} stopped, and the sun came out.", "After an hour, there was a rainbow over the {away:noun}."
    )
    if w.holder[w.noun("cover")] is w.noun("friend"):
        w.gives("friend", "cover", "hero")
    thanks(w, "friend", "hero")
    if w.chance.happens(0.4):
        w.has("friend", "first")
        w.tell("{friend:name} had {first:a} in {friend:own} bag.", "{friend:name} went to get {first:a}.")
        w.gives("friend", "first", "hero")
        keeps(w, "first")
    homeward(w, "hero")
    lesson(w, "Since that day, {hero:name} and {friend:name} have been friends.", "{cover:full} dried by the fire.")


def animal(w: World) -> None:
    """An animal is found and fed; it stays, or it goes home."""
    w.people("hero")
    w.elders("elder")
    w.wild = False
    pet = w.chance.one(PETS)
    w.cast["pet"] = thing(pet, w.chance.one(STATES))
    w.places("home", "outside", outside=True)
    w.cast["food"] = w.chance.one(["milk", "bread", "water", "cheese", "corn", "soup"])
    opening(w)
    w.goes("hero", "outside", first=True)
    w.cast["spot"] = w.chance.one([each for each in w.noun("outside").spots if not each.startswith("under")])
    w.tell("There, {spot}, sat {pet:a}.", "{hero} heard a [small|strange] sound. It came from {pet:a} {spot}.")
    w.tell("It had hurt its [leg|foot|ear].", "It looked at {hero:name} and did not move.", "It was all alone.")
    w.tell('"Do not be afraid," said {hero:name} softly.', '"You poor little {pet:noun}," said {hero:name}.')
    w.tell("{hero} gave {pet} some {food}.", "{hero} ran home and came back with some {food} for {pet}.")
    w.tell("The {pet:noun} [ate|took] all of it and came closer.", "At first the {pet:noun} was shy, but then it ate.")
    w.goes("hero", "home")
    w.tell("The {pet:noun} followed {hero:them}.", "The {pet:noun} came along, step by step.")
    w.tell('"Whose {pet:noun} is this?" {hero} asked {elder:a}.', '"May I keep {pet}?" {hero} asked {elder:a}.')
    if w.chance.happens(0.5):
        w.tell('"It is mine!" cried {elder:name}. "I have looked for it everywhere."', OWNER)
        w.tell(
            "{hero} was a little sad, but the {pet:noun} was [happy|glad] to be home.",
            "So {elder:name} took {pet} home.",
        )
        w.maybe(0.8, '"You may visit us every day," said {elder:name}.', VISIT)
    else:
        w.tell('"It has no home," said {elder:name}. "It can stay, if you take care of it."', STAY)
        w.tell(
            "{hero} made a bed of [straw|grass|old clothes] for {pet}.", "That night {pet} slept at {hero:their} feet."
        )
        w.tell("Since then, {hero:name} and the {pet:noun} have gone everywhere together.", BACK)
    lesson(w, "And the {pet:noun} was never hungry again.")


OWNER = '"That is my {pet:noun}," said {elder:name}. "How did you find it, {hero:name}?"'
VISIT = "And every Sunday, {hero:name} went to see {pet}."
STAY = '"It belongs to nobody," said {elder:name}. "It can live with you."'
BACK = "And often they went back {outside:to}, to the place where they had met."
