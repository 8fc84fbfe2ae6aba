"""Plots about things that pass from one to another: lost, borrowed, given, swapped, hidden, won."""

from __future__ import annotations

from byhand.texts.frames import friendship, homeward, keeps, lesson, opening, thanks, weather
from byhand.texts.telling import World


def lost(w: World) -> None:
    """Something is left behind, looked for in the wrong place, and found where it was left."""
    w.people("hero", "friend")
    w.things("toy")
    w.places("home", "right", "wrong", outside=True)
    opening(w)
    w.has("hero", "toy")
    w.tell(
        "{hero} had {toy:a} and [loved it very much|took it everywhere|never slept without it].",
        "The thing that {hero} loved most was {toy:a}.",
        "Of all {hero:own} things, {hero} liked {toy:a} the best.",
    )
    w.goes("hero", "right", first=True)
    w.maybe(0.6, "{hero} [ran about|played] there for [an hour|a long time] and then sat down for a rest.")
    w.leaves("hero", "toy", ("{hero} left {toy} {spot} and forgot all about it.", LEFT))
    homeward(w, "hero")
    w.tell(
        'Before supper, {hero} looked for {toy}. "It is gone!" {hero:they} cried.',
        "At bedtime, {toy:full} was not there, and {hero} [began to cry|could not sleep].",
    )
    w.tell(
        "The next day, {hero} told {friend:a} about it.",
        "The next morning, {hero} asked {friend:a} for help.",
    )
    w.at("friend", "home")
    w.tell('"Do not cry, {hero:name}," said {friend:name}. "We will find {toy}."', HELP)
    w.goes("friend", "wrong", also="hero")
    w.maybe(
        0.4,
        "They looked everywhere, but {toy} was not {wrong:at}.",
        "They found only [leaves|stones|an old shoe] there.",
    )
    w.maybe(0.5, '"[Wait|Think]! Where did you have it last?" asked {friend:name}. "{right:at}," said {hero:name}.')
    w.goes("hero", "right", also="friend")
    w.finds("friend", "toy")
    w.gives("friend", "toy", "hero")
    if w.chance.happens(0.6):
        thanks(w, "hero", "friend")
    else:
        keeps(w, "toy")
    lesson(w, "After that, {hero:name} never left {toy} {right:at} again.")


LEFT = "When it was time to go, {hero} left {toy} {spot}."
HELP = '"I will help you to look for {toy}," said {friend:name}.'


def borrowed(w: World) -> None:
    """Something is lent on a promise, and the promise is hard to keep."""
    w.people("hero", "friend")
    w.things("loan")
    w.places("home", "far", outside=True)
    opening(w)
    friendship(w)
    w.has("friend", "loan")
    w.tell("{friend:name} had {loan:a}.", "One day, {friend:name} came with {loan:a}.")
    w.tell(
        '"May I have {loan} for a day?" asked {hero:name}.',
        '"Please lend me {loan}," said {hero:name}. "I will take good care of it."',
    )
    w.tell(
        '"Yes, but promise to bring it back before dark," said {friend:name}.',
        '"You may, if you bring it back tonight," said {friend:name}.',
    )
    w.maybe(0.7, '"I promise," said {hero:name}.', "{hero:name} promised it.", '"You have my word," said {hero:name}.')
    w.gives("friend", "loan", "hero")
    w.goes("hero", "far")
    weather(w)
    w.tell(
        "{hero} played with {loan} until {hero:they} was so tired that {hero:they} fell asleep.",
        "{hero} showed {loan} to everyone {far:at}, and the hours flew by.",
        "{hero} met [a cat|a frog|two old women|some children] there, and soon the day was almost over.",
    )
    w.maybe(
        0.7, "Then {hero} saw that the sun was going down.", "When {hero} looked up, the first star was in the sky."
    )
    w.tell(
        '"My promise!" cried {hero:name}.', '"I have to keep my word!" {hero} said.', "{hero} thought of the promise."
    )
    w.tell(
        "It began to rain, but {hero} held {loan} tight and ran as fast as {hero:they} could.",
        "The path was dark and {hero} was afraid, but {hero:they} did not stop.",
        "{hero} fell and hurt {hero:own} knee, but {hero:they} got up and ran on.",
    )
    w.tell("{friend:name} was waiting at the [door|gate|window].", "There stood {friend:name} with a [lamp|candle].")
    w.gives("hero", "loan", "friend")
    w.tell('"You kept your promise," said {friend:name}.', '"I knew that you would come," said {friend:name}.')
    if w.chance.happens(0.5):
        keeps(w, "loan")
    lesson(w, "A promise is a promise.", "Since that day, {friend:name} has trusted {hero:name} with everything.")


def gift(w: World) -> None:
    """A birthday, and a present that has to be found first."""
    w.people("hero", "friend")
    w.elders("seller")
    w.things("present", "price")
    w.places("home", outside=True)
    w.places("shop")
    opening(w)
    friendship(w)
    w.has("hero", "price")
    w.has("seller", "present")
    w.tell(
        "It was {friend:name's} birthday, and {hero:name} had no present.",
        "{friend:name's} birthday was in two days, and {hero:name} had to find a present.",
        "[Tomorrow|Soon] was {friend:name's} birthday. {hero:name} wanted to give {friend:them} something nice.",
    )
    w.tell("All that {hero:name} had was {price:a}.", "{hero:name} had no money, only {price:a}.")
    w.goes("hero", "shop")
    w.tell("{shop:at}, {hero} met {seller:a}, who had {present:a}.", "There was {seller:a} with {present:a} to sell.")
    w.tell(
        '"What do you want for {present}?" asked {hero:name}.',
        '"{friend:name} would love {present}," thought {hero:name}.',
        '"How beautiful {present} is!" said {hero:name}.',
    )
    w.tell(
        '"Give me {price}, and it is yours," said {seller:name}.',
        '"I need {price:a} like that," said {seller:name}. "Let us swap."',
    )
    w.maybe(0.6, "{hero} thought about it for a [moment|minute].", "It was not easy, but {hero} nodded.")
    w.swaps("hero", "price", "seller", "present")
    w.goes("hero", "home")
    w.tell("There {friend:name} was sitting at the table with a [cake|big cake] and [six|seven|eight] candles.")
    w.gives("hero", "present", "friend")
    w.tell(
        '"{present:a}! It is just what I wanted!" cried {friend:name}.',
        '"Is it really for me?" asked {friend:name}, and {friend:their} eyes were [shining|bright].',
    )
    if w.chance.happens(0.4):
        w.asks("friend", "price", "hero")
        w.tell('"You gave it away for me!" said {friend:name}.', "Then {friend:name} understood and was very moved.")
    else:
        keeps(w, "present")
    lesson(w, "It is good to get a present, but it is better to give one.")


def swaps(w: World) -> None:
    """One thing is swapped for another, and that for a third, until everyone has what she needs."""
    w.people("hero", "friend", "third")
    w.things("one", "two", "three")
    w.places("home", outside=True)
    w.places("middle", "end")
    opening(w)
    for person, thing in (("hero", "one"), ("friend", "two"), ("third", "three")):
        w.has(person, thing)
    w.tell("{hero} had {one:a}, but what {hero:they} [wanted|wished for] was {three:a}.", WISH)
    w.goes("hero", "middle", first=True)
    w.tell("There {hero} met {friend:a} with {two:a}.", "{middle:at} sat {friend:a}, who had {two:a}.")
    w.tell('"I have {two:a}, but I need {one:a}," said {friend:name}.', '"Shall we swap?" asked {friend:name}.')
    w.swaps("hero", "one", "friend", "two")
    w.maybe(0.6, "{hero} was not [sad|sorry] about it and went on.", '"That was a good swap," thought {hero:name}.')
    w.goes("hero", "end")
    w.tell("{end:at} stood {third:a} with {three:a}.", "There {hero} saw {third:a}, who had {three:a}.")
    w.tell('"What a [fine|lovely] thing you have," said {third:name}. "I would give {three} for it."', NEED)
    w.swaps("hero", "two", "third", "three")
    if w.chance.happens(0.5):
        w.asks("third", "one", "hero")
    w.goes("hero", "home")
    w.tell("Now {friend:name} had {one}, {third:name} had {two}, and {hero:name} had {three}.")
    lesson(w, "Everyone had what they wanted.", "Nobody had lost anything, and all three were happy.")


WISH = "{hero} had {one:a}. It was nice, but {hero:they} would rather have had {three:a}."
NEED = '"I have been looking for {two:a} all week," said {third:name}. "Do you want {three}?"'


def hidden(w: World) -> None:
    """One hides something, the other has to find it with a hint."""
    w.people("hero", "friend")
    w.things("toy")
    w.places("home", "near", outside=True)
    opening(w)
    friendship(w)
    w.has("hero", "toy")
    w.tell("{hero:name} had {toy:a}.", "On a shelf in {hero:their} room stood {toy:a}.")
    w.tell('"Let us play a game," said {hero:name}. "I hide {toy}, and you look for it."')
    w.maybe(
        0.6,
        '"That is easy!" said {friend:name} and closed {friend:own} eyes.',
        "{friend:name} closed {friend:own} eyes.",
    )
    w.goes("hero", "near")
    w.leaves("hero", "toy", ("{hero} put {toy} {spot}, where nobody could see it.", "There {hero} hid {toy} {spot}."))
    w.goes("hero", "home")
    w.maybe(0.6, '"Now you can look," said {hero:name}.', '"I am ready!" called {hero:name}.')
    w.maybe(
        0.6,
        "{friend} looked under the bed, in the oven and behind the clock, but there was nothing.",
        "{friend} looked in every room of the house and found only [dust|a spider|an old sock].",
    )
    w.asks("friend", "toy", "hero")
    w.maybe(0.4, '"That is a good hint," said {friend:name}.', '"Then I know what to do," said {friend:name}.')
    w.goes("friend", "near")
    w.maybe(0.4, "{friend} looked to the left and to the right.", "{friend} looked for a long time.")
    w.finds("friend", "toy")
    w.goes("friend", "home")
    if w.chance.happens(0.5):
        w.gives("friend", "toy", "hero")
        w.tell('"[Tomorrow|Next time] it is my turn to hide it," said {friend:name}.', LAUGH)
    else:
        w.tell(
            '"Well done! You may keep {toy}," said {hero:name}.', '"You found it, so it is yours," said {hero:name}.'
        )
        keeps(w, "toy")
    lesson(w)


LAUGH = "They laughed and started the game again."


def prize(w: World) -> None:
    """A race for a prize, in which one stops to help the other."""
    w.people("hero", "friend")
    w.elders("judge")
    w.things("prize")
    w.places("home", "goal", outside=True)
    opening(w)
    friendship(w)
    w.has("judge", "prize")
    w.tell("One day, {judge:a} came with {prize:a}.", "Then came the day of the big race.")
    w.tell('"Whoever comes to {goal:name} first will win {prize:a}," said {judge:name}.')
    w.tell(
        '"One, two, three, go!" [called|cried|shouted] {judge:name}.', "Then {judge:name} clapped, and the race began."
    )
    w.tell("{friend:name} was fast, but {hero:name} was faster.", "At first {hero:name} was in front.")
    w.tell(
        "Suddenly {friend:name} fell and could not get up.",
        "Halfway, {hero:name} heard a cry. {friend:name} had fallen over a stone.",
    )
    w.tell(
        "{hero:name} stopped, turned around and helped {friend:them} up.",
        '"The race can wait," said {hero:name} and ran back to help {friend:them}.',
    )
    w.goes("hero", "goal", also="friend")
    w.tell('"Nobody was first," said {judge:name}, "but I saw what you did, {hero:name}."')
    w.gives("judge", "prize", "hero")
    thanks(w, "hero", "judge")
    if w.chance.happens(0.4):
        w.tell('"Without you I would still sit there," said {friend:name}. "You are a true friend."')
    if w.chance.happens(0.4):
        w.gives("hero", "prize", "friend")
        w.tell('"You run so well, you should have it," {hero} said.', '"Now it is ours," {hero} said.')
    keeps(w, "prize")
    lesson(w, "There are things that are better than winning.")
