"""How stories begin and end, and what is said on the way: sentences that more than one plot uses."""

from __future__ import annotations

from byhand.texts.telling import World


def opening(w: World, home: str = "home") -> None:
    """Who the story is about and where she lives; she is there."""
    w.at("hero", home)
    w.tell(*OPENINGS, home=w.noun(home))
    w.maybe(0.35, *HABITS)


def friendship(w: World) -> None:
    """The hero's friend, who is where the hero is."""
    w.where[w.noun("friend")] = w.where[w.noun("hero")]
    w.seen[w.noun("friend")] = [w.where[w.noun("hero")]]
    w.tell(*FRIENDS)


def weather(w: World) -> None:
    """What the day was like."""
    w.maybe(0.35, *DAYS)


def thanks(w: World, one: str, other: str) -> None:
    """Someone thanks someone."""
    w.tell(*THANKS, one=w.noun(one), other=w.noun(other))


def keeps(w: World, thing: str) -> None:
    """Who has a thing in the end, as it is in the world."""
    kept = w.noun(thing)
    w.tell(*KEEPS, one=w.holder[kept], kept=kept)


def homeward(w: World, person: str, home: str = "home") -> None:
    """Someone goes home."""
    w.at(person, home)
    w.tell(*HOMEWARD, one=w.noun(person), home=w.noun(home))


def lesson(w: World, *about: str) -> None:
    """A last sentence, what the story is about or any that fits all stories."""
    w.tell(*about, *LAST)


OPENINGS = (
    "Once upon a time, there was {hero:a} who lived {home:near}.",
    "Once upon a time there was {hero:a}, whose house stood {home:near}.",
    "Once upon a time, {home:near}, there lived {hero:a}.",
    "Once upon a time, {hero:a} lived in a [small|little|white|warm] house {home:near}.",
    "Once upon a time, in a [small|quiet|green] village {home:near}, there lived {hero:a}.",
    "Once there was {hero:a} who lived {home:near}.",
    "Once, in [a little|an old|a yellow] house {home:near}, there lived {hero:a}.",
    "Long ago, there lived {hero:a} {home:near}.",
    "There was once {hero:a} who lived {home:near}.",
)
HABITS = (
    "{hero} liked to [sing|dance|climb trees|tell jokes|look at the clouds|count the stars|walk in the rain].",
    "Every [morning|evening|day], {hero} [sang a song|read a book|swept the floor|watered the flowers].",
    "{hero} had [two sisters|two brothers|a little sister|a little brother|many friends] and a very loud laugh.",
    "{hero} was never in a hurry.",
    "{hero} always had a [song|smile|question|good word] for everyone.",
    "{hero} was not very [big|tall|strong|fast], but {hero:they} was very [brave|clever|kind|patient].",
    "{hero:their} [bed|chair|table] stood by the window, where the [sun|moon] came in.",
)
FRIENDS = (
    "{hero:their} best friend was {friend:a}.",
    "{hero:name} had a friend, {friend:a}.",
    "{friend:name}, {hero:their} friend, lived next door.",
    "{hero} and {friend:name} were [good|best|old] friends and did everything together.",
    "The house next door was the home of {friend:a}.",
)
DAYS = (
    "The sun was [shining|warm] and the sky was blue.",
    "It was a [cold|warm|windy|sunny|bright|quiet] [morning|day].",
    "The birds were singing in the trees.",
    "It was [spring|summer], and the air smelled of [flowers|grass|roses].",
    "It was autumn, and the leaves were [red|yellow|brown].",
    "Small white clouds were moving over the hills.",
)
THANKS = (
    '"Thank you, {other:call}," said {one:name}.',
    '"Thank you!" said {one:name} with a big smile.',
    '"You are very kind, {other:call}," said {one:name}.',
    "{one} thanked {other:them} [with all {one:own} heart|again and again|and smiled].",
    '"How can I ever thank you, {other:call}?" asked {one:name}.',
)
KEEPS = (
    "{one:name} still has {kept} today.",
    "From that day on, {kept:full} was always with {one:name}.",
    "That night, {one:name} put {kept} next to {one:own} bed.",
    "In the end, {kept:full} belonged to {one:name}.",
    "And if you visit {one:name}, you can still see {kept:full}.",
    "{one:name} kept {kept} for many years.",
    "Since then, {one:name} has never gone anywhere without {kept}.",
)
HOMEWARD = (
    "In the evening, {one} went home.",
    "When the sun went down, {one} walked back to {one:own} house {home:near}.",
    "{one} was home again before it was dark.",
    "Then it was time to go home, and {one} ran all the way.",
    "Late in the day, {one} came back to {one:own} house {home:near}, tired but happy.",
)
LAST = (
    "It was a day that nobody forgot.",
    "And that is the end of the story.",
    "And that night everyone slept well.",
    "What a day that was!",
    "And so everything was good again.",
    "{hero:name} smiled and thought that it had been a very good day.",
    "And {hero:name} was [happy|glad] for a long, long time.",
)
