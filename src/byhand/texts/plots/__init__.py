"""What happens in the stories."""

from byhand.texts.plots import belongings, doings, home, outdoors

PLOTS = (
    belongings.lost,
    belongings.borrowed,
    belongings.gift,
    belongings.swaps,
    belongings.hidden,
    belongings.prize,
    doings.journey,
    doings.quarrel,
    doings.storm,
    doings.animal,
    home.meal,
    home.learning,
    home.noise,
    outdoors.treasure,
    outdoors.growing,
    outdoors.astray,
)
